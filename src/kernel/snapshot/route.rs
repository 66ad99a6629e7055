//! Routes of all tables with everything that decides a look-up, read in place.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::{DecodeError, NlaBuffer, NlasIterator};
use netlink_packet_route::route::{RouteLwEnCapType, RouteMessage, RouteProtocol};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::kernel::socket::{Dump, Refused, Socket};
use crate::model::{
    IfIndex, RecordedFacts, RecordedNexthop, RecordedRoute, RecordedRule, RouteType, RuleAction, TableId,
};

/// Length of `struct rtmsg`.
const HEADER: usize = 12;
/// Length of `struct rtnexthop`.
const NEXTHOP: usize = 8;

// rtnetlink.h
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_PREF: u16 = 20;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_NH_ID: u16 = 30;
const RTAX_MTU: u16 = 2;

/// Routes of all tables of both families, each table in the kernel's order.
pub(super) fn dump(socket: &mut Socket) -> Result<Dump<RecordedRoute>, Refused> {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Unspec;
    socket.dump(RouteNetlinkMessage::GetRoute(message), decode)
}

/// A route from the payload of an RTM_NEWROUTE; none: it is of another family, or only a cached one.
fn decode(payload: &[u8]) -> Result<Option<RecordedRoute>, DecodeError> {
    const RTM_F_CLONED: u32 = 0x200;
    let Some(([family, bits, src_bits, tos, table, protocol, scope, kind, flags @ ..], attributes)) =
        payload.split_first_chunk::<HEADER>()
    else {
        return Err(DecodeError::buffer_too_small(payload.len(), HEADER));
    };
    let flags = u32::from_ne_bytes(*flags);
    let any: IpAddr = match *family {
        2 => Ipv4Addr::UNSPECIFIED.into(),
        10 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return Ok(None),
    };
    if flags & RTM_F_CLONED != 0 {
        return Ok(None);
    }
    let mut route = RecordedRoute {
        dst: IpNet::from(any),
        src: None,
        kind: route_type(*kind),
        table: TableId(u32::from(*table)),
        tos: *tos,
        metric: 0,
        scope: *scope,
        protocol: RouteProtocol::from(*protocol).to_string(),
        gateway: None,
        oif: None,
        prefsrc: None,
        mtu: None,
        flags,
        pref: 0,
        nexthops: Vec::new(),
        nhid: None,
        encap: None,
    };
    let (mut dst, mut src) = (any, any);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            RTA_DST => dst = ip(value).unwrap_or(any),
            RTA_SRC => src = ip(value).unwrap_or(any),
            kind => add(&mut route, kind, value)?,
        }
    }
    route.dst = prefix(dst, *bits)?;
    route.src = if *src_bits > 0 { Some(prefix(src, *src_bits)?) } else { None };
    Ok(Some(route))
}

/// An attribute that means the same whatever the header says.
fn add(route: &mut RecordedRoute, kind: u16, value: &[u8]) -> Result<(), DecodeError> {
    match kind {
        RTA_OIF => route.oif = number(value).map(IfIndex),
        RTA_GATEWAY => route.gateway = ip(value),
        RTA_VIA => route.gateway = via(value),
        RTA_PRIORITY => route.metric = number(value).unwrap_or(0),
        RTA_PREFSRC => route.prefsrc = ip(value),
        RTA_METRICS => route.mtu = mtu(value),
        RTA_MULTIPATH => route.nexthops = nexthops(value)?,
        RTA_TABLE => route.table = TableId(number(value).unwrap_or(0)),
        RTA_PREF => route.pref = value.first().copied().unwrap_or(0),
        RTA_ENCAP_TYPE => {
            let kind = value.first_chunk().map(|b| RouteLwEnCapType::from(u16::from_ne_bytes(*b)));
            let kind = kind.filter(|kind| *kind != RouteLwEnCapType::None);
            route.encap = kind.map(|kind| format!("{kind:?}").to_lowercase());
        }
        RTA_NH_ID => route.nhid = number(value),
        _ => {}
    }
    Ok(())
}

