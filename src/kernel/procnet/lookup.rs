//! The routing decision of a namespace from what the files show: the local table, then main, the longest prefix, the
//! lowest metric. Where something hidden could decide otherwise, the answer is a gap.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::IpNet;

use super::ProcNet;
use super::table::{Entry, Shown, Tables};
use crate::model::{Flow, Gap, IfIndex, Route, RouteAnswer, RouteType, Seen, TableId};

impl ProcNet {
    /// Output look-up: the way of a packet that a process of the namespace sends, perhaps bound to a link.
    ///
    /// A gap where rules, other tables, or what the files hide of the route could lead elsewhere. `prefsrc` is the
    /// flow's own source or the one that the kernel would pick, and none where that could be any of several. A preferred
    /// source that was set on the route, and all but the first next hop of an IPv4 route, leave no trace in the files.
    pub fn route_out(&self, flow: &Flow, oif: Option<IfIndex>) -> Seen<RouteAnswer> {
        // The kernel sends no IPv4 packet from an address that it does not have.
        if matches!(flow.src, Some(IpAddr::V4(_))) && self.v4.unsure.is_none() && !self.is_local(flow.src) {
            return Ok(RouteAnswer::Refused("ENETUNREACH".into()));
        }
        let mut route = match self.decide(flow.dst, oif)? {
            Ok(route) => route,
            // Somebody who binds to a link is taken to know who is on it, IPv4 only.
            Err(_) if flow.dst.is_ipv4() && oif.is_some() => self.on_link(flow.dst, oif),
            Err(errno) => return Ok(RouteAnswer::Refused(errno.into())),
        };
        route.prefsrc = flow.src.or_else(|| self.source(&route, flow.dst));
        Ok(RouteAnswer::Route(route))
    }

    /// Input look-up, as far as it can be had: whether the namespace takes an arriving packet as its own. What it
    /// forwards depends on sysctls that no file under /proc/PID/net shows, and is a gap.
    pub fn route_in(&self, flow: &Flow) -> Seen<RouteAnswer> {
        match self.decide(flow.dst, None)? {
            Ok(route) if matches!(route.kind, RouteType::Local | RouteType::Broadcast | RouteType::Anycast) => {
                Ok(RouteAnswer::Route(route))
            }
            _ => Err(self.hidden("whether it forwards", flow.dst, "/proc does not show its forwarding sysctls")),
        }
    }

    fn decide(&self, dst: IpAddr, oif: Option<IfIndex>) -> Seen<Result<Route, &'static str>> {
        let tables = if dst.is_ipv4() { &self.v4 } else { &self.v6 };
        if let Some(why) = tables.unsure {
            return Err(self.hidden("the route", dst, why));
        }
        // Rule 0 asks the local table first. Where local and main are still one, so is the longest prefix.
        let stages: &[&[TableId]] = match tables.merged {
            true => &[&[TableId::LOCAL, TableId::MAIN]],
            false => &[&[TableId::LOCAL], &[TableId::MAIN]],
        };
        let elsewhere = || Err(self.hidden("the route", dst, "rules and tables other than main are not shown"));
        for stage in stages {
            // Rules of one's own are asked before the main table.
            if !tables.merged && stage.contains(&TableId::MAIN) && tables.may_go_elsewhere(dst) {
                return elsewhere();
            }
            match self.best(tables, stage, dst, oif)? {
                Some(entry) if entry.route.kind == RouteType::Throw => (),
                Some(entry) => return Ok(outcome(entry)),
                None => (),
            }
        }
        // Behind main the kernel still asks the table that is called default.
        if tables.may_go_elsewhere(dst) { elsewhere() } else { Ok(Err("ENETUNREACH")) }
    }

    /// The route of these tables that takes the packet; a gap where what is hidden of it matters.
    fn best<'a>(
        &self,
        tables: &'a Tables,
        stage: &[TableId],
        dst: IpAddr,
        oif: Option<IfIndex>,
    ) -> Seen<Option<&'a Entry>> {
        let takes = |e: &&Entry| stage.contains(&e.route.table) && e.route.dst.contains(&dst) && leaves_by(e, oif);
        let Some(best) = tables.entries.iter().filter(takes).min_by_key(|e| rank(e)) else { return Ok(None) };
        let local_somewhere = oif.is_some() && best.route.kind == RouteType::Local && best.route.oif.is_none();
        if let Some(why) = best.hidden.or(local_somewhere.then_some("the link of this address is not shown")) {
            return Err(self.hidden("the route", dst, why));
        }
        if dst.is_ipv6() && best.route.gateway.is_some() {
            // Advertised by several routers: the kernel prefers one that answers, and then takes turns.
            let equals = tables.entries.iter().filter(takes).filter(|e| rank(e) == rank(best)).count();
            if equals > 1 {
                return Err(self.hidden("the route", dst, "which of several equal routers is used is not shown"));
            }
        }
        Ok(Some(best))
    }

    fn on_link(&self, dst: IpAddr, oif: Option<IfIndex>) -> Route {
        let dev = oif.and_then(|oif| self.links.iter().find(|l| l.ifindex == oif)).map(|l| l.ifname.as_bytes());
        Shown {
            dst: IpNet::from(dst),
            kind: RouteType::Unicast,
            gateway: None,
            oif,
            dev,
            table: TableId::MAIN,
            metric: 0,
            scope: "link",
        }
        .route()
    }

    fn is_local(&self, src: Option<IpAddr>) -> bool {
        let mut locals = self.v4.entries.iter().map(|e| &e.route).filter(|r| r.kind == RouteType::Local);
        src.is_some_and(|ip| locals.any(|r| r.dst.contains(&ip)))
    }

    fn hidden(&self, what: &str, dst: IpAddr, why: &str) -> Gap {
        self.files.gap(format!("{what} to {dst}"), why)
    }
}

/// The lowest is taken. Of equals it is the first: the entries are in the kernel's own order.
fn rank(e: &Entry) -> (Reverse<u8>, bool, u32) {
    (Reverse(e.route.dst.prefix_len()), e.route.table != TableId::LOCAL, e.route.metric)
}

/// A packet that is bound to this link may take the route.
fn leaves_by(e: &Entry, bound: Option<IfIndex>) -> bool {
    let Some(bound) = bound else { return true };
    match e.route.nexthops.is_empty() {
        true => e.route.oif.is_none_or(|oif| oif == bound),
        false => e.route.nexthops.iter().any(|hop| hop.oif == bound),
    }
}

/// What becomes of a packet that the route takes.
fn outcome(entry: &Entry) -> Result<Route, &'static str> {
    let mut route = entry.route.clone();
    match route.kind {
        RouteType::Blackhole => return Err("EINVAL"),
        RouteType::Unreachable => return Err("EHOSTUNREACH"),
        RouteType::Prohibit => return Err("EACCES"),
        RouteType::Throw => return Err("ENETUNREACH"),
        // IPv6 routes that refuse are all alike in the files.
        RouteType::Other => return Err("EHOSTUNREACH, EACCES, EINVAL or ENETUNREACH"),
        // What the namespace sends to itself goes over the loopback, whichever link has the address.
        RouteType::Local | RouteType::Anycast => {
            route.oif = Some(IfIndex(1));
            route.dev = Some("lo".into());
        }
        _ => (),
    }
    Ok(route)
}
