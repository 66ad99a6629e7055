//! The IPv4 look-up of a packet that a namespace sends, as the kernel makes it: rules, tables, the longest prefix, the
//! next hop, the source.

use std::net::{IpAddr, Ipv4Addr};

use super::fib::{Hop, hops};
use super::rules::{Key, LO, Says, Unsure, ask};
use super::space::Space;
use super::{Answer, Picked};
use crate::model::{IfIndex, LinkAddr, RecordedRoute, RecordedRule, RouteType, TableId};

/// The scope of addresses that are valid on their link only, and here only.
const LINK: u8 = 253;
const HOST: u8 = 254;
const SECONDARY: u32 = 1;

/// A route that takes the packet, and the next hop of it that may be used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit<'a> {
    pub(super) route: &'a RecordedRoute,
    pub(super) hop: Hop,
    /// The table that was asked: of two that are one it is main.
    pub(super) table: TableId,
}

impl Hit<'_> {
    /// The route as the kernel tells of it.
    pub(super) fn told(&self) -> Box<RecordedRoute> {
        Box::new(RecordedRoute { table: self.table, ..self.route.clone() })
    }
}

/// Looks in one table: the longest prefix that has a usable route, wherever that is.
fn look<'a>(space: &'a Space, asked: TableId, key: &Key, ignore_linkstate: bool) -> Says<Hit<'a>> {
    /// What of the traffic class is held against that of a route.
    const TOS: u8 = 0x1c;
    let Some(table) = space.fib().table(asked, false) else { return Says::Nothing };
    let routes = space.routes();
    for group in table.matching(key.dst) {
        for route in group.iter().map(|at| &routes[*at]) {
            if route.tos != 0 && route.tos != key.tos & TOS {
                continue;
            }
            match route.kind {
                RouteType::Blackhole | RouteType::Other => return Says::Refused("EINVAL"),
                RouteType::Unreachable => return Says::Refused("EHOSTUNREACH"),
                RouteType::Prohibit => return Says::Refused("EACCES"),
                RouteType::Throw => return Says::Nothing,
                _ => {}
            }
            if route.scope < key.scope {
                continue;
            }
            if route.nexthops.len() > 1 && route.flags & RecordedRoute::DEAD != 0 {
                continue;
            }
            let usable = |hop: &Hop| !hop.is_dead(ignore_linkstate) && key.oif.is_none_or(|oif| hop.oif == Some(oif));
            if let Some(hop) = hops(route).into_iter().find(usable) {
                return Says::Hit(Hit { route, hop, table: asked });
            }
        }
    }
    Says::Nothing
}

/// Asks the rules. What nothing answers is unreachable.
pub(super) fn lookup<'a>(
    space: &'a Space,
    key: &Key,
    ignore_linkstate: bool,
) -> Result<Result<Hit<'a>, &'static str>, Unsure> {
    let facts = space.facts().ok_or("nothing was read inside")?;
    facts.routes.as_ref().ok_or("its routes were not read")?;
    let rules = facts.rules.as_deref().ok_or("its rules were not read")?;
    let suppressed = |rule: &RecordedRule, hit: &Hit<'_>| {
        let short = rule.suppress_prefixlength.is_some_and(|most| u32::from(hit.route.dst.prefix_len()) <= most);
        let first = hops(hit.route).first().and_then(|hop| hop.oif);
        short || super::is_of_group(space, rule.suppress_ifgroup, first)
    };
    let said = match space.is_split() {
        true => ask(space, rules, key, |table| look(space, table, key, ignore_linkstate), suppressed)?,
        // One table that has both names, and then the one called default.
        false => match look(space, TableId::MAIN, key, ignore_linkstate) {
            Says::Nothing => look(space, TableId(253), key, ignore_linkstate),
            said => said,
        },
    };
    Ok(match said {
        Says::Hit(hit) => Ok(hit),
        Says::Refused(errno) => Err(errno),
        Says::Nothing => Err("ENETUNREACH"),
    })
}

