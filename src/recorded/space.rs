//! One recorded namespace with the indexes that questions about it need.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::fib::Fib;
use crate::model::{
    IfIndex, Link, Nexthop, RecordedConf, RecordedFacts, RecordedLink, RecordedNetns, RecordedNexthop, RecordedRoute,
};

/// A recorded namespace.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) read: RecordedNetns,
    conf: Arc<RecordedConf>,
    /// Version of the kernel that it was recorded on.
    kernel: (u32, u32),
    facts: OnceLock<Option<Box<RecordedFacts>>>,
    fib: OnceLock<Fib>,
}

impl Space {
    pub(super) fn new(mut read: RecordedNetns, conf: Arc<RecordedConf>, kernel: (u32, u32)) -> Space {
        let facts = OnceLock::new();
        if let Some(inside) = read.facts.take() {
            let _ = facts.set(Some(with_nexthops(inside)));
        }
        read.links.sort_by_key(|l| l.link.ifindex);
        read.links.dedup_by_key(|l| l.link.ifindex);
        Space { read, conf, kernel, facts, fib: OnceLock::new() }
    }

    pub(super) fn facts(&self) -> Option<&RecordedFacts> {
        self.facts.get()?.as_deref()
    }

    /// Something was read inside, and perhaps only has to be fetched.
    pub(super) fn was_read(&self) -> bool {
        self.read.closed.is_none()
    }

    /// Takes what was read inside, where it was left out at first.
    pub(super) fn fetched(&self, facts: Option<Box<RecordedFacts>>) {
        let _ = self.facts.set(facts.map(with_nexthops));
    }

    pub(super) fn routes(&self) -> &[RecordedRoute] {
        self.facts().and_then(|f| f.routes.as_deref()).unwrap_or_default()
    }

    pub(super) fn fib(&self) -> &Fib {
        self.fib.get_or_init(|| Fib::new(self.routes(), !self.is_split()))
    }

    /// The local and the main IPv4 table are two.
    pub(super) fn is_split(&self) -> bool {
        self.facts().is_some_and(|f| f.split)
    }

    fn recorded(&self, index: IfIndex) -> Option<&RecordedLink> {
        let at = self.read.links.binary_search_by_key(&index, |l| l.link.ifindex).ok()?;
        self.read.links.get(at)
    }

    pub(super) fn link(&self, index: IfIndex) -> Option<&Link> {
        self.recorded(index).map(|l| &l.link)
    }

    pub(super) fn link_by_name(&self, name: &str) -> Option<&Link> {
        self.links().find(|l| l.ifname == name)
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        self.read.links.iter().map(|l| &l.link)
    }

    /// The kernel was at least this version.
    pub(super) fn since(&self, major: u32, minor: u32) -> bool {
        self.kernel >= (major, minor)
    }

    /// A sysctl of a link.
    pub(super) fn conf(&self, index: IfIndex, ipv6: bool, name: &str) -> Option<i64> {
        let link = self.recorded(index)?;
        let (names, values) = if ipv6 { (&self.conf.inet6, &link.inet6) } else { (&self.conf.inet, &link.inet) };
        values.get(names.iter().position(|n| n == name)?).copied()
    }

    /// A sysctl of every link that is recorded where the kernel has it.
    pub(super) fn records(&self, ipv6: bool, name: &str) -> bool {
        let names = if ipv6 { &self.conf.inet6 } else { &self.conf.inet };
        names.iter().any(|n| n == name)
    }

    /// A sysctl of all links together.
    pub(super) fn conf_all(&self, ipv6: bool, name: &str) -> Option<i64> {
        let family = if ipv6 { "ipv6" } else { "ipv4" };
        self.facts()?.sysctls.get(&format!("{family}/conf/all/{name}")).copied().flatten()
    }

    /// The greater one of a link's IPv4 sysctl and that of all links, which is what counts for many.
    pub(super) fn greatest(&self, index: IfIndex, name: &str) -> i64 {
        self.conf(index, false, name).max(self.conf_all(false, name)).unwrap_or(0)
    }

    /// A switch that is on for the link or for all of them.
    pub(super) fn either(&self, index: IfIndex, name: &str) -> bool {
        self.conf(index, false, name).is_some_and(|v| v != 0) || self.conf_all(false, name).is_some_and(|v| v != 0)
    }

    /// Some link has this address.
    pub(super) fn holds(&self, ip: IpAddr) -> bool {
        self.links().any(|l| l.holds(ip))
    }
}

/// Gives routes the next hops of their nexthop objects, where the kernel was told to leave these out of the routes.
fn with_nexthops(mut facts: Box<RecordedFacts>) -> Box<RecordedFacts> {
    let RecordedFacts { routes, nexthops, .. } = &mut *facts;
    let hop = |n: &Nexthop| RecordedNexthop { gateway: n.gateway, oif: n.oif, weight: n.weight, flags: 0 };
    for route in routes.iter_mut().flatten().filter(|r| r.oif.is_none() && r.nexthops.is_empty()) {
        match route.nhid.and_then(|id| nexthops.get(&id)).map(Vec::as_slice) {
            Some([one]) => (route.gateway, route.oif) = (one.gateway, Some(one.oif)),
            Some(several) => route.nexthops = several.iter().map(hop).collect(),
            None => {}
        }
    }
    facts
}
