//! Neighbours, proxies and forwarding entries of a whole namespace. Each dump walks the table of the whole machine, so
//! only a recording does this.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::kernel::socket::{Dump, Refused, Socket};
use crate::model::{IfIndex, LlAddr, NeighState, RecordedFdb, RecordedNeigh};

/// Length of `struct ndmsg`.
const HEADER: usize = 12;

// neighbour.h
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDA_VLAN: u16 = 5;
const NDA_PORT: u16 = 6;
const NDA_VNI: u16 = 7;
const NDA_IFINDEX: u16 = 8;
const NDA_MASTER: u16 = 9;
const NDA_NH_ID: u16 = 13;
const NTF_SELF: u8 = 2;
const NTF_PROXY: u8 = 8;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;
const NUD_STALE: u16 = 0x4;

/// Neighbour entries of both families.
pub(super) fn dump(socket: &mut Socket) -> Result<Dump<RecordedNeigh>, Refused> {
    socket.dump(request(AddressFamily::Unspec, NeighbourFlags::empty()), |payload| neigh(payload, false))
}

/// Addresses that are answered for on behalf of others.
pub(super) fn dump_proxies(socket: &mut Socket) -> Result<Dump<RecordedNeigh>, Refused> {
    socket.dump(request(AddressFamily::Unspec, NeighbourFlags::Proxy), |payload| neigh(payload, true))
}

/// Forwarding entries of all bridges and tunnels, and the addresses that links take frames for.
pub(super) fn dump_fdb(socket: &mut Socket) -> Result<Dump<RecordedFdb>, Refused> {
    socket.dump(request(AddressFamily::Bridge, NeighbourFlags::empty()), fdb)
}

fn request(family: AddressFamily, flags: NeighbourFlags) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.flags = flags;
    RouteNetlinkMessage::GetNeighbour(message)
}

struct Parts<'a> {
    ifindex: IfIndex,
    state: u16,
    flags: u8,
    attributes: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let Some(([_, _, _, _, a, b, c, d, e, f, flags, _], attributes)) = payload.split_first_chunk::<HEADER>() else {
            return Err(DecodeError::buffer_too_small(payload.len(), HEADER));
        };
        let ifindex = IfIndex(u32::from_ne_bytes([*a, *b, *c, *d]));
        Ok(Parts { ifindex, state: u16::from_ne_bytes([*e, *f]), flags: *flags, attributes })
    }

    fn find<T>(&self, wanted: u16, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        NlasIterator::new(self.attributes).flatten().find(|a| a.kind() == wanted).and_then(|a| read(a.value()))
    }

    fn index(&self, wanted: u16) -> Option<IfIndex> {
        self.find(wanted, number).map(IfIndex)
    }

    fn lladdr(&self) -> Option<LlAddr> {
        self.find(NDA_LLADDR, |value| Some(LlAddr::new(value)))
    }
}

/// Without strict checking old kernels send the entries for a question about proxies, and the other way round.
fn neigh(payload: &[u8], proxies: bool) -> Result<Option<RecordedNeigh>, DecodeError> {
    let parts = Parts::of(payload)?;
    let Some(dst) = parts.find(NDA_DST, ip) else { return Ok(None) };
    if (parts.flags & NTF_PROXY != 0) != proxies {
        return Ok(None);
    }
    let state = match parts.state {
        0x01 => NeighState::Incomplete,
        0x02 => NeighState::Reachable,
        0x04 => NeighState::Stale,
        0x08 => NeighState::Delay,
        0x10 => NeighState::Probe,
        0x20 => NeighState::Failed,
        NUD_NOARP => NeighState::Noarp,
        NUD_PERMANENT => NeighState::Permanent,
        _ => NeighState::None,
    };
    Ok(Some(RecordedNeigh { ifindex: parts.ifindex, dst, lladdr: parts.lladdr(), state }))
}

fn fdb(payload: &[u8]) -> Result<Option<RecordedFdb>, DecodeError> {
    let parts = Parts::of(payload)?;
    let Some(mac) = parts.lladdr() else { return Ok(None) };
    let state = match parts.state {
        NUD_PERMANENT => "permanent",
        NUD_NOARP => "static",
        NUD_STALE => "stale",
        _ => "",
    };
    let short = |value: &[u8]| value.first_chunk::<2>().copied();
    Ok(Some(RecordedFdb {
        ifindex: parts.ifindex,
        mac,
        vlan: parts.find(NDA_VLAN, short).map(u16::from_ne_bytes).filter(|id| *id != 0),
        state: state.to_owned(),
        own: parts.flags & NTF_SELF != 0,
        master: parts.index(NDA_MASTER),
        dst: parts.find(NDA_DST, ip),
        port: parts.find(NDA_PORT, short).map(u16::from_be_bytes),
        vni: parts.find(NDA_VNI, number),
        nhid: parts.find(NDA_NH_ID, number),
        via: parts.index(NDA_IFINDEX),
    }))
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => value.first_chunk::<4>().map(|b| IpAddr::from(*b)),
        16 => value.first_chunk::<16>().map(|b| IpAddr::from(*b)),
        _ => None,
    }
}
