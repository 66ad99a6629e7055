//! A network that exists on paper only, for tests of links that the kernel at hand may not have: what it holds is what the
//! walk is told.
#![cfg(test)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Ask, Traced, trace};
use crate::model::{
    BridgePort, Chain, ChainId, FdbEntry, Flow, Gap, HeldBy, IfIndex, KindData, Link, LinkAddr, LinkId, LlAddr, Neigh,
    NeighState, Netns, NetnsId, Nexthop, NfRule, NfSet, Nsid, PortVlan, Program, Remote, Route, RouteAnswer, RouteType,
    Rule, Seen, TableId, Topology,
};

/// The network.
#[derive(Default)]
pub struct Fake {
    names: Vec<String>,
    links: Vec<(LinkId, Link)>,
    routes: Vec<(NetnsId, Route)>,
    fdb: HashMap<(LinkId, LlAddr, Option<u16>), IfIndex>,
    pub vlans: HashMap<LinkId, Vec<PortVlan>>,
    /// Ports whose VLANs cannot be read.
    pub hidden: Vec<LinkId>,
    pub neighs: HashMap<(LinkId, IpAddr), LlAddr>,
    pub programs: HashMap<LinkId, Vec<Program>>,
    pub remotes: HashMap<LinkId, Vec<Remote>>,
    pub chains: HashMap<NetnsId, Vec<Chain>>,
    /// By chain and by name, whatever the namespace.
    pub rules: HashMap<ChainId, Vec<NfRule>>,
    pub sets: HashMap<String, NfSet>,
}

impl Fake {
    pub fn space(&mut self, name: &str) -> NetnsId {
        self.names.push(name.to_owned());
        NetnsId::Inode { dev: 4, ino: self.names.len() as u64 }
    }

    /// A link of a kind, up, with the next free index and an address made of it.
    pub fn link(&mut self, netns: NetnsId, ifname: &str, kind: &str, data: Option<KindData>) -> LinkId {
        let number = self.links.len() as u32 + 1;
        let id = LinkId { netns, ifindex: IfIndex(number) };
        let link = Link {
            ifindex: id.ifindex,
            ifname: ifname.to_owned(),
            kind: kind.to_owned(),
            address: Some(LlAddr::mac([2, 0, 0, 0, 0, number as u8])),
            mtu: Some(1500),
            up: true,
            operstate: "UP".to_owned(),
            data,
            ..Link::default()
        };
        self.links.push((id, link));
        id
    }

    pub fn of(&mut self, id: LinkId) -> &mut Link {
        &mut self.links.iter_mut().find(|(known, _)| *known == id).unwrap().1
    }

    /// Two ends of a pair.
    pub fn pair(&mut self, left: (NetnsId, &str), right: (NetnsId, &str), kind: &str) -> (LinkId, LinkId) {
        let (a, b) = (self.link(left.0, left.1, kind, None), self.link(right.0, right.1, kind, None));
        self.below(a, b);
        self.below(b, a);
        (a, b)
    }

    /// A link's other end, or the link below it.
    pub fn below(&mut self, id: LinkId, far: LinkId) {
        let nsid = (id.netns != far.netns).then(|| Nsid(far.netns.ino().unwrap() as i32));
        let link = self.of(id);
        (link.link, link.link_netnsid) = (Some(far.ifindex), nsid);
    }

    pub fn vlan(&mut self, netns: NetnsId, ifname: &str, on: LinkId, id: u16, ad: bool) -> LinkId {
        let link = self.link(netns, ifname, "vlan", Some(KindData::Vlan { id, ad }));
        self.below(link, on);
        self.of(link).address = self.of(on).address;
        link
    }

    pub fn bridge(&mut self, netns: NetnsId, ifname: &str, vlan_filtering: bool, ports: &[LinkId]) -> LinkId {
        let data = KindData::Bridge {
            stp: false,
            vlan_filtering,
            ad: false,
            nf_call_iptables: false,
            nf_call_ip6tables: false,
        };
        let bridge = self.link(netns, ifname, "bridge", Some(data));
        for port in ports {
            let link = self.of(*port);
            link.master = Some(bridge.ifindex);
            link.port = Some(BridgePort {
                state: "forwarding".to_owned(),
                flood: true,
                bcast_flood: true,
                learning: true,
                ..BridgePort::default()
            });
        }
        bridge
    }

    /// An entry of a bridge for the address of a link.
    pub fn learn(&mut self, bridge: LinkId, of: LinkId, vlan: Option<u16>, port: LinkId) {
        let mac = self.of(of).address.unwrap();
        self.fdb.insert((bridge, mac, vlan), port.ifindex);
    }

