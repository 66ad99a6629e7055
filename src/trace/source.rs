//! The source that a packet gets which has none: the kernel looks for a way without, and then once more with.

use std::net::IpAddr;

use super::refused::refusal;
use super::walk::{Next, Walk};
use crate::model::{Action, Flow, Gap, IfIndex, NetnsId, Route, RouteAnswer};

impl Walk<'_> {
    /// A connection is looked up twice: without a source, and then with the one that this gave, which rules may send
    /// elsewhere. IPv6 keeps the first answer.
    pub(super) fn with_source(
        &mut self,
        from: NetnsId,
        bound_to: Option<IfIndex>,
        first: Route,
    ) -> Result<Route, Next> {
        let Some(src) = first.prefsrc.filter(|src| src.is_ipv4() && self.flow.src.is_none()) else { return Ok(first) };
        let flow = Flow { src: Some(src), ..self.flow };
        match self.topology.route_out(from, &flow, bound_to) {
            Ok(RouteAnswer::Route(second)) => {
                // Of several next hops each source may have its own.
                let other_way = (second.oif, second.gateway) != (first.oif, first.gateway);
                if other_way && second.nexthops.len() < 2 {
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
                let flow = std::mem::replace(&mut self.flow, flow);
                if let Some(end) = self.refused_by_own_rule(from, &errno) {
                    return Err(end);
                }
                self.flow = flow;
                let name = self.topology.netns(from).name;
                let reason = format!("{}, once it has the source {src}", refusal(&errno, &name, &self.flow));
                Err(self.stop(Action::Dropped, reason))
            }
            Err(_) => Ok(first),
        }
    }

    /// Routes for packets from some sources alone are found once there is a source: where IPv6 finds no way without, it
    /// picks one of the namespace's addresses and looks again.
    pub(super) fn by_own_source(&mut self, from: NetnsId, bound_to: Option<IfIndex>) -> Option<Route> {
        if self.flow.dst.is_ipv4() || self.flow.src.is_some() {
            return None;
        }
        let links = self.topology.links(from).ok()?;
        let addrs = links.iter().filter(|l| l.up && !l.is_loopback()).flat_map(|l| &l.addrs);
        let sources: Vec<IpAddr> =
            addrs.filter(|a| a.local.is_ipv6() && !a.link_scope && a.is_usable()).map(|a| a.local).collect();
        let (src, route) = sources.iter().find_map(|src| {
            let flow = Flow { src: Some(*src), ..self.flow };
            match self.topology.route_out(from, &flow, bound_to) {
                Ok(RouteAnswer::Route(route)) => Some((*src, route)),
                _ => None,
            }
        })?;
        if sources.len() > 1 {
            let name = self.topology.netns(from).name;
            self.doubtful
                .get_or_insert(format!("which of its addresses {name} sends from is not told, and {src} has a route"));
        }
        self.flow.src = Some(src);
        self.doubt(from);
        Some(route)
    }
}
