//! The questions of the packet walk, answered from recordings.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Packet, Recorded, Ways};
use crate::model::{
    Chain, ChainId, FdbEntry, Flow, Gap, HeldBy, IfIndex, Link, LinkId, LlAddr, Neigh, Netns, NetnsId, Nexthop, NfRule,
    NfSet, PortVlan, Program, RecordedFacts, RecordedFdb, Remote, Route, RouteAnswer, RouteType, Rule, Seen, TableId,
    Topology,
};

impl Recorded {
    fn facts(&self, netns: NetnsId, what: &str) -> Seen<&RecordedFacts> {
        let space = self.whole(netns).ok_or_else(|| Gap::new(what, "unseen", "it is in no recording"))?;
        space.facts().ok_or_else(|| match &space.read.closed {
            Some(why) => Gap { what: what.to_owned(), at: self.netns_of(netns).name, ..why.clone() },
            None => self.missing(what, netns),
        })
    }

    /// What could not be read when the recording was made.
    fn missing(&self, what: &str, netns: NetnsId) -> Gap {
        Gap::new(what, self.netns_of(netns).name, "it is not in the recording")
    }

    fn decided(&mut self, netns: NetnsId, answer: Result<Ways, String>) -> Seen<RouteAnswer> {
        let ways = answer.map_err(|why| Gap::new("routing decision", self.netns_of(netns).name, why))?;
        self.undecided = (!ways.others.is_empty()).then(|| {
            let which = format!("which of {} next hops is used is not in a recording", ways.others.len() + 1);
            (netns, which)
        });
        Ok(ways.first)
    }
}

impl Topology for Recorded {
    fn netns(&self, id: NetnsId) -> Netns {
        self.netns_of(id)
    }

    fn links(&mut self, netns: NetnsId) -> Seen<Vec<Link>> {
        let space = self.space(netns).ok_or_else(|| self.missing("links", netns))?;
        Ok(space.links().cloned().collect())
    }

    fn link(&mut self, id: LinkId) -> Seen<Option<Link>> {
        let space = self.space(id.netns).ok_or_else(|| self.missing("link", id.netns))?;
        Ok(space.link(id.ifindex).cloned())
    }

    fn far_end(&mut self, id: LinkId, link: &Link) -> Seen<Option<LinkId>> {
        let Some(ifindex) = link.link else { return Ok(None) };
        let netns = self.numbered(id.netns, link);
        let netns = netns.ok_or_else(|| self.missing("namespace of the other end", id.netns))?;
        Ok(Some(LinkId { netns, ifindex }))
    }

    fn ports(&mut self, bridge: LinkId) -> Seen<Vec<Link>> {
        let order = self.facts(bridge.netns, "bridge ports")?.ports.clone();
        let order = order.ok_or_else(|| self.missing("bridge ports", bridge.netns))?;
        let space = self.space(bridge.netns).ok_or_else(|| self.missing("bridge ports", bridge.netns))?;
        let is_port = |link: &&Link| link.master == Some(bridge.ifindex) && link.ifindex != bridge.ifindex;
        Ok(order.iter().filter_map(|index| space.link(*index)).filter(is_port).cloned().collect())
    }

    fn first_ports(&mut self, bridge: LinkId, limit: usize) -> Seen<Vec<(IfIndex, String)>> {
        let mut ports: Vec<_> = self.ports(bridge)?.into_iter().map(|link| (link.ifindex, link.ifname)).collect();
        ports.sort();
        ports.truncate(limit);
        Ok(ports)
    }

    fn routes(&mut self, netns: NetnsId) -> Seen<Vec<Route>> {
        let routes = self.facts(netns, "routes")?.routes.as_ref().ok_or_else(|| self.missing("routes", netns))?;
        let wanted = routes.iter().filter(|r| r.table != TableId::LOCAL && r.kind != RouteType::Multicast);
        Ok(wanted.map(|route| route.shown()).collect())
    }

    fn route_out(&mut self, netns: NetnsId, flow: &Flow, oif: Option<IfIndex>) -> Seen<RouteAnswer> {
        self.facts(netns, "routing decision")?;
        let answer = self.ways_out(netns, &Packet::from(flow), oif);
        self.decided(netns, answer)
    }

    fn route_in(&mut self, at: LinkId, flow: &Flow) -> Seen<RouteAnswer> {
        self.facts(at.netns, "routing decision")?;
        let answer = self.ways_in(at.netns, &Packet::from(flow), at.ifindex);
        self.decided(at.netns, answer)
    }

