//! The sysctls that decide the ways of packets: those of every link come with the links, those of the whole namespace
//! are read from /proc/sys/net, which shows the namespace of the thread that reads.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rtnetlink::packet_core::NlasIterator;

use crate::model::{IfIndex, RecordedConf};

/// IPv4 sysctls of a link by the kernel's number for them (`IPV4_DEVCONF_*`, which count from one).
const INET: &[(usize, &str)] = &[
    (1, "forwarding"),
    (3, "proxy_arp"),
    (6, "send_redirects"),
    (8, "rp_filter"),
    (19, "arp_ignore"),
    (23, "accept_local"),
    (24, "src_valid_mark"),
    (25, "proxy_arp_pvlan"),
    (26, "route_localnet"),
    (29, "ignore_routes_with_linkdown"),
    (32, "bc_forwarding"),
];

/// IPv6 sysctls of a link (`DEVCONF_*`, which count from zero).
const INET6: &[(usize, &str)] = &[
    (0, "forwarding"),
    (10, "use_tempaddr"),
    (22, "proxy_ndp"),
    (26, "disable_ipv6"),
    (37, "use_oif_addrs_only"),
    (39, "ignore_routes_with_linkdown"),
    (59, "force_forwarding"),
];

/// Sysctls of the whole namespace besides those of all links together.
const WHOLE: &[&str] = &[
    "ipv4/ip_forward",
    "ipv4/fib_multipath_hash_policy",
    "ipv4/fib_multipath_use_neigh",
    "ipv6/fib_multipath_hash_policy",
    "bridge/bridge-nf-call-iptables",
    "bridge/bridge-nf-call-ip6tables",
    "bridge/bridge-nf-call-arptables",
];

/// What is recorded of every link.
pub fn names() -> RecordedConf {
    let names = |table: &[(usize, &str)]| table.iter().map(|(_, name)| (*name).to_owned()).collect();
    RecordedConf { inet: names(INET), inet6: names(INET6) }
}

/// Values of a link's sysctls in the order of their names; empty where the kernel did not tell.
#[derive(Debug, Clone, Default)]
pub struct LinkConf {
    /// The link.
    pub ifindex: IfIndex,
    /// Those of IPv4.
    pub inet: Vec<i64>,
    /// Those of IPv6.
    pub inet6: Vec<i64>,
}

/// The sysctls in an RTM_NEWLINK (`IFLA_AF_SPEC`).
pub fn of_link(payload: &[u8]) -> Option<LinkConf> {
    const HEADER: usize = 16;
    const IFLA_AF_SPEC: u16 = 26;
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    const INET_CONF: u16 = 1;
    const INET6_CONF: u16 = 2;
    let (header, attributes) = payload.split_at_checked(HEADER)?;
    let index = header.get(4..)?.first_chunk()?;
    let mut conf = LinkConf { ifindex: IfIndex(u32::from_ne_bytes(*index)), ..LinkConf::default() };
    let spec = NlasIterator::new(attributes).flatten().find(|a| a.kind() == IFLA_AF_SPEC)?;
    for family in NlasIterator::new(spec.value()).flatten() {
        let (table, wanted, first, values) = match family.kind() {
            AF_INET => (INET, INET_CONF, 1, &mut conf.inet),
            AF_INET6 => (INET6, INET6_CONF, 0, &mut conf.inet6),
            _ => continue,
        };
        let Some(array) = NlasIterator::new(family.value()).flatten().find(|a| a.kind() == wanted) else { continue };
        // A kernel that does not have the last ones yet tells fewer.
        let value = |(number, _): &(usize, &str)| {
            array.value().get((number - first) * 4..)?.first_chunk().map(|b| i64::from(i32::from_ne_bytes(*b)))
        };
        *values = table.iter().map_while(value).collect();
    }
    Some(conf)
}

/// The sysctls of the namespace that the thread is in.
pub fn whole() -> io::Result<BTreeMap<String, Option<i64>>> {
    let all = |family: &str, table: &[(usize, &str)]| -> Vec<String> {
        table.iter().map(|(_, name)| format!("{family}/conf/all/{name}")).collect()
    };
    let names = WHOLE.iter().map(|name| (*name).to_owned()).chain(all("ipv4", INET)).chain(all("ipv6", INET6));
    names.map(|name| Ok((name.clone(), read(&name)?))).collect()
}

fn read(name: &str) -> io::Result<Option<i64>> {
    match fs::read_to_string(format!("/proc/sys/net/{name}")) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
