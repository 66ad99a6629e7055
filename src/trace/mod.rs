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
mod ignored;
mod link;
mod mtu;
mod netfilter;
mod nexthop;
mod refused;
mod reply;
mod route;
mod segment;
mod source;
mod start;
mod tests;
mod tunnel;
mod vlan;
mod walk;

use std::net::IpAddr;

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
    fn add(&mut self, (path, findings, gaps): Walked) {
        self.paths.push(path);
        self.findings.extend(findings);
        gaps.into_iter().for_each(|gap| self.add_gap(gap));
    }

    fn add_gap(&mut self, gap: Gap) {
        if !self.gaps.contains(&gap) {
            self.gaps.push(gap);
        }
    }
}

type Walked = (Path, Vec<Finding>, Vec<Gap>);

/// Follows a start. A router that swallows addresses of documentation networks, as some do, is no reason to call a
/// default route broken: another stand-in is tried before that.
fn best(topology: &mut dyn Topology, from: NetnsId, start: start::Start, index: usize) -> Walked {
    let others = start.stand_ins();
    let first = walk::walk(topology, from, start, index);
    let swallowed = first.0.verdict.action == Action::Dropped && first.0.hops.len() > 1 && first.1.is_empty();
    if !swallowed {
        return first;
    }
    let mut tries = others.into_iter().map(|start| walk::walk(topology, from, start, index));
    tries.find(|(path, ..)| path.verdict.action != Action::Dropped).unwrap_or(first)
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
        let (mut path, mut findings, gaps) = best(topology, from, start, index);
        findings.extend(ask.meant.and_then(|meant| taken_by_another(topology, meant, &mut path, index)));
        // Two routes can come to the same: a rule on the source leads the packets of one the way of the other.
        if traced.paths.iter().any(|known| known.to == path.to && known.hops == path.hops) && !path.hops.is_empty() {
            continue;
        }
        traced.add((path, findings, gaps));
        if ask.reply {
            reply::follow(topology, index, &mut traced);
        }
    }
    topology.take_gaps().into_iter().for_each(|gap| traced.add_gap(gap));
    traced
}
