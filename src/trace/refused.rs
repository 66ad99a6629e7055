//! Why a namespace refuses a packet: the kernel's look-up says no with an error number, and the facts around tell which of
//! its reasons it was.

use std::net::IpAddr;

use super::walk::{Next, Walk};
use crate::model::{Action, Flow, Level, Link, LinkId, NetnsId, RouteAnswer, RouteType, word};

impl Walk<'_> {
    /// The kernel's input look-up said no.
    pub(super) fn refused(&mut self, at: LinkId, link: &Link, errno: &str) -> Next {
        if let Some(end) = self.back_at_sender(at, link, errno) {
            return end;
        }
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
        self.refused_by_route(at.netns, errno)
    }

    /// A look-up said no, and no source is to blame: a route of that type for the destination is, where there is one.
    pub(super) fn refused_by_route(&mut self, netns: NetnsId, errno: &str) -> Next {
        let here = self.topology.netns(netns).name;
        let reason = refusal(errno, &here, &self.flow);
        let kind = match errno {
            "EINVAL" => RouteType::Blackhole,
            "EHOSTUNREACH" => RouteType::Unreachable,
            "EACCES" => RouteType::Prohibit,
            _ => return self.stop(Action::Dropped, reason),
        };
        let dst = self.flow.dst;
        let routes = self.topology.routes(netns).unwrap_or_default();
        let refusing = routes.into_iter().filter(|route| route.kind == kind && route.dst.contains(&dst));
        let Some(route) = refusing.max_by_key(|route| route.dst.prefix_len()) else {
            return self.stop(Action::Dropped, reason);
        };
        // An output look-up has no source to validate: a route refuses there as well.
        let there = Flow { src: None, ..self.flow };
        if self.topology.route_out(netns, &there, None) != Ok(RouteAnswer::Refused(errno.to_owned())) {
            return self.stop(Action::Dropped, reason);
        }
        let (word, prefix) = (kind.word(), route.dst_text());
        let reason = format!("the {word} route {prefix} of {here} takes it: no better route to {dst} is there");
        let evidence = format!("{word} {prefix} proto {} in {}", route.protocol, route.table.called());
        let fix = Some(format!("ip route add {dst} ..., or find out who was to set that route (in {here})"));
        if !self.hops.is_empty() {
            self.finding(Level::Fatal, "route-refuses", reason.clone(), evidence, fix);
        }
        self.stop(Action::Dropped, reason)
    }

    /// A link that has IPv6 switched off ignores its packets, whoever still knows its address.
    pub(super) fn ipv6_is_off(&mut self, at: LinkId, link: &Link) -> Option<Next> {
        if self.flow.dst.is_ipv4() || !link.conf.disable_ipv6 {
            return None;
        }
        let reason = format!("IPv6 is switched off on {} in {}", link.ifname, self.topology.netns(at.netns).name);
        let name = format!("net.ipv6.conf.{}.disable_ipv6", link.ifname.replace('.', "/"));
        let fix = self.to_type(format!("sysctl -w {}=0", word(&name)));
        self.finding(Level::Fatal, "ipv6-off", reason.clone(), format!("{name} is 1"), Some(fix));
        Some(self.stop(Action::Dropped, reason))
    }

    /// No router passes on what nobody behind it could answer.
    pub(super) fn beyond_scope(&mut self) -> Option<Next> {
        let IpAddr::V6(src) = self.flow.src? else { return None };
        if !src.is_unicast_link_local() && !src.is_loopback() && !src.is_unspecified() {
            return None;
        }
        let here = self.here();
        let reason = format!("{here} does not pass on packets from {src}, which is an address of one segment alone");
        let evidence = "the sender has no usable address of greater scope: none at all, or one that somebody else has";
        self.finding(
            Level::Fatal,
            "source-scope",
            reason.clone(),
            evidence,
            Some("give the sender an address of its own that is valid everywhere".to_owned()),
        );
        Some(self.stop(Action::Dropped, reason))
    }

    /// With ARP off a link on a segment sends everything that it knows no address for to itself.
    pub(super) fn asks_nobody(&mut self, link: &Link, to: IpAddr) -> Option<Next> {
        if !link.noarp || !matches!(link.kind.as_str(), "veth" | "macvlan") {
            return None;
        }
        let reason = format!("{} asks nobody for the address of {to}: ARP is off", link.ifname);
        let fix = self.to_type(format!("ip link set {} arp on", word(&link.ifname)));
        let evidence = "without ARP the kernel sends to the link's own link-layer address";
        self.finding(Level::Fatal, "arp-off", reason.clone(), evidence, Some(fix));
        Some(self.stop(Action::Dropped, reason))
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
        let fix = self.to_type(format!("sysctl -w {sysctl}=1"));
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
