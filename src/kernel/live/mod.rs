//! The running kernel as a topology: each question is asked when it comes up, of a socket in the namespace that it is
//! about, so that a trace costs the length of its path and not the size of the node.

mod above;
mod beside;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use netlink_packet_route::AddressFamily;
use nix::errno::Errno;

use super::link::{self, Where};
use super::procnet::ProcNet;
use super::route::{self, Side};
use super::socket::{Dump, Refused};
use super::spaces::{Access, Spaces};
use super::{addr, fdb, neigh, nexthop, ports, rule, sysfs, tun, vlan};
use crate::model::{
    Chain, ChainId, FdbEntry, Flow, Gap, HeldBy, IfIndex, Link, LinkAddr, LinkId, LlAddr, Neigh, Netns, NetnsId,
    Nexthop, NfRule, NfSet, PortVlan, Program, Remote, Route, RouteAnswer, RouteType, Rule, Seen, TableId, Topology,
};
use beside::Asked;

/// What a look-up, an entry or a table of a namespace needs that podnet could not enter.
const ENTER: &str = "CAP_SYS_ADMIN and CAP_SYS_PTRACE: run podnet as root";

/// The running kernel.
#[derive(Debug)]
pub struct Live {
    /// The namespaces that have been reached so far.
    pub spaces: Spaces,
    gaps: Vec<Gap>,
    /// Chains of a namespace are the same for every path that crosses it.
    chains: HashMap<NetnsId, Seen<Vec<Chain>>>,
    netfilter: HashMap<NetnsId, Asked>,
    /// Namespaces that have a number for this one.
    pointing: HashMap<NetnsId, Vec<NetnsId>>,
    /// Kinds of links that the kernel can or cannot make.
    kinds: HashMap<String, bool>,
    /// Programs, chains and neighbours on a bridge stay unseen: who has just made the links asks about these alone.
    pub wiring_only: bool,
}

impl Live {
    /// A topology over these namespaces.
    pub fn new(spaces: Spaces) -> Self {
        let (chains, netfilter) = (HashMap::new(), HashMap::new());
        let (pointing, kinds) = (HashMap::new(), HashMap::new());
        Live { spaces, gaps: Vec::new(), chains, netfilter, pointing, kinds, wiring_only: false }
    }

    fn refusal(&self, what: &str, netns: NetnsId, refused: &Refused) -> Gap {
        let gap = Gap::new(what, self.spaces.netns(netns).name, refused.to_string());
        match refused.errno {
            Errno::EACCES | Errno::EPERM => gap.needs("CAP_NET_ADMIN over that namespace: run podnet as root"),
            _ => gap,
        }
    }

    /// A question that only a socket inside can answer.
    fn closed(&self, what: &str, netns: NetnsId) -> Gap {
        let netns = self.spaces.netns(netns);
        match netns.id {
            NetnsId::Unopened { .. } if netns.pid.is_none() => {
                Gap::new(what, netns.name, "no process and no mount leads into that namespace")
            }
            _ => Gap::new(what, netns.name, "that namespace may not be entered").needs(ENTER),
        }
    }

    /// What /proc shows of a namespace that may not be entered.
    fn outside(&self, netns: NetnsId) -> Option<&ProcNet> {
        match self.spaces.access(netns) {
            Some(Access::Outside(facts)) => facts.proc.as_ref(),
            _ => None,
        }
    }

    fn complete<T>(&mut self, what: &str, netns: NetnsId, dump: Result<Dump<T>, Refused>) -> Seen<Vec<T>> {
        let dump = dump.map_err(|refused| self.refusal(what, netns, &refused))?;
        if let Some(flaw) = dump.flaw() {
            self.gaps.push(Gap::new(what, self.spaces.netns(netns).name, flaw));
        }
        Ok(dump.items)
    }

    fn route(&mut self, netns: NetnsId, flow: &Flow, side: Side) -> Seen<RouteAnswer> {
        let Some((socket, Where::Here)) = self.spaces.socket(netns) else {
            return Err(self.closed("routing decision", netns));
        };
        match route::lookup(socket, flow, side) {
            Ok(route) => Ok(RouteAnswer::Route(route)),
            // The kernel's answer, whatever it is, but for those that say the question was wrong: only these have words.
            Err(refused)
                if refused.words.is_some()
                    || matches!(refused.errno, Errno::EPROTO | Errno::ENODEV | Errno::EOPNOTSUPP) =>
            {
                Err(self.refusal("routing decision", netns, &refused))
            }
            Err(refused) => Ok(RouteAnswer::Refused(format!("{:?}", refused.errno))),
        }
    }
}

