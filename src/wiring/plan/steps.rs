//! The steps of an attach, in the order that leaves nothing half done in sight: addresses on disk, settings, the bridge,
//! the link, its addresses and routes, rules, and last what says that it is whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::check::{of_family, own_route};
use super::gateway::{host_part, is_link_local6, with_len};
use super::{Decided, Facts, Lease, Refusal, Way, Wish};
use crate::model::{Attachment, Change, Link, Masquerade, NetnsRef, NewLink, Plan, Reservation, RouteType};
use crate::wiring::GROUP;

const HOST: NetnsRef = NetnsRef::Host;

/// What is written beside a bridge that podnet made, once it is whole.
const BRIDGE: &str = "podnet bridge";

pub(super) struct Planning<'a> {
    pub(super) wish: &'a Wish,
    pub(super) facts: &'a Facts,
    netns: &'a NetnsRef,
    pub(super) leases: &'a [Lease],
    pub(super) decided: Decided,
    /// Addresses that the host's side of the network gets.
    pub(super) host_addrs: Vec<IpNet>,
}

pub(super) fn decide(
    wish: &Wish,
    facts: &Facts,
    netns: &NetnsRef,
    leases: &[Lease],
    attachment: Attachment,
) -> Result<Decided, Refusal> {
    let decided = Decided {
        plan: Plan::default(),
        attachment,
        gateways: Vec::new(),
        gateway_is_host: true,
        makes_bridge: false,
        sysctls: Vec::new(),
        notes: Vec::new(),
    };
    let mut planning = Planning { wish, facts, netns, leases, decided, host_addrs: Vec::new() };
    planning.gateways()?;
    planning.host_has_ipv6()?;
    planning.reserve();
    planning.forwarding()?;
    match &wish.way {
        Way::Bridge { name, hairpin, isolated } => planning.bridge(name, *hairpin, *isolated),
        Way::PointToPoint => planning.point_to_point(),
        Way::Macvlan { lower } => planning.macvlan(lower),
    }
    planning.own_side()?;
    planning.last();
    Ok(planning.decided)
}

