//! The packet walk: from a namespace to where the packet ends, over facts that a [`Topology`] gives. Pure: it asks, it
//! decides, it touches nothing. One decision a file.

mod above;
mod arp;
mod beside;
mod bond;
mod bridge;
mod endpoint;
mod fake;
mod frame;
mod hearing;
mod holds;
mod ignored;
mod judge;
mod link;
mod marked;
mod mtu;
mod netfilter;
mod nexthop;
mod order;
mod refused;
mod reply;
mod route;
mod segment;
mod sentence;
mod sight;
mod source;
mod start;
mod tests;
mod translated;
mod tunnel;
mod vlan;
mod walk;

use std::net::IpAddr;

use hearing::Sort;
use walk::Walked;

use crate::model::{Action, Finding, Gap, Level, NetnsId, Path, Topology, Traffic, Verdict};

/// What is asked of a trace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask {
    /// Follow packets to this address only.
    pub to: Option<IpAddr>,
    /// Whose address that is, where somebody was named.
    pub meant: Option<NetnsId>,
    /// Give the packets this source address; none: the one that the namespace picks.
    pub from: Option<IpAddr>,
    /// What else the packets have.
    pub traffic: Traffic,
    /// Follow the answers, too.
    pub reply: bool,
    /// Leave IPv4 out.
    pub no_ipv4: bool,
    /// Leave IPv6 out.
    pub no_ipv6: bool,
}

/// What a trace found.
#[derive(Debug, Default)]
pub struct Traced {
    /// One path an interface and address family, or the one that was asked for.
    pub paths: Vec<Path>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be seen.
    pub gaps: Vec<Gap>,
}

impl Traced {
    fn add(&mut self, walked: Walked) {
        self.paths.push(walked.path);
        self.findings.extend(walked.findings);
        walked.gaps.into_iter().for_each(|gap| self.add_gap(gap));
    }

    /// Adds a path, and where that is asked that of the answers.
    fn follow(&mut self, topology: &mut dyn Topology, mut walked: Walked, reply: bool) {
        let index = self.paths.len();
        let (tracked, sources) = (std::mem::take(&mut walked.tracked), std::mem::take(&mut walked.sources));
        self.add(walked);
        if reply {
            reply::follow(topology, index, tracked, sources, self);
        }
    }

    fn add_gap(&mut self, gap: Gap) {
        if !self.gaps.contains(&gap) {
            self.gaps.push(gap);
        }
    }
}

/// Endpoints of a service that are followed, each by a path of its own.
const MOST_ENDPOINTS: usize = 8;

/// Follows a start. A router that swallows addresses of documentation networks, as some do, is no reason to call a
/// default route broken: another stand-in is tried before that.
fn best(topology: &mut dyn Topology, from: NetnsId, start: start::Start, index: usize) -> Walked {
    let others = start.stand_ins();
    let first = walk::walk(topology, from, start, index, Sort::To { endpoint: 0 });
    let swallowed =
        first.path.verdict.action == Action::Dropped && first.path.hops.len() > 1 && first.findings.is_empty();
    if !swallowed {
        return first;
    }
    let mut tries = others.into_iter().map(|start| walk::walk(topology, from, start, index, Sort::To { endpoint: 0 }));
    tries.find(|walked| walked.path.verdict.action != Action::Dropped).unwrap_or(first)
}

/// The packet arrives, and not at the one who was named: somebody else has the address, too.
fn taken_by_another(topology: &dyn Topology, meant: NetnsId, path: &mut Path, index: usize) -> Option<Finding> {
    let (hop, last) = path.hops.iter().enumerate().next_back()?;
    // One that is known in part alone may be the same.
    let another = last.netns.ino()? != meant.ino()?;
    if !another || path.verdict.action != Action::Delivered {
        return None;
    }
    let (there, dst, meant) = (&last.netns_name, path.dst?, topology.netns(meant).name);
    let message = format!("{there} takes it instead of {meant}: {dst} is an address of both");
    let evidence = format!("{dst} is an address of {meant}, and the way there ends in {there}");
    let fix = Some("take the address from one of them".to_owned());
    path.verdict = Verdict { action: Action::Dropped, reason: message.clone(), ..path.verdict.clone() };
    Some(Finding { level: Level::Fatal, id: "address-elsewhere".to_owned(), path: index, hop, message, evidence, fix })
}

/// Follows packets of a namespace.
pub fn trace(topology: &mut dyn Topology, from: NetnsId, ask: &Ask) -> Traced {
    let mut traced = Traced::default();
    for start in start::starts(topology, from, ask, &mut traced) {
        let index = traced.paths.len();
        let again = start.clone();
        let mut walked = best(topology, from, start, index);
        let path = &mut walked.path;
        walked.findings.extend(ask.meant.and_then(|meant| taken_by_another(topology, meant, path, index)));
        // Two routes can come to the same: a rule on the source leads the packets of one the way of the other.
        if traced.paths.iter().any(|known| known.to == path.to && known.hops == path.hops) && !path.hops.is_empty() {
            continue;
        }
        let endpoints = walked.endpoints;
        traced.follow(topology, walked, ask.reply);
        for endpoint in 1..endpoints.min(MOST_ENDPOINTS) {
            let number = traced.paths.len();
            let walked = walk::walk(topology, from, again.clone(), number, Sort::To { endpoint });
            traced.follow(topology, walked, ask.reply);
        }
        if endpoints > MOST_ENDPOINTS {
            let what = format!("{} of {endpoints} endpoints", endpoints - MOST_ENDPOINTS);
            traced.add_gap(Gap::new(what, "netfilter", format!("podnet follows {MOST_ENDPOINTS} of a service")));
        }
    }
    topology.take_gaps().into_iter().for_each(|gap| traced.add_gap(gap));
    traced
}
