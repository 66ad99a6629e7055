//! The IPv6 source that the kernel picks for a packet that has none: RFC 6724, rule by rule in its order.

use std::net::{IpAddr, Ipv6Addr};

use super::space::Space;
use crate::model::{IfIndex, Link, LinkAddr};

const TEMPORARY: u32 = 0x01;
const OPTIMISTIC: u32 = 0x04;
const DEPRECATED: u32 = 0x20;

/// The table of RFC 6724, as the kernel has it: prefix, length, label; the longest first.
const LABELS: [(u128, u32, u8); 10] = [
    (1, 128, 0),
    (0xffff << 32, 96, 4),
    (0, 96, 3),
    (0x2001 << 112, 32, 6),
    ((0x2001 << 112) | (0x10 << 96), 28, 7),
    (0x2002 << 112, 16, 2),
    (0x3ffe << 112, 16, 12),
    (0xfec0 << 112, 10, 11),
    (0xfc00 << 112, 7, 5),
    (0, 0, 1),
];

fn label(ip: Ipv6Addr) -> u8 {
    let ip = u128::from(ip);
    let fits = |(prefix, length, _): &&(u128, u32, u8)| *length == 0 || (ip ^ prefix) >> (128 - length) == 0;
    LABELS.iter().find(fits).map_or(1, |(_, _, label)| *label)
}

/// How far an address is valid: 2 on the link, 5 in the site, 14 anywhere.
fn scope(ip: Ipv6Addr) -> u8 {
    match ip.segments()[0] {
        first if first & 0xff00 == 0xff00 => (first & 0xf) as u8,
        first if first & 0xffc0 == 0xfe80 => 2,
        first if first & 0xffc0 == 0xfec0 => 5,
        _ if ip.is_loopback() => 2,
        _ => 14,
    }
}

/// One address that could be the source.
struct Candidate<'a> {
    addr: &'a LinkAddr,
    ip: Ipv6Addr,
    link: &'a Link,
}

/// The source of a packet to `dst` by this link.
pub(super) fn select(space: &Space, by: Option<IfIndex>, dst: Ipv6Addr) -> Option<Ipv6Addr> {
    let out = by.and_then(|index| space.link(index));
    let reach = scope(dst);
    let own_only = |link: &Link| {
        let asked = space.conf(link.ifindex, true, "use_oif_addrs_only").is_some_and(|v| v != 0);
        dst.is_multicast() || reach <= 2 || asked
    };
    let master = |l: &Link| l.master.filter(|_| l.port_kind.as_deref() == Some("vrf"));
    let domain = |l: &Link| if l.kind == "vrf" { Some(l.ifindex) } else { master(l) };
    let links: Vec<&Link> = match out {
        Some(link) if own_only(link) => vec![link],
        _ => {
            let mine = out.and_then(domain);
            space.links().filter(|l| domain(l) == mine).collect()
        }
    };
    let mut best: Option<(Rank, Ipv6Addr)> = None;
    for candidate in links.into_iter().flat_map(candidates) {
        let rank = rank(space, &candidate, by, dst, reach);
        // Of equals it is the first.
        if best.as_ref().is_none_or(|(top, _)| rank > *top) {
            best = Some((rank, candidate.ip));
        }
    }
    best.map(|(_, ip)| ip)
}

fn candidates(link: &Link) -> impl Iterator<Item = Candidate<'_>> {
    link.addrs.iter().filter_map(move |addr| {
        let IpAddr::V6(ip) = addr.local else { return None };
        (addr.is_usable() && !ip.is_unspecified() && !ip.is_multicast()).then_some(Candidate { addr, ip, link })
    })
}

/// The rules in their order; the greatest wins.
type Rank = (bool, i16, bool, bool, bool, bool, bool, u32, bool);

fn rank(space: &Space, candidate: &Candidate<'_>, by: Option<IfIndex>, dst: Ipv6Addr, reach: u8) -> Rank {
    let Candidate { addr, ip, link } = candidate;
    let own = i16::from(scope(*ip));
    // The nearest of those that reach far enough, else the farthest of the others.
    let near = if own >= i16::from(reach) { -own } else { own - 128 };
    let mapped = ip.to_ipv4_mapped().is_some() || u128::from(*ip) >> 32 == 0 || ip.is_loopback();
    let preferred = mapped || addr.flags & (DEPRECATED | OPTIMISTIC) == 0;
    let right_link = by.is_none_or(|by| by == link.ifindex);
    let wants_temporary = space.conf(link.ifindex, true, "use_tempaddr").unwrap_or(0) >= 2;
    let orchid = |ip: Ipv6Addr| u128::from(ip) >> 100 == 0x200_1001;
    let common = (u128::from(*ip) ^ u128::from(dst)).leading_zeros().min(u32::from(addr.prefix_len));
    (
        *ip == dst,
        near,
        preferred,
        right_link,
        label(*ip) == label(dst),
        (addr.flags & TEMPORARY != 0) == wants_temporary,
        orchid(*ip) == orchid(dst),
        common,
        addr.flags & OPTIMISTIC == 0,
    )
}
