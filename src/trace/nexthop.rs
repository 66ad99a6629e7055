//! Routes with several next hops: which one a packet takes, and whether that can be told.

use super::walk::Walk;
use crate::model::{Level, Link, LinkId, NetnsId, Route};

impl Walk<'_> {
    /// All next hops of a route that has several, and which one the kernel takes for this flow.
    pub(super) fn name_next_hops(&mut self, netns: NetnsId, route: &mut Route) {
        // With net.ipv4.nexthop_compat_mode off a route names its nexthop object alone.
        if let Some(id) = route.nhid.filter(|_| route.nexthops.is_empty()) {
            let hops = self.topology.nexthops(netns, id);
            match hops {
                Ok(hops) if hops.len() > 1 => route.nexthops = hops,
                Ok(_) => {}
                Err(gap) => self.gap(gap),
            }
        }
        if route.nexthops.len() < 2 {
            return;
        }
        let mut list = Vec::new();
        let links = route.nexthops.iter().map(|hop| self.topology.link(LinkId { netns, ifindex: hop.oif }));
        let links: Vec<Option<Link>> = links.map(|link| link.ok().flatten()).collect();
        // The kernel takes none whose link is down.
        let usable = links.iter().filter(|link| link.as_ref().is_none_or(|link| link.up)).count();
        let unsure = self.topology.doubt(netns, self.flow.dst.is_ipv6()).is_some()
            || usable > 1 && self.goes_by_more(netns, usable);
        for (hop, link) in route.nexthops.iter().zip(links) {
            let name = link.map_or_else(|| format!("if{}", hop.oif), |link| link.ifname);
            let via = hop.gateway.map_or(String::new(), |gateway| format!("via {gateway} "));
            let taken = hop.gateway == route.gateway && Some(hop.oif) == route.oif;
            let mark = match taken {
                true if unsure => " (followed here)",
                true => " (this flow)",
                false => "",
            };
            list.push(format!("{via}dev {name} weight {}{mark}", hop.weight));
        }
        self.finding(
            Level::Info,
            "multipath",
            match unsure {
                true => format!("1 of {} next hops takes this flow, and nothing here says which", list.len()),
                false => format!("1 of {} next hops takes this flow: other flows go by the others", list.len()),
            },
            list.join(", "),
            None,
        );
    }

    /// The kernel tells next hops apart by what this packet was not given; that is a doubt then.
    fn goes_by_more(&mut self, netns: NetnsId, count: usize) -> bool {
        let ipv6 = self.flow.dst.is_ipv6();
        let family = if ipv6 { "ipv6" } else { "ipv4" };
        let policy = self.sysctl(netns, &format!("{family}/fib_multipath_hash_policy")).unwrap_or(0);
        let traffic = self.flow.traffic;
        let all_given = traffic.proto.is_some() && traffic.sport.is_some() && traffic.dport.is_some();
        // A look-up goes without what the packet has once it is on its way.
        let under_way = self.hops.len() > 1;
        let what = match policy {
            1 if under_way => "the hash that its socket gives each connection",
            // The fields of policy 3 can be any; these are the most.
            1 | 3 if !all_given => "the protocol and the ports, which are not all given",
            0 | 2 | 3 if ipv6 && under_way => "the flow label, which the sender makes up",
            0 | 2 if ipv6 && traffic.proto.is_none() => "the protocol, which is not given",
            2 if !self.carried.is_empty() => "the addresses of the packet inside, too",
            _ => return false,
        };
        let name = self.topology.netns(netns).name;
        self.astray.get_or_insert(format!("{name}: which of {count} next hops is used goes by {what}"));
        true
    }
}
