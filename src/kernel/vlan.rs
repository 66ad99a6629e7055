//! VLANs of bridge ports: RTM_GETVLAN (Linux 5.6).

use netlink_packet_core::DecodeError;

use super::nla::{self, u16_of};
use super::socket::{Dump, Refused, Request, Socket};
use crate::model::{IfIndex, PortVlan};

/// VLANs of a port of a bridge, or of the bridge itself.
pub fn of(socket: &mut Socket, port: IfIndex) -> Result<Dump<PortVlan>, Refused> {
    let dump = socket.dump(request(port), |payload| decode(payload, port).map(Some))?;
    let items = dump.items.into_iter().flatten().collect();
    Ok(Dump { items, undecodable: dump.undecodable, interrupted: dump.interrupted })
}

/// VLANs of every port and every bridge of a namespace.
pub fn all(socket: &mut Socket) -> Result<Dump<(IfIndex, Vec<PortVlan>)>, Refused> {
    socket.dump(request(IfIndex(0)), |payload| {
        let port = payload.get(4..).and_then(nla::u32_of).map(IfIndex);
        port.map(|port| Ok((port, decode(payload, port)?))).transpose()
    })
}

fn request(port: IfIndex) -> Request {
    const AF_BRIDGE: u8 = 7;
    const RTM_GETVLAN: u16 = 114;
    // struct br_vlan_msg: family, three bytes of nothing, index
    let mut message = vec![AF_BRIDGE, 0, 0, 0];
    message.extend(port.0.to_ne_bytes());
    Request::raw(RTM_GETVLAN, message)
}

fn decode(payload: &[u8], port: IfIndex) -> Result<Vec<PortVlan>, DecodeError> {
    const HEADER: usize = 8;
    const VLANDB_ENTRY: u16 = 1;
    let Some((header, attributes)) = payload.split_at_checked(HEADER) else {
        return Err(DecodeError::buffer_too_small(payload.len(), HEADER));
    };
    if nla::u32_of(&header[4..]) != Some(port.0) {
        return Ok(Vec::new());
    }
    Ok(nla::each(attributes).filter(|(number, _)| *number == VLANDB_ENTRY).filter_map(|(_, e)| entry(e)).collect())
}

fn entry(attributes: &[u8]) -> Option<PortVlan> {
    const ENTRY_INFO: u16 = 1;
    const ENTRY_RANGE: u16 = 2;
    // BRIDGE_VLAN_INFO_PVID, BRIDGE_VLAN_INFO_UNTAGGED
    const PVID: u16 = 1 << 1;
    const UNTAGGED: u16 = 1 << 2;
    // struct bridge_vlan_info: flags, vid
    let info = nla::find(attributes, ENTRY_INFO)?;
    let (flags, vid) = (u16_of(info)?, u16_of(info.get(2..)?)?);
    let last = nla::find(attributes, ENTRY_RANGE).and_then(u16_of).unwrap_or(vid);
    Some(PortVlan { vid, last, pvid: flags & PVID != 0, untagged: flags & UNTAGGED != 0 })
}

#[cfg(test)]
mod tests {
    use super::decode;
    use crate::kernel::nla::attribute;
    use crate::model::{IfIndex, PortVlan};

    #[test]
    fn single_ones_and_ranges() {
        let info = |flags: u16, vid: u16| attribute(1, &[flags.to_ne_bytes(), vid.to_ne_bytes()].concat());
        let entries = [
            attribute(0x8001, &info(1 << 1 | 1 << 2, 1)),
            attribute(0x8001, &[info(0, 10), attribute(2, &20u16.to_ne_bytes())].concat()),
        ];
        let message = [&[7, 0, 0, 0][..], &5u32.to_ne_bytes(), &entries.concat()].concat();
        let wanted = [
            PortVlan { vid: 1, last: 1, pvid: true, untagged: true },
            PortVlan { vid: 10, last: 20, pvid: false, untagged: false },
        ];
        assert_eq!(decode(&message, IfIndex(5)).unwrap(), wanted);
        assert_eq!(decode(&message, IfIndex(6)).unwrap(), []);
        assert!(decode(&message[..7], IfIndex(5)).is_err());
    }
}
