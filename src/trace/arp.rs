//! Who would answer for an address that no neighbour entry exists for: idle containers have none, and the way of their
//! first packet is the same all the same. Linux is generous with answers for IPv4 and strict for IPv6.

use std::net::{IpAddr, Ipv6Addr};

use super::sight::{Device, Sight};
use super::walk::Walk;
use crate::model::{Chain, Flow, Hook, IfIndex, Link, LinkId, NetnsId, Outcome, RouteAnswer, RouteType};

impl Walk<'_> {
    /// The namespace of this link would answer for an address when asked by it; none: that cannot be told.
    pub(super) fn answers_for(&mut self, at: LinkId, link: &Link, ip: IpAddr) -> Option<bool> {
        let answers = match ip {
            IpAddr::V4(_) => self.answers_for_v4(at, link, ip)?,
            // A node solicitation is answered for the addresses of the link that it came by, and no other; for those that
            // another one may have or has, it is not.
            IpAddr::V6(_) => link.addrs.iter().any(|addr| addr.local == ip && addr.is_usable()),
        };
        Some(answers || ip.is_ipv6() && self.is_proxied_v6(at, link, ip)?)
    }

    /// Nobody knows the address of the one who has this one yet, and netfilter may keep the question or the answer away.
    pub(super) fn may_be_unanswered(&mut self, at: LinkId, link: &Link, ip: IpAddr) {
        let sender = self.hops.iter().rev().find(|hop| hop.route.is_some()).map(|hop| hop.netns);
        // Rules on ARP are not read.
        let in_the_way = match ip {
            IpAddr::V4(_) => [Some(at.netns), sender].into_iter().flatten().find_map(|netns| {
                let chains = self.topology.chains(netns).ok()?;
                chains.into_iter().find(|chain| chain.family == "arp").map(|chain| (netns, chain))
            }),
            IpAddr::V6(ip) => self.drops_solicitation(at, link, ip).map(|chain| (at.netns, chain)),
        };
        if let Some((netns, chain)) = in_the_way {
            let there = self.topology.netns(netns).name;
            let chain = format!("{} {} {}", chain.family, chain.table, chain.chain);
            self.doubtful.get_or_insert(format!(
                "{there}: the address of {ip} is not known yet, and netfilter's chain {chain} may drop the question for it"
            ));
        }
    }

    /// A chain that does not let the question for an address in for certain.
    fn drops_solicitation(&mut self, at: LinkId, link: &Link, ip: Ipv6Addr) -> Option<Chain> {
        let chains = self.topology.chains(at.netns).ok()?;
        let asked = |chain: &Chain| {
            let here = matches!(chain.hook, Hook::Prerouting | Hook::Input) && chain.kind != "nat";
            here && matches!(chain.family.as_str(), "ip6" | "inet")
        };
        chains.into_iter().filter(asked).find(|chain| {
            let mut sight = Sight::solicitation(ip, Device::Link(link.ifname.clone(), at.ifindex.0));
            let sentence = self.judged(at.netns, chain, &mut sight);
            sentence.outcomes.iter().any(|outcome| *outcome != Outcome::Pass)
        })
    }

    fn answers_for_v4(&mut self, at: LinkId, link: &Link, ip: IpAddr) -> Option<bool> {
        if link.noarp {
            return Some(false);
        }
        let src = self.flow.src.filter(IpAddr::is_ipv4);
        let flow = Flow { src, ..Flow::to(ip) };
        match self.topology.route_in(at, &flow) {
            // Every address of the namespace, not only those of the link that is asked, unless arp_ignore says so.
            Ok(RouteAnswer::Route(route)) if route.kind == RouteType::Local => {
                match self.greatest(at.netns, link, "arp_ignore") {
                    Some(0) | None => Some(true),
                    Some(1 | 2) => Some(link.holds(ip)),
                    Some(8) => Some(false),
                    Some(_) => None,
                }
            }
            // Proxy ARP: for what does not lead back to the one who asks, or, of a segment whose ports may not talk to each
            // other, for what does. A look-up that succeeds says that it forwards, too.
            Ok(RouteAnswer::Route(route)) if route.kind == RouteType::Unicast => {
                if route.oif == Some(at.ifindex) {
                    return Some(self.greatest(at.netns, link, "proxy_arp_pvlan").is_some_and(|v| v != 0));
                }
                if link.conf.proxy_arp == Some(true)
                    || self.sysctl(at.netns, "ipv4/conf/all/proxy_arp").is_some_and(|v| v != 0)
                {
                    return Some(true);
                }
                self.topology.proxied(at, ip).ok()
            }
            // Its own address, and the sender is refused: the same refusal meets the packet and tells why.
            Ok(RouteAnswer::Refused(errno)) if link.holds(ip) && matches!(errno.as_str(), "EINVAL" | "EXDEV") => {
                Some(true)
            }
            Ok(_) => Some(false),
            // Nothing but the links of that namespace can be seen; what they hold they answer for.
            Err(_) => link.holds(ip).then_some(true),
        }
    }

    /// IPv6 heeds its entries only where it is told to.
    fn is_proxied_v6(&mut self, at: LinkId, link: &Link, ip: IpAddr) -> Option<bool> {
        let proxied = self.topology.proxied(at, ip).ok()?;
        Some(proxied && self.greatest_v6(at.netns, link, "proxy_ndp").is_some_and(|v| v != 0))
    }

    /// The value of a link's IPv4 sysctl that counts, where that is the greater one of its own and that of all links.
    pub(super) fn greatest(&mut self, netns: NetnsId, link: &Link, name: &str) -> Option<i64> {
        let all = self.sysctl(netns, &format!("ipv4/conf/all/{name}"));
        let own = self.sysctl(netns, &format!("ipv4/conf/{}/{name}", link.ifname));
        all.max(own)
    }

    fn greatest_v6(&mut self, netns: NetnsId, link: &Link, name: &str) -> Option<i64> {
        let all = self.sysctl(netns, &format!("ipv6/conf/all/{name}"));
        let own = self.sysctl(netns, &format!("ipv6/conf/{}/{name}", link.ifname));
        all.max(own)
    }

    pub(super) fn sysctl(&mut self, netns: NetnsId, name: &str) -> Option<i64> {
        let value = self.topology.sysctl(netns, name);
        self.seen(value)
    }

    /// The address is one of the namespace's own.
    pub(super) fn is_own_address(&mut self, netns: NetnsId, ip: IpAddr) -> bool {
        let flow = Flow::to(ip);
        let answer = self.topology.route_out(netns, &flow, None::<IfIndex>);
        matches!(answer, Ok(RouteAnswer::Route(route)) if route.kind == RouteType::Local)
    }
}
