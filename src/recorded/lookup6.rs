//! The IPv6 look-up, of packets that are sent and of those that arrive: rules, tables, the longest prefix, and among the
//! routes there the one with the best score, as the kernel makes it.

use std::net::{IpAddr, Ipv6Addr};

use super::addr6;
use super::fib::{Hop, hops};
use super::rules::{Key, LO, Says, Unsure, ask};
use super::space::Space;
use super::{Answer, Picked};
use crate::model::{IfIndex, NeighState, RecordedRoute, RecordedRule, RouteType, TableId};

/// A route, and the next hop of it.
#[derive(Debug, Clone, Copy)]
struct Way<'a> {
    route: &'a RecordedRoute,
    hop: Hop,
}

/// What a look-up insists on.
#[derive(Debug, Clone, Copy)]
struct Wants {
    /// Link to leave or to have come by; a route by another one is second best.
    link: Option<IfIndex>,
    /// A route by another one is none at all.
    strict: bool,
    /// Routers that do not answer do not count.
    reachable: bool,
}

/// What the kernel says of a way, higher is better; none: it does not count.
fn score(space: &Space, way: &Way<'_>, wants: Wants) -> Option<u8> {
    let dev = way.hop.oif.unwrap_or(LO);
    let right = wants.link.is_none_or(|link| link == dev);
    if !right && wants.strict {
        return None;
    }
    // Medium, high and low, as routers say it of themselves.
    let preference = match way.route.pref {
        1 => 2,
        3 => 0,
        _ => 1,
    };
    if wants.reachable
        && let Some(gateway) = way.hop.gateway
    {
        let neighbours = space.facts().and_then(|f| f.neighbours.as_deref()).unwrap_or_default();
        let known = neighbours.iter().find(|n| n.ifindex == dev && n.dst == gateway);
        if known.is_some_and(|n| n.state == NeighState::Failed) {
            return None;
        }
    }
    Some(u8::from(right) * 2 + preference * 4)
}

/// The best of the ways to one prefix: of the lowest metric that has any, or else of all the others together.
fn best<'a>(space: &Space, ways: &[Way<'a>], wants: Wants) -> Option<Way<'a>> {
    let first = ways.first()?.route.metric;
    let top = |ways: &mut dyn Iterator<Item = &Way<'a>>| {
        let mut top: Option<(u8, Way<'a>)> = None;
        for way in ways.filter(|way| !way.hop.is_dead(false)) {
            if let Some(score) = score(space, way, wants)
                && top.is_none_or(|(most, _)| score > most)
            {
                top = Some((score, *way));
            }
        }
        top.map(|(_, way)| way)
    };
    top(&mut ways.iter().filter(|w| w.route.metric == first))
        .or_else(|| top(&mut ways.iter().filter(|w| w.route.metric != first)))
}

/// Ways to the prefixes that have the destination in them, the longest first; of those for a source only the longest
/// that fits, for they come before the others.
fn prefixes<'a>(space: &'a Space, table: TableId, key: &Key) -> Vec<Vec<Way<'a>>> {
    let Some(table) = space.fib().table(table, true) else { return Vec::new() };
    let routes = space.routes();
    let mut all = Vec::new();
    for group in table.matching(key.dst) {
        let of = |src: Option<ipnet::IpNet>| -> Vec<Way<'a>> {
            let these = group.iter().map(|at| &routes[*at]).filter(|r| r.src == src);
            these.flat_map(|route| hops(route).into_iter().map(move |hop| Way { route, hop })).collect()
        };
        let mut sources: Vec<ipnet::IpNet> = group.iter().filter_map(|at| routes[*at].src).collect();
        sources.sort_by_key(|net| std::cmp::Reverse(net.prefix_len()));
        sources.dedup();
        let from = key.src.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        all.extend(sources.into_iter().filter(|net| net.contains(&from)).map(|net| of(Some(net))));
        all.push(of(None));
    }
    all.retain(|ways| !ways.is_empty());
    all
}

/// The way that a table has for the packet.
fn look<'a>(space: &'a Space, table: TableId, key: &Key, wants: Wants) -> Option<Way<'a>> {
    let prefixes = prefixes(space, table, key);
    let among = |wants| prefixes.iter().find_map(|ways| best(space, ways, wants));
    // Where no router answers, one that does not is still better than none.
    among(wants).or_else(|| if wants.reachable { among(Wants { reachable: false, ..wants }) } else { None })
}

fn refusal(kind: RouteType) -> Option<Says<Way<'static>>> {
    match kind {
        RouteType::Blackhole | RouteType::Other => Some(Says::Refused("EINVAL")),
        RouteType::Unreachable => Some(Says::Refused("EHOSTUNREACH")),
        RouteType::Prohibit => Some(Says::Refused("EACCES")),
        RouteType::Throw => Some(Says::Nothing),
        _ => None,
    }
}

