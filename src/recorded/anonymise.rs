//! A recording without names and addresses, that decides over packets as it did: the same name becomes the same other
//! one everywhere, and addresses that share a prefix share one as long afterwards.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::{
    Chain, Gap, HeldBy, Holder, HolderType, Iptunnel, KindData, Link, LlAddr, Owner, Program, RecordedFacts,
    RecordedNetns, RecordedRule, Snapshot,
};

/// Names that say nothing, and mean something to podnet.
const KEPT: [&str; 4] = ["lo", "host", "own", ""];

/// Hides what tells whose machine it is. Whoever does not know the hash function's key cannot undo it.
pub fn anonymise(mut snapshot: Snapshot, hash: &impl BuildHasher) -> Snapshot {
    let mut hide = Hide { hash, names: HashMap::new(), taken: HashSet::new() };
    snapshot.hostname = hide.name("node", &snapshot.hostname);
    snapshot.boot_id = hide.name("boot", &snapshot.boot_id);
    // Names first: gaps speak of them.
    let known: Vec<String> = snapshot.namespaces.iter().flat_map(names).collect();
    for name in known {
        hide.name("if", &name);
    }
    for netns in &mut snapshot.namespaces {
        hide.netns(netns);
    }
    snapshot.gaps.iter_mut().for_each(|gap| hide.gap(gap));
    snapshot
}

/// Names of links; those of namespaces come with them.
fn names(netns: &RecordedNetns) -> Vec<String> {
    netns.links.iter().map(|l| l.link.ifname.clone()).collect()
}

struct Hide<'a, H> {
    hash: &'a H,
    names: HashMap<String, String>,
    taken: HashSet<String>,
}

