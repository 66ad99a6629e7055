//! Several recorded machines as one network: which link of another one a packet comes in by that leaves the first, and
//! which namespaces of several recordings are the same one.

use std::collections::HashMap;
use std::net::IpAddr;

use super::Recorded;
use super::space::Space;
use crate::model::{Gap, IfIndex, Link, LinkId, LlAddr, NetnsId, Seen};

/// Where addresses are, and which namespaces are known from elsewhere.
#[derive(Debug, Default)]
pub(super) struct Joined {
    by_ip: HashMap<IpAddr, Vec<LinkId>>,
    by_mac: HashMap<LlAddr, Vec<LinkId>>,
    /// Namespaces that one recording could not look into and another one did.
    same: HashMap<NetnsId, NetnsId>,
}

impl Recorded {
    /// Learns where addresses are; asked for once, when all recordings are there.
    pub(super) fn join(&mut self) {
        if self.joined.is_some() || self.machines.len() < 2 {
            return;
        }
        let mut joined = Joined::default();
        for (netns, space) in self.all() {
            for link in space.links().filter(|l| !l.is_loopback()) {
                let at = LinkId { netns, ifindex: link.ifindex };
                for addr in link.addrs.iter().filter(|a| !a.link_scope) {
                    joined.by_ip.entry(addr.local).or_default().push(at);
                }
                if let Some(mac) = link.address.filter(|mac| !mac.is_zero()) {
                    joined.by_mac.entry(mac).or_default().push(at);
                }
            }
        }
        let unseen = self.all().filter(|(_, space)| space.read.netns.is_none() && !space.was_read());
        for (netns, space) in unseen {
            if let Some(known) = self.elsewhere(netns, space, &joined) {
                joined.same.insert(netns, known);
            }
        }
        self.joined = Some(joined);
    }

    /// The namespace of another recording with the same links: link-layer addresses are given at random.
    fn elsewhere(&self, netns: NetnsId, space: &Space, joined: &Joined) -> Option<NetnsId> {
        let told: Vec<&Link> = space.links().filter(|l| l.address.is_some_and(|a| !a.is_zero())).collect();
        let first = told.first()?;
        let candidates = joined.by_mac.get(&first.address?)?;
        let is_same = |id: NetnsId| {
            on_other_machine(id, netns)
                && self.space(id).is_some_and(|other| {
                    let there = |l: &&Link| {
                        other.link(l.ifindex).is_some_and(|o| o.ifname == l.ifname && o.address == l.address)
                    };
                    other.was_read() && told.iter().all(there)
                })
        };
        candidates.iter().map(|at| at.netns).find(|id| is_same(*id))
    }

    /// The namespace as the recording knows it that looked into it.
    pub(super) fn best_known(&self, id: NetnsId) -> NetnsId {
        self.joined.as_ref().and_then(|joined| joined.same.get(&id).copied()).unwrap_or(id)
    }

    /// The link of another machine that takes what is handed to an address.
    pub(super) fn over_the_wire(&self, at: LinkId, to: IpAddr, lladdr: Option<LlAddr>) -> Seen<Option<LinkId>> {
        let Some(joined) = &self.joined else { return Ok(None) };
        let elsewhere = |all: Option<&Vec<LinkId>>| -> Vec<LinkId> {
            let others = all.into_iter().flatten().filter(|id| on_other_machine(id.netns, at.netns));
            let mut found: Vec<LinkId> = others.filter_map(|id| self.arrives_by(*id)).collect();
            found.sort();
            found.dedup();
            found
        };
        let mut found = elsewhere(joined.by_ip.get(&to));
        if let Some(mac) = lladdr {
            let by_mac = elsewhere(joined.by_mac.get(&mac));
            // An address may have moved since the neighbour was learned: the frame goes where its own address is.
            found = match found.iter().copied().filter(|id| by_mac.contains(id)).collect::<Vec<_>>() {
                both if !both.is_empty() => both,
                _ => by_mac,
            };
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            several => {
                let names: Vec<String> = several.iter().map(|id| self.netns_of(id.netns).name).collect();
                let what = format!("which machine takes what is handed to {to}");
                Err(Gap::new(what, self.netns_of(at.netns).name, format!("it may be {}", names.join(" or "))))
            }
        }
    }

    /// The link by which packets for a holder of an address come into its machine; none: they do not come from outside.
    fn arrives_by(&self, holder: LinkId) -> Option<LinkId> {
        let space = self.space(holder.netns)?;
        let mut link = space.link(holder.ifindex)?;
        // Down to the hardware, which is never far.
        for _ in 0..4 {
            let below = |index: IfIndex| space.link(index);
            link = match link.kind.as_str() {
                "device" | "bond" | "team" => {
                    return Some(LinkId { netns: holder.netns, ifindex: link.ifindex });
                }
                "bridge" => {
                    let out = |l: &&Link| matches!(l.kind.as_str(), "device" | "bond" | "team" | "vlan");
                    let mut ports = space.links().filter(|l| l.master == Some(link.ifindex)).filter(out);
                    let port = ports.next()?;
                    if ports.next().is_some() {
                        return None;
                    }
                    port
                }
                "vlan" | "macvlan" if link.link_netnsid.is_none() => below(link.link?)?,
                _ => return None,
            };
        }
        None
    }
}

fn on_other_machine(a: NetnsId, b: NetnsId) -> bool {
    match (a, b) {
        (NetnsId::Recorded { snapshot: a, .. }, NetnsId::Recorded { snapshot: b, .. }) => a != b,
        _ => false,
    }
}
