//! Addresses of links: RTM_GETADDR, of one link or of all.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::packet_core::{DecodeError, Parseable};

use super::link::Where;
use super::socket::{Dump, Refused, Socket};
use crate::model::{IfIndex, LinkAddr};

/// Addresses of one link, or of all, each with the index of its link. IPv4 comes before IPv6.
pub fn dump(socket: &mut Socket, of: Option<IfIndex>, place: Where) -> Result<Dump<(IfIndex, LinkAddr)>, Refused> {
    let mut message = AddressMessage::default();
    message.header.index = of.map_or(0, |i| i.0);
    if let Where::Nsid(nsid) = place {
        message.attributes.push(AddressAttribute::TargetNetNsId(nsid.0));
    }
    socket.dump(RouteNetlinkMessage::GetAddress(message), |payload| {
        // Without strict checking the kernel ignores the index and sends the addresses of all links.
        Ok(decode(payload)?.filter(|(index, _)| of.is_none_or(|of| of == *index)))
    })
}

fn decode(payload: &[u8]) -> Result<Option<(IfIndex, LinkAddr)>, DecodeError> {
    let message = AddressMessage::parse(payload)?;
    let (mut address, mut local) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Local(ip) => local = Some(*ip),
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the other side's; IPv6 has IFA_LOCAL only there.
    Ok(local.or(address).map(|local| {
        let link_scope = message.header.scope == AddressScope::Link;
        (IfIndex(message.header.index), LinkAddr { local, prefix_len: message.header.prefix_len, link_scope })
    }))
}