    fn neigh(&mut self, at: LinkId, ip: IpAddr) -> Seen<Option<Neigh>> {
        let facts = self.facts(at.netns, "neighbours")?;
        let all = facts.neighbours.as_ref().ok_or_else(|| self.missing("neighbours", at.netns))?;
        let entry = all.iter().find(|n| n.ifindex == at.ifindex && n.dst == ip);
        Ok(entry.map(|n| Neigh { dst: n.dst, lladdr: n.lladdr, state: n.state }))
    }

    fn proxied(&mut self, at: LinkId, ip: IpAddr) -> Seen<bool> {
        let facts = self.facts(at.netns, "neighbour proxies")?;
        let all = facts.proxies.as_ref().ok_or_else(|| self.missing("neighbour proxies", at.netns))?;
        Ok(all.iter().any(|n| n.dst == ip && (n.ifindex == at.ifindex || n.ifindex.0 == 0)))
    }

    fn sysctl(&mut self, netns: NetnsId, name: &str) -> Seen<Option<i64>> {
        let what = format!("sysctl net/{name}");
        let facts = self.facts(netns, &what)?;
        if let Some(value) = facts.sysctls.get(name) {
            return Ok(*value);
        }
        let missing = || self.missing(&what, netns);
        let space = self.space(netns).ok_or_else(missing)?;
        let (ipv6, rest) = match (name.strip_prefix("ipv4/conf/"), name.strip_prefix("ipv6/conf/")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(missing()),
        };
        // A link's name may have dots in it, and no slash.
        let (ifname, which) = rest.split_once('/').ok_or_else(missing)?;
        let link = space.link_by_name(ifname).ok_or_else(missing)?;
        match space.conf(link.ifindex, ipv6, which) {
            Some(value) => Ok(Some(value)),
            // The kernel is older than the sysctl.
            None if space.records(ipv6, which) => Ok(None),
            None => Err(missing()),
        }
    }

    fn rules(&mut self, netns: NetnsId, ipv6: bool) -> Seen<Vec<Rule>> {
        let facts = self.facts(netns, "rules")?;
        let rules = if ipv6 { &facts.rules6 } else { &facts.rules };
        let rules = rules.as_ref().ok_or_else(|| self.missing("rules", netns))?;
        Ok(rules.iter().map(|rule| rule.shown()).collect())
    }

    /// Of several next hops the kernel takes one by a hash of the packet, which it keeps secret.
    fn doubt(&self, netns: NetnsId, _: bool) -> Option<String> {
        self.undecided.as_ref().filter(|(at, _)| *at == netns).map(|(_, which)| which.clone())
    }

    fn fdb(&mut self, bridge: LinkId, mac: LlAddr, vlan: Option<u16>) -> Seen<Option<FdbEntry>> {
        let facts = self.facts(bridge.netns, "forwarding database")?;
        let all = facts.fdb.as_ref().ok_or_else(|| self.missing("forwarding database", bridge.netns))?;
        let mut entries = all.iter().filter(|e| !e.own && e.master == Some(bridge.ifindex));
        let entry = entries.find(|e| e.mac == mac && e.vlan == vlan);
        let local = |state: &str| state == "permanent";
        Ok(entry.map(|e| {
            let (vlan, state) = (e.vlan, e.state.clone());
            FdbEntry { mac, ifindex: e.ifindex, vlan, local: local(&state), state }
        }))
    }

    fn vlans(&mut self, port: LinkId) -> Seen<Vec<PortVlan>> {
        let what = "VLANs of a bridge port";
        let facts = self.facts(port.netns, what)?;
        let all = facts.vlans.as_ref().ok_or_else(|| self.missing(what, port.netns))?;
        Ok(all.iter().filter(|v| v.ifindex == port.ifindex).flat_map(|v| v.vlans.iter().copied()).collect())
    }

    fn members(&mut self, master: LinkId) -> Seen<Vec<Link>> {
        self.facts(master.netns, "ports")?;
        let links = self.links(master.netns)?;
        // As the kernel tells of them where it is asked for no addresses.
        let members = links.into_iter().filter(|l| l.master == Some(master.ifindex));
        Ok(members.map(|link| Link { addrs: Vec::new(), ..link }).collect())
    }

    fn uppers(&mut self, at: LinkId, kinds: &[&str]) -> Seen<Vec<(LinkId, Link)>> {
        Ok(self.links_above(at, kinds))
    }

    fn underlay(&mut self, at: LinkId, link: &Link) -> Seen<NetnsId> {
        if link.link_netnsid.is_none() {
            return Ok(at.netns);
        }
        let what = "namespace of a tunnel's outer packets";
        self.numbered(at.netns, link).ok_or_else(|| self.missing(what, at.netns))
    }

