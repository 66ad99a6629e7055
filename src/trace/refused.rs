//! Why a namespace refuses a packet: the kernel's look-up says no with an error number, and the facts around tell which of
//! its reasons it was.

use super::walk::{Next, Walk};
use crate::model::{Action, Flow, Level, Link, LinkId, RouteAnswer};

impl Walk<'_> {
    /// The kernel's input look-up said no.
    pub(super) fn refused(&mut self, at: LinkId, link: &Link, errno: &str) -> Next {
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
