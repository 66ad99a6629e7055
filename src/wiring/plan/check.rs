//! Everything that can be known to fail before the first change.

use std::net::IpAddr;

use ipnet::IpNet;

use super::gateway::is_link_local6;
use super::{Facts, Gateways, Lease, Refusal, Way, Wish};
use crate::model::{Route, RouteType, TableId, word};
use crate::wiring::GROUP;

/// A name that the kernel takes for a link.
pub fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    const IFNAMSIZ: usize = 16;
    let refuse = |why: &str| {
        Err(Refusal::usage(
            format!("{name:?} can be no name of a link ({what}): {why}"),
            "a name has 1 to 15 bytes and no blanks, colons, slashes or control characters",
        ))
    };
    match name {
        "" => refuse("it is empty"),
        _ if name.len() >= IFNAMSIZ => refuse(&format!("it has {} bytes, and 15 fit", name.len())),
        "." | ".." => refuse("it is a directory"),
        "all" | "default" => refuse("the kernel keeps it for the settings of all links"),
        // `ip` makes a number of it.
        _ if name.contains('%') => refuse("% is a place for a number"),
        _ if name.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':')) => {
            refuse("the kernel does not take it")
        }
        _ => Ok(()),
    }
}

/// What makes no sense, whatever is there.
pub fn check_words(wish: &Wish) -> Result<(), Refusal> {
    check_name("--ifname", &wish.ifname)?;
    check_name("--host-ifname", &wish.host_ifname)?;
    match &wish.way {
        Way::Bridge { name, .. } => check_name("--bridge", name)?,
        Way::Macvlan { lower } => check_name("--macvlan", lower)?,
        Way::PointToPoint => {}
    }
    if wish.ifname == "lo" {
        return Err(Refusal::usage("lo is the namespace's loopback", "give another --ifname"));
    }
    if let Some(mac) = wish.mac {
        let bytes = mac.bytes();
        let why = match bytes {
            [first, ..] if first & 1 == 1 => Some("it is a group address"),
            _ if mac.is_zero() => Some("it is all zeroes"),
            _ if bytes.len() != 6 => Some("it has not six bytes"),
            _ => None,
        };
        if let Some(why) = why {
            let hint = "give six bytes in hex, the first of them even: --mac 02:00:5e:10:00:01";
            return Err(Refusal::usage(format!("{mac} can be no address of a link: {why}"), hint));
        }
    }
    if let Some(mtu) = wish.mtu.filter(|mtu| !(68..=65535).contains(mtu)) {
        return Err(Refusal::usage(format!("an MTU of {mtu} is none"), "the kernel takes 68 to 65535"));
    }
    if let Gateways::Named(gateways) = &wish.gateways {
        let twice = |ipv6: bool| gateways.iter().filter(|ip| ip.is_ipv6() == ipv6).count() > 1;
        if twice(false) || twice(true) {
            let message = "a family can have one gateway";
            return Err(Refusal::usage(
                message,
                "give --gateway once for IPv4 and once for IPv6; more ways with --route",
            ));
        }
    }
    let mixed = wish.routes.iter().find(|(dst, via)| via.is_some_and(|via| via.is_ipv4() != dst.addr().is_ipv4()));
    if let Some((dst, Some(via))) = mixed {
        let message = format!("the route to {dst} cannot go by {via}: they are of different families");
        return Err(Refusal::usage(message, "give a router of the same family"));
    }
    Ok(())
}

/// What is in the way.
pub(super) fn check(wish: &Wish, facts: &Facts, leases: &[Lease]) -> Result<(), Refusal> {
    check_words(wish)?;
    check_links(wish, facts)?;
    check_base(wish, facts)?;
    for (index, lease) in leases.iter().enumerate() {
        check_lease(wish, facts, lease)?;
        if leases[..index].iter().any(|other| other.addr.addr() == lease.addr.addr()) {
            let message = format!("the address {} was asked for twice", lease.addr.addr());
            return Err(Refusal::usage(message, "give each --address once"));
        }
    }
    check_ipv6(wish, facts, leases)?;
    if let Some(why) = facts.no_masquerade.as_ref().filter(|_| wish.masquerade) {
        let message = format!("--masquerade needs nftables: {why}");
        return Err(Refusal::conflict(message, "install nftables, or leave --masquerade away"));
    }
    check_routes(wish, facts)
}

