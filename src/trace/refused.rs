//! Why a namespace refuses a packet: the kernel's look-up says no with an error number, and the facts around tell which of
//! its reasons it was.

use std::net::IpAddr;

use ipnet::IpNet;

use super::walk::{Next, Walk};
use crate::model::{Action, Flow, Level, Link, LinkId, NetnsId, Route, RouteAnswer, RouteType, Rule, Step, word};

/// What says no.
enum Refusing {
    Rule(Rule),
    Route(Route),
}

impl Walk<'_> {
    /// The kernel's input look-up said no.
    pub(super) fn refused(&mut self, at: LinkId, link: &Link, errno: &str) -> Next {
        if let Some(end) = self.back_at_sender(at, link, errno) {
            return end;
        }
        let ipv4 = self.flow.dst.is_ipv4();
        if errno == "EHOSTUNREACH" && ipv4 && link.conf.forwarding4 == Some(false) {
            // With it those of all links change; where it is on, that of the link alone is off.
            return match self.sysctl(at.netns, "ipv4/conf/all/forwarding") {
                Some(on) if on != 0 => self.not_forwarding(link, &setting(link, "ipv4", "forwarding")),
                _ => self.not_forwarding(link, "net.ipv4.ip_forward"),
            };
        }
        // Kernels say EXDEV or, from 6.14 on, EINVAL for a source that fails validation; EINVAL is a blackhole, too.
        if matches!(errno, "EXDEV" | "EINVAL")
            && let Some(end) = self.source_refused(at, link, errno)
        {
            return end;
        }
        self.refused_by_route(at.netns, Some(link), errno)
    }

    /// A look-up said no, for a packet that has come by a link or that the namespace sends: a rule is to blame, or a
    /// route, or that there is none.
    pub(super) fn refused_by_route(&mut self, netns: NetnsId, by: Option<&Link>, errno: &str) -> Next {
        let here = self.topology.netns(netns).name;
        let reason = refusal(errno, &here, &self.flow);
        if by.is_none()
            && let Some(end) = self.source_absent(netns, &here)
        {
            return end;
        }
        let route = match self.refusing(netns, by, errno) {
            Some(Refusing::Rule(rule)) => return self.refused_by_rule(&here, &rule),
            Some(Refusing::Route(route)) => route,
            None if errno == "ENETUNREACH" => return self.routes_gone(netns, reason),
            None => return self.stop(Action::Dropped, reason),
        };
        // An output look-up has no source to validate: a route refuses there as well.
        let there = Flow { src: None, ..self.flow };
        if self.topology.route_out(netns, &there, None) != Ok(RouteAnswer::Refused(errno.to_owned())) {
            return self.stop(Action::Dropped, reason);
        }
        let (word, prefix, dst) = (route.kind.word(), route.dst_text(), self.flow.dst);
        let reason = format!("the {word} route {prefix} of {here} takes it: no better route to {dst} is there");
        let evidence = format!("{word} {prefix} proto {} in {}", route.protocol, route.table.called());
        let Route { table, metric, protocol, .. } = route;
        let fix = match protocol.as_str() {
            // What a person has set.
            "boot" | "static" => {
                self.to_type(format!("ip{} route del {word} {prefix} table {table} metric {metric}", self.family()))
            }
            // Routing daemons keep these for what nobody has, so that it does not go in circles.
            other => format!("find out why {other} knows no better route to {dst} than this one of {here}"),
        };
        if !self.hops.is_empty() {
            self.finding(Level::Fatal, "route-refuses", reason.clone(), evidence, Some(fix));
        }
        self.stop(Action::Dropped, reason)
    }

    /// A policy rule refuses the packet that the namespace sends; none: none does.
    pub(super) fn refused_by_own_rule(&mut self, netns: NetnsId, errno: &str) -> Option<Next> {
        let here = self.topology.netns(netns).name;
        match self.refusing(netns, None, errno)? {
            Refusing::Rule(rule) => Some(self.refused_by_rule(&here, &rule)),
            Refusing::Route(_) => None,
        }
    }

    fn refused_by_rule(&mut self, here: &str, rule: &Rule) -> Next {
        let text = text(rule);
        let reason = format!("rule {} of {here} refuses it: {text}", rule.priority);
        if !self.hops.is_empty() {
            let fix = Some(self.to_type(format!("ip{} rule del prio {}", self.family(), rule.priority)));
            self.finding(Level::Fatal, "rule-refuses", reason.clone(), format!("{}: {text}", rule.priority), fix);
        }
        self.stop(Action::Dropped, reason)
    }

    /// The first rule that refuses the packet with this error, or that leads to a route which does.
    fn refusing(&mut self, netns: NetnsId, by: Option<&Link>, errno: &str) -> Option<Refusing> {
        let (kind, action) = match errno {
            "EINVAL" => (Some(RouteType::Blackhole), "blackhole"),
            "EHOSTUNREACH" => (Some(RouteType::Unreachable), ""),
            "EACCES" => (Some(RouteType::Prohibit), "prohibit"),
            "ENETUNREACH" => (None, "unreachable"),
            _ => return None,
        };
        let dst = self.flow.dst;
        let mut routes = match kind {
            Some(_) => self.topology.routes(netns).unwrap_or_default(),
            None => Vec::new(),
        };
        routes.retain(|route| Some(route.kind) == kind && route.dst.contains(&dst));
        let best = |there: &dyn Fn(&Route) -> bool| {
            let route = routes.iter().filter(|route| there(route)).max_by_key(|route| route.dst.prefix_len());
            route.cloned().map(Refusing::Route)
        };
        let rules = self.topology.rules(netns, dst.is_ipv6()).unwrap_or_default();
        if rules.is_empty() {
            return best(&|_| true);
        }
        let named = |table| rules.iter().any(|rule| rule.table == table);
        // What an earlier table found did not count, or the look-up would not have come to an end that is none.
        rules.iter().filter(|rule| self.is_meant(rule, by)).find_map(|rule| match rule.action.as_str() {
            // That of the VRFs names no table.
            "lookup" if rule.table.0 == 0 => best(&|route| !named(route.table)),
            "lookup" => best(&|route| route.table == rule.table),
            refuses if refuses == action => Some(Refusing::Rule(rule.clone())),
            _ => None,
        })
    }

    /// The packet, that has come by a link or is sent here, is one of those that a rule is for.
    fn is_meant(&self, rule: &Rule, by: Option<&Link>) -> bool {
        let within = |net: Option<IpNet>, ip: Option<IpAddr>| {
            net.is_none_or(|net| net.prefix_len() == 0 || ip.is_some_and(|ip| net.contains(&ip)))
        };
        let by = by.map_or("lo", |link| &link.ifname);
        within(rule.src, self.flow.src)
            && within(rule.dst, Some(self.flow.dst))
            && rule.iif.as_ref().is_none_or(|iif| iif == by)
            && rule.oif.is_none()
            && rule.also.iter().all(|also| self.is_asked_for(None, also))
    }

    /// The namespace is to send from an address that it does not have, which IPv4 refuses.
    fn source_absent(&mut self, netns: NetnsId, here: &str) -> Option<Next> {
        let src = self.flow.src.filter(IpAddr::is_ipv4)?;
        let links = self.topology.links(netns).ok()?;
        if links.iter().any(|link| link.holds(src)) || self.is_own_address(netns, src) {
            return None;
        }
        let reason = format!("{src}, which it is to be sent from, is no address of {here}");
        if let Some(link) = self.hops.last().filter(|_| !self.carried.is_empty()).map(|hop| hop.ifname.clone()) {
            let evidence = format!("{link} sends its outer packets from {src}, and no link of {here} has that");
            let fix =
                Some(format!("give {src} to a link of {here}, or make {link} anew with an address that is there"));
            self.finding(Level::Fatal, "source-absent", reason.clone(), evidence, fix);
        }
        Some(self.stop(Action::Dropped, reason))
    }

    /// There is no route. With a link that is taken down its routes go, its addresses stay.
    fn routes_gone(&mut self, netns: NetnsId, reason: String) -> Next {
        let dst = self.flow.dst;
        let mut links = self.topology.links(netns).unwrap_or_default();
        links.retain(|link| !link.is_loopback());
        let alone = links.len() == 1 && self.hops.is_empty();
        let lost = |link: &Link| link.addrs.iter().any(|addr| addr.local.is_ipv4() == dst.is_ipv4());
        let Some(link) = links.into_iter().find(|link| !link.up && (alone || lost(link))) else {
            return self.stop(Action::Dropped, reason);
        };
        let at = LinkId { netns, ifindex: link.ifindex };
        match self.hops.last().map(|hop| hop.netns == netns) {
            None => self.push(at, &link, Step::Route),
            Some(false) => return self.stop(Action::Dropped, reason),
            Some(true) => {}
        }
        self.down(&link);
        self.stop(Action::Dropped, format!("{reason}, and {} is down", link.ifname))
    }

    /// What `ip` has to be told for packets of this family.
    fn family(&self) -> &'static str {
        if self.flow.dst.is_ipv6() { " -6" } else { "" }
    }

    /// The namespace has sent the packet itself, and whatever it says now: others on the way send it back.
    fn back_at_sender(&mut self, at: LinkId, link: &Link, errno: &str) -> Option<Next> {
        let src = self.flow.src?;
        if self.hops.first()?.netns != at.netns || !self.is_own_address(at.netns, src) {
            return None;
        }
        let here = self.here();
        let message = format!("the packet comes back to {here}, which sent it");
        let evidence = format!("the kernel's look-up for a packet from {src} arriving by {} says {errno}", link.ifname);
        let fix = Some(format!("mend the routes on the way that lead {} back here", self.flow.dst));
        self.finding(Level::Fatal, "loop", message, evidence, fix);
        Some(self.stop(Action::Dropped, format!("it comes back to {here}, which refuses its own packets")))
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
        let there = Flow { src: None, ..self.flow };
        let Ok(RouteAnswer::Route(_)) = self.topology.route_out(at.netns, &there, None) else { return None };
        let back = self.topology.route_out(at.netns, &Flow::to(src), None);
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

    pub(super) fn not_forwarding(&mut self, link: &Link, sysctl: &str) -> Next {
        let here = self.here();
        let fix = self.to_type(format!("sysctl -w {}", word(&format!("{sysctl}=1"))));
        self.finding(
            Level::Fatal,
            "forwarding-off",
            format!("{here} does not forward packets that arrive by {}", link.ifname),
            format!("forwarding is 0 on {}", link.ifname),
            Some(fix),
        );
        self.stop(Action::Dropped, format!("forwarding is off in {here}"))
    }
}

