//! Where packets shall go: an address, or the address of somebody who is on this machine.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{ROOT, addr, find};
use crate::error::{Error, ErrorId, Result};
use crate::kernel::Live;
use crate::model::{Link, NetnsId, Topology};

/// The address that the text is; none: it is no address but somebody who has one. `ipv6`: only one of that family
/// will do.
pub fn address(target: &str, ipv6: Option<bool>) -> Result<Option<IpAddr>> {
    let literal = match target.strip_prefix("ip:") {
        Some(text) => Some(addr::ip(text)?),
        None => target.parse().ok(),
    };
    if let Some(ip) = literal {
        if ip.is_unspecified() {
            return Err(Error::new(ErrorId::Usage, "the address of --to stands for no address at all")
                .hint("leave --to away to see where everything else goes"));
        }
        return match ipv6.is_some_and(|ipv6| ipv6 != ip.is_ipv6()) {
            false => Ok(Some(ip)),
            true => Err(Error::new(ErrorId::Usage, "the address of --to is of the family that was left out")
                .hint("leave -4 or -6 away: --to decides the family")),
        };
    }
    match too_much(target) {
        Some(hint) => Err(Error::new(ErrorId::Usage, format!("{target:?} is more than an address")).hint(hint)),
        None => Ok(None),
    }
}

/// What to give instead of an address with something beside it; none: it is none.
fn too_much(target: &str) -> Option<String> {
    if let Ok(with_port) = target.parse::<SocketAddr>() {
        return Some(format!(
            "give {} alone, and the port as --proto tcp --dport {}",
            with_port.ip(),
            with_port.port()
        ));
    }
    if let Ok(net) = target.parse::<IpNet>() {
        return Some(format!("give {} alone: packets go to one address, not to a network", net.addr()));
    }
    let (ip, _) = target.split_once('%')?;
    let ip: IpAddr = ip.parse().ok()?;
    Some(format!("give {ip} alone: the routes of the namespace say by which link it is reached"))
}

/// The address of the one whom the text means. `ipv6`: only one of that family will do; none: IPv4 is taken where there
/// is both.
pub fn destination(live: &mut Live, target: &str, ipv6: Option<bool>) -> Result<(NetnsId, IpAddr)> {
    let netns = find(live, target)?.netns;
    Ok((netns, address_in(live, netns, target, ipv6)?))
}

/// The address that others know a namespace by, which the text means.
pub fn address_in(topology: &mut dyn Topology, netns: NetnsId, target: &str, ipv6: Option<bool>) -> Result<IpAddr> {
    let links = topology.links(netns).map_err(|gap| {
        Error::new(ErrorId::NoPermission, format!("the addresses of {target} cannot be seen: {}", gap.why)).hint(ROOT)
    })?;
    let families = match ipv6 {
        Some(ipv6) => vec![ipv6],
        None => vec![false, true],
    };
    families.into_iter().find_map(|ipv6| known_by(topology, netns, &links, ipv6)).ok_or_else(|| {
        let name = topology.netns(netns).name;
        let family = match ipv6 {
            Some(true) => "IPv6 ",
            Some(false) => "IPv4 ",
            None => "",
        };
        Error::new(ErrorId::UnknownTarget, format!("{name} has no {family}address that others can reach"))
            .hint("podnet list --wide shows all addresses")
    })
}

/// The address that others know a namespace by: that of the link which its default route leaves by, else of the first.
fn known_by(topology: &mut dyn Topology, netns: NetnsId, links: &[Link], ipv6: bool) -> Option<IpAddr> {
    let of = |link: &Link| link.addrs.iter().find(|a| a.local.is_ipv6() == ipv6 && !a.link_scope).map(|a| a.local);
    let mut with: Vec<(&Link, IpAddr)> =
        links.iter().filter(|l| !l.is_loopback()).filter_map(|link| Some((link, of(link)?))).collect();
    if with.len() > 1 {
        let routes = topology.routes(netns).unwrap_or_default();
        let default = routes.iter().filter(|r| r.dst.prefix_len() == 0 && r.dst.addr().is_ipv6() == ipv6);
        let out = default.min_by_key(|r| r.metric).and_then(|r| r.oif);
        with.sort_by_key(|(link, _)| (Some(link.ifindex) != out, link.ifindex));
    }
    with.first().map(|(_, ip)| *ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_an_address() {
        for (text, words) in [
            ("10.1.0.3:80", "10.1.0.3 alone, and the port as --proto tcp --dport 80"),
            ("[fd00::1]:80", "fd00::1 alone, and the port"),
            ("10.1.0.3/24", "10.1.0.3 alone"),
            ("fe80::1%eth0", "fe80::1 alone"),
        ] {
            let error = address(text, None).unwrap_err();
            assert!(error.hint.as_ref().is_some_and(|hint| hint.contains(words)), "{text}: {error:?}");
        }
        for name in ["web", "dev/web", "10.1", "a%b", "host:80", "02:00:5e:10:00:01"] {
            assert!(address(name, None).unwrap().is_none(), "{name}");
        }
    }
}
