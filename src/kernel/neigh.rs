//! Neighbours: one entry by link and address. A dump walks the table of the whole machine, so nothing here dumps.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::socket::{Refused, Socket};
use crate::model::{IfIndex, LlAddr, Neigh, NeighState};

/// The entry of an address on a link; none: there is no entry.
pub fn get(socket: &mut Socket, index: IfIndex, dst: IpAddr) -> Result<Option<Neigh>, Refused> {
    let message = request(index, dst);
    match socket.get(RouteNetlinkMessage::GetNeighbour(message), |payload| decode(payload, dst)) {
        Ok(neigh) => Ok(Some(neigh)),
        Err(refused) if refused.errno == Errno::ENOENT => Ok(None),
        Err(refused) => Err(refused),
    }
}

fn request(index: IfIndex, dst: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = index.0;
    let (family, address) = match dst {
        IpAddr::V4(ip) => (AddressFamily::Inet, NeighbourAddress::Inet(ip)),
        IpAddr::V6(ip) => (AddressFamily::Inet6, NeighbourAddress::Inet6(ip)),
    };
    message.header.family = family;
    message.attributes.push(NeighbourAttribute::Destination(address));
    message
}

/// The namespace answers for an address that is not its own on this link (`NTF_PROXY`).
pub fn is_proxied(socket: &mut Socket, index: IfIndex, dst: IpAddr) -> Result<bool, Refused> {
    let mut message = request(index, dst);
    message.header.flags = NeighbourFlags::Proxy;
    match socket.get(RouteNetlinkMessage::GetNeighbour(message), |_| Ok(())) {
        Ok(()) => Ok(true),
        Err(refused) if refused.errno == Errno::ENOENT => Ok(false),
        Err(refused) => Err(refused),
    }
}

fn decode(payload: &[u8], dst: IpAddr) -> Result<Neigh, DecodeError> {
    let message = NeighbourMessage::parse(payload)?;
    let lladdr = message.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::LinkLayerAddress(bytes) => Some(LlAddr::new(bytes)),
        _ => None,
    });
    let state = match message.header.state {
        NeighbourState::Incomplete => NeighState::Incomplete,
        NeighbourState::Reachable => NeighState::Reachable,
        NeighbourState::Stale => NeighState::Stale,
        NeighbourState::Delay => NeighState::Delay,
        NeighbourState::Probe => NeighState::Probe,
        NeighbourState::Failed => NeighState::Failed,
        NeighbourState::Noarp => NeighState::Noarp,
        NeighbourState::Permanent => NeighState::Permanent,
        _ => NeighState::None,
    };
    Ok(Neigh { dst, lladdr, state })
}
