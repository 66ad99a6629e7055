//! Which packets are worth following when nobody named a destination: for each interface and address family the widest
//! route that leads out by it.

use std::net::IpAddr;

use super::{Ask, Traced};
use crate::model::{
    Flow, Gap, IfIndex, Link, LinkId, LlAddr, NetnsId, Route, RouteAnswer, RouteType, Seen, Tag, Topology, Traffic,
};

/// Addresses of documentation networks, which nobody routes on purpose: they stand for "any address" at a default route.
const ANYWHERE: [&str; 6] =
    ["198.51.100.1", "203.0.113.1", "192.0.2.1", "2001:db8::1", "3fff::1", "2001:db8:ffff:ffff::1"];

/// A path to be followed.
#[derive(Debug, Clone)]
pub(super) enum Start {
    /// The packets of a flow.
    Flow {
        /// What the path is called.
        to: String,
        /// The packets.
        flow: Flow,
        /// Link that they must be bound to, or the routing table would send them elsewhere.
        bound_to: Option<IfIndex>,
    },
    /// The packets of a flow that come from outside by a link: answers to what left by it.
    Arriving {
        /// What the path is called.
        to: String,
        /// The packets.
        flow: Flow,
        /// Where they come in.
        at: LinkId,
        /// That link.
        link: Box<Link>,
        /// Link-layer address that they are sent to: the one that what left was sent from.
        lladdr: Option<LlAddr>,
        /// Their VLAN tags, the outer one last.
        tags: Vec<Tag>,
    },
    /// Only the wiring of a link: there is no route out by it, or routes cannot be seen.
    Wiring {
        /// What the path is called.
        to: String,
        /// The link, boxed as it is much the larger case.
        link: Box<Link>,
        /// Routes were seen, and none leads out.
        no_route: bool,
    },
    /// A route leads out by a link, and nothing that podnet can send takes it.
    Unused {
        /// What the path is called.
        to: String,
        /// The link.
        link: Box<Link>,
    },
    /// The namespace has no link that could lead anywhere.
    Nowhere,
}

impl Start {
    /// What the packets have besides addresses.
    pub(super) fn traffic(&self) -> Traffic {
        match self {
            Start::Flow { flow, .. } | Start::Arriving { flow, .. } => flow.traffic,
            _ => Traffic::default(),
        }
    }

    /// The same start with the other addresses that stand for any.
    pub(super) fn stand_ins(&self) -> Vec<Start> {
        let Start::Flow { to, flow, bound_to } = self else { return Vec::new() };
        if to != "default" {
            return Vec::new();
        }
        let others = anywhere(&Ask::default()).filter(|ip| ip.is_ipv6() == flow.dst.is_ipv6() && *ip != flow.dst);
        let with = |dst| Start::Flow { to: to.clone(), flow: Flow { dst, ..*flow }, bound_to: *bound_to };
        others.map(with).collect()
    }
}

pub(super) fn starts(topology: &mut dyn Topology, from: NetnsId, ask: &Ask, traced: &mut Traced) -> Vec<Start> {
    if let Some(dst) = ask.to {
        let flow = Flow { src: ask.from, dst, traffic: ask.traffic };
        return vec![Start::Flow { to: dst.to_string(), flow, bound_to: None }];
    }
    let routes = topology.routes(from);
    let links = match &routes {
        Ok(routes) => topology.exits(from, routes),
        Err(_) => topology.links(from),
    };
    let links = match leading(links) {
        Ok(links) => links,
        Err(gap) => return blind(gap, ask, traced),
    };
    let routes = routes.map_err(|gap| traced.add_gap(gap)).ok();
    let mut starts = Vec::new();
    for link in &links {
        for ipv6 in [false, true] {
            if if ipv6 { ask.no_ipv6 } else { ask.no_ipv4 } {
                continue;
            }
            let widest = routes.as_deref().unwrap_or_default().iter().filter(|r| leads_out(r, link, ipv6));
            if let Some(route) = widest.min_by_key(|r| (r.dst.prefix_len(), r.metric)) {
                starts.extend(follow(topology, from, &links, link, route, ask));
            }
        }
    }
    if starts.is_empty() {
        starts = match leading(topology.links(from)) {
            Ok(links) => wiring(links, routes.as_deref()),
            Err(gap) => blind(gap, ask, traced),
        };
    }
    starts
}