/// Puts addresses to their links.
fn give(links: &mut [Link], addrs: &[(IfIndex, LinkAddr)]) {
    for link in links {
        let own = addrs.iter().filter(|(index, _)| *index == link.ifindex);
        link.addrs = own.map(|(_, addr)| *addr).collect();
    }
}

impl Topology for Live {
    fn netns(&self, id: NetnsId) -> Netns {
        self.spaces.netns(id)
    }

    fn links(&mut self, netns: NetnsId) -> Seen<Vec<Link>> {
        if let Some(Access::Outside(facts)) = self.spaces.access(netns) {
            return Ok(facts.links.clone());
        }
        let Some((socket, place)) = self.spaces.socket(netns) else { return Err(self.closed("links", netns)) };
        let links = link::dump(socket, place);
        let addrs = addr::dump(socket, None, place);
        let mut links = self.complete("links", netns, links)?;
        match self.complete("addresses", netns, addrs) {
            Ok(addrs) => give(&mut links, &addrs),
            Err(gap) => self.gaps.push(gap),
        }
        links.sort_by_key(|l| l.ifindex);
        Ok(links)
    }

    fn exits(&mut self, netns: NetnsId, routes: &[Route]) -> Seen<Vec<Link>> {
        /// A question for each of so many costs less than one for all that there are.
        const FEW: usize = 4;
        let Some((socket, Where::Here)) = self.spaces.socket(netns) else { return self.links(netns) };
        let addrs = addr::dump(socket, None, Where::Here);
        let Ok(addrs) = self.complete("addresses", netns, addrs) else { return self.links(netns) };
        let named = routes.iter().flat_map(|r| r.oif.into_iter().chain(r.nexthops.iter().map(|hop| hop.oif)));
        let from = addrs.iter().filter(|(_, addr)| !addr.link_scope && !addr.local.is_loopback());
        let wanted: BTreeSet<IfIndex> = named.chain(from.map(|(index, _)| *index)).collect();
        let Some((socket, place)) = self.spaces.socket(netns).filter(|_| wanted.len() <= FEW) else {
            return self.links(netns);
        };
        let found = wanted.into_iter().filter_map(|index| link::get(socket, index, place).transpose());
        let found: Result<Vec<Link>, Refused> = found.collect();
        let mut links = found.map_err(|refused| self.refusal("links", netns, &refused))?;
        give(&mut links, &addrs);
        Ok(links)
    }

    fn link(&mut self, id: LinkId) -> Seen<Option<Link>> {
        if let Some(Access::Outside(facts)) = self.spaces.access(id.netns) {
            return Ok(facts.links.iter().find(|l| l.ifindex == id.ifindex).cloned());
        }
        let Some((socket, place)) = self.spaces.socket(id.netns) else { return Err(self.closed("link", id.netns)) };
        let found = link::get(socket, id.ifindex, place);
        let addrs = addr::dump(socket, Some(id.ifindex), place);
        let mut found = found.map_err(|refused| self.refusal("link", id.netns, &refused))?;
        if let Some(link) = &mut found {
            if link.kind == "device" && id.netns == self.spaces.own() {
                link.driver = sysfs::driver(link);
            }
            link.pf = link.parent_dev.as_deref().and_then(sysfs::physical_function);
            match addrs {
                // The link may have gone in between; its addresses went with it.
                Err(refused) if refused.errno == Errno::ENODEV => {}
                addrs => match self.complete("addresses", id.netns, addrs) {
                    Ok(addrs) => link.addrs = addrs.into_iter().map(|(_, addr)| addr).collect(),
                    Err(gap) => self.gaps.push(gap),
                },
            }
        }
        Ok(found)
    }

    fn far_end(&mut self, id: LinkId, link: &Link) -> Seen<Option<LinkId>> {
        let Some(ifindex) = link.link else { return Ok(None) };
        if let Some(Access::Outside(_)) = self.spaces.access(id.netns) {
            return Ok(Some(LinkId { netns: self.spaces.own(), ifindex }));
        }
        let netns = match link.link_netnsid {
            None => id.netns,
            Some(nsid) => match self.spaces.by_nsid(id.netns, nsid) {
                Ok(netns) => netns,
                Err(refused) => return Err(self.refusal("namespace of the other end", id.netns, &refused)),
            },
        };
        Ok(Some(LinkId { netns, ifindex }))
    }