fn check_ipv6(wish: &Wish, facts: &Facts, leases: &[Lease]) -> Result<(), Refusal> {
    const LEAST: u32 = 1280;
    if !leases.iter().any(|lease| lease.addr.addr().is_ipv6()) {
        return Ok(());
    }
    if let Some(why) = &facts.no_ipv6 {
        let message = format!("there can be no IPv6 address: {why}");
        return Err(Refusal::conflict(message, "leave IPv6 out, or allow it there first"));
    }
    match wish.mtu.or(facts.base.as_ref().and_then(|base| base.mtu)).filter(|mtu| *mtu < LEAST) {
        Some(mtu) => {
            let message = format!("there can be no IPv6 address on a link with an MTU of {mtu}");
            Err(Refusal::conflict(message, format!("leave IPv6 out, or take --mtu {LEAST} or more")))
        }
        None => Ok(()),
    }
}

fn check_links(wish: &Wish, facts: &Facts) -> Result<(), Refusal> {
    let Wish { target, ifname, host_ifname, .. } = wish;
    if facts.own_link.is_some() {
        return Err(Refusal::conflict(
            format!("{target} has a link {ifname} already"),
            format!("give another --ifname, or remove it: podnet detach {target} --ifname {ifname}"),
        ));
    }
    if facts.host_ifname_taken && !matches!(wish.way, Way::Macvlan { .. }) {
        let message = format!("the host has a link {host_ifname} already");
        return Err(Refusal::conflict(message, "give another --host-ifname"));
    }
    Ok(())
}

fn check_base(wish: &Wish, facts: &Facts) -> Result<(), Refusal> {
    let mtu_over = |name: &str, limit: Option<u32>| match (wish.mtu, limit) {
        (Some(mtu), Some(limit)) if mtu > limit => Err(Refusal::conflict(
            format!("an MTU of {mtu} is over that of {name}, {limit}: larger packets would be lost there"),
            format!("take --mtu {limit} or less, or raise it first: ip link set {} mtu {mtu}", word(name)),
        )),
        _ => Ok(()),
    };
    match (&wish.way, &facts.base) {
        (Way::Bridge { name, .. }, Some(link)) => {
            if link.kind != "bridge" {
                let message = format!("{name} is no bridge, it is a {}", link.kind);
                return Err(Refusal::conflict(message, "give another --bridge, or --macvlan to share the link"));
            }
            if facts.bridge_full {
                let message = format!("the bridge {name} is full: it has 1023 ports");
                return Err(Refusal::conflict(message, "give another --bridge, or --ptp, which has no such limit"));
            }
            if !link.up && link.group != GROUP {
                let message = format!("the bridge {name} is down");
                return Err(Refusal::conflict(
                    message,
                    format!("take it into use first: ip link set {} up", word(name)),
                ));
            }
            mtu_over(name, link.mtu)
        }
        (Way::Macvlan { lower }, None) => {
            let message = format!("the host has no link {lower}");
            Err(Refusal::conflict(message, "ip link shows which there are"))
        }
        (Way::Macvlan { lower }, Some(link)) => {
            if link.is_loopback() || link.master.is_some() {
                let why = if link.is_loopback() { "it is the loopback" } else { "it is a port of another link" };
                let hint = "give a link that leads out, or the bridge that it is a port of";
                return Err(Refusal::conflict(format!("there can be no macvlan on {lower}: {why}"), hint));
            }
            mtu_over(lower, link.mtu)
        }
        _ => Ok(()),
    }
}

fn check_lease(wish: &Wish, facts: &Facts, lease: &Lease) -> Result<(), Refusal> {
    let (addr, net) = (lease.addr.addr(), lease.net());
    if is_special(addr) || is_edge(lease.addr) || net.prefix_len() == 0 {
        let message = format!("{} can be no host's address", lease.addr);
        return Err(Refusal::usage(message, "give an address between the first and the last of its network"));
    }
    if let Some((ifname, _)) = facts.own_addrs.iter().find(|(_, own)| own.addr() == addr) {
        let message = format!("{} has the address {addr} on {ifname} already", wish.target);
        return Err(Refusal::conflict(message, "give another --address"));
    }
    // Packets to the network would go by one link only.
    let shared = |(_, own): &&(String, IpNet)| net.contains(own) && own.prefix_len() < own.max_prefix_len();
    if wish.way != Way::PointToPoint
        && !is_link_local6(addr)
        && let Some((ifname, own)) = facts.own_addrs.iter().find(shared)
    {
        let message = format!("{} has the network {} on {ifname} already", wish.target, own.trunc());
        return Err(Refusal::conflict(message, "give another --subnet or --bridge, or --ptp for a link of its own"));
    }
    if facts.base.as_ref().is_some_and(|base| base.holds(addr)) {
        let base = facts.base.as_ref().map_or("", |base| base.ifname.as_str());
        let message = format!("{addr} is an address of {base} itself");
        return Err(Refusal::conflict(message, "give another --address"));
    }
    check_host(wish, facts, lease)
}

