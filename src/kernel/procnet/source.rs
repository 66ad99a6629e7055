//! The source address that the kernel picks for a packet that has none, as far as the files tell.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::ProcNet;
use super::links::Addr6;
use crate::model::{Route, RouteType};

impl ProcNet {
    /// The source address of a packet on this route; none where the kernel may pick any of several.
    pub(super) fn source(&self, route: &Route, dst: IpAddr) -> Option<IpAddr> {
        match dst {
            IpAddr::V4(ip) if route.kind == RouteType::Local => self.own_source4(route, ip).map(IpAddr::V4),
            IpAddr::V4(dst) => self.source4(route, dst).map(IpAddr::V4),
            IpAddr::V6(dst) => self.source6(route, dst).map(IpAddr::V6),
        }
    }

    /// What is local without being an address answers as itself, unless it is the prefix of an address.
    fn own_source4(&self, route: &Route, dst: Ipv4Addr) -> Option<Ipv4Addr> {
        if self.addrs4.holds(dst) {
            return Some(dst);
        }
        if let Some(addr) = self.addrs4.placed.iter().find(|a| IpNet::V4(a.net.trunc()) == route.dst) {
            return Some(addr.ip());
        }
        let hidden = self.addrs4.unplaced.iter().any(|ip| route.dst.contains(&IpAddr::V4(*ip)));
        (!hidden).then_some(dst)
    }

    /// The first address of the device in the subnet of the next hop, else its first, else the first of any device.
    /// The order of addresses is not shown, so that only a choice of one is a choice.
    fn source4(&self, route: &Route, dst: Ipv4Addr) -> Option<Ipv4Addr> {
        let towards = match route.gateway {
            Some(IpAddr::V4(gateway)) => gateway,
            _ => dst,
        };
        let of_dev = || self.addrs4.placed.iter().filter(|a| Some(a.ifindex) == route.oif);
        // Addresses of the host itself are no source for anything outside of it.
        let outside = |ip: &Ipv4Addr| !ip.is_loopback();
        let same_net: Vec<Ipv4Addr> = of_dev().filter(|a| a.net.contains(&towards)).map(|a| a.ip()).collect();
        let own: Vec<Ipv4Addr> = of_dev().map(|a| a.ip()).filter(outside).collect();
        let any = self.addrs4.placed.iter().map(|a| a.ip()).chain(self.addrs4.unplaced.iter().copied());
        let any: Vec<Ipv4Addr> = any.filter(outside).collect();
        match (&same_net[..], &own[..], &any[..]) {
            ([ip], ..) => Some(*ip),
            ([], [ip], any) if self.addrs4.unplaced.is_empty() || any.len() == 1 => Some(*ip),
            ([], [], [ip]) => Some(*ip),
            _ => None,
        }
    }

    /// RFC 6724 as far as it can be followed: the destination itself, its scope, not deprecated, on the device that
    /// sends, unique-local to unique-local, the longest common prefix.
    fn source6(&self, route: &Route, dst: Ipv6Addr) -> Option<Ipv6Addr> {
        let wide = |a: &&Addr6| dst.is_unicast_link_local() || link_multicast(dst) || !a.link_scope();
        let own = |a: &&Addr6| Some(a.ifindex) == route.oif;
        let usable = || self.addrs6.iter().filter(|a| a.usable());
        if let Some(same) = usable().find(|a| a.ip == dst) {
            return Some(same.ip);
        }
        let usable = || usable().filter(|a| !a.ip.is_loopback()).filter(wide);
        let among: Vec<&Addr6> = match usable().any(|a| own(&a)) {
            true => usable().filter(own).collect(),
            false => usable().collect(),
        };
        let local = dst.is_unicast_link_local() || link_multicast(dst);
        let rank = |a: &&Addr6| {
            let common = (u128::from(a.ip) ^ u128::from(dst)).leading_zeros().min(u32::from(a.prefix_len));
            let label = a.ip.is_unique_local() == dst.is_unique_local();
            (a.link_scope() != local, a.deprecated(), !label, Reverse(common))
        };
        let best = among.iter().min_by_key(|a| rank(a))?;
        let alone = among.iter().filter(|a| rank(a) == rank(best)).count() == 1;
        alone.then_some(best.ip)
    }
}

/// A group on the segment.
fn link_multicast(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xff0f == 0xff02
}
