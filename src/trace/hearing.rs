//! Netfilter on the way: which of its chains see the packet where, what they know of it, and what was said so far.

use std::collections::HashMap;
use std::net::IpAddr;

use super::judge::{MOST_LOOKS, judge};
use super::order;
use super::route::local_of;
use super::sentence::{Endpoint, Sentence};
use super::sight::{Device, ESTABLISHED, Mark, NEW, Sight};
use super::translated::Hidden;
use super::walk::Walk;
use crate::model::{Chain, Gap, HeardChain, Hook, IfIndex, KindData, Link, LinkId, NetnsId, Outcome};

/// Between what a packet comes from and goes to at a hook.
#[derive(Debug, Default, Clone)]
pub(super) struct Between {
    pub iif: Device,
    pub oif: Device,
    /// Its destination is this namespace; false: an ordinary one elsewhere.
    pub local: Option<bool>,
    /// A bridge asks about a frame.
    pub bridged: bool,
}

/// What a chain does to a packet for certain.
#[derive(Debug)]
pub(super) struct Heard {
    pub hop: usize,
    /// Index among the chains of the hop.
    pub chain: usize,
    pub sentence: Sentence,
    /// A bridge asked it about a frame.
    pub bridged: bool,
    /// The packet is followed to where it is sent.
    pub followed: bool,
}

/// The kernel finds a packet's connection behind chains of lower priorities (`NF_IP_PRI_CONNTRACK`).
const CONNTRACK: i32 = -200;

/// Behind chains of this priority a packet that arrives has the destination that it was given (`NF_IP_PRI_NAT_DST`).
pub(super) const DSTNAT: i32 = -100;

/// What netfilter was asked for a packet, and has said.
#[derive(Debug)]
pub(super) struct Hearing {
    /// The packets answer others, whose connection these namespaces know.
    pub answers: Option<Vec<NetnsId>>,
    /// Namespaces that look at the packet as one of IP, and so get to know its connection.
    pub seen: Vec<NetnsId>,
    /// The namespace in which the answer has yet to get the source that its receiver waits for.
    pub back_in: Option<(NetnsId, IpAddr)>,
    /// Which endpoint of a service is taken.
    pub pick: usize,
    /// Endpoints that the service has.
    pub endpoints: usize,
    /// What the chains of netfilter say, in the order in which they are asked.
    pub heard: Vec<Heard>,
    /// The mark that rules of a namespace have given the packet there.
    pub marked: Option<(NetnsId, Mark)>,
    /// What may yet be looked at in each namespace.
    pub left: HashMap<NetnsId, usize>,
    /// Namespaces in which a rule may keep its connection from being followed.
    pub untracked: Vec<NetnsId>,
    /// A rule may have given it another source, which is not known.
    pub hidden: bool,
    /// Sources that it was given one after the other; of an answer those that are still to be given back.
    pub sources: Vec<Hidden>,
    /// The namespace that sends it to the destination that rules gave it as it was sent.
    pub sent_anew: Option<NetnsId>,
    /// Namespaces in which a rule has given it another destination; none: one may have.
    pub dnat: Vec<(NetnsId, Option<bool>)>,
}

impl Hearing {
    pub(super) fn new(sort: Sort) -> Hearing {
        let (answers, back_in, dnat, sources, pick) = match sort {
            Sort::To { endpoint } => (None, None, Vec::new(), Vec::new(), endpoint),
            Sort::Answer { back_in, tracked, dnat, sources } => (Some(tracked), back_in, dnat, sources, 0),
        };
        Hearing {
            answers,
            seen: Vec::new(),
            back_in,
            pick,
            endpoints: 0,
            heard: Vec::new(),
            marked: None,
            untracked: Vec::new(),
            left: HashMap::new(),
            hidden: false,
            sources,
            sent_anew: None,
            dnat,
        }
    }

    /// Namespaces that know the connection once the packet has passed.
    pub(super) fn tracked(&self) -> Vec<NetnsId> {
        self.seen.iter().copied().filter(|netns| !self.untracked.contains(netns)).collect()
    }

    pub(super) fn sends_elsewhere(&mut self, netns: NetnsId, for_certain: Option<bool>) {
        self.dnat.retain(|(there, _)| *there != netns);
        self.dnat.push((netns, for_certain));
    }
}