/// The way of a packet that a process sends, perhaps bound to a link.
pub(super) fn output(space: &Space, key: Key) -> Result<Answer, Unsure> {
    let IpAddr::V4(dst) = key.dst else { return Err("not an IPv4 packet".into()) };
    let mut src = match key.src {
        Some(IpAddr::V4(src)) if !src.is_unspecified() => Some(src),
        _ => None,
    };
    let asked = src;
    if let Some(src) = src {
        if src.is_multicast() || src.is_broadcast() || src.octets()[0] == 0 {
            return Ok(Answer::Refused("EINVAL"));
        }
        if !is_own(space, src)? {
            return Ok(Answer::Refused("ENETUNREACH"));
        }
    }
    if let Some(oif) = key.oif {
        let Some(dev) = space.link(oif) else { return Err(format!("link {oif} is not there")) };
        if !dev.up {
            return Ok(Answer::Refused("ENETUNREACH"));
        }
        let local_group = dst.octets()[..3] == [224, 0, 0];
        if local_group || dst.is_broadcast() {
            src = src.or_else(|| select(space, oif, None, LINK));
            return Ok(make(space, None, Hop::by(oif), asked, src, dst));
        }
        if dst.is_multicast() {
            src = src.or_else(|| select(space, oif, None, 0));
        }
    } else if src.is_some() && (dst.is_multicast() || dst.is_broadcast()) {
        return Err("packets to a group or to everybody leave by the link of their source".into());
    }
    let key = Key { src: src.map(IpAddr::V4), ..key }.in_its_domain(space);
    let hit = match lookup(space, &key, false)? {
        Ok(hit) => hit,
        // Somebody who binds to a link is taken to know who is on it.
        Err(errno) => match key.oif.filter(|_| dst.is_multicast() || key.l3mdev.is_none()) {
            Some(oif) => {
                src = src.or_else(|| select(space, oif, None, LINK));
                return Ok(make(space, None, Hop::by(oif), asked, src, dst));
            }
            None => return Ok(Answer::Refused(errno)),
        },
    };
    if hit.route.kind == RouteType::Local {
        let prefsrc = hit.route.prefsrc.and_then(v4);
        let src = src.or(Some(prefsrc.unwrap_or(dst)));
        return Ok(make(space, Some(&hit), hit.hop, asked, src, dst));
    }
    let ways = if key.oif.is_some() { vec![hit.hop] } else { ways(space, &hit, src)? };
    let mut answers = ways.into_iter().map(|hop| {
        let src = src.or_else(|| preferred(space, hit.route, hop));
        make(space, Some(&hit), hop, asked, src, dst)
    });
    let first = answers.next().ok_or("the route has no next hop")?;
    Ok(first.or_one_of(answers))
}

impl Hop {
    fn by(oif: IfIndex) -> Hop {
        Hop::new(None, Some(oif))
    }
}

/// Next hops of which the kernel takes one, by a hash of the packet that it keeps secret.
pub(super) fn ways(space: &Space, hit: &Hit<'_>, src: Option<Ipv4Addr>) -> Result<Vec<Hop>, Unsure> {
    if hit.route.nexthops.len() < 2 {
        equal_defaults(space, hit)?;
        return Ok(vec![hit.hop]);
    }
    let alive: Vec<Hop> = hops(hit.route).into_iter().filter(|hop| !hop.is_dead(false)).collect();
    // A next hop whose own source the packet has is preferred since 6.16.
    let own = |hop: &Hop| src.is_some() && hop.oif.is_some() && src == towards(space, hit.route, *hop);
    match alive.iter().copied().filter(own).collect::<Vec<_>>() {
        own if !own.is_empty() && space.since(6, 16) => Ok(own),
        _ if alive.is_empty() => Ok(vec![hit.hop]),
        _ => Ok(alive),
    }
}

/// Of several default routes of the same metric the kernel takes one whose router answers, or turns to the next.
fn equal_defaults(space: &Space, hit: &Hit<'_>) -> Result<(), Unsure> {
    if hit.route.dst.prefix_len() != 0 || hit.route.kind != RouteType::Unicast {
        return Ok(());
    }
    let same = |r: &&RecordedRoute| {
        r.dst == hit.route.dst && (r.table, r.metric, r.tos) == (hit.route.table, hit.route.metric, hit.route.tos)
    };
    match space.routes().iter().filter(same).count() {
        0 | 1 => Ok(()),
        n => Err(format!("which of {n} equal default routes is used depends on whose router answers")),
    }
}

/// What the kernel makes of a route and a next hop.
fn make(
    space: &Space,
    hit: Option<&Hit<'_>>,
    hop: Hop,
    asked: Option<Ipv4Addr>,
    src: Option<Ipv4Addr>,
    dst: Ipv4Addr,
) -> Answer {
    let mut kind = hit.map_or(RouteType::Unicast, |hit| hit.route.kind);
    // What the namespace sends to itself goes over the loopback device, or that of its VRF.
    let out = if kind == RouteType::Local { LO } else { hop.oif.unwrap_or(LO) };
    let loopback = space.link(out).is_none_or(|l| l.is_loopback() || l.kind == "vrf");
    if src.is_some_and(|src| src.is_loopback()) && !loopback && !space.either(out, "route_localnet") {
        return Answer::Refused("EINVAL");
    }
    if dst.is_broadcast() {
        kind = RouteType::Broadcast;
    } else if dst.is_multicast() {
        kind = RouteType::Multicast;
    } else if dst.octets()[0] == 0 {
        return Answer::Refused("EINVAL");
    }
    let to_all = matches!(kind, RouteType::Broadcast | RouteType::Multicast);
    let used = hit.is_some_and(|hit| !to_all && kind != RouteType::Local && uses_gateway(space, hit.route, hop));
    let gateway = hop.gateway.filter(|_| used);
    let prefsrc = src.filter(|src| Some(*src) != asked).map(IpAddr::V4);
    let oif = if kind == RouteType::Local { hop.oif } else { Some(out) };
    Answer::route(Picked { route: hit.map(Hit::told), kind, dst: dst.into(), gateway, oif, prefsrc, or: Vec::new() })
}

