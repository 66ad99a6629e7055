//! Routing decisions: output in the namespace that the packet starts in, input in each one that it comes to. The kernel's
//! own answer decides; what it refuses is told apart by the facts around it.

use super::walk::{Frame, Next, Walk};
use crate::model::{
    Action, Flow, IfIndex, Level, Link, LinkId, NeighState, NetnsId, Route, RouteAnswer, RouteType, Step,
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
        self.flow.src = self.flow.src.or(route.prefsrc);
        match route.kind {
            RouteType::Unicast => self.send(from, route),
            _ => self.deliver_own(from, route),
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
        match route.kind {
            RouteType::Unicast => {
                // IPv4's look-up refuses by itself where forwarding is off; IPv6 decides after it.
                if self.flow.dst.is_ipv6() && link.conf.forwarding6 == Some(false) {
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
        // An output look-up has no source to validate, so it tells the two apart.
        if matches!(errno, "EXDEV" | "EINVAL") {
            let here = self.here();
            let plain = Flow { src: None, dst: self.flow.dst };
            if let Ok(RouteAnswer::Route(_)) = self.topology.route_out(at.netns, &plain, None) {
                let src = self.flow.src.map_or_else(|| "its source".to_owned(), |s| s.to_string());
                self.finding(
                    Level::Fatal,
                    "source-refused",
                    format!("{here} refuses packets from {src} on {}", link.ifname),
                    format!("the kernel's look-up for a packet from {src} arriving by {} says {errno}", link.ifname),
                    Some(format!(
                        "the way back to {src} does not lead out by {0}: mend the route, or set \
                         net.ipv4.conf.{0}.rp_filter and net.ipv4.conf.all.rp_filter to 2",
                        link.ifname
                    )),
                );
                let reason = format!("source validation (rp_filter) on {} refuses packets from {src}", link.ifname);
                return self.stop(Action::Dropped, reason);
            }
        }
        let reason = refusal(errno, &self.here(), &self.flow);
        self.stop(Action::Dropped, reason)
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
        "EINVAL" => format!("a blackhole route of {here} swallows {dst}"),
        other => format!("the routing of {here} refuses {dst}: {other}"),
    }
}