    fn tunnels(&mut self, underlay: NetnsId, kind: &str, id: Option<u32>) -> Seen<Vec<(LinkId, Link)>> {
        Ok(self.tunnels_over(underlay, kind, id))
    }

    fn remotes(&mut self, at: LinkId, mac: LlAddr) -> Seen<Vec<Remote>> {
        let what = "endpoints of a tunnel";
        let facts = self.facts(at.netns, what)?;
        let all = facts.fdb.as_ref().ok_or_else(|| self.missing(what, at.netns))?;
        let entries = all.iter().filter(|e| e.own && e.ifindex == at.ifindex && e.mac == mac);
        let with_endpoint = entries.filter(|e| e.dst.is_some() || e.nhid.is_some());
        let remote = |e: &RecordedFdb| {
            // It learns; how long ago is no state of its own here.
            let state = if e.state == "stale" { String::new() } else { e.state.clone() };
            Remote { mac, dst: e.dst, port: e.port, vni: e.vni, via: e.via, state }
        };
        Ok(with_endpoint.map(remote).collect())
    }

    fn nexthops(&mut self, netns: NetnsId, id: u32) -> Seen<Vec<Nexthop>> {
        let what = format!("nexthop object {id}");
        let known = self.facts(netns, &what)?.nexthops.get(&id).cloned();
        known.ok_or_else(|| self.missing(&what, netns))
    }

    fn held_by(&mut self, at: LinkId, _: &Link) -> Seen<Vec<HeldBy>> {
        let facts = self.facts(at.netns, "who holds a device")?;
        Ok(facts.held.iter().filter(|h| h.ifindex == at.ifindex).flat_map(|h| h.by.clone()).collect())
    }

    fn chains(&mut self, netns: NetnsId) -> Seen<Vec<Chain>> {
        let chains = self.facts(netns, "netfilter's chains")?.chains.clone();
        chains.ok_or_else(|| self.missing("netfilter's chains", netns))
    }

    fn nf_rules(&mut self, netns: NetnsId, chain: &ChainId) -> Seen<Arc<[NfRule]>> {
        let what = "rules of netfilter";
        let key = (netns, chain.clone());
        if let Some(known) = self.nf_rules.get(&key) {
            return Ok(Arc::clone(known));
        }
        let all = self.facts(netns, what)?.nf_rules.as_ref().ok_or_else(|| self.missing(what, netns))?;
        let found = all.iter().find(|recorded| recorded.chain == *chain);
        let rules: Arc<[NfRule]> = found.map(|recorded| recorded.rules.as_slice()).unwrap_or_default().into();
        self.nf_rules.insert(key, Arc::clone(&rules));
        Ok(rules)
    }

    fn nf_set(&mut self, netns: NetnsId, chain: &ChainId, name: &str) -> Seen<Arc<NfSet>> {
        let what = "sets of nftables";
        let key = (netns, chain.clone(), name.to_owned());
        if let Some(known) = self.nf_sets.get(&key) {
            return Ok(Arc::clone(known));
        }
        let all = self.facts(netns, what)?.nf_sets.iter().flatten();
        let mut here = all.filter(|set| set.family == chain.family && set.table == chain.table);
        let found = here.find(|set| set.name == name).ok_or_else(|| self.missing(what, netns))?;
        let set = Arc::new(found.set.clone());
        self.nf_sets.insert(key, Arc::clone(&set));
        Ok(set)
    }

    fn programs(&mut self, at: LinkId, link: &Link) -> Seen<Vec<Program>> {
        let what = format!("programs at {}", link.ifname);
        let facts = self.facts(at.netns, &what)?;
        let all = facts.programs.as_ref().ok_or_else(|| self.missing(&what, at.netns))?;
        Ok(all.iter().filter(|p| p.ifindex == at.ifindex).flat_map(|p| p.programs.clone()).collect())
    }

    fn also_taken(&mut self, at: LinkId) -> Seen<Vec<LlAddr>> {
        let what = "devices on top of the link";
        let facts = self.facts(at.netns, what)?;
        let all = facts.fdb.as_ref().ok_or_else(|| self.missing(what, at.netns))?;
        let taken = all.iter().filter(|e| e.own && e.ifindex == at.ifindex).map(|e| e.mac);
        Ok(taken.filter(|mac| mac.bytes().first().is_some_and(|b| b & 1 == 0)).collect())
    }

    fn beyond(&mut self, at: LinkId, to: IpAddr, lladdr: Option<LlAddr>) -> Seen<Option<LinkId>> {
        self.over_the_wire(at, to, lladdr)
    }

    fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }
}