    fn ports(&mut self, bridge: LinkId) -> Seen<Vec<Link>> {
        let Some((socket, Where::Here)) = self.spaces.socket(bridge.netns) else {
            return Err(self.closed("bridge ports", bridge.netns));
        };
        let dump = link::dump_ports(socket);
        let mut links = self.complete("bridge ports", bridge.netns, dump)?;
        links.retain(|l| l.master == Some(bridge.ifindex) && l.ifindex != bridge.ifindex);
        Ok(links)
    }

    fn first_ports(&mut self, bridge: LinkId, limit: usize) -> Seen<Vec<(IfIndex, String)>> {
        // They are for people to look at.
        if self.wiring_only {
            return Ok(Vec::new());
        }
        let ports = self.spaces.inside(bridge.netns, || ports::first(bridge.ifindex, limit));
        let ports = ports.ok_or_else(|| self.closed("bridge ports", bridge.netns))?;
        ports.map_err(|e| self.refusal("bridge ports", bridge.netns, &e.into()))
    }

    fn routes(&mut self, netns: NetnsId) -> Seen<Vec<Route>> {
        let mut routes = if let Some(proc) = self.outside(netns) {
            proc.routes()
        } else {
            let Some((socket, Where::Here)) = self.spaces.socket(netns) else {
                return Err(self.closed("routes", netns));
            };
            let dump = route::dump(socket, AddressFamily::Unspec);
            self.complete("routes", netns, dump)?
        };
        routes.retain(|r| r.table != TableId::LOCAL && r.kind != RouteType::Multicast);
        Ok(routes)
    }

    fn route_out(&mut self, netns: NetnsId, flow: &Flow, oif: Option<IfIndex>) -> Seen<RouteAnswer> {
        match self.outside(netns) {
            Some(proc) => proc.route_out(flow, oif),
            None => self.route(netns, flow, Side::Output(oif)),
        }
    }

    fn route_in(&mut self, at: LinkId, flow: &Flow) -> Seen<RouteAnswer> {
        match self.outside(at.netns) {
            Some(proc) => proc.route_in(flow),
            None => self.route(at.netns, flow, Side::Input(at.ifindex)),
        }
    }

    fn neigh(&mut self, at: LinkId, ip: IpAddr) -> Seen<Option<Neigh>> {
        if let Some(proc) = self.outside(at.netns) {
            return proc.neigh(at.ifindex, ip);
        }
        let Some((socket, Where::Here)) = self.spaces.socket(at.netns) else {
            return Err(self.closed("neighbours", at.netns));
        };
        neigh::get(socket, at.ifindex, ip).map_err(|refused| self.refusal("neighbours", at.netns, &refused))
    }

    fn proxied(&mut self, at: LinkId, ip: IpAddr) -> Seen<bool> {
        let Some((socket, Where::Here)) = self.spaces.socket(at.netns) else {
            return Err(self.closed("neighbour proxies", at.netns));
        };
        neigh::is_proxied(socket, at.ifindex, ip)
            .map_err(|refused| self.refusal("neighbour proxies", at.netns, &refused))
    }