/// An address that no host has.
pub(super) fn is_special(addr: IpAddr) -> bool {
    let reserved = match addr {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
    };
    reserved || addr.is_unspecified() || addr.is_multicast() || addr.is_loopback()
}

/// The network's own address, or IPv4's broadcast address: where there are but one or two they are hosts.
pub(super) fn is_edge(addr: IpNet) -> bool {
    let ends = addr.addr() == addr.network() || (addr.addr().is_ipv4() && addr.addr() == addr.broadcast());
    addr.max_prefix_len() - addr.prefix_len() > 1 && ends
}

/// Where a VPN or a router's advertisement stands for the default route: 0.0.0.0/1 and 128.0.0.0/1, 2000::/3.
fn is_everywhere(dst: &IpNet) -> bool {
    dst.prefix_len() <= if dst.addr().is_ipv4() { 1 } else { 3 }
}

/// The network must not be somebody else's for the host.
fn check_host(wish: &Wish, facts: &Facts, lease: &Lease) -> Result<(), Refusal> {
    let (addr, net) = (lease.addr.addr(), lease.net());
    let base = facts.base.as_ref().map(|base| base.ifindex);
    let of_others = |route: &&Route| {
        // The bridge's own routes are those of the network that the namespace is to be in.
        let elsewhere = route.oif.is_none() || route.oif != base;
        let of_one = route.dst.prefix_len() == route.dst.max_prefix_len();
        let collides = match wish.way {
            // Each namespace of such a network has a route of its own.
            Way::PointToPoint if of_one => route.dst.addr() == addr,
            // What leads nowhere stands behind the routes of single hosts, and behind a network that is a part of it.
            Way::PointToPoint if leads_nowhere(route) => false,
            _ if leads_nowhere(route) => net.contains(&route.dst),
            _ => !is_everywhere(&route.dst) && (route.dst.contains(&net) || net.contains(&route.dst)),
        };
        let counts = route.kind == RouteType::Unicast || leads_nowhere(route);
        route.table == TableId::MAIN && counts && elsewhere && collides
    };
    match facts.host_routes.iter().find(of_others) {
        Some(route) => Err(Refusal::conflict(
            format!("the network {net} collides with the host's route to {} by {}", route.dst_text(), name_of(route)),
            "give another --subnet; ip route shows what is taken",
        )),
        None => Ok(()),
    }
}

fn leads_nowhere(route: &Route) -> bool {
    matches!(route.kind, RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit)
}

fn name_of(route: &Route) -> String {
    match (&route.dev, route.gateway) {
        _ if leads_nowhere(route) => route.kind.word().to_owned(),
        (Some(dev), _) => dev.clone(),
        (None, Some(gateway)) => gateway.to_string(),
        (None, None) => route.oif.map_or_else(|| "another link".to_owned(), |oif| format!("link {oif}")),
    }
}

fn check_routes(wish: &Wish, facts: &Facts) -> Result<(), Refusal> {
    for (index, (dst, _)) in wish.routes.iter().enumerate() {
        if wish.routes[..index].iter().any(|(other, _)| other.trunc() == dst.trunc()) {
            let message = format!("the route to {dst} was asked for twice");
            return Err(Refusal::usage(message, "give each --route once"));
        }
        if let Some(route) = own_route(facts, dst) {
            return Err(Refusal::conflict(
                format!("{} has a route to {} already, by {}", wish.target, route.dst_text(), name_of(route)),
                "leave the --route away, or remove the other one first",
            ));
        }
    }
    Ok(())
}

/// The namespace's own route to exactly this destination that a new one of the same metric would clash with.
pub(super) fn own_route<'a>(facts: &'a Facts, dst: &IpNet) -> Option<&'a Route> {
    // IPv6's routes have a metric of 1024 unless told.
    let metric = |dst: &IpNet| if dst.addr().is_ipv6() { 1024 } else { 0 };
    let same = |route: &&Route| route.table == TableId::MAIN && route.dst == dst.trunc() && route.metric == metric(dst);
    facts.own_routes.iter().find(same)
}

/// Whether an address is of the family.
pub(super) fn of_family(ipv6: bool) -> impl Fn(&IpAddr) -> bool {
    move |ip| ip.is_ipv6() == ipv6
}