fn lookup<'a>(space: &'a Space, key: &Key, wants: Wants) -> Result<Result<Way<'a>, &'static str>, Unsure> {
    let facts = space.facts().ok_or("nothing was read inside")?;
    facts.routes.as_ref().ok_or("its routes were not read")?;
    let rules = facts.rules6.as_deref().ok_or("its IPv6 rules were not read")?;
    let key = key.in_its_domain(space);
    let wants = Wants { link: wants.link.filter(|link| key.l3mdev != Some(*link)), ..wants };
    let table = |table| match look(space, table, &key, wants) {
        Some(way) => refusal(way.route.kind).unwrap_or(Says::Hit(way)),
        None => Says::Nothing,
    };
    let suppressed = |rule: &RecordedRule, way: &Way<'_>| {
        let short = rule.suppress_prefixlength.is_some_and(|most| u32::from(way.route.dst.prefix_len()) <= most);
        short || super::is_of_group(space, rule.suppress_ifgroup, way.hop.oif)
    };
    Ok(match ask(space, rules, &key, table, suppressed)? {
        Says::Hit(way) => Ok(way),
        Says::Refused(errno) => Err(errno),
        Says::Nothing => Err("ENETUNREACH"),
    })
}

/// The destination is on a link, or here: other links' routes do not count.
fn is_near(dst: Ipv6Addr) -> bool {
    dst.is_multicast() || dst.is_unicast_link_local() || dst.is_loopback()
}

fn v6(ip: Option<IpAddr>) -> Option<Ipv6Addr> {
    match ip {
        Some(IpAddr::V6(ip)) if !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

/// The way of a packet that a process sends, perhaps bound to a link.
pub(super) fn output(space: &Space, key: Key) -> Result<Answer, Unsure> {
    let IpAddr::V6(dst) = key.dst else { return Err("not an IPv6 packet".into()) };
    let strict = is_near(dst) || (key.oif.is_some() && v6(key.src).is_none());
    let wants = Wants { link: key.oif, strict, reachable: prefers_reachable(space) };
    let answer = decide(space, &Key { iif: LO, ..key }, wants)?;
    Ok(answer.each(|picked| Picked { prefsrc: source(space, &picked, dst), ..picked }))
}

/// The way of a packet that arrives by a link.
pub(super) fn input(space: &Space, key: Key) -> Result<Answer, Unsure> {
    let IpAddr::V6(dst) = key.dst else { return Err("not an IPv6 packet".into()) };
    let wants = Wants { link: Some(key.iif), strict: is_near(dst), reachable: prefers_reachable(space) };
    decide(space, &Key { oif: None, ..key }, wants)
}

/// A host looks for routers that answer; a router does not.
fn prefers_reachable(space: &Space) -> bool {
    space.conf_all(true, "forwarding") == Some(0)
}

fn decide(space: &Space, key: &Key, wants: Wants) -> Result<Answer, Unsure> {
    let way = match lookup(space, key, wants)? {
        Ok(way) => way,
        Err(errno) => return Ok(Answer::Refused(errno)),
    };
    let mut answers = siblings(space, &way, wants).into_iter().map(|hop| picked(space, way.route, hop, key.dst));
    let first = answers.next().ok_or("the route has no next hop")?;
    Ok(first.or_one_of(answers))
}

/// Next hops of which the kernel takes one, by a hash of the packet that it keeps secret: where that one does not count,
/// it stays with the first that it found.
fn siblings(space: &Space, way: &Way<'_>, wants: Wants) -> Vec<Hop> {
    if way.route.nexthops.len() < 2 {
        return vec![way.hop];
    }
    let (mut ways, mut stays) = (Vec::new(), false);
    for hop in hops(way.route).into_iter().filter(|hop| !hop.is_dead(false)) {
        match score(space, &Way { hop, ..*way }, wants) {
            Some(_) => ways.push(hop),
            None => stays = true,
        }
    }
    if stays && !ways.contains(&way.hop) {
        ways.push(way.hop);
    }
    ways
}

fn picked(space: &Space, route: &RecordedRoute, hop: Hop, dst: IpAddr) -> Answer {
    let here = matches!(route.kind, RouteType::Local | RouteType::Anycast);
    let master = |l: &crate::model::Link| l.master.filter(|_| l.port_kind.as_deref() == Some("vrf"));
    let domain = hop.oif.and_then(|oif| space.link(oif)).and_then(master);
    let oif = match route.kind {
        // The entry names the link that has the address.
        RouteType::Local => hop.oif,
        _ if here => Some(domain.unwrap_or(LO)),
        _ => hop.oif,
    };
    let (route_of, kind) = (Some(Box::new(route.clone())), route.kind);
    Answer::route(Picked {
        route: route_of,
        kind,
        dst,
        gateway: hop.gateway,
        oif,
        prefsrc: route.prefsrc,
        or: Vec::new(),
    })
}

/// The source that a packet by this route gets.
fn source(space: &Space, picked: &Picked, dst: Ipv6Addr) -> Option<IpAddr> {
    let route = picked.route.as_ref()?;
    let own = match route.kind {
        RouteType::Local | RouteType::Anycast => route.oif,
        _ => picked.oif,
    };
    route.prefsrc.or_else(|| addr6::select(space, own, dst).map(IpAddr::V6))
}