    fn sysctl(&mut self, netns: NetnsId, name: &str) -> Seen<Option<i64>> {
        let what = format!("sysctl net/{name}");
        // /proc/sys/net shows the namespace of the thread that reads.
        let place = format!("/proc/sys/net/{name}");
        let text = self.spaces.inside(netns, || std::fs::read_to_string(place));
        match text.ok_or_else(|| self.closed(&what, netns))? {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Gap::new(what, self.spaces.netns(netns).name, e.to_string())),
        }
    }

    fn rules(&mut self, netns: NetnsId, ipv6: bool) -> Seen<Vec<Rule>> {
        let family = if ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let Some((socket, Where::Here)) = self.spaces.socket(netns) else { return Err(self.closed("rules", netns)) };
        let dump = rule::dump(socket, family);
        let rules = self.complete("rules", netns, dump)?;
        Ok(rules.iter().map(|rule| rule.shown()).collect())
    }

    fn doubt(&self, netns: NetnsId, ipv6: bool) -> Option<String> {
        let known = self.outside(netns)?.has_hidden_rules(ipv6);
        known.then(|| "it has had policy rules of its own, which /proc does not show".to_owned())
    }

    fn fdb(&mut self, bridge: LinkId, mac: LlAddr, vlan: Option<u16>) -> Seen<Option<FdbEntry>> {
        let Some((socket, Where::Here)) = self.spaces.socket(bridge.netns) else {
            return Err(self.closed("forwarding database", bridge.netns));
        };
        fdb::get(socket, bridge.ifindex, mac, vlan)
            .map_err(|refused| self.refusal("forwarding database", bridge.netns, &refused))
    }

    fn vlans(&mut self, port: LinkId) -> Seen<Vec<PortVlan>> {
        let what = "VLANs of a bridge port";
        let Some((socket, Where::Here)) = self.spaces.socket(port.netns) else {
            return Err(self.closed(what, port.netns));
        };
        let dump = vlan::of(socket, port.ifindex);
        self.complete(what, port.netns, dump)
    }

    fn members(&mut self, master: LinkId) -> Seen<Vec<Link>> {
        let Some((socket, place)) = self.spaces.socket(master.netns) else {
            return Err(self.closed("ports", master.netns));
        };
        if place != Where::Here {
            return Err(self.closed("ports", master.netns));
        }
        let dump = link::dump_members(socket, master.ifindex);
        let mut links = self.complete("ports", master.netns, dump)?;
        links.sort_by_key(|l| l.ifindex);
        Ok(links)
    }

    fn uppers(&mut self, at: LinkId, kinds: &[&str]) -> Seen<Vec<(LinkId, Link)>> {
        self.links_above(at, kinds)
    }

    fn underlay(&mut self, at: LinkId, link: &Link) -> Seen<NetnsId> {
        let Some(nsid) = link.link_netnsid else { return Ok(at.netns) };
        let found = self.spaces.by_nsid(at.netns, nsid);
        found.map_err(|refused| self.refusal("namespace of a tunnel's outer packets", at.netns, &refused))
    }

    fn tunnels(&mut self, underlay: NetnsId, kind: &str, id: Option<u32>) -> Seen<Vec<(LinkId, Link)>> {
        self.tunnels_over(underlay, kind, id)
    }

    fn remotes(&mut self, at: LinkId, mac: LlAddr) -> Seen<Vec<Remote>> {
        let Some((socket, Where::Here)) = self.spaces.socket(at.netns) else {
            return Err(self.closed("endpoints of a tunnel", at.netns));
        };
        let dump = fdb::remotes(socket, at.ifindex, mac);
        self.complete("endpoints of a tunnel", at.netns, dump)
    }

    fn nexthops(&mut self, netns: NetnsId, id: u32) -> Seen<Vec<Nexthop>> {
        let what = format!("nexthop object {id}");
        let Some((socket, Where::Here)) = self.spaces.socket(netns) else { return Err(self.closed(&what, netns)) };
        nexthop::of(socket, id).map_err(|refused| self.refusal(&what, netns, &refused))
    }

    fn held_by(&mut self, at: LinkId, link: &Link) -> Seen<Vec<HeldBy>> {
        Ok(tun::held_by(at.netns, link))
    }

    fn chains(&mut self, netns: NetnsId) -> Seen<Vec<Chain>> {
        if self.wiring_only {
            return Ok(Vec::new());
        }
        if let Some(known) = self.chains.get(&netns) {
            return known.clone();
        }
        let chains = self.chains_of(netns);
        self.chains.insert(netns, chains.clone());
        chains
    }

    fn nf_rules(&mut self, netns: NetnsId, chain: &ChainId) -> Seen<Arc<[NfRule]>> {
        self.rules_of(netns, chain)
    }

    fn nf_set(&mut self, netns: NetnsId, chain: &ChainId, name: &str) -> Seen<Arc<NfSet>> {
        self.set_of(netns, chain, name)
    }

    fn programs(&mut self, at: LinkId, link: &Link) -> Seen<Vec<Program>> {
        if self.wiring_only { Ok(Vec::new()) } else { self.programs_at(at, link) }
    }

    fn also_taken(&mut self, at: LinkId) -> Seen<Vec<LlAddr>> {
        let Some((socket, Where::Here)) = self.spaces.socket(at.netns) else {
            return Err(self.closed("devices on top of the link", at.netns));
        };
        let dump = fdb::also_taken(socket, at.ifindex);
        self.complete("devices on top of the link", at.netns, dump)
    }

    fn take_gaps(&mut self) -> Vec<Gap> {
        let mut gaps = std::mem::take(&mut self.gaps);
        gaps.extend(self.spaces.take_gaps());
        gaps
    }
}