/// A gateway counts only where it was on the link when the route was set; one that is the namespace's own does not.
pub(super) fn uses_gateway(space: &Space, route: &RecordedRoute, hop: Hop) -> bool {
    let Some(gateway) = hop.gateway.filter(|gateway| gateway.is_ipv4() && !hop.is_onlink()) else { return true };
    let key = Key { oif: hop.oif, scope: route.scope.saturating_add(1), ..Key::to(gateway) };
    let found = match look(space, route.table, &key, true) {
        Says::Hit(hit) => Some(hit),
        _ => lookup(space, &key, true).ok().and_then(Result::ok),
    };
    found.is_none_or(|hit| hit.route.kind != RouteType::Local && hit.route.scope == LINK)
}

fn v4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

/// The namespace may send from the address: it has it, or the local table says it is here.
pub(super) fn is_own(space: &Space, ip: Ipv4Addr) -> Result<bool, Unsure> {
    if space.holds(ip.into()) {
        return Ok(true);
    }
    space.facts().and_then(|f| f.routes.as_ref()).ok_or("its routes were not read")?;
    let key = Key::to(ip.into());
    Ok(matches!(look(space, TableId::LOCAL, &key, false), Says::Hit(hit) if hit.route.kind == RouteType::Local))
}

/// The source that a packet by this route gets where it has none.
fn preferred(space: &Space, route: &RecordedRoute, hop: Hop) -> Option<Ipv4Addr> {
    match route.prefsrc {
        Some(IpAddr::V4(src)) => Some(src),
        _ => towards(space, route, hop),
    }
}

/// The source towards a next hop.
fn towards(space: &Space, route: &RecordedRoute, hop: Hop) -> Option<Ipv4Addr> {
    let gateway = match hop.gateway {
        Some(IpAddr::V4(gateway)) => Some(gateway),
        // The kernel takes the first bytes of an IPv6 gateway for an IPv4 one.
        Some(IpAddr::V6(gateway)) => Some(Ipv4Addr::from(u32::from_be_bytes(*gateway.octets().first_chunk()?))),
        None => None,
    };
    select(space, hop.oif?, gateway.filter(|g| !g.is_unspecified()), route.scope)
}

/// The first address of a link in the subnet of `to`, else its first, else the first that is valid outside of the
/// namespace of any link (`inet_select_addr`).
fn select(space: &Space, index: IfIndex, to: Option<Ipv4Addr>, scope: u8) -> Option<Ipv4Addr> {
    let here = if space.either(index, "route_localnet") { LINK } else { HOST };
    let primary = |a: &&LinkAddr| a.local.is_ipv4() && a.flags & SECONDARY == 0;
    let link = space.link(index)?;
    let valid = || link.addrs.iter().filter(primary).filter(|a| a.scope.min(here) <= scope);
    let near = to.and_then(|to| valid().find(|a| is_beside(a, to))).or_else(|| valid().next());
    if let Some(addr) = near {
        return v4(addr.local);
    }
    let master = |l: &crate::model::Link| l.master.filter(|_| l.port_kind.as_deref() == Some("vrf"));
    let domain = if link.kind == "vrf" { Some(index) } else { master(link) };
    let of = |l: &crate::model::Link| {
        let mut wide = l.addrs.iter().filter(primary).filter(|a| a.scope != LINK && a.scope <= scope);
        wide.next().and_then(|a| v4(a.local))
    };
    if let Some(addr) = domain.and_then(|vrf| space.link(vrf)).and_then(of) {
        return Some(addr);
    }
    // The loopback device is the first of them.
    space.links().filter(|l| if l.kind == "vrf" { Some(l.ifindex) == domain } else { master(l) == domain }).find_map(of)
}

/// The address is in the subnet of the other side.
fn is_beside(addr: &LinkAddr, to: Ipv4Addr) -> bool {
    let (Some(own), bits) = (v4(addr.peer.unwrap_or(addr.local)), u32::from(addr.prefix_len.min(32))) else {
        return false;
    };
    bits == 0 || (u32::from(own) ^ u32::from(to)) >> (32 - bits) == 0
}
