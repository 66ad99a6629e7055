//! A bridge's forwarding database: one entry by link-layer address, never the whole of it; and the addresses that a link
//! takes frames for.

use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use rtnetlink::packet_core::{DecodeError, Parseable};

use super::socket::{Dump, Refused, Socket};
use crate::model::{FdbEntry, IfIndex, LlAddr};

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
