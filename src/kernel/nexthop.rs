//! Nexthop objects: RTM_GETNEXTHOP by id. Only their members and weights; which one is taken the look-up itself says.

use netlink_packet_core::DecodeError;

use super::nla::{self, ip_of, u32_of};
use super::socket::{Refused, Request, Socket};
use crate::model::{IfIndex, Nexthop};

/// Next hops of an object: those of a group in its order, or the one that it is.
pub fn of(socket: &mut Socket, id: u32) -> Result<Vec<Nexthop>, Refused> {
    let object = get(socket, id)?;
    if object.group.is_empty() {
        return Ok(object.hop(1).into_iter().collect());
    }
    let mut hops = Vec::new();
    for (member, weight) in object.group {
        hops.extend(get(socket, member)?.hop(weight));
    }
    Ok(hops)
}

#[derive(Debug, Default)]
struct Object {
    gateway: Option<std::net::IpAddr>,
    oif: Option<IfIndex>,
    /// Id and weight of each member.
    group: Vec<(u32, u16)>,
}

impl Object {
    fn hop(&self, weight: u16) -> Option<Nexthop> {
        Some(Nexthop { gateway: self.gateway, oif: self.oif?, weight })
    }
}

fn get(socket: &mut Socket, id: u32) -> Result<Object, Refused> {
    const RTM_GETNEXTHOP: u16 = 106;
    const NHA_ID: u16 = 1;
    // struct nhmsg: all zero asks for any
    let message = [vec![0; HEADER], nla::attribute(NHA_ID, &id.to_ne_bytes())].concat();
    socket.get(Request::raw(RTM_GETNEXTHOP, message), decode)
}

/// Length of `struct nhmsg`.
const HEADER: usize = 8;

fn decode(payload: &[u8]) -> Result<Object, DecodeError> {
    const NHA_GROUP: u16 = 2;
    const NHA_OIF: u16 = 5;
    const NHA_GATEWAY: u16 = 6;
    let Some(attributes) = payload.get(HEADER..) else {
        return Err(DecodeError::buffer_too_small(payload.len(), HEADER));
    };
    // struct nexthop_grp: id, weight less one, from Linux 6.12 on the upper byte of the weight, nothing
    let member =
        |entry: &[u8]| Some((u32_of(entry)?, u16::from_le_bytes([*entry.get(4)?, *entry.get(5)?]).saturating_add(1)));
    let group = nla::find(attributes, NHA_GROUP).map(|group| group.chunks(8).filter_map(member).collect());
    Ok(Object {
        gateway: nla::find(attributes, NHA_GATEWAY).and_then(ip_of),
        oif: nla::find(attributes, NHA_OIF).and_then(u32_of).map(IfIndex),
        group: group.unwrap_or_default(),
    })
}
