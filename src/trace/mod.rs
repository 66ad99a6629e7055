//! The packet walk: from a namespace to where the packet ends, over facts that a [`Topology`] gives. Pure: it asks, it
//! decides, it touches nothing. One decision a file.

mod arp;
mod bridge;
mod link;
mod mtu;
mod route;
mod start;
mod walk;

use std::net::IpAddr;

use crate::model::{Finding, Gap, NetnsId, Path, Topology};

/// What is asked of a trace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask {
    /// Follow packets to this address only.
    pub to: Option<IpAddr>,
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
    fn add_gap(&mut self, gap: Gap) {
        if !self.gaps.contains(&gap) {
            self.gaps.push(gap);
        }
    }
}

/// Follows packets of a namespace.
pub fn trace(topology: &mut dyn Topology, from: NetnsId, ask: &Ask) -> Traced {
    let mut traced = Traced::default();
    for start in start::starts(topology, from, ask, &mut traced) {
        let index = traced.paths.len();
        let (path, findings, gaps) = walk::walk(topology, from, start, index);
        traced.paths.push(path);
        traced.findings.extend(findings);
        gaps.into_iter().for_each(|gap| traced.add_gap(gap));
    }
    topology.take_gaps().into_iter().for_each(|gap| traced.add_gap(gap));
    traced
}