fn prefix(ip: IpAddr, bits: u8) -> Result<IpNet, DecodeError> {
    IpNet::new(ip, bits).map_err(|_| DecodeError::from(format!("prefix length {bits}")))
}

fn nexthops(mut rest: &[u8]) -> Result<Vec<RecordedNexthop>, DecodeError> {
    let mut nexthops = Vec::new();
    while let Some(([low, high, flags, hops, index @ ..], _)) = rest.split_first_chunk::<NEXTHOP>() {
        let length = usize::from(u16::from_ne_bytes([*low, *high]));
        let Some(attributes) = rest.get(NEXTHOP..length) else {
            return Err(DecodeError::from(format!("next hop of {length} bytes")));
        };
        let find = |wanted: u16| NlasIterator::new(attributes).flatten().find(|a: &NlaBuffer<_>| a.kind() == wanted);
        nexthops.push(RecordedNexthop {
            gateway: find(RTA_GATEWAY)
                .and_then(|a| ip(a.value()))
                .or_else(|| find(RTA_VIA).and_then(|a| via(a.value()))),
            oif: IfIndex(u32::from_ne_bytes(*index)),
            weight: u16::from(*hops) + 1,
            flags: u32::from(*flags),
        });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(nexthops)
}

fn mtu(metrics: &[u8]) -> Option<u32> {
    NlasIterator::new(metrics).flatten().find(|a| a.kind() == RTAX_MTU).and_then(|a| number(a.value()))
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

/// The address family stands before the address.
fn via(value: &[u8]) -> Option<IpAddr> {
    value.get(2..).and_then(ip)
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => value.first_chunk::<4>().map(|b| IpAddr::from(*b)),
        16 => value.first_chunk::<16>().map(|b| IpAddr::from(*b)),
        _ => None,
    }
}

/// `RTN_*`.
fn route_type(kind: u8) -> RouteType {
    match kind {
        1 => RouteType::Unicast,
        2 => RouteType::Local,
        3 => RouteType::Broadcast,
        4 => RouteType::Anycast,
        5 => RouteType::Multicast,
        6 => RouteType::Blackhole,
        7 => RouteType::Unreachable,
        8 => RouteType::Prohibit,
        9 => RouteType::Throw,
        _ => RouteType::Other,
    }
}

/// Whether the kernel has split local and main, which are one table until the first rule is touched. Only asked where
/// it would matter: the rules are as the kernel made them, and a route of main is inside one of local.
pub(super) fn is_split(facts: &RecordedFacts) -> io::Result<bool> {
    let (Some(routes), Some(rules)) = (&facts.routes, &facts.rules) else { return Ok(false) };
    if !has_first_rules(rules) {
        return Ok(true);
    }
    let of = |table: TableId| routes.iter().filter(move |r| r.table == table && r.dst.addr().is_ipv4());
    let matters = of(TableId::LOCAL)
        .filter(|l| l.dst.prefix_len() < 32)
        .any(|l| of(TableId::MAIN).any(|m| m.dst.prefix_len() >= l.dst.prefix_len() && l.dst.contains(&m.dst.addr())));
    if !matters {
        return Ok(false);
    }
    // One table is shown twice where it has both names.
    let trie = fs::read_to_string("/proc/thread-self/net/fib_trie")?;
    let after = |name: &str| trie.split_once(name).map(|(_, rest)| section(rest));
    Ok(after("Main:\n").is_some_and(|main| after("Local:\n") != Some(main)))
}

/// The lines until the next table begins.
fn section(text: &str) -> &str {
    let end = text.match_indices('\n').find(|(at, _)| text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic()));
    end.map_or(text, |(at, _)| &text[..=at])
}

/// The three IPv4 rules that every namespace starts with, and no other.
fn has_first_rules(rules: &[RecordedRule]) -> bool {
    let first = [(0, TableId::LOCAL), (32766, TableId::MAIN), (32767, TableId(253))];
    let plain = |(priority, table)| RecordedRule { priority, table, ..RecordedRule::default() };
    rules.len() == first.len()
        && rules.iter().zip(first).all(|(rule, first)| {
            rule.action == RuleAction::Lookup && RecordedRule { uids: None, ..rule.clone() } == plain(first)
        })
}