/// A setting of a link for `ipv4` or `ipv6`, as `sysctl` has it: a dot in a name would part it.
pub(super) fn setting(link: &Link, family: &str, name: &str) -> String {
    format!("net.{family}.conf.{}.{name}", link.ifname.replace('.', "/"))
}

/// A rule in the words of `ip rule`.
fn text(rule: &Rule) -> String {
    let mut words = vec![format!("from {}", rule.src.map_or_else(|| "all".to_owned(), |net| net.to_string()))];
    words.extend(rule.dst.map(|net| format!("to {net}")));
    words.extend(rule.iif.as_ref().map(|iif| format!("iif {iif}")));
    words.extend(rule.also.iter().cloned());
    words.push(rule.action.clone());
    words.join(" ")
}

/// What a refused look-up means, in words.
pub(super) fn refusal(errno: &str, here: &str, flow: &Flow) -> String {
    let dst = flow.dst;
    match errno {
        "ENETUNREACH" => format!("{here} has no route to {dst}"),
        "EHOSTUNREACH" => format!("{here} has an unreachable route for {dst}, or does not forward"),
        "EACCES" => format!("a prohibit route of {here} refuses {dst}"),
        "EINVAL" => format!("a blackhole route or rule of {here} swallows {dst}, or it refuses the source"),
        other => format!("the routing of {here} refuses {dst}: {other}"),
    }
}
