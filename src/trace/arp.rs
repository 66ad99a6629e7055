//! Who would answer for an address that no neighbour entry exists for: idle containers have none, and the way of their
//! first packet is the same all the same.

use std::net::IpAddr;

use super::walk::Walk;
use crate::model::{Flow, Link, LinkId, RouteAnswer, RouteType};

impl Walk<'_> {
    /// The namespace of this link would answer for an address when asked by it; none: that cannot be told.
    pub(super) fn answers_for(&mut self, at: LinkId, link: &Link, ip: IpAddr) -> Option<bool> {
        if link.holds(ip) {
            return Some(true);
        }
        // Linux answers for every address of the namespace, not only for those of the link that is asked.
        let flow = Flow { src: self.flow.src.filter(|s| s.is_ipv4() == ip.is_ipv4()), dst: ip };
        match self.topology.route_in(at, &flow) {
            Ok(RouteAnswer::Route(route)) if route.kind == RouteType::Local => Some(true),
            // Neighbour proxies for IPv6 are not read, so nothing is ruled out there.
            Ok(_) if ip.is_ipv6() => None,
            Ok(RouteAnswer::Route(_)) => link.conf.proxy_arp,
            Ok(RouteAnswer::Refused(_)) => Some(false),
            Err(_) => None,
        }
    }
}
