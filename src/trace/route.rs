//! Routing decisions: output in the namespace that the packet starts in, input in each one that it comes to. The kernel's
//! own answer decides; what it refuses is told apart by the facts around it.

use super::frame::Frame;
use super::hearing::Between;
use super::sight::Device;
use super::translated::Asked;
use super::walk::{Next, Walk};
use crate::model::{
    Action, Gap, Hook, IfIndex, Iptunnel, KindData, Level, Link, LinkId, NeighState, NetnsId, Route, RouteAnswer,
    RouteType, Rule, Seen, Step, TableId,
};

impl Walk<'_> {
    /// A process of the namespace sends the packet.
    pub(super) fn output(&mut self, from: NetnsId, bound_to: Option<IfIndex>) -> Next {
        if self.flow.dst.is_multicast() {
            return self.stop(Action::Unknown, "packets to a group are not followed");
        }
        let route = match self.look_up_out(from, bound_to) {
            Ok(route) => route,
            Err(end) => return end,
        };
        let route = match self.with_source(from, bound_to, route) {
            Ok(route) => route,
            Err(end) => return end,
        };
        self.go_out(from, route)
    }

    /// The namespace sends a packet that it made itself of another one: a tunnel's outer packet, or one that a link hands
    /// to its routing.
    pub(super) fn routed_out(&mut self, from: NetnsId, bound_to: Option<IfIndex>) -> Next {
        match self.look_up_out(from, bound_to) {
            Ok(route) => self.go_out(from, route),
            Err(end) => end,
        }
    }

    /// The namespace routes what a link hands over for another one, by the link below. The source need not be an address
    /// of this one, which a look-up by name of a source insists on: it is made without.
    pub(super) fn routed_for_others(&mut self, below: LinkId) -> Next {
        let src = self.flow.src.take();
        let route = self.look_up_out(below.netns, Some(below.ifindex));
        self.flow.src = src;
        let by_source = |rule: &Rule| rule.src.is_some();
        if self.topology.rules(below.netns, self.flow.dst.is_ipv6()).is_ok_and(|rules| rules.iter().any(by_source)) {
            self.doubtful.get_or_insert("rules that go by the source are not asked here".to_owned());
        }
        let route = match route {
            Ok(route) => route,
            Err(end) => return end,
        };
        // Of table 0 is what the kernel makes up for a packet that is bound to a link.
        if route.table.0 == 0 {
            let (dst, here) = (self.flow.dst, self.here());
            let name = self.hops.last().map(|h| h.ifname.clone()).unwrap_or_default();
            let message = format!("{here} has no route to {dst} by {name}: it takes {dst} to be on that segment");
            self.doubtful.get_or_insert(message.clone());
            let evidence = format!("packets from above {name} may leave by {name} only");
            let fix = Some(format!("add a route by {name} in {here}"));
            self.finding(Level::Critical, "no-route-by-lower", message, evidence, fix);
        }
        self.go_out(below.netns, route)
    }

    fn look_up_out(&mut self, from: NetnsId, bound_to: Option<IfIndex>) -> Result<Route, Next> {
        let answer = self.topology.route_out(from, &self.flow, bound_to);
        match answer {
            Ok(RouteAnswer::Route(route)) => {
                self.doubt(from);
                Ok(route)
            }
            Ok(RouteAnswer::Refused(errno)) => {
                self.by_own_source(from, bound_to).ok_or_else(|| self.refused_by_route(from, None, &errno))
            }
            Err(gap) => Err(self.unseen(gap)),
        }
    }

    /// The namespace sends it; where its rules give it another destination as it does, that one is routed.
    fn go_out(&mut self, from: NetnsId, route: Route) -> Next {
        self.flow.src = self.flow.src.or(route.prefsrc);
        let (hops, findings) = (self.hops.len(), self.findings.len());
        let next = self.send_by(from, route);
        if !self.carried.is_empty() || self.is_redirected(from, Hook::Output).is_none() {
            return next;
        }
        // What was found on the other way is none of this one's.
        self.findings.truncate(findings);
        let said = self.take_back(from, hops);
        let next = match self.look_up_out(from, None) {
            Ok(route) => self.send_by(from, route),
            Err(end) => end,
        };
        self.put_before(hops, said);
        next
    }

    fn send_by(&mut self, from: NetnsId, route: Route) -> Next {
        match route.kind {
            RouteType::Unicast => self.send(from, route, true),
            _ => self.deliver_own(from, route),
        }
    }

    /// A namespace takes the packet as its own: the end, or the end of a tunnel.
    fn delivered(&mut self, netns: NetnsId, reason: String) -> Next {
        if self.carried.is_empty() { self.stop(Action::Delivered, reason) } else { self.decapsulate(netns) }
    }

    /// Records what a routing decision of a namespace did not take into account.
    pub(super) fn doubt(&mut self, netns: NetnsId) {
        let ipv6 = self.flow.dst.is_ipv6();
        let name = self.topology.netns(netns).name;
        if let Some(why) = self.topology.doubt(netns, ipv6) {
            self.astray.get_or_insert(format!("{name}: {why}"));
            return;
        }
        let Ok(rules) = self.topology.rules(netns, ipv6) else { return };
        for rule in rules {
            let open: Vec<&str> =
                rule.also.iter().map(String::as_str).filter(|also| !self.is_asked_for(Some(netns), also)).collect();
            if open.is_empty() {
                continue;
            }
            let what = format!("rule {} ({})", rule.priority, open.join(", "));
            let why = "the packet of this trace was given none of these, so it is not sure what the rule does";
            let gap = Gap::new(what, &name, why);
            let gap = match open.iter().any(|also| !also.starts_with("uidrange") && !also.starts_with("flowlabel")) {
                true => gap.needs("--proto, --sport, --dport, --mark or --tos"),
                false => gap,
            };
            if !self.gaps.contains(&gap) {
                self.gap(gap);
            }
        }
    }

    /// What a rule looks at is given: the kernel has decided with it.
    pub(super) fn is_asked_for(&self, netns: Option<NetnsId>, also: &str) -> bool {
        let traffic = &self.flow.traffic;
        match also.split(' ').next().unwrap_or_default() {
            "fwmark" => match netns.map_or(0, |netns| self.remarked_in(netns)) {
                0 => traffic.mark.is_some(),
                _ => netns.and_then(|netns| self.marked_in(netns)).is_some(),
            },
            "ipproto" => traffic.proto.is_some(),
            "sport" => traffic.sport.is_some(),
            "dport" => traffic.dport.is_some(),
            "tos" | "dscp" => traffic.tos.is_some(),
            _ => false,
        }
    }

    /// The packet has come to a namespace by a link.
    pub(super) fn input(&mut self, at: LinkId, link: Link) -> Next {
        let answer = self.topology.route_in(at, &self.flow);
        let local = local_of(&answer);
        // A VRF stands between its ports and the chains.
        let iif = match link.port_kind.as_deref() {
            Some("vrf") => Device::Unknown,
            _ => Device::Link(link.ifname.clone(), at.ifindex.0),
        };
        let between = Between { iif: iif.clone(), oif: Device::None, local, bridged: false };
        self.note_chains(at.netns, &[Hook::Prerouting, Hook::Ingress], between);
        let redirected = self.is_redirected(at.netns, Hook::Prerouting);
        let changed = redirected.is_some() | self.is_given_back(at.netns);
        let (answer, local) = self.routed_as_changed(at, changed).unwrap_or((answer, local));
        if let Some(end) = self.ipv6_is_off(at, &link) {
            return end;
        }
        let route = match answer {
            Ok(RouteAnswer::Route(route)) => route,
            Ok(RouteAnswer::Refused(errno)) => {
                return self.ipvlan_above(at, &link).unwrap_or_else(|| self.refused(at, &link, &errno));
            }
            // The link's own addresses were seen all the same, and they are what a namespace takes as its own.
            Err(gap) if link.holds(self.flow.dst) => {
                self.gap(gap);
                let reason = format!("{} is an address of {} in {}", self.flow.dst, link.ifname, self.here());
                return self.delivered(at.netns, reason);
            }
            Err(gap) => return self.unseen(gap),
        };
        self.doubt(at.netns);
        match route.kind {
            RouteType::Unicast => {
                if redirected == Some(Asked::ByBridge) && route.oif == Some(at.ifindex) {
                    return self.bridged_on(at, link, &route);
                }
                if let Some(next) = self.ipvlan_above(at, &link) {
                    return next;
                }
                // IPv4's look-up refuses by itself where forwarding is off; IPv6 decides after it, and by the sysctl of
                // the whole namespace: that of the link only says whether it behaves as a router's.
                if self.flow.dst.is_ipv6() && !self.forwards_v6(at.netns, &link) {
                    return self.not_forwarding(&link, "net.ipv6.conf.all.forwarding");
                }
                if let Some(end) = self.beyond_scope() {
                    return end;
                }
                let oif = self.device(at.netns, route.oif);
                self.note_chains(at.netns, &[Hook::Forward], Between { iif, oif, local, bridged: false });
                self.leaves_domain(at, &link, &route);
                self.send(at.netns, route, false)
            }
            RouteType::Local | RouteType::Anycast => {
                self.note_chains(at.netns, &[Hook::Input], Between { iif, oif: Device::None, local, bridged: false });
                let reason = format!("{} is an address of {}", self.flow.dst, self.here());
                self.delivered(at.netns, reason)
            }
            other => self.stop(Action::Unknown, format!("a route of type {} takes it", other.word())),
        }
    }

    /// A VRF that has no route of its own for a packet, nor one that says so, leaves it to the rules behind its own.
    fn leaves_domain(&mut self, at: LinkId, link: &Link, route: &Route) {
        let Some(master) = link.master.filter(|_| link.port_kind.as_deref() == Some("vrf")) else { return };
        let Ok(Some(vrf)) = self.topology.link(Walk::beside(at, master)) else { return };
        let Some(KindData::Vrf { table }) = vrf.data else { return };
        if route.table.0 == table {
            return;
        }
        let (name, prefix) = (&vrf.ifname, route.dst_text());
        let message =
            format!("the VRF {name} has no route to {}: that of {} takes it", self.flow.dst, route.table.called());
        let evidence = format!("{prefix} is not in table {table}, and no unreachable route ends the search there");
        let fix = Some(format!("ip route add table {table} unreachable default metric 4278198272"));
        self.finding(Level::Warning, "vrf-left", message, evidence, fix);
    }

    fn forwards_v6(&mut self, netns: NetnsId, link: &Link) -> bool {
        // What cannot be read is a gap by now, and not held against the path.
        self.sysctl(netns, "ipv6/conf/all/forwarding") != Some(0)
            || self.sysctl(netns, &format!("ipv6/conf/{}/force_forwarding", link.ifname)).is_some_and(|v| v != 0)
    }

    /// A route sends the packet out by a link of the namespace; `own`: it was made here.
    fn send(&mut self, netns: NetnsId, mut route: Route, own: bool) -> Next {
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
        self.name_next_hops(netns, &mut route);
        let encap = route.encap.clone().filter(|_| !takes_from_route(&link));
        if let Some(hop) = self.hops.last_mut() {
            hop.route = Some(route);
            hop.neigh = neigh.clone();
        }
        let oif = Device::Link(link.ifname.clone(), oif.0);
        if own {
            let oif = oif.clone();
            self.heard_as_made(netns, Between { iif: Device::None, oif, local: Some(false), bridged: false });
            if self.sent_on(netns, Hook::Output).is_some() {
                return self.stop(Action::Unknown, "netfilter sends it elsewhere");
            }
        }
        if let Some(encap) = encap {
            let reason =
                format!("the route puts a header of its own around it ({encap}), which podnet does not follow");
            return self.stop(Action::Unknown, reason);
        }
        self.note_chains(netns, &[Hook::Postrouting], Between { oif, local: Some(false), ..Between::default() });
        if !link.up {
            return self.down(&link);
        }
        if neigh.as_ref().is_none_or(|n| n.lladdr == link.address)
            && let Some(end) = self.asks_nobody(&link, to)
        {
            return end;
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
        let lladdr = neigh.filter(|n| n.state.is_valid()).and_then(|n| n.lladdr).filter(|a| !a.is_zero());
        let from = link.address.filter(|a| !a.is_zero());
        Next::Transmit(at, Box::new(link), Box::new(Frame { to, lladdr, from, tags: Vec::new() }))
    }

    /// The packet is for the namespace that sends it.
    fn deliver_own(&mut self, netns: NetnsId, mut route: Route) -> Next {
        if !matches!(route.kind, RouteType::Local | RouteType::Anycast) {
            return self.stop(Action::Unknown, format!("a route of type {} takes it", route.kind.word()));
        }
        let local = is_local(&route);
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
        self.note_chains_of_lo(netns, local);
        self.delivered(netns, format!("{} is an address of {name} itself", self.flow.dst))
    }
}

/// The destination is an address of the namespace by this answer; none: that is not known.
pub(super) fn local_of(answer: &Seen<RouteAnswer>) -> Option<bool> {
    match answer {
        Ok(RouteAnswer::Route(route)) => is_local(route),
        _ => None,
    }
}

/// The destination is an address of the namespace; none: it is one of another sort.
fn is_local(route: &Route) -> Option<bool> {
    match route.kind {
        // A rule can lead to a table in which anything is local; what is asked for is the type in the local one.
        RouteType::Local => matches!(route.table, TableId::MAIN | TableId::LOCAL).then_some(true),
        RouteType::Unicast => Some(false),
        _ => None,
    }
}

/// What the route says of a header is meant for the link, which makes it.
fn takes_from_route(link: &Link) -> bool {
    matches!(
        link.data,
        Some(
            KindData::Vxlan { external: true, .. }
                | KindData::Geneve { external: true, .. }
                | KindData::Iptunnel(Iptunnel { external: true, .. })
        )
    )
}