fn leading(links: Seen<Vec<Link>>) -> Seen<Vec<Link>> {
    links.map(|links| links.into_iter().filter(|l| !l.is_loopback()).collect())
}

/// Nothing is known of the links: the first address that stands for any has to do.
fn blind(gap: Gap, ask: &Ask, traced: &mut Traced) -> Vec<Start> {
    traced.add_gap(gap);
    anywhere(ask).take(1).map(|dst| default_to(dst, ask)).collect()
}

fn leads_out(route: &Route, link: &Link, ipv6: bool) -> bool {
    let by_link = route.oif == Some(link.ifindex) || route.nexthops.iter().any(|n| n.oif == link.ifindex);
    let via_router = route.gateway.is_some() || route.nexthops.iter().any(|n| n.gateway.is_some());
    by_link
        && route.kind == RouteType::Unicast
        && route.dst.addr().is_ipv6() == ipv6
        && (route.dst.prefix_len() == 0 || via_router)
}

/// The packets that a route sends out by a link: those that any process may send, or, where another route is
/// preferred, those from the link's own address, or else those of a process that is bound to the link.
fn follow(
    topology: &mut dyn Topology,
    from: NetnsId,
    links: &[Link],
    link: &Link,
    route: &Route,
    ask: &Ask,
) -> Option<Start> {
    let ipv6 = route.dst.addr().is_ipv6();
    let goals: Vec<IpAddr> = match route.dst.prefix_len() {
        0 => anywhere(ask).filter(|ip| ip.is_ipv6() == ipv6).collect(),
        _ => route.dst.hosts().next().into_iter().collect(),
    };
    let usable = |l: &&Link| l.ifindex == link.ifindex;
    // The link's own addresses first: a rule for another link's is the odder thing.
    let (own, others): (Vec<&Link>, Vec<&Link>) = links.iter().partition(usable);
    let sources = own.into_iter().chain(others).flat_map(|l| &l.addrs);
    let sources = sources.filter(|a| a.local.is_ipv6() == ipv6 && !a.link_scope).map(|a| (Some(a.local), None));
    let senders: Vec<(Option<IpAddr>, Option<IfIndex>)> = match ask.from {
        Some(src) => vec![(Some(src), None), (Some(src), Some(link.ifindex))],
        None => [(None, None)].into_iter().chain(sources).chain([(None, Some(link.ifindex))]).collect(),
    };
    for (src, bound_to) in senders {
        for dst in &goals {
            let flow = Flow { src, dst: *dst, traffic: ask.traffic };
            match topology.route_out(from, &flow, bound_to) {
                Ok(RouteAnswer::Route(answer))
                    if answer.oif == Some(link.ifindex)
                        // Of table 0 is what the kernel makes up for a packet that is bound to a link.
                        && answer.table.0 != 0
                        && answer.dst.prefix_len() == route.dst.prefix_len() =>
                {
                    return Some(Start::Flow { to: route.dst_text(), flow, bound_to });
                }
                _ => {}
            }
        }
    }
    // The route is there, and no packet that podnet can think of takes it.
    Some(Start::Unused { to: route.dst_text(), link: Box::new(link.clone()) })
}

fn wiring(links: Vec<Link>, routes: Option<&[Route]>) -> Vec<Start> {
    let no_route = routes.is_some();
    let mut starts: Vec<Start> = links
        .into_iter()
        .map(|link| {
            let on_link = routes
                .unwrap_or_default()
                .iter()
                .find(|r| r.oif == Some(link.ifindex) && r.kind == RouteType::Unicast && !r.dst.addr().is_multicast());
            let to = on_link.map_or_else(|| "default".to_owned(), Route::dst_text);
            Start::Wiring { to, link: Box::new(link), no_route }
        })
        .collect();
    if starts.is_empty() {
        starts.push(Start::Nowhere);
    }
    starts
}

fn anywhere(ask: &Ask) -> impl Iterator<Item = IpAddr> + use<> {
    let (no_ipv4, no_ipv6) = (ask.no_ipv4, ask.no_ipv6);
    ANYWHERE
        .iter()
        .filter_map(|text| text.parse::<IpAddr>().ok())
        .filter(move |ip| if ip.is_ipv6() { !no_ipv6 } else { !no_ipv4 })
}

fn default_to(dst: IpAddr, ask: &Ask) -> Start {
    Start::Flow { to: "default".to_owned(), flow: Flow { src: ask.from, dst, traffic: ask.traffic }, bound_to: None }
}