    /// A neighbour entry for the address of another link.
    pub fn knows(&mut self, at: LinkId, ip: &str, of: LinkId) {
        let mac = self.of(of).address.unwrap();
        self.neighs.insert((at, ip.parse().unwrap()), mac);
    }

    /// An address, and the route to its prefix.
    pub fn addr(&mut self, id: LinkId, text: &str) {
        let (ip, prefix_len) = text.split_once('/').unwrap();
        let (local, prefix_len) = (ip.parse().unwrap(), prefix_len.parse().unwrap());
        self.of(id).addrs.push(LinkAddr::new(local, prefix_len, false));
        self.route(id, &IpNet::new(local, prefix_len).unwrap().trunc().to_string(), None);
    }

    pub fn route(&mut self, by: LinkId, dst: &str, gateway: Option<&str>) -> &mut Route {
        let route = Route {
            dst: dst.parse().unwrap(),
            kind: RouteType::Unicast,
            gateway: gateway.map(|ip| ip.parse().unwrap()),
            oif: Some(by.ifindex),
            dev: None,
            table: TableId::MAIN,
            metric: 0,
            prefsrc: None,
            protocol: "boot".to_owned(),
            scope: "universe".to_owned(),
            mtu: None,
            nexthops: Vec::new(),
            nhid: None,
            encap: None,
            onlink: false,
        };
        self.routes.push((by.netns, route));
        &mut self.routes.last_mut().unwrap().1
    }

    /// The trace of packets to an address.
    pub fn trace(&mut self, from: NetnsId, to: &str) -> Traced {
        let ask = Ask { to: Some(to.parse().unwrap()), ..Ask::default() };
        trace(self, from, &ask)
    }

    fn look_up(&self, netns: NetnsId, flow: &Flow, oif: Option<IfIndex>) -> RouteAnswer {
        let own = |(id, link): &&(LinkId, Link)| id.netns == netns && link.holds(flow.dst);
        let matching = self.routes.iter().filter(|(at, route)| {
            *at == netns && route.dst.contains(&flow.dst) && oif.is_none_or(|oif| route.oif == Some(oif))
        });
        let Some((_, best)) = matching.max_by_key(|(_, route)| route.dst.prefix_len()) else {
            return RouteAnswer::Refused("ENETUNREACH".to_owned());
        };
        let by = self.links.iter().find(|(id, link)| id.netns == netns && Some(link.ifindex) == best.oif);
        let prefsrc = flow.src.or_else(|| by.and_then(|(_, link)| link.addrs.first()).map(|addr| addr.local));
        let kind = if self.links.iter().any(|l| own(&l)) { RouteType::Local } else { best.kind };
        RouteAnswer::Route(Route { prefsrc, kind, ..best.clone() })
    }
}

impl Topology for Fake {
    fn netns(&self, id: NetnsId) -> Netns {
        let name = id.ino().and_then(|ino| self.names.get(ino as usize - 1)).cloned().unwrap_or_default();
        Netns { id, nsid: None, name, node: None, owner: None, pid: None }
    }

    fn links(&mut self, netns: NetnsId) -> Seen<Vec<Link>> {
        Ok(self.links.iter().filter(|(id, _)| id.netns == netns).map(|(_, link)| link.clone()).collect())
    }

    fn link(&mut self, id: LinkId) -> Seen<Option<Link>> {
        Ok(self.links.iter().find(|(known, _)| *known == id).map(|(_, link)| link.clone()))
    }

    fn far_end(&mut self, id: LinkId, link: &Link) -> Seen<Option<LinkId>> {
        let netns = self.underlay(id, link)?;
        Ok(link.link.map(|ifindex| LinkId { netns, ifindex }))
    }

    fn ports(&mut self, bridge: LinkId) -> Seen<Vec<Link>> {
        self.members(bridge)
    }

    fn first_ports(&mut self, bridge: LinkId, limit: usize) -> Seen<Vec<(IfIndex, String)>> {
        Ok(self.members(bridge)?.into_iter().take(limit).map(|link| (link.ifindex, link.ifname)).collect())
    }

    fn members(&mut self, master: LinkId) -> Seen<Vec<Link>> {
        let links = self.links(master.netns)?;
        Ok(links.into_iter().filter(|link| link.master == Some(master.ifindex)).collect())
    }

    fn uppers(&mut self, at: LinkId, kinds: &[&str]) -> Seen<Vec<(LinkId, Link)>> {
        let all = self.links.clone().into_iter().filter(|(_, link)| kinds.contains(&link.kind.as_str()));
        Ok(all.filter(|(id, link)| self.far_end(*id, link) == Ok(Some(at))).collect())
    }