/// What sort of packet is followed.
#[derive(Debug)]
pub(super) enum Sort {
    /// The first of its connection, to this one of several endpoints that it could be sent to.
    To { endpoint: usize },
    /// The first answer.
    Answer {
        /// The namespace that gave the packet its destination, and so has to give the answer its source, and that address.
        back_in: Option<(NetnsId, IpAddr)>,
        /// Namespaces that know the connection.
        tracked: Vec<NetnsId>,
        /// Namespaces that have given the packet another destination; none: that may have.
        dnat: Vec<(NetnsId, Option<bool>)>,
        /// Sources that the packet was given on its way, one after the other.
        sources: Vec<Hidden>,
    },
}

/// The sysctl that has all bridges of a namespace ask the chains for IP.
pub(super) fn bridge_nf_call(ipv6: bool) -> &'static str {
    if ipv6 { "bridge/bridge-nf-call-ip6tables" } else { "bridge/bridge-nf-call-iptables" }
}

impl Walk<'_> {
    /// Chains at these hooks of a namespace that see packets of this flow, noted at the last hop.
    pub(super) fn note_chains(&mut self, netns: NetnsId, hooks: &[Hook], between: Between) {
        self.hearing.seen.push(netns);
        let ipv6 = self.flow.dst.is_ipv6();
        let device = self.hops.last().map(|h| h.ifname.clone());
        let sees = |chain: &Chain| {
            let family = match chain.family.as_str() {
                "inet" => chain.device.is_none() || chain.device == device,
                "ip" => !ipv6,
                "ip6" => ipv6,
                _ => false,
            };
            family && hooks.contains(&chain.hook)
        };
        self.note(netns, |_| between.clone(), sees);
        self.give_back_destination(netns, hooks);
    }

    /// Chains that see a packet on its way over the loopback device, where it has its addresses already.
    pub(super) fn note_chains_of_lo(&mut self, netns: NetnsId, local: Option<bool>) {
        const LO: &str = "lo";
        let own = || Device::Link(LO.to_owned(), 1);
        let taken = || Between { iif: own(), oif: Device::None, local, bridged: false };
        let sent = Between { iif: Device::None, oif: own(), local, bridged: false };
        self.note_chains(netns, &[Hook::Output], sent);
        if self.sent_on(netns, Hook::Output).is_some() {
            return;
        }
        self.note_chains(netns, &[Hook::Postrouting], Between { oif: own(), local, ..Between::default() });
        let ipv6 = self.flow.dst.is_ipv6();
        let family = |family: &str| family == "inet" || family == if ipv6 { "ip6" } else { "ip" };
        let bound = |chain: &Chain| chain.device.as_ref().is_none_or(|device| device == LO);
        for hook in [Hook::Egress, Hook::Ingress, Hook::Prerouting, Hook::Input] {
            let sees = |chain: &Chain| {
                let netdev = matches!(hook, Hook::Egress | Hook::Ingress) && chain.family == "netdev";
                chain.hook == hook && chain.kind != "nat" && bound(chain) && (netdev || family(&chain.family))
            };
            self.note(netns, |_| taken(), sees);
        }
    }

    /// Chains bound to the device of the last hop.
    pub(super) fn note_device_chains(&mut self, at: LinkId, link: &Link, hook: Hook) {
        let here = Device::Link(link.ifname.clone(), at.ifindex.0);
        let between = match hook {
            Hook::Egress => Between { oif: here, ..Between::default() },
            _ => Between { iif: here, ..Between::default() },
        };
        self.note(
            at.netns,
            |_| between.clone(),
            |chain| {
                chain.hook == hook
                    && matches!(chain.family.as_str(), "netdev" | "inet")
                    && chain.device.as_ref().is_none_or(|device| *device == link.ifname)
            },
        );
    }

    /// Chains that see frames inside a bridge, noted at the last hop: those of the bridge family; and, for frames that
    /// come in by a port of this bridge, those for IP where bridges are told to ask them.
    pub(super) fn note_bridge_chains(&mut self, at: LinkId, asked_by: Option<&Link>, hooks: &[Hook]) {
        let ipv6 = self.flow.dst.is_ipv6();
        let Ok(chains) = self.topology.chains(at.netns) else { return };
        if chains.is_empty() {
            return;
        }
        let asks_ip = asked_by.is_some_and(|bridge| self.asks_ip(at, bridge, ipv6));
        // Chains for IP see the bridge on both sides of a frame without tags.
        let tagged = self.hops.last().is_some_and(|hop| !hop.tags.is_empty());
        let filters = |link: &Link| matches!(link.data, Some(KindData::Bridge { vlan_filtering: true, .. }));
        if asks_ip {
            self.hearing.seen.push(at.netns);
        }
        let device = asked_by
            .filter(|bridge| asks_ip && !tagged && !filters(bridge))
            .map_or(Device::Unknown, |bridge| Device::Link(bridge.ifname.clone(), bridge.ifindex.0));
        let local = match hooks {
            [Hook::Prerouting] if asks_ip => local_of(&self.topology.route_in(at, &self.flow)),
            _ => Some(false).filter(|_| asks_ip),
        };
        let between = |chain: &Chain| match chain.hook {
            // Those of bridges see its ports.
            _ if chain.family == "bridge" => Between::default(),
            Hook::Prerouting => Between { iif: device.clone(), oif: Device::None, local, bridged: asks_ip },
            Hook::Postrouting => Between { iif: Device::None, oif: device.clone(), local, bridged: asks_ip },
            _ => Between { iif: device.clone(), oif: device.clone(), local, bridged: asks_ip },
        };
        self.note(at.netns, between, |chain| {
            let family = match chain.family.as_str() {
                "bridge" => true,
                "inet" => asks_ip,
                "ip" => asks_ip && !ipv6,
                "ip6" => asks_ip && ipv6,
                _ => false,
            };
            family && chain.device.is_none() && hooks.contains(&chain.hook)
        });
        if asks_ip {
            self.give_back_destination(at.netns, hooks);
        }
    }

    /// The bridge, or every bridge of the namespace, is told to ask the chains for IP over its frames.
    fn asks_ip(&mut self, at: LinkId, bridge: &Link, ipv6: bool) -> bool {
        let own = match bridge.data {
            Some(KindData::Bridge { nf_call_ip6tables, .. }) if ipv6 => nf_call_ip6tables,
            Some(KindData::Bridge { nf_call_iptables, .. }) => nf_call_iptables,
            _ => false,
        };
        own || matches!(self.topology.sysctl(at.netns, bridge_nf_call(ipv6)), Ok(Some(value)) if value != 0)
    }

    /// Asks the chains of a namespace that see the packet here.
    fn note(&mut self, netns: NetnsId, between: impl Fn(&Chain) -> Between, sees: impl Fn(&Chain) -> bool) {
        let chains = match self.topology.chains(netns) {
            Ok(chains) => chains,
            Err(gap) => return self.gap_once(gap),
        };
        // The kernel takes a mark off where a packet goes to another namespace.
        self.hearing.marked = self.hearing.marked.filter(|(there, _)| *there == netns);
        // Only the first packet of a connection asks for its addresses.
        let answers = self.hearing.answers.as_ref().is_some_and(|tracked| tracked.contains(&netns));
        let asked = |chain: &Chain| sees(chain) && !(answers && chain.kind == "nat");
        for group in order::groups(chains.into_iter().filter(asked).collect()) {
            if self.hops.is_empty() {
                return;
            }
            if order::is_known(&group) {
                group.into_iter().for_each(|chain| self.ask(netns, &between(&chain), chain));
            } else {
                self.ask_in_any_order(netns, &between, group);
            }
        }
    }

    /// Asks a chain.
    pub(super) fn ask(&mut self, netns: NetnsId, between: &Between, chain: Chain) {
        if self.was_asked(netns, &chain) {
            return;
        }
        let mut sight = self.sight(netns, between, &chain);
        let mut sentence = self.judged(netns, &chain, &mut sight);
        if chain.priority < CONNTRACK && sentence.outcomes.contains(&Outcome::Other) {
            sight.forget_state();
        }
        let before = self.mark(netns);
        if sight.mark != before {
            let shown = chain.kind != "nat" || !sentence.to.is_empty() || sentence.outcomes.contains(&Outcome::Hide);
            let mark = if shown { sight.mark } else { before.common(sight.mark) };
            self.hearing.marked = Some((netns, mark));
        }
        if sight.untracked && !self.hearing.untracked.contains(&netns) {
            self.hearing.untracked.push(netns);
        }
        std::mem::take(&mut sentence.gaps).into_iter().for_each(|gap| self.gap_once(gap));
        let mut heard = HeardChain { chain, outcomes: sentence.outcomes.clone(), by: sentence.by.clone() };
        // A packet whose connection is not followed is not shown to it, and so may it be with an answer that is the first
        // of its own. Where nothing asks for connections none is followed, and what gives addresses asks for them.
        let loose = self.hearing.answers.is_some() || self.hearing.untracked.contains(&netns);
        if heard.chain.kind == "nat" && (loose || heard.can(Outcome::Drop)) {
            heard.outcomes.insert(Outcome::Pass);
            sentence.to.clear();
        }
        match sentence.from.filter(|_| heard.does(Outcome::Hide)) {
            Some(source) => self.hide(netns, source, &between.oif),
            None => self.hearing.hidden |= heard.may_hide(),
        }
        if heard.may_redirect() {
            self.hearing.sends_elsewhere(netns, None);
        }
        let at = self.hops.len() - 1;
        if let Some(hop) = self.hops.last_mut() {
            let (chain, bridged) = (hop.chains.len(), between.bridged);
            self.hearing.heard.push(Heard { hop: at, chain, sentence, bridged, followed: false });
            hop.chains.push(heard);
        }
    }

    /// What a chain says of a packet, as far as there is anything left to look at in its namespace.
    pub(super) fn judged(&mut self, netns: NetnsId, chain: &Chain, sight: &mut Sight) -> Sentence {
        let left = self.hearing.left.entry(netns).or_insert(MOST_LOOKS);
        judge(self.topology, netns, chain, sight, left)
    }

    fn gap_once(&mut self, gap: Gap) {
        if !self.gaps.contains(&gap) {
            self.gap(gap);
        }
    }

    /// The chain has heard of the packet: each hop asks it once; a bridge that has shown it to the chains for what arrives
    /// spares the namespace that; and addresses are given to a connection once.
    fn was_asked(&self, netns: NetnsId, chain: &Chain) -> bool {
        let here = self.hops.iter().rev().take_while(|hop| hop.netns == netns).count();
        if chain.hook == Hook::Output && self.hearing.sent_anew == Some(netns) {
            return true;
        }
        let near = match chain.hook {
            _ if chain.kind == "nat" => self.hops.len(),
            Hook::Prerouting => here,
            _ => 1,
        };
        // A connection has its addresses once one chain of that sort has given it some.
        let given = |heard: &HeardChain| {
            let same = chain.kind == "nat" && heard.chain.kind == "nat" && heard.chain.hook == chain.hook;
            same && (heard.does(Outcome::Redirect) || heard.does(Outcome::Hide))
        };
        let mut hops = self.hops.iter().rev().take(near).filter(|hop| hop.netns == netns);
        hops.any(|hop| hop.chains.iter().any(|heard| heard.chain == *chain || given(heard)))
    }

    /// What a chain knows of the packet.
    pub(super) fn sight(&self, netns: NetnsId, between: &Between, chain: &Chain) -> Sight {
        let followed = chain.follows_connections()
            && (chain.priority > CONNTRACK || !matches!(chain.hook, Hook::Prerouting | Hook::Output));
        // A tunnel's packets may be the first of theirs or not.
        let state = match &self.hearing.answers {
            _ if !self.carried.is_empty() || !followed || self.hearing.untracked.contains(&netns) => None,
            // Who has not seen the packet takes the answer for something else.
            Some(tracked) => tracked.contains(&netns).then_some(ESTABLISHED),
            None => Some(NEW),
        };
        let mut flow = self.flow;
        let mut local = between.local;
        if let Some((_, _, Endpoint { ip, port, .. })) = self.sent_on(netns, chain.hook) {
            // What is asked behind that sees the new address.
            (flow.dst, flow.traffic.dport) = (ip.unwrap_or(flow.dst), port.or(flow.traffic.dport));
            local = local.filter(|_| flow.dst == self.flow.dst);
        }
        if self.hearing.hidden {
            flow.src = None;
        }
        if self.hearing.hidden || !self.hearing.sources.is_empty() {
            // The sender's port may be another one, too.
            match self.hearing.answers {
                None => flow.traffic.sport = None,
                Some(_) => flow.traffic.dport = None,
            }
        }
        let mut sight = Sight::of(&flow, state, self.hearing.answers.is_some());
        sight.mark = self.mark(netns);
        sight.iif = between.iif.clone();
        sight.oif = between.oif.clone();
        sight.local = local;
        let given = self.hearing.dnat.iter().find(|(there, _)| *there == netns);
        sight.dnat = given.map_or(Some(false), |(_, dnat)| *dnat).filter(|_| state.is_some());
        if chain.hook == Hook::Prerouting && chain.priority > DSTNAT && self.hidden_here(netns).is_some() {
            sight.forget_destination();
        }
        sight
    }

    /// A device of a namespace as chains see it.
    pub(super) fn device(&mut self, netns: NetnsId, ifindex: Option<IfIndex>) -> Device {
        let heard = self.topology.chains(netns).is_ok_and(|chains| !chains.is_empty());
        let Some(ifindex) = ifindex.filter(|_| heard) else { return Device::Unknown };
        match self.topology.link(LinkId { netns, ifindex }) {
            Ok(Some(link)) => Device::Link(link.ifname, ifindex.0),
            _ => Device::Unknown,
        }
    }
}