impl<H: BuildHasher> Hide<'_, H> {
    fn name(&mut self, kind: &str, name: &str) -> String {
        if KEPT.contains(&name) {
            return name.to_owned();
        }
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        // Two names stay two names.
        let others = |again: u32| format!("{kind}-{:08x}", self.hash.hash_one(("name", name, again)) as u32);
        let other = (0..).map(others).find(|other| !self.taken.contains(other)).unwrap_or_default();
        self.taken.insert(other.clone());
        self.names.insert(name.to_owned(), other.clone());
        other
    }

    fn rename(&mut self, kind: &str, name: &mut String) {
        *name = self.name(kind, name);
    }

    fn netns(&mut self, netns: &mut RecordedNetns) {
        // A namespace that is called by its number has no other name.
        if !netns.name.starts_with("net:[") && !netns.name.starts_with("nsid ") {
            self.rename("ns", &mut netns.name);
        }
        netns.owner.iter_mut().chain(&mut netns.tenants).for_each(|owner| self.owner(owner));
        netns.holders.iter_mut().for_each(|holder| self.holder(holder));
        netns.links.iter_mut().for_each(|link| self.link(&mut link.link));
        if let Some(facts) = &mut netns.facts {
            self.facts(facts);
        }
        netns.closed.iter_mut().chain(&mut netns.gaps).for_each(|gap| self.gap(gap));
    }

    fn owner(&mut self, owner: &mut Owner) {
        self.rename("ns", &mut owner.name);
        if let Some(pod) = &mut owner.pod {
            self.rename("space", &mut pod.namespace);
            self.rename("pod", &mut pod.name);
            self.rename("uid", &mut pod.uid);
            owner.name = format!("{}/{}", pod.namespace, pod.name);
        }
        for container in &mut owner.containers {
            self.rename("id", &mut container.id);
            container.name.iter_mut().for_each(|name| self.rename("ctr", name));
        }
        owner.within.iter_mut().for_each(|name| self.rename("ctr", name));
    }

    fn holder(&mut self, holder: &mut Holder) {
        holder.comm.iter_mut().for_each(|comm| self.rename("proc", comm));
        let Some(path) = &mut holder.path else { return };
        if holder.holder == HolderType::Process {
            return;
        }
        *path = match path.rsplit_once('/') {
            Some((dir, name)) if dir.ends_with("/netns") => format!("/run/netns/{}", self.name("ns", name)),
            _ => format!("/{}", self.name("path", path)),
        };
    }

    fn link(&mut self, link: &mut Link) {
        self.rename("if", &mut link.ifname);
        link.pf.iter_mut().for_each(|pf| self.rename("if", pf));
        link.parent_dev.iter_mut().for_each(|dev| self.rename("dev", dev));
        link.address = link.address.map(|a| self.lladdr(a));
        for addr in &mut link.addrs {
            addr.local = self.ip(addr.local);
            addr.peer = addr.peer.map(|peer| self.ip(peer));
        }
        match &mut link.data {
            Some(KindData::Vxlan { local, remote, .. } | KindData::Iptunnel(Iptunnel { local, remote, .. })) => {
                *local = local.map(|ip| self.ip(ip));
                *remote = remote.map(|ip| self.ip(ip));
            }
            Some(KindData::Geneve { remote, .. }) => *remote = remote.map(|ip| self.ip(ip)),
            _ => {}
        }
    }

    fn facts(&mut self, facts: &mut RecordedFacts) {
        for route in facts.routes.iter_mut().flatten() {
            route.dst = self.net(route.dst);
            route.src = route.src.map(|net| self.net(net));
            route.gateway = route.gateway.map(|ip| self.ip(ip));
            route.prefsrc = route.prefsrc.map(|ip| self.ip(ip));
            route.nexthops.iter_mut().for_each(|hop| hop.gateway = hop.gateway.map(|ip| self.ip(ip)));
        }
        facts.rules.iter_mut().chain(&mut facts.rules6).flatten().for_each(|rule| self.rule(rule));
        for neigh in facts.neighbours.iter_mut().chain(&mut facts.proxies).flatten() {
            neigh.dst = self.ip(neigh.dst);
            neigh.lladdr = neigh.lladdr.map(|a| self.lladdr(a));
        }
        for entry in facts.fdb.iter_mut().flatten() {
            entry.mac = self.lladdr(entry.mac);
            entry.dst = entry.dst.map(|ip| self.ip(ip));
        }
        let hops = facts.nexthops.values_mut().flatten();
        hops.for_each(|hop| hop.gateway = hop.gateway.map(|ip| self.ip(ip)));
        facts.chains.iter_mut().flatten().for_each(|chain| self.chain(chain));
        // Addresses and names stand in rules byte by byte, some in part.
        facts.nf_rules = None;
        facts.nf_sets = None;
        let programs = facts.programs.iter_mut().flatten().flat_map(|at| &mut at.programs);
        programs.for_each(|program: &mut Program| program.name.iter_mut().for_each(|n| self.rename("prog", n)));
        let held = facts.held.iter_mut().flat_map(|at| &mut at.by);
        held.for_each(|by: &mut HeldBy| self.rename("proc", &mut by.comm));
    }

    fn rule(&mut self, rule: &mut RecordedRule) {
        rule.src = rule.src.map(|net| self.net(net));
        rule.dst = rule.dst.map(|net| self.net(net));
        rule.iif.iter_mut().chain(&mut rule.oif).for_each(|name| self.rename("if", name));
    }

    fn chain(&mut self, chain: &mut Chain) {
        self.rename("table", &mut chain.table);
        self.rename("chain", &mut chain.chain);
        chain.device.iter_mut().for_each(|device| self.rename("if", device));
    }

    /// Every name in it that is known.
    fn gap(&mut self, gap: &mut Gap) {
        gap.at = self.words(&gap.at);
        gap.what = self.words(&gap.what);
        gap.why = self.words(&gap.why);
    }

    fn words(&self, text: &str) -> String {
        let other = |word: &str| self.names.get(word.trim_end_matches(',')).cloned().unwrap_or_else(|| word.to_owned());
        match self.names.get(text) {
            Some(name) => name.clone(),
            None => text.split(' ').map(other).collect::<Vec<_>>().join(" "),
        }
    }

    fn lladdr(&self, address: LlAddr) -> LlAddr {
        let bytes = address.bytes();
        match bytes.len() {
            // Tunnels have an IP address in its place.
            4 => bytes.first_chunk::<4>().map_or(address, |b| self.as_lladdr(IpAddr::from(*b))),
            16 => bytes.first_chunk::<16>().map_or(address, |b| self.as_lladdr(IpAddr::from(*b))),
            _ if address.is_zero() || bytes.iter().all(|b| *b == 0xff) => address,
            _ => {
                let mut hidden = self.hash.hash_one(("lladdr", bytes)).to_be_bytes();
                // Whether it is a group's, and whether it was given by hand, means something.
                hidden[0] = (hidden[0] & 0xfc) | (bytes[0] & 0x03);
                let mut whole = bytes.to_vec();
                let covered = whole.len().min(hidden.len());
                whole[..covered].copy_from_slice(&hidden[..covered]);
                LlAddr::new(&whole)
            }
        }
    }

    fn as_lladdr(&self, ip: IpAddr) -> LlAddr {
        match self.ip(ip) {
            IpAddr::V4(ip) => LlAddr::new(&ip.octets()),
            IpAddr::V6(ip) => LlAddr::new(&ip.octets()),
        }
    }

    fn net(&self, net: IpNet) -> IpNet {
        IpNet::new(self.ip(net.addr()), net.prefix_len()).map_or(net, |net| net.trunc())
    }

    fn ip(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) => {
                let bits = self.bits(4, u128::from(u32::from(ip)) << 96, kept4(ip), 32);
                Ipv4Addr::from((bits >> 96) as u32).into()
            }
            IpAddr::V6(ip) => Ipv6Addr::from(self.bits(6, ip.into(), kept6(ip), 128)).into(),
        }
    }

    /// Turns each bit or not, as the bits before it say: so prefixes stay prefixes.
    fn bits(&self, family: u8, bits: u128, kept: u32, length: u32) -> u128 {
        let mut hidden = bits;
        for at in kept..length {
            let before = if at == 0 { 0 } else { bits >> (128 - at) };
            if self.hash.hash_one((family, at, before)) & 1 == 1 {
                hidden ^= 1 << (127 - at);
            }
        }
        hidden
    }
}

