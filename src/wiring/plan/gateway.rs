//! Whom the namespace sends its packets to: the gateway of each family, the addresses that the host needs for that, and
//! the routers of further routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::check::{is_edge, is_special, of_family};
use super::steps::Planning;
use super::{Gateways, Lease, Pool, Refusal, Way};
use crate::wiring::GROUP;

/// Who stands for the host on a pair without a bridge where no network says it.
const LINK_LOCAL: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)), IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1))];

impl Planning<'_> {
    /// The bridge is podnet's, or will be: its addresses may be podnet's, too.
    fn bridge_is_ours(&self) -> bool {
        self.facts.base.as_ref().is_none_or(|base| base.group == GROUP)
    }

    pub(super) fn gateways(&mut self) -> Result<(), Refusal> {
        for ipv6 in [false, true] {
            let leases: Vec<&Lease> = self.leases.iter().filter(|l| of_family(ipv6)(&l.addr.addr())).collect();
            let named = match &self.wish.gateways {
                Gateways::None => continue,
                Gateways::Host => None,
                Gateways::Named(all) => match all.iter().copied().find(of_family(ipv6)) {
                    Some(gateway) => Some(gateway),
                    None if all.is_empty() => None,
                    None => continue,
                },
            };
            let Some(first) = leases.first() else {
                if let Some(gateway) = named {
                    let message = format!("the gateway {gateway} has no address of its family to go with");
                    return Err(Refusal::usage(message, "give an --address or a --subnet of that family, too"));
                }
                continue;
            };
            match named {
                Some(gateway) => self.named_gateway(first, gateway)?,
                // Each network gets the host's address in it; the first is the way out.
                None => {
                    for (index, lease) in leases.iter().enumerate() {
                        self.host_gateway(lease, index == 0)?;
                    }
                }
            }
        }
        match self.leases.iter().find(|lease| self.decided.gateways.contains(&lease.addr.addr())) {
            Some(lease) => {
                let message = format!("{} is the gateway's address", lease.addr.addr());
                Err(Refusal::conflict(message, "give another --address, or another --gateway"))
            }
            None => Ok(()),
        }
    }

    fn named_gateway(&mut self, lease: &Lease, gateway: IpAddr) -> Result<(), Refusal> {
        let alone = self.wish.way == Way::PointToPoint;
        let why = match lease.net().contains(&gateway) || is_link_local6(gateway) {
            false if !alone => Some(format!("is not in the network {}", lease.net())),
            true if !alone && is_edge(with_len(gateway, lease.addr.prefix_len())) => {
                Some(format!("is no host of the network {}", lease.net()))
            }
            _ if is_special(gateway) => Some("can be no host's address".to_owned()),
            _ => None,
        };
        if let Some(why) = why {
            let hint = "give a gateway of the network, or --gateway none";
            return Err(Refusal::usage(format!("the gateway {gateway} {why}"), hint));
        }
        self.decided.gateways.push(gateway);
        let held = self.facts.base.as_ref().is_some_and(|base| base.holds(gateway));
        match self.wish.way {
            Way::PointToPoint => self.host_addrs.push(host_part(gateway)),
            Way::Bridge { .. } if held => {}
            Way::Bridge { .. } if self.bridge_is_ours() => {
                self.host_addrs.push(with_len(gateway, lease.addr.prefix_len()));
            }
            _ => self.decided.gateway_is_host = false,
        }
        Ok(())
    }

    /// Each address once, though several of the namespace's have the same gateway.
    fn host_gets(&mut self, addr: IpNet) {
        if !self.host_addrs.contains(&addr) {
            self.host_addrs.push(addr);
        }
    }

    fn host_gateway(&mut self, lease: &Lease, first: bool) -> Result<(), Refusal> {
        let net = lease.net();
        let whole = Pool::new(net, None).ok();
        let held = self
            .facts
            .base
            .as_ref()
            .and_then(|base| base.addrs.iter().find(|a| !a.link_scope && net.contains(&a.local)).map(|a| a.local));
        let gateway = match (&self.wish.way, held, whole) {
            (Way::Macvlan { .. }, ..) => {
                let note = "a macvlan has no gateway unless one is named with --gateway";
                self.note(note.to_owned());
                return Ok(());
            }
            (Way::Bridge { .. }, Some(addr), _) => addr,
            (Way::Bridge { .. }, None, Some(pool)) if self.bridge_is_ours() => {
                self.host_gets(with_len(pool.gateway(), net.prefix_len()));
                pool.gateway()
            }
            (Way::Bridge { name, .. }, ..) => {
                self.note(format!(
                    "no gateway in {net}: {name} has no address there; name a router with --gateway, or give {name} one"
                ));
                return Ok(());
            }
            (Way::PointToPoint, _, pool) => {
                let addr = pool.map_or(LINK_LOCAL[usize::from(net.addr().is_ipv6())], |pool| pool.gateway());
                self.host_gets(host_part(addr));
                addr
            }
        };
        if is_special(gateway) {
            let message = format!("{gateway}, the first address of {net}, can be no gateway's");
            return Err(Refusal::usage(message, "name another one with --gateway, or take another network"));
        }
        if first {
            self.decided.gateways.push(gateway);
        }
        Ok(())
    }

    /// IPv6 is there on the host's side, where the host gets an address or a route of it.
    pub(super) fn host_has_ipv6(&self) -> Result<(), Refusal> {
        let ipv6 = of_family(true);
        let routed = self.wish.way == Way::PointToPoint && self.leases.iter().any(|lease| ipv6(&lease.addr.addr()));
        match &self.facts.no_host_ipv6 {
            Some(why) if routed || self.host_addrs.iter().any(|net| ipv6(&net.addr())) => {
                let message = format!("the host's side can have no IPv6 address: {why}");
                Err(Refusal::conflict(message, "leave IPv6 out, allow it there first, or give --gateway none"))
            }
            _ => Ok(()),
        }
    }

    /// The kernel takes a route only where it finds the router on the link, and only one to the same place.
    pub(super) fn check_route(&self, dst: IpNet, via: Option<IpAddr>) -> Result<(), Refusal> {
        let dst = dst.trunc();
        let mut nets = self.leases.iter().map(Lease::net).filter(|_| self.wish.way != Way::PointToPoint);
        let by_itself = nets.clone().any(|net| net == dst);
        let default = self.wish.default_route && dst.prefix_len() == 0;
        if by_itself || (default && self.decided.gateways.iter().any(of_family(dst.addr().is_ipv6()))) {
            let message = format!("there will be a route to {dst} without being asked for");
            return Err(Refusal::usage(message, "leave the --route away, or give --no-default-route"));
        }
        let Some(via) = via else { return Ok(()) };
        let own = self.leases.iter().any(|lease| lease.addr.addr() == via);
        let near = nets.any(|net| net.contains(&via) && !is_edge(with_len(via, net.prefix_len())));
        if own || !(near || is_link_local6(via) || self.decided.gateways.contains(&via)) {
            let message =
                format!("the route to {dst} cannot go by {via}: no host of the new link's network has that address");
            return Err(Refusal::usage(message, "give a router of the link's network, or leave it to the gateway"));
        }
        Ok(())
    }
}

/// IPv6's link-local addresses are on every link.
pub(super) fn is_link_local6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// A prefix of one address; IPv6's link-local addresses are always of a network of their own.
pub(super) fn host_part(ip: IpAddr) -> IpNet {
    if is_link_local6(ip) { with_len(ip, 64) } else { IpNet::from(ip) }
}

pub(super) fn with_len(ip: IpAddr, prefix_len: u8) -> IpNet {
    IpNet::new(ip, prefix_len).unwrap_or_else(|_| IpNet::from(ip))
}
