//! IPv4 addresses of links. No file lists them: the local table says which addresses the namespace has, and the
//! route of each address's own prefix says on which link and how long that prefix is.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::files::Files;
use super::links;
use super::route4::Trie;
use super::table::{Entry, Tables};
use crate::model::{Gap, IfIndex, Link, LinkAddr, RouteType};

/// One IPv4 address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Addr4 {
    pub(super) net: Ipv4Net,
    pub(super) ifindex: IfIndex,
}

impl Addr4 {
    /// The address.
    pub(super) fn ip(&self) -> Ipv4Addr {
        self.net.addr()
    }
}

/// Addresses of the namespace by whether their link is known.
#[derive(Debug, Default)]
pub(super) struct Addrs4 {
    pub(super) placed: Vec<Addr4>,
    /// Addresses that may be on any of several links.
    pub(super) unplaced: Vec<Ipv4Addr>,
}

impl Addrs4 {
    /// The namespace has this address.
    pub(super) fn holds(&self, ip: Ipv4Addr) -> bool {
        self.placed.iter().any(|a| a.ip() == ip) || self.unplaced.contains(&ip)
    }
}

/// Finds the link of every address, hangs the addresses on the links and names the links of the local routes.
pub(super) fn place(
    trie: &Trie,
    tables: &mut Tables,
    links: &mut [Link],
    files: &Files,
    gaps: &mut Vec<Gap>,
) -> Addrs4 {
    let broadcasts = of_kind(trie, RouteType::Broadcast);
    let mut prefixes = own_prefixes(trie, &tables.entries, &broadcasts);
    // The longest prefix that holds an address is the address's own; sorted, it is the first that does.
    prefixes.sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
    let mut addrs = Addrs4::default();
    let found: Vec<_> = of_kind(trie, RouteType::Local).into_iter().map(|ip| (ip, link_of(ip, &prefixes))).collect();
    let mut in_prefix: HashMap<Ipv4Net, usize> = HashMap::new();
    found.iter().filter_map(|(_, a)| *a).for_each(|a| *in_prefix.entry(a.net.trunc()).or_default() += 1);
    for (ip, addr) in found {
        match addr {
            // Of several addresses in one prefix only one need be on its link: another may be a /32 anywhere.
            Some(addr) if ip == Ipv4Addr::LOCALHOST || in_prefix[&addr.net.trunc()] == 1 => addrs.placed.push(addr),
            _ => addrs.unplaced.push(ip),
        }
    }
    if tables.unsure.is_none() {
        place_the_rest(&mut addrs, &prefixes, &broadcasts, links);
    }
    if !addrs.unplaced.is_empty() {
        let list: Vec<String> = addrs.unplaced.iter().take(8).map(Ipv4Addr::to_string).collect();
        let more = if addrs.unplaced.len() > list.len() { ", ..." } else { "" };
        gaps.push(files.gap(format!("the link that has {}{more}", list.join(", ")), "/proc does not show it"));
    }
    for a in &addrs.placed {
        let addr = LinkAddr::new(IpAddr::V4(a.ip()), a.net.prefix_len(), false);
        links::add(links, a.ifindex, addr);
    }
    name_links_of_local_routes(&mut tables.entries, &addrs.placed, links);
    addrs
}

/// Addresses that the local table has as whole addresses of this kind, in order.
fn of_kind(trie: &Trie, kind: RouteType) -> Vec<Ipv4Addr> {
    let whole = trie.local.iter().filter(|leaf| leaf.kind == kind && leaf.dst.prefix_len() == 32);
    let mut of_kind: Vec<Ipv4Addr> = whole.map(|leaf| leaf.dst.addr()).collect();
    of_kind.dedup();
    of_kind
}

/// Prefixes that the kernel made for an address, each with its link. A route without a gateway that somebody set by
/// hand looks the same, but the kernel sets the broadcast address of its own.
fn own_prefixes(trie: &Trie, entries: &[Entry], broadcasts: &[Ipv4Addr]) -> Vec<(Ipv4Net, IfIndex)> {
    let broadcasts: HashSet<&Ipv4Addr> = broadcasts.iter().collect();
    let connected = entries.iter().map(|e| &e.route).filter(|r| r.kind == RouteType::Unicast && r.gateway.is_none());
    let connected = connected.filter_map(|r| match (r.dst, r.oif) {
        (IpNet::V4(net), Some(oif)) => Some((net, oif)),
        _ => None,
    });
    // The loopback's prefixes are local routes themselves.
    let looped = trie.local.iter().filter(|leaf| leaf.kind == RouteType::Local).map(|leaf| (leaf.dst, IfIndex(1)));
    let own = |net: &Ipv4Net| match net.prefix_len() {
        0 | 32 => false,
        31 => true,
        _ => broadcasts.contains(&net.broadcast()),
    };
    connected.chain(looped).filter(|(net, _)| own(net)).collect()
}

/// The link and the prefix of an address; none where no link or more than one has such a prefix.
fn link_of(ip: Ipv4Addr, prefixes: &[(Ipv4Net, IfIndex)]) -> Option<Addr4> {
    let mut holding = prefixes.iter().filter(|(net, _)| net.contains(&ip));
    let (net, ifindex) = *holding.next()?;
    let alone = holding.take_while(|(n, _)| n.prefix_len() == net.prefix_len()).all(|(_, i)| *i == ifindex);
    let net = Ipv4Net::new(ip, net.prefix_len()).ok()?;
    alone.then_some(Addr4 { net, ifindex })
}

/// An address without a prefix (`/32`) leaves no route behind. Where one link alone can have it, it does: one that is
/// up and has no other address. The loopback may as well hold an address for a service, so that a link which has an
/// address already proves nothing; a broadcast address without a prefix means that the address has one, unseen.
fn place_the_rest(addrs: &mut Addrs4, prefixes: &[(Ipv4Net, IfIndex)], broadcasts: &[Ipv4Addr], links: &[Link]) {
    let mut up = links.iter().filter(|link| link.up && !link.is_loopback());
    let (Some(link), None) = (up.next(), up.next()) else { return };
    let has_address = addrs.placed.iter().any(|a| a.ifindex == link.ifindex);
    let explained = |b: &Ipv4Addr| prefixes.iter().any(|(net, _)| net.broadcast() == *b);
    if has_address || !broadcasts.iter().all(explained) {
        return;
    }
    let whole = |ip: Ipv4Addr| Some(Addr4 { net: Ipv4Net::new(ip, 32).ok()?, ifindex: link.ifindex });
    addrs.placed.extend(addrs.unplaced.drain(..).filter_map(whole));
}

fn name_links_of_local_routes(entries: &mut [Entry], placed: &[Addr4], links: &[Link]) {
    let name = |ifindex: IfIndex| links.iter().find(|l| l.ifindex == ifindex).map(|l| l.ifname.clone());
    for Entry { route, .. } in entries.iter_mut().filter(|e| e.route.oif.is_none()) {
        let IpNet::V4(net) = route.dst else { continue };
        let owner = placed.iter().find(|a| match route.kind {
            RouteType::Local if net.prefix_len() == 32 => a.ip() == net.addr(),
            RouteType::Local => a.net.trunc() == net,
            RouteType::Broadcast => a.net.prefix_len() < 31 && a.net.broadcast() == net.addr(),
            _ => false,
        });
        if let Some(owner) = owner {
            route.oif = Some(owner.ifindex);
            route.dev = name(owner.ifindex);
        }
    }
}
