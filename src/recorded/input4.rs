//! The IPv4 look-up of a packet that arrives by a link: is it for here, is it forwarded, and is its source one that may
//! come by this link.

use std::net::{IpAddr, Ipv4Addr};

use super::fib::hops;
use super::lookup4::{Hit, lookup, uses_gateway, ways};
use super::rules::{Key, LO, Unsure};
use super::space::Space;
use super::{Answer, Picked};
use crate::model::{IfIndex, Link, RouteType};

/// What the kernel says of a source that may not come by this link; since 6.14 it says the same of all of them.
fn refused(space: &Space, errno: &'static str) -> Answer {
    Answer::Refused(if space.since(6, 14) { "EINVAL" } else { errno })
}

/// The way of a packet that arrives by a link.
pub(super) fn input(space: &Space, key: Key) -> Result<Answer, Unsure> {
    let IpAddr::V4(dst) = key.dst else { return Err("not an IPv4 packet".into()) };
    let src = match key.src {
        Some(IpAddr::V4(src)) => src,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let link = space.link(key.iif).ok_or_else(|| format!("link {} is not there", key.iif))?;
    if dst.is_multicast() {
        return Err("who has joined a group is not recorded".into());
    }
    if src.is_multicast() || src.is_broadcast() {
        return Ok(Answer::Refused("EINVAL"));
    }
    if dst.is_broadcast() || (src.is_unspecified() && dst.is_unspecified()) {
        return broadcast(space, &key, src, link, None);
    }
    let nowhere = |ip: Ipv4Addr| ip.octets()[0] == 0;
    let loopback = dst.is_loopback() || src.is_loopback();
    if nowhere(src) || nowhere(dst) || (loopback && !space.either(link.ifindex, "route_localnet")) {
        return Ok(Answer::Refused("EINVAL"));
    }
    let forwards = space.conf(link.ifindex, false, "forwarding").ok_or("its forwarding sysctls were not read")? != 0;
    let seen = Key { src: Some(src.into()), oif: None, ..key }.in_its_domain(space);
    let hit = match lookup(space, &seen, false)? {
        Ok(hit) => hit,
        Err(errno) => return Ok(Answer::Refused(if forwards { errno } else { "EHOSTUNREACH" })),
    };
    match hit.route.kind {
        RouteType::Broadcast => {
            let both = |name| space.conf(link.ifindex, false, name).unwrap_or(0) != 0;
            if both("bc_forwarding") && space.conf_all(false, "bc_forwarding").unwrap_or(0) != 0 {
                return forward(space, &key, src, link, hit);
            }
            broadcast(space, &key, src, link, Some(hit))
        }
        RouteType::Local => match validate(space, &key, src, link, None)? {
            Some(errno) => Ok(refused(space, errno)),
            None => Ok(taken(&key, Some(hit), RouteType::Local)),
        },
        _ if !forwards => Ok(Answer::Refused("EHOSTUNREACH")),
        RouteType::Unicast => forward(space, &key, src, link, hit),
        _ => Ok(Answer::Refused("EINVAL")),
    }
}

fn broadcast(space: &Space, key: &Key, src: Ipv4Addr, link: &Link, hit: Option<Hit<'_>>) -> Result<Answer, Unsure> {
    if !src.is_unspecified() {
        let everybody = Key { dst: Ipv4Addr::UNSPECIFIED.into(), ..*key };
        if let Some(errno) = validate(space, &everybody, src, link, None)? {
            return Ok(refused(space, errno));
        }
    }
    Ok(taken(key, hit, RouteType::Broadcast))
}

fn taken(key: &Key, hit: Option<Hit<'_>>, kind: RouteType) -> Answer {
    let oif = hit.map_or(Some(LO), |hit| if kind == RouteType::Local { hit.hop.oif } else { Some(LO) });
    let route = hit.map(|hit| hit.told());
    Answer::route(Picked { route, kind, dst: key.dst, gateway: None, oif, prefsrc: None, or: Vec::new() })
}

fn forward(space: &Space, key: &Key, src: Ipv4Addr, link: &Link, hit: Hit<'_>) -> Result<Answer, Unsure> {
    // With several next hops the one that is taken has a say in whether the source is looked at.
    let mut answers = Vec::new();
    for hop in ways(space, &hit, None)? {
        answers.push(match validate(space, key, src, link, hop.oif)? {
            Some(errno) => refused(space, errno),
            None => Answer::route(Picked {
                route: Some(hit.told()),
                kind: hit.route.kind,
                dst: key.dst,
                gateway: hop.gateway.filter(|_| uses_gateway(space, hit.route, hop)),
                oif: hop.oif,
                prefsrc: None,
                or: Vec::new(),
            }),
        });
    }
    let mut answers = answers.into_iter();
    let first = answers.next().ok_or("the route has no next hop")?;
    Ok(first.or_one_of(answers))
}

/// Why the source may not come by this link; none: it may (`fib_validate_source`).
fn validate(
    space: &Space,
    key: &Key,
    src: Ipv4Addr,
    link: &Link,
    oif: Option<IfIndex>,
) -> Result<Option<&'static str>, Unsure> {
    let strict = space.greatest(link.ifindex, "rp_filter");
    let accept_local = space.either(link.ifindex, "accept_local");
    let back_out = oif == Some(link.ifindex) && space.either(link.ifindex, "send_redirects");
    if strict == 0 && !back_out {
        if accept_local {
            return Ok(None);
        }
        if !space.is_split() && !has_local_routes_by_hand(space) {
            return Ok(space.holds(src.into()).then_some("EINVAL"));
        }
    }
    let heeds_mark = space.either(link.ifindex, "src_valid_mark");
    let domain = link.master.filter(|_| link.port_kind.as_deref() == Some("vrf"));
    let back = Key {
        src: Some(key.dst),
        dst: src.into(),
        iif: oif.unwrap_or(LO),
        oif: None,
        l3mdev: domain,
        mark: if heeds_mark { key.mark } else { 0 },
        sport: key.dport,
        dport: key.sport,
        ..*key
    };
    let last_resort = || (strict != 0).then_some("EXDEV");
    let Ok(hit) = lookup(space, &back.in_its_domain(space), false)? else { return Ok(last_resort()) };
    if hit.route.kind != RouteType::Unicast && (hit.route.kind != RouteType::Local || !accept_local) {
        return Ok(Some("EINVAL"));
    }
    let is_way = hops(hit.route).iter().any(|hop| hop.oif == Some(link.ifindex))
        || (hit.route.kind == RouteType::Local && link.ifindex == LO);
    if is_way {
        return Ok(None);
    }
    if !link.addrs.iter().any(|a| a.local.is_ipv4()) {
        return Ok(last_resort());
    }
    // With 2 any way back will do.
    Ok((strict == 1).then_some("EXDEV"))
}

/// Somebody has added local routes by hand, which makes the kernel look closer at sources.
fn has_local_routes_by_hand(space: &Space) -> bool {
    let mut local = space.routes().iter().filter(|r| r.kind == RouteType::Local && r.dst.addr().is_ipv4());
    local.any(|r| r.protocol != "kernel")
}