/// Bits of an address that mean something to every host.
fn kept4(ip: Ipv4Addr) -> u32 {
    match ip.octets() {
        [0 | 127 | 224..=255, ..] => 32,
        // Private, shared, link-local and documentation networks are parts of these.
        [100 | 169 | 192 | 198 | 203, ..] => 16,
        [172, ..] => 12,
        _ => 8,
    }
}

fn kept6(ip: Ipv6Addr) -> u32 {
    match ip.segments() {
        [0xff00..=0xffff, ..] => 128,
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] => 128,
        [0xfe80..=0xfebf, ..] => 64,
        [0x2001, ..] => 32,
        _ => 16,
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    #[test]
    fn prefixes_stay_prefixes() {
        let hash = RandomState::new();
        let hide = Hide { hash: &hash, names: HashMap::new(), taken: HashSet::new() };
        let common = |a: IpAddr, b: IpAddr| match (a, b) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
            _ => 0,
        };
        let all = ["10.1.2.3", "10.1.2.4", "10.1.3.1", "10.200.0.1", "10.1.2.3", "172.16.0.1", "fd00::1", "fd00:1::1"];
        let all: Vec<IpAddr> = all.iter().map(|ip| ip.parse().unwrap()).collect();
        for a in &all {
            for b in &all {
                assert_eq!(common(*a, *b), common(hide.ip(*a), hide.ip(*b)), "{a} {b}");
            }
        }
        for same in ["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "::1", "::", "ff02::1"] {
            assert_eq!(hide.ip(same.parse().unwrap()).to_string(), same);
        }
        assert!(hide.ip("fe80::1234:5678".parse().unwrap()).to_string().starts_with("fe80::"));
        let net: IpNet = "10.1.2.0/24".parse().unwrap();
        assert!(hide.net(net).contains(&hide.ip("10.1.2.77".parse().unwrap())));
    }

    #[test]
    fn addresses_of_links_keep_their_sort() {
        let hash = RandomState::new();
        let hide = Hide { hash: &hash, names: HashMap::new(), taken: HashSet::new() };
        for mac in ["02:42:0a:00:00:02", "33:33:00:00:00:01", "52:54:00:1e:b4:37"] {
            let (before, after) = (mac.parse::<LlAddr>().unwrap(), hide.lladdr(mac.parse().unwrap()));
            assert_ne!(before, after);
            assert_eq!(before.bytes()[0] & 3, after.bytes()[0] & 3);
        }
        let zero: LlAddr = "00:00:00:00:00:00".parse().unwrap();
        assert_eq!(hide.lladdr(zero), zero);
    }
}
