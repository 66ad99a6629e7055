//! Addresses of links: RTM_GETADDR, of one link or of all. Reads in place only the attributes that are wanted: the label
//! repeats the link's name, and a container that gives its link a name that is no text must not hide its addresses.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};

use super::link::Where;
use super::socket::{Dump, Refused, Socket};
use crate::model::{IfIndex, LinkAddr};

/// Length of `struct ifaddrmsg`.
const HEADER: usize = 8;

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

/// What the kernel found when it asked the segment whether anybody has an address already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// It still asks (`IFA_F_TENTATIVE`).
    Asking,
    /// Somebody has it (`IFA_F_DADFAILED`).
    Duplicate,
}

/// Addresses of a link that cannot be used, at least not yet.
pub fn unusable(socket: &mut Socket, of: IfIndex) -> Result<Vec<(IpAddr, Detection)>, Refused> {
    const IFA_F_DADFAILED: u8 = 0x08;
    const IFA_F_TENTATIVE: u8 = 0x40;
    let mut message = AddressMessage::default();
    message.header.index = of.0;
    let dump = socket.dump(RouteNetlinkMessage::GetAddress(message), |payload| {
        let state = match payload.get(2).copied().unwrap_or(0) {
            flags if flags & IFA_F_DADFAILED != 0 => Detection::Duplicate,
            flags if flags & IFA_F_TENTATIVE != 0 => Detection::Asking,
            _ => return Ok(None),
        };
        Ok(decode(payload)?.filter(|(index, _)| *index == of).map(|(_, addr)| (addr.local, state)))
    })?;
    Ok(dump.items)
}

fn decode(payload: &[u8]) -> Result<Option<(IfIndex, LinkAddr)>, DecodeError> {
    // if_addr.h, rtnetlink.h
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    const IFA_FLAGS: u16 = 8;
    const RT_SCOPE_LINK: u8 = 253;
    let Some(([_, prefix_len, flags, scope, index @ ..], attributes)) = payload.split_first_chunk::<HEADER>() else {
        return Err(DecodeError::buffer_too_small(payload.len(), HEADER));
    };
    let (mut address, mut local) = (None, None);
    let mut flags = u32::from(*flags);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        match attribute.kind() {
            IFA_ADDRESS => address = ip(attribute.value()),
            IFA_LOCAL => local = ip(attribute.value()),
            // The header has room for eight of them only.
            IFA_FLAGS => flags = attribute.value().first_chunk().map_or(flags, |b| u32::from_ne_bytes(*b)),
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the other side's; IPv6 has IFA_LOCAL only there.
    Ok(local.or(address).map(|local| {
        let (scope, prefix_len) = (*scope, *prefix_len);
        let peer = address.filter(|address| *address != local);
        let addr = LinkAddr { local, prefix_len, link_scope: scope == RT_SCOPE_LINK, scope, peer, flags };
        (IfIndex(u32::from_ne_bytes(*index)), addr)
    }))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => value.first_chunk::<4>().map(|b| IpAddr::from(*b)),
        16 => value.first_chunk::<16>().map(|b| IpAddr::from(*b)),
        _ => None,
    }
}