impl Planning<'_> {
    pub(super) fn note(&mut self, note: String) {
        if !self.decided.notes.contains(&note) {
            self.decided.notes.push(note);
        }
    }

    fn step(&mut self, netns: &NetnsRef, change: Change) {
        self.decided.plan.step(netns, change);
    }

    fn with_undo(&mut self, change: Change, undo: Vec<Change>) {
        self.decided.plan.with_undo(&HOST, change, undo.into_iter().map(|change| (HOST, change)).collect());
    }

    fn reserve(&mut self) {
        let Attachment { id, ifname, store, .. } = self.decided.attachment.clone();
        let Some(store) = store else { return };
        for lease in self.leases {
            let addr = lease.addr.addr();
            let (id, ifname, store) = (id.clone(), ifname.clone(), store.clone());
            let undo = Change::Release { store: store.clone(), addr, id: id.clone() };
            let reservation = Reservation { store, addr, id, ifname, range: lease.range };
            self.with_undo(Change::Reserve(reservation), vec![undo]);
        }
    }

    /// The host has to pass on what comes from the namespace, where the host is its way out.
    fn forwarding(&mut self) -> Result<(), Refusal> {
        let routed = self.wish.default_route || self.wish.routes.iter().any(|(_, via)| via.is_none());
        let needed =
            |ipv6: bool| routed && self.decided.gateway_is_host && self.decided.gateways.iter().any(of_family(ipv6));
        let (ipv4, ipv6) = (needed(false), needed(true));
        let facts = &self.facts.forwarding;
        let mut settings = Vec::new();
        if ipv4 && !facts.ipv4 {
            settings.push(("net/ipv4/ip_forward".to_owned(), "0", "1", facts.along4.clone()));
        }
        if ipv6 && !facts.ipv6 {
            for link in &facts.advertised {
                let key = format!("net/ipv6/conf/{link}/accept_ra");
                settings.push((key, "1", "2", Vec::new()));
            }
            settings.push(("net/ipv6/conf/all/forwarding".to_owned(), "0", "1", facts.along6.clone()));
        }
        for (key, before, after, along) in settings {
            if let Some(why) = &facts.read_only {
                let name = key.replace('/', ".");
                return Err(Refusal::conflict(
                    format!("{name} is {before} and has to be {after}, and it cannot be written: {why}"),
                    format!("set it outside first (sysctl -w {name}={after}), or give --no-default-route"),
                ));
            }
            let set = |key: &str, value: &str| Change::SetSysctl { key: key.to_owned(), value: value.to_owned() };
            let undo = [set(&key, before)].into_iter().chain(along.iter().map(|(key, value)| set(key, value)));
            self.with_undo(set(&key, after), undo.collect());
            self.decided.sysctls.push((key, before.to_owned(), after.to_owned()));
        }
        Ok(())
    }

    fn bridge(&mut self, name: &str, hairpin: bool, isolated: bool) {
        let ifname = name.to_owned();
        let missing = self.facts.base.is_none();
        self.decided.makes_bridge = missing;
        if missing {
            // With an address of its own it does not change to that of a port that comes or goes.
            let address = self.facts.bridge_mac;
            let link = NewLink { ifname: ifname.clone(), address, group: Some(GROUP), ..NewLink::default() };
            self.with_undo(Change::AddBridge(link), vec![Change::DelBridge { ifname: ifname.clone() }]);
        }
        self.host_side(&ifname, missing);
        if self.facts.base.as_ref().is_none_or(|base| !base.up) {
            self.step(&HOST, Change::SetUp { ifname: ifname.clone() });
        }
        self.pair(Some(ifname));
        if hairpin || isolated {
            let ifname = self.wish.host_ifname.clone();
            self.step(&HOST, Change::SetPort { ifname, hairpin, isolated });
        }
    }

    /// Gives a link of the host its addresses.
    fn host_side(&mut self, ifname: &str, goes_with_link: bool) {
        for addr in std::mem::take(&mut self.host_addrs) {
            let ifname = ifname.to_owned();
            let link_scope = addr.addr().is_ipv4() && self.wish.way == Way::PointToPoint;
            let add = Change::AddAddr { ifname: ifname.clone(), addr, nodad: true, link_scope };
            let undo = if goes_with_link { Vec::new() } else { vec![Change::DelAddr { ifname, addr }] };
            self.with_undo(add, undo);
        }
    }

    fn pair(&mut self, master: Option<String>) {
        let Wish { ifname, host_ifname, mtu, mac, .. } = self.wish;
        let mtu = mtu.or(self.facts.base.as_ref().and_then(|base| base.mtu).filter(|mtu| *mtu != 1500));
        let link = NewLink { ifname: host_ifname.clone(), mtu, group: Some(GROUP), ..NewLink::default() };
        let peer = NewLink { ifname: ifname.clone(), mtu, address: *mac, ..NewLink::default() };
        let lowered = |base: &&Link| base.group != GROUP && base.mtu > mtu;
        if let (Some(mtu), Some(base)) = (mtu, self.facts.base.as_ref().filter(lowered)) {
            self.note(format!(
                "unless somebody has set it, the MTU of {} falls to {mtu} with this port's",
                base.ifname
            ));
        }
        let add = Change::AddVeth { link, master, peer_netns: self.netns.clone(), peer };
        self.with_undo(add, vec![Change::DelLink { ifname: host_ifname.clone() }]);
    }

    fn point_to_point(&mut self) {
        self.pair(None);
        let ifname = self.wish.host_ifname.clone();
        self.host_side(&ifname, true);
    }

    /// Takes the host's end into use, and routes what is behind it.
    fn host_end_up(&mut self) {
        let ifname = self.wish.host_ifname.clone();
        if let Way::Macvlan { .. } = self.wish.way {
            return;
        }
        self.step(&HOST, Change::SetUp { ifname: ifname.clone() });
        for lease in self.leases.iter().filter(|_| self.wish.way == Way::PointToPoint) {
            let dst = host_part(lease.addr.addr());
            let dev = Some(ifname.clone());
            self.decided.plan.step(&HOST, Change::AddRoute { kind: RouteType::Unicast, dst, gateway: None, dev });
        }
    }

    fn macvlan(&mut self, lower: &str) {
        let Wish { ifname, mtu, mac, .. } = self.wish;
        let link = NewLink { ifname: ifname.clone(), mtu: *mtu, address: *mac, group: Some(GROUP), up: false };
        let add = Change::AddMacvlan { lower: lower.to_owned(), link, link_netns: self.netns.clone() };
        let (netns, ifname) = (self.netns.clone(), ifname.clone());
        // It is nowhere but in the namespace.
        self.decided.plan.with_undo(&HOST, add, vec![(netns, Change::DelLink { ifname })]);
        self.note(format!("{lower}'s own host and a macvlan on it cannot reach each other"));
    }

    /// Addresses and routes of the namespace.
    fn own_side(&mut self) -> Result<(), Refusal> {
        let (netns, dev) = (self.netns.clone(), self.wish.ifname.clone());
        let alone = self.wish.way == Way::PointToPoint;
        for lease in self.leases {
            let addr = if alone { host_part(lease.addr.addr()) } else { lease.addr };
            // The segment was asked who has what the store gave away; only behind a macvlan's link nobody hears that.
            let nodad = lease.range.is_some() && !matches!(self.wish.way, Way::Macvlan { .. });
            let add = Change::AddAddr { ifname: dev.clone(), addr, nodad, link_scope: false };
            self.step(&netns, add);
        }
        self.step(&netns, Change::SetUp { ifname: dev.clone() });
        // Only now: a link in use without a carrier is one that the kernel takes out of use behind everybody's back, and
        // whoever asks it anything in that time waits for that.
        self.host_end_up();
        let route = |dst, gateway| Change::AddRoute { kind: RouteType::Unicast, dst, gateway, dev: Some(dev.clone()) };
        for gateway in self.decided.gateways.clone() {
            if alone && !is_link_local6(gateway) {
                self.step(&netns, route(host_part(gateway), None));
            }
            if !self.wish.default_route {
                continue;
            }
            let everywhere = with_len(EVERYWHERE[usize::from(gateway.is_ipv6())], 0);
            if own_route(self.facts, &everywhere).is_some() {
                let message = format!("{} has a default route already", self.wish.target);
                return Err(Refusal::conflict(message, "give --no-default-route, and --route for what goes this way"));
            }
            self.step(&netns, route(everywhere, Some(gateway)));
        }
        for (dst, via) in &self.wish.routes {
            self.check_route(*dst, *via)?;
            let via = via.or(self.decided.gateways.iter().copied().find(of_family(dst.addr().is_ipv6())));
            self.step(&netns, route(dst.trunc(), via));
        }
        Ok(())
    }

    /// Rules, and what says that all of it is podnet's and whole.
    fn last(&mut self) {
        let comment = self.decided.attachment.comment();
        if self.wish.masquerade {
            for lease in self.leases {
                let comment = comment.clone();
                let rule = Masquerade { addr: lease.addr.addr(), within: lease.net(), comment: comment.clone() };
                self.with_undo(Change::AddMasquerade(rule), vec![Change::DelMasquerade { comment }]);
            }
        }
        if let (true, Way::Bridge { name, .. }) = (self.decided.makes_bridge, &self.wish.way) {
            self.step(&HOST, Change::SetAlias { ifname: name.clone(), alias: BRIDGE.to_owned() });
        }
        let (netns, ifname) = match self.wish.way {
            Way::Macvlan { .. } => (self.netns.clone(), self.wish.ifname.clone()),
            _ => (HOST, self.wish.host_ifname.clone()),
        };
        self.step(&netns, Change::SetAlias { ifname, alias: self.decided.attachment.to_string() });
    }
}

const EVERYWHERE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