    fn underlay(&mut self, at: LinkId, link: &Link) -> Seen<NetnsId> {
        Ok(link.link_netnsid.map_or(at.netns, |nsid| NetnsId::Inode { dev: 4, ino: nsid.0 as u64 }))
    }

    fn tunnels(&mut self, underlay: NetnsId, kind: &str, _: Option<u32>) -> Seen<Vec<(LinkId, Link)>> {
        let all = self.links.clone().into_iter().filter(|(_, link)| link.kind == kind);
        Ok(all.filter(|(id, link)| self.underlay(*id, link) == Ok(underlay)).collect())
    }

    fn remotes(&mut self, at: LinkId, mac: LlAddr) -> Seen<Vec<Remote>> {
        let all = self.remotes.get(&at).into_iter().flatten();
        Ok(all.filter(|remote| remote.mac == mac).cloned().collect())
    }

    fn vlans(&mut self, port: LinkId) -> Seen<Vec<PortVlan>> {
        match self.hidden.contains(&port) {
            true => Err(Gap::new("VLANs of a bridge port", "paper", "they cannot be read")),
            false => Ok(self.vlans.get(&port).cloned().unwrap_or_default()),
        }
    }

    fn routes(&mut self, netns: NetnsId) -> Seen<Vec<Route>> {
        Ok(self.routes.iter().filter(|(at, _)| *at == netns).map(|(_, route)| route.clone()).collect())
    }

    fn route_out(&mut self, netns: NetnsId, flow: &Flow, oif: Option<IfIndex>) -> Seen<RouteAnswer> {
        Ok(self.look_up(netns, flow, oif))
    }

    fn route_in(&mut self, at: LinkId, flow: &Flow) -> Seen<RouteAnswer> {
        Ok(self.look_up(at.netns, flow, None))
    }

    fn neigh(&mut self, at: LinkId, ip: IpAddr) -> Seen<Option<Neigh>> {
        let lladdr = self.neighs.get(&(at, ip)).copied();
        Ok(lladdr.map(|mac| Neigh { dst: ip, lladdr: Some(mac), state: NeighState::Reachable }))
    }

    fn proxied(&mut self, _: LinkId, _: IpAddr) -> Seen<bool> {
        Ok(false)
    }

    fn sysctl(&mut self, _: NetnsId, _: &str) -> Seen<Option<i64>> {
        Ok(None)
    }

    fn rules(&mut self, _: NetnsId, _: bool) -> Seen<Vec<Rule>> {
        Ok(Vec::new())
    }

    fn doubt(&self, _: NetnsId, _: bool) -> Option<String> {
        None
    }

    fn fdb(&mut self, bridge: LinkId, mac: LlAddr, vlan: Option<u16>) -> Seen<Option<FdbEntry>> {
        let port = self.fdb.get(&(bridge, mac, vlan)).copied();
        Ok(port.map(|ifindex| FdbEntry { mac, ifindex, vlan, state: String::new(), local: ifindex == bridge.ifindex }))
    }

    fn also_taken(&mut self, at: LinkId) -> Seen<Vec<LlAddr>> {
        let uppers = self.uppers(at, &super::above::MACVLANS)?;
        Ok(uppers.into_iter().filter_map(|(_, link)| link.address).collect())
    }

    fn nexthops(&mut self, _: NetnsId, id: u32) -> Seen<Vec<Nexthop>> {
        Err(Gap::new(format!("nexthop object {id}"), "paper", "there is none"))
    }

    fn held_by(&mut self, _: LinkId, _: &Link) -> Seen<Vec<HeldBy>> {
        Ok(Vec::new())
    }

    fn chains(&mut self, netns: NetnsId) -> Seen<Vec<Chain>> {
        Ok(self.chains.get(&netns).cloned().unwrap_or_default())
    }

    fn nf_rules(&mut self, _: NetnsId, chain: &ChainId) -> Seen<Arc<[NfRule]>> {
        let gap = || Gap::new(format!("rules of {}", chain.chain), "paper", "there are none");
        self.rules.get(chain).map(|rules| rules.as_slice().into()).ok_or_else(gap)
    }

    fn nf_set(&mut self, _: NetnsId, _: &ChainId, name: &str) -> Seen<Arc<NfSet>> {
        let gap = || Gap::new(format!("set {name}"), "paper", "there is none");
        self.sets.get(name).cloned().map(Arc::new).ok_or_else(gap)
    }

    fn programs(&mut self, at: LinkId, _: &Link) -> Seen<Vec<Program>> {
        Ok(self.programs.get(&at).cloned().unwrap_or_default())
    }

    fn take_gaps(&mut self) -> Vec<Gap> {
        Vec::new()
    }
}
