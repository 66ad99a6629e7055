//! Which address comes next, as the CNI host-local plugin draws them: round robin within a range, from the one after
//! the last, never the gateway's.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Refusal;

/// Addresses that may be given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The network.
    pub net: IpNet,
    /// The first address that is given away.
    pub first: IpAddr,
    /// The last one.
    pub last: IpAddr,
}

impl Pool {
    /// All addresses of a network, or a part of them. Networks of fewer than four addresses have none to give away.
    pub fn new(net: IpNet, part: Option<(IpAddr, IpAddr)>) -> Result<Pool, Refusal> {
        if net.trunc() != net {
            let message = format!("{net} is an address, not a network");
            return Err(Refusal::usage(message, format!("the network is {}", net.trunc())));
        }
        if net.max_prefix_len() - net.prefix_len() < 2 {
            let message = format!("the network {net} is too small to give addresses from");
            return Err(Refusal::usage(
                message,
                "take one with at least four addresses, or give the address: --address",
            ));
        }
        // The network's own address and IPv4's broadcast address are nobody's.
        let (first, mut last) = (step(net.network(), 1), net.broadcast());
        if last.is_ipv4() {
            last = step(last, -1);
        }
        let (from, to) = part.unwrap_or((first, last));
        if from > to || from < first || to > last {
            let message = format!("the range {from}-{to} is not within the addresses {first}-{last} of {net}");
            return Err(Refusal::usage(message, "give a range of the network, the lower address first"));
        }
        Ok(Pool { net, first: from, last: to })
    }

    /// The address that the network's gateway has unless somebody says otherwise.
    pub fn gateway(&self) -> IpAddr {
        step(self.net.network(), 1)
    }

    fn holds(&self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.first.is_ipv4() && self.first <= addr && addr <= self.last
    }
}

/// The next address after the last that was given away which nobody has.
pub fn pick(pool: &Pool, last: Option<IpAddr>, taken: &HashSet<IpAddr>) -> Result<IpAddr, Refusal> {
    let start = match last.filter(|addr| pool.holds(*addr)) {
        Some(addr) if addr != pool.last => step(addr, 1),
        _ => pool.first,
    };
    let mut addr = start;
    loop {
        if !taken.contains(&addr) {
            return Ok(addr);
        }
        addr = if addr == pool.last { pool.first } else { step(addr, 1) };
        if addr == start {
            let Pool { net, first, last } = pool;
            return Err(Refusal::conflict(
                format!("every address of {net} from {first} to {last} is taken"),
                "podnet detach --gc lists what dead pods have left; or take a larger --subnet or --range",
            ));
        }
    }
}

fn step(addr: IpAddr, by: i128) -> IpAddr {
    match addr {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip).wrapping_add(by as u32)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip).wrapping_add(by as u128)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(net: &str) -> Pool {
        Pool::new(net.parse().unwrap(), None).unwrap()
    }

    #[test]
    fn round_robin_past_what_is_taken() {
        let pool = pool("10.0.0.0/29");
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let taken = |all: &[u8]| all.iter().map(|n| ip(*n)).collect::<HashSet<_>>();
        let next = |last: Option<u8>, all: &[u8]| pick(&pool, last.map(ip), &taken(all));
        assert_eq!(next(None, &[1]), Ok(ip(2)));
        assert_eq!(next(Some(2), &[1]), Ok(ip(3)), "not the one that was given back last");
        assert_eq!(next(Some(6), &[1]), Ok(ip(2)), "round");
        assert_eq!(next(Some(9), &[1]), Ok(ip(2)), "another range's");
        assert_eq!(next(Some(4), &[1, 5, 6, 2]), Ok(ip(3)));
        assert!(next(Some(4), &[1, 2, 3, 4, 5, 6]).is_err());
    }

    #[test]
    fn the_ends_of_networks() {
        let v6 = pool("fd00::/64");
        assert_eq!((v6.first, v6.gateway()), ("fd00::1".parse().unwrap(), "fd00::1".parse().unwrap()));
        assert_eq!(v6.last, "fd00::ffff:ffff:ffff:ffff".parse::<IpAddr>().unwrap());
        assert_eq!(pool("10.0.0.0/30").last, IpAddr::from([10, 0, 0, 2]));
        assert_eq!(pool("255.255.255.0/24").last, IpAddr::from([255, 255, 255, 254]));
        for bad in ["10.0.0.0/31", "10.0.0.1/24", "fd00::/127"] {
            assert!(Pool::new(bad.parse().unwrap(), None).is_err(), "{bad}");
        }
        let part = |a, b| Pool::new("10.0.0.0/24".parse().unwrap(), Some((IpAddr::from(a), IpAddr::from(b))));
        assert!(part([10, 0, 0, 10], [10, 0, 0, 20]).is_ok());
        assert!(part([10, 0, 0, 20], [10, 0, 0, 10]).is_err());
        assert!(part([10, 0, 0, 20], [10, 0, 1, 10]).is_err());
        assert!(part([10, 0, 0, 0], [10, 0, 0, 10]).is_err());
    }

    /// The plugin's own order: https://github.com/containernetworking/plugins, host-local, `GetIter`.
    #[test]
    fn every_address_is_given_once_before_any_comes_again() {
        let pool = pool("10.0.0.0/28");
        let (mut last, mut seen) = (None, Vec::new());
        for _ in 0..13 {
            let gateway = HashSet::from([pool.gateway()]);
            let addr = pick(&pool, last, &gateway).unwrap();
            seen.push(addr);
            last = Some(addr);
        }
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 13);
        assert_eq!(pick(&pool, last, &HashSet::from([pool.gateway()])), Ok(seen[0]));
    }
}
