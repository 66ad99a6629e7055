//! Routing decisions: output in the namespace that the packet starts in, input in each one that it comes to. The kernel's
//! own answer decides; what it refuses is told apart by the facts around it.

use super::walk::{Frame, Next, Walk};
use crate::model::{
    Action, Flow, Gap, IfIndex, Level, Link, LinkId, NeighState, NetnsId, Route, RouteAnswer, RouteType, Step,
};

impl Walk<'_> {
    /// A process of the namespace sends the packet.
    pub(super) fn output(&mut self, from: NetnsId, bound_to: Option<IfIndex>) -> Next {
        if self.flow.dst.is_multicast() {
            return self.stop(Action::Unknown, "packets to a group are not followed");
        }
        let route = match self.topology.route_out(from, &self.flow, bound_to) {
            Ok(RouteAnswer::Route(route)) => route,
            Ok(RouteAnswer::Refused(errno)) => {
                let name = self.topology.netns(from).name;
                return self.stop(Action::Dropped, refusal(&errno, &name, &self.flow));
            }
            Err(gap) => return self.unseen(gap),
        };
        self.doubt(from);
        let route = match self.with_source(from, bound_to, route) {
            Ok(route) => route,
            Err(end) => return end,
        };
        self.flow.src = self.flow.src.or(route.prefsrc);
        match route.kind {
            RouteType::Unicast => self.send(from, route),
            _ => self.deliver_own(from, route),
        }
    }

    /// A connection is looked up twice: without a source, and then with the one that this gave, which rules may send
    /// elsewhere. IPv6 keeps the first answer.
    fn with_source(&mut self, from: NetnsId, bound_to: Option<IfIndex>, first: Route) -> Result<Route, Next> {
        let Some(src) = first.prefsrc.filter(|src| src.is_ipv4() && self.flow.src.is_none()) else { return Ok(first) };
        let flow = Flow { src: Some(src), dst: self.flow.dst };
        match self.topology.route_out(from, &flow, bound_to) {
            Ok(RouteAnswer::Route(second)) => {
                if (second.oif, second.gateway) != (first.oif, first.gateway) {
                    self.flow.src = Some(src);
                    let name = self.topology.netns(from).name;
                    self.gap(Gap::new(
                        "the way of datagrams without a connection",
                        name,
                        format!("a rule sends packets from {src} another way than those that have no source yet; the path is that of a connection"),
                    ));
                }
                Ok(Route { prefsrc: Some(src), ..second })
            }
            Ok(RouteAnswer::Refused(errno)) => {
                let name = self.topology.netns(from).name;
                let reason = format!("{}, once it has the source {src}", refusal(&errno, &name, &self.flow));
                Err(self.stop(Action::Dropped, reason))
            }
            Err(_) => Ok(first),
        }
    }

    /// Records what a routing decision of a namespace did not take into account.
    fn doubt(&mut self, netns: NetnsId) {
        let ipv6 = self.flow.dst.is_ipv6();
        let name = self.topology.netns(netns).name;
        if let Some(why) = self.topology.doubt(netns, ipv6) {
            self.doubtful.get_or_insert(format!("{name}: {why}"));
            return;
        }
        let Ok(rules) = self.topology.rules(netns, ipv6) else { return };
        for rule in rules.iter().filter(|r| !r.also.is_empty()) {
            let what = format!("rule {} ({})", rule.priority, rule.also.join(", "));
            self.gap(Gap::new(
                what,
                &name,
                "the packet of this trace has none of these, so the rule was not considered",
            ));
        }
    }

    /// The packet has come to a namespace by a link.
    pub(super) fn input(&mut self, at: LinkId, link: Link) -> Next {
        let route = match self.topology.route_in(at, &self.flow) {
            Ok(RouteAnswer::Route(route)) => route,
            Ok(RouteAnswer::Refused(errno)) => return self.refused(at, &link, &errno),
            // The link's own addresses were seen all the same, and they are what a namespace takes as its own.
            Err(gap) if link.holds(self.flow.dst) => {
                self.gap(gap);
                let reason = format!("{} is an address of {} in {}", self.flow.dst, link.ifname, self.here());
                return self.stop(Action::Delivered, reason);
            }
            Err(gap) => return self.unseen(gap),
        };
        self.doubt(at.netns);
        match route.kind {
            RouteType::Unicast => {
                // IPv4's look-up refuses by itself where forwarding is off; IPv6 decides after it, and by the sysctl of
                // the whole namespace: that of the link only says whether it behaves as a router's.
                if self.flow.dst.is_ipv6() && !self.forwards_v6(at.netns, &link) {
                    return self.not_forwarding(&link, "net.ipv6.conf.all.forwarding");
                }
                self.send(at.netns, route)
            }
            RouteType::Local | RouteType::Anycast => {
                let reason = format!("{} is an address of {}", self.flow.dst, self.here());
                self.stop(Action::Delivered, reason)
            }
            other => self.stop(Action::Unknown, format!("a route of type {} takes it", other.word())),
        }
    }

    fn forwards_v6(&mut self, netns: NetnsId, link: &Link) -> bool {
        // What cannot be read is a gap by now, and not held against the path.
        self.sysctl(netns, "ipv6/conf/all/forwarding") != Some(0)
            || self.sysctl(netns, &format!("ipv6/conf/{}/force_forwarding", link.ifname)).is_some_and(|v| v != 0)
    }

    /// A route sends the packet out by a link of the namespace.
    fn send(&mut self, netns: NetnsId, mut route: Route) -> Next {
        let Some(oif) = route.oif else {
            return self.stop(Action::Unknown, "the route names no link (a nexthop object podnet cannot read)");
        };
        let at = LinkId { netns, ifindex: oif };
        let link = match self.look(at) {
            Ok(link) => link,
            Err(end) => return end,
        };
        route.dev = Some(link.ifname.clone());
        let others = route.nexthops.len().saturating_sub(1);
        let to = route.gateway.unwrap_or(self.flow.dst);
        self.push(at, &link, Step::Route);
        let neigh = if link.is_loopback() {
            None
        } else {
            let neigh = self.topology.neigh(at, to);
            self.seen(neigh)
        };
        if let Some(hop) = self.hops.last_mut() {
            hop.route = Some(route);
            hop.neigh = neigh.clone();
        }
        if others > 0 {
            self.finding(
                Level::Warning,
                "multipath",
                format!("1 of {} next hops was followed: other connections go by the others", others + 1),
                format!("the route of {} has {} next hops", self.here(), others + 1),
                None,
            );
        }
        if !link.up {
            return self.down(&link);
        }
        let failed = neigh.as_ref().is_some_and(|n| n.state == NeighState::Failed);
        if failed {
            self.finding(
                Level::Critical,
                "neigh-failed",
                format!("{to} does not answer on {}", link.ifname),
                format!("the neighbour entry of {to} on {} is FAILED", link.ifname),
                Some(format!("see whether {to} is up and on this segment")),
            );
        }
        let lladdr = neigh.filter(|n| n.state.is_valid()).and_then(|n| n.lladdr);
        Next::Transmit(at, Box::new(link), Frame { to, lladdr })
    }

    /// The packet is for the namespace that sends it.
    fn deliver_own(&mut self, netns: NetnsId, mut route: Route) -> Next {
        if !matches!(route.kind, RouteType::Local | RouteType::Anycast) {
            return self.stop(Action::Unknown, format!("a route of type {} takes it", route.kind.word()));
        }
        // Whatever link has the address, the packet crosses the loopback device.
        let lo = LinkId { netns, ifindex: IfIndex(1) };
        if let Ok(Some(lo_link)) = self.topology.link(lo)
            && !lo_link.up
        {
            self.push(lo, &lo_link, Step::Local);
            return self.down(&lo_link);
        }
        if let Some(oif) = route.oif {
            let at = LinkId { netns, ifindex: oif };
            let link = match self.look(at) {
                Ok(link) => link,
                Err(end) => return end,
            };
            route.dev = Some(link.ifname.clone());
            self.push(at, &link, Step::Local);
            if let Some(hop) = self.hops.last_mut() {
                hop.route = Some(route);
            }
        }
        let name = self.topology.netns(netns).name;
        self.stop(Action::Delivered, format!("{} is an address of {name} itself", self.flow.dst))
    }

    /// The kernel's input look-up said no.
    fn refused(&mut self, at: LinkId, link: &Link, errno: &str) -> Next {
        let ipv4 = self.flow.dst.is_ipv4();
        if errno == "EHOSTUNREACH" && ipv4 && link.conf.forwarding4 == Some(false) {
            return self.not_forwarding(link, "net.ipv4.ip_forward");
        }
        // Kernels say EXDEV or, from 6.14 on, EINVAL for a source that fails validation; EINVAL is a blackhole, too.
        if matches!(errno, "EXDEV" | "EINVAL")
            && let Some(end) = self.source_refused(at, link, errno)
        {
            return end;
        }
        let reason = refusal(errno, &self.here(), &self.flow);
        self.stop(Action::Dropped, reason)
    }

    /// Whether it is the source that the namespace refuses, and why; none: it is not, or that cannot be told.
    fn source_refused(&mut self, at: LinkId, link: &Link, errno: &str) -> Option<Next> {
        let (src, here) = (self.flow.src?, self.here());
        let evidence = format!("the kernel's look-up for a packet from {src} arriving by {} says {errno}", link.ifname);
        if self.is_own_address(at.netns, src) {
            let message = format!("{here} has the address {src} itself and refuses packets from it");
            let fix = Some(format!("take {src} from one of the two"));
            self.finding(Level::Fatal, "source-duplicate", message, evidence, fix);
            return Some(self.stop(Action::Dropped, format!("{src} is an address of {here} itself")));
        }
        if self.greatest(at.netns, link, "rp_filter").unwrap_or(0) == 0 {
            return None;
        }
        // An output look-up has no source to validate: where it refuses as well, the destination is at fault.
        let there = Flow { src: None, dst: self.flow.dst };
        let Ok(RouteAnswer::Route(_)) = self.topology.route_out(at.netns, &there, None) else { return None };
        let back = self.topology.route_out(at.netns, &Flow { src: None, dst: src }, None);
        let fix = match back {
            Ok(RouteAnswer::Route(back)) if back.oif != Some(link.ifindex) => format!(
                "the way back to {src} leads out by another link: mend the route, or set \
                 net.ipv4.conf.{0}.rp_filter and net.ipv4.conf.all.rp_filter to 2",
                link.ifname
            ),
            _ => format!("add a route back to {src} by {}", link.ifname),
        };
        let message = format!("{here} refuses packets from {src} on {}", link.ifname);
        self.finding(Level::Fatal, "source-refused", message, evidence, Some(fix));
        let reason = format!("source validation (rp_filter) on {} refuses packets from {src}", link.ifname);
        Some(self.stop(Action::Dropped, reason))
    }

    fn not_forwarding(&mut self, link: &Link, sysctl: &str) -> Next {
        let here = self.here();
        self.finding(
            Level::Fatal,
            "forwarding-off",
            format!("{here} does not forward packets that arrive by {}", link.ifname),
            format!("forwarding is 0 on {}", link.ifname),
            Some(format!("sysctl -w {sysctl}=1 (in {here})")),
        );
        self.stop(Action::Dropped, format!("forwarding is off in {here}"))
    }
}

/// What a refused look-up means, in words.
fn refusal(errno: &str, here: &str, flow: &Flow) -> String {
    let dst = flow.dst;
    match errno {
        "ENETUNREACH" => format!("{here} has no route to {dst}"),
        "EHOSTUNREACH" => format!("{here} has an unreachable route for {dst}, or does not forward"),
        "EACCES" => format!("a prohibit route of {here} refuses {dst}"),
        "EINVAL" => format!("a blackhole route or rule of {here} swallows {dst}, or it refuses the source"),
        other => format!("the routing of {here} refuses {dst}: {other}"),
    }
}
