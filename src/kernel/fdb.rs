//! A bridge's forwarding database: one entry by link-layer address, never the whole of it; and the addresses that a link
//! takes frames for.

use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::nla::{self, ip_of, u16_of, u32_of};
use super::socket::{Dump, Refused, Socket};
use crate::model::{FdbEntry, IfIndex, LlAddr, Remote};

/// The entry of an address in a bridge's database; none: the bridge has not learned it.
pub fn get(socket: &mut Socket, bridge: IfIndex, mac: LlAddr, vlan: Option<u16>) -> Result<Option<FdbEntry>, Refused> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.bytes().to_vec()));
    // The bridge goes into NDA_MASTER; an index in the header would have to be a port.
    message.attributes.push(NeighbourAttribute::Controller(bridge.0));
    message.attributes.extend(vlan.map(NeighbourAttribute::Vlan));
    match socket.get(RouteNetlinkMessage::GetNeighbour(message), |payload| decode(payload, mac)) {
        Ok(entry) => Ok(Some(entry)),
        Err(refused) if refused.errno == Errno::ENOENT => Ok(None),
        Err(refused) => Err(refused),
    }
}

/// Unicast addresses that a link takes frames for besides its own (`bridge fdb show dev <link> self`): those of
/// macvlans on top of it, wherever they are.
pub fn also_taken(socket: &mut Socket, index: IfIndex) -> Result<Dump<LlAddr>, Refused> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index.0;
    socket.dump(RouteNetlinkMessage::GetNeighbour(message), |payload| {
        let message = NeighbourMessage::parse(payload)?;
        // A port's entries in its bridge's database are others' addresses.
        let own = message.header.flags.contains(NeighbourFlags::Own) && message.header.ifindex == index.0;
        Ok(message.attributes.iter().find_map(|a| match a {
            NeighbourAttribute::LinkLayerAddress(bytes) if own && bytes.first().is_some_and(|b| b & 1 == 0) => {
                Some(LlAddr::new(bytes))
            }
            _ => None,
        }))
    })
}

/// Endpoints that a vxlan device has for an address (`bridge fdb show dev <link> self`).
pub fn remotes(socket: &mut Socket, index: IfIndex, mac: LlAddr) -> Result<Dump<Remote>, Refused> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index.0;
    socket.dump(RouteNetlinkMessage::GetNeighbour(message), |payload| {
        Ok(decode_remote(payload, index)?.filter(|remote| remote.mac == mac))
    })
}

fn decode_remote(payload: &[u8], index: IfIndex) -> Result<Option<Remote>, DecodeError> {
    const HEADER: usize = 12;
    const NDA_DST: u16 = 1;
    const NDA_LLADDR: u16 = 2;
    const NDA_PORT: u16 = 6;
    const NDA_VNI: u16 = 7;
    const NDA_IFINDEX: u16 = 8;
    const NDA_NH_ID: u16 = 13;
    const NTF_SELF: u8 = 1 << 1;
    const NUD_NOARP: u16 = 0x40;
    const NUD_PERMANENT: u16 = 0x80;
    let Some((header, attributes)) = payload.split_at_checked(HEADER) else {
        return Err(DecodeError::buffer_too_small(payload.len(), HEADER));
    };
    // struct ndmsg: family, three bytes of nothing, index, state, flags, type
    let own = header[10] & NTF_SELF != 0 && u32_of(&header[4..]) == Some(index.0);
    let find = |wanted: u16| nla::find(attributes, wanted);
    let dst = find(NDA_DST).and_then(ip_of);
    let Some(mac) = find(NDA_LLADDR).map(LlAddr::new) else { return Ok(None) };
    // Addresses of the link itself have no endpoint.
    if !own || (dst.is_none() && find(NDA_NH_ID).is_none()) {
        return Ok(None);
    }
    let state = u16_of(&header[8..]).unwrap_or(0);
    let state = if state & NUD_PERMANENT != 0 {
        "permanent"
    } else if state & NUD_NOARP != 0 {
        "static"
    } else {
        ""
    };
    Ok(Some(Remote {
        mac,
        dst,
        port: find(NDA_PORT).and_then(u16_of).map(u16::from_be),
        vni: find(NDA_VNI).and_then(u32_of),
        via: find(NDA_IFINDEX).and_then(u32_of).map(IfIndex),
        state: state.to_owned(),
    }))
}

fn decode(payload: &[u8], mac: LlAddr) -> Result<FdbEntry, DecodeError> {
    let message = NeighbourMessage::parse(payload)?;
    let vlan = message.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::Vlan(id) if *id != 0 => Some(*id),
        _ => None,
    });
    let local = message.header.state == NeighbourState::Permanent;
    let state = match message.header.state {
        NeighbourState::Permanent => "permanent",
        NeighbourState::Noarp => "static",
        NeighbourState::Stale => "stale",
        _ => "",
    };
    Ok(FdbEntry { mac, ifindex: IfIndex(message.header.ifindex), vlan, state: state.to_owned(), local })
}
