//! Links as the files show them: names from `dev`, indices and "is up" from `igmp`, IPv6 addresses from `if_inet6`.
//! Kinds, MTUs, link-layer addresses and states are in none of the files that everybody may read.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use super::files::{Files, LIMIT, LIMIT_SQUARE, address6, fields, number};
use crate::kernel::text;
use crate::model::{Gap, IfIndex, Link, LinkAddr};

/// Links whose index is asked for one by one; each costs a file.
const ASKED_ONE_BY_ONE: usize = 1024;

/// The group of all hosts, as `igmp` prints it on this machine; the kernel joins it on every link that is up.
fn all_hosts() -> u32 {
    u32::from_ne_bytes([224, 0, 0, 1])
}

/// Names as the kernel has them, in bytes: two names may look the same as text.
#[derive(Debug, Default)]
pub(super) struct Names {
    of: HashMap<Vec<u8>, IfIndex>,
}

impl Names {
    /// Index of the link with this name.
    pub(super) fn ifindex(&self, name: &[u8]) -> Option<IfIndex> {
        self.of.get(name).copied()
    }
}

/// One IPv6 address of a link.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addr6 {
    pub(super) ip: Ipv6Addr,
    pub(super) ifindex: IfIndex,
    pub(super) prefix_len: u8,
    scope: u8,
    flags: u8,
}

impl Addr6 {
    const LINK_SCOPE: u8 = 0x20;
    const DEPRECATED: u8 = 0x20;
    const TENTATIVE: u8 = 0x40;
    const DAD_FAILED: u8 = 0x08;

    /// Valid on its segment only.
    pub(super) fn link_scope(&self) -> bool {
        self.scope == Self::LINK_SCOPE
    }

    /// The kernel would send from it: it has been found to be unique.
    pub(super) fn usable(&self) -> bool {
        self.flags & (Self::TENTATIVE | Self::DAD_FAILED) == 0
    }

    /// Only to be used where there is no other.
    pub(super) fn deprecated(&self) -> bool {
        self.flags & Self::DEPRECATED != 0
    }

    /// A line of `if_inet6`: address, index, prefix length, scope, flags (all hexadecimal), name.
    fn parse(line: &[u8]) -> Option<(Addr6, &[u8])> {
        let mut f = fields(line);
        let ip = address6(f.next()?)?;
        let ifindex = IfIndex(number(f.next()?, 16)?);
        let [prefix_len, scope, flags] = [f.next()?, f.next()?, f.next()?].map(|f| number(f, 16));
        let byte = |n: Option<u32>| n.and_then(|n| u8::try_from(n).ok());
        Some((
            Addr6 { ip, ifindex, prefix_len: byte(prefix_len)?, scope: byte(scope)?, flags: byte(flags)? },
            f.next()?,
        ))
    }
}

/// Name of a line of `dev`; the counters may stand right behind the colon.
fn dev_name(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|b| *b == b':')?;
    Some(line[..colon].trim_ascii()).filter(|name| !name.is_empty())
}

/// The links with their IPv6 addresses, their names, and every IPv6 address with what its use depends on.
pub(super) fn read(files: &Files, gaps: &mut Vec<Gap>) -> io::Result<(Vec<Link>, Names, Vec<Addr6>)> {
    let mut present: Vec<Vec<u8>> = Vec::new();
    let extent = files.lines("dev", LIMIT, |line| present.extend(dev_name(line).map(<[u8]>::to_vec)))?;
    if extent != super::files::Extent::Whole {
        gaps.push(files.gap("links", "the namespace has more links than podnet reads from /proc"));
    }
    let mut names = Names { of: HashMap::from([(b"lo".to_vec(), IfIndex(1))]) };
    let mut up = HashSet::new();
    let mut last = None;
    files.whole("igmp", LIMIT_SQUARE, gaps, |line| match igmp_line(line) {
        Some(Igmp::Link(name, ifindex)) => {
            names.of.insert(name.to_vec(), ifindex);
            last = Some(ifindex);
        }
        Some(Igmp::Group(group)) if group == all_hosts() => up.extend(last),
        _ => (),
    })?;
    let mut addrs = Vec::new();
    files.whole("if_inet6", LIMIT, gaps, |line| {
        if let Some((addr, name)) = Addr6::parse(line) {
            names.of.insert(name.to_vec(), addr.ifindex);
            addrs.push(addr);
        }
    })?;
    ask_for_the_rest(files, &present, &mut names, gaps);
    let mut links: Vec<Link> = present.iter().filter_map(|name| Some(link(name, names.ifindex(name)?))).collect();
    links.sort_by_key(|l| l.ifindex);
    links.iter_mut().for_each(|link| link.up = up.contains(&link.ifindex));
    for a in &addrs {
        add(&mut links, a.ifindex, LinkAddr::new(IpAddr::V6(a.ip), a.prefix_len, a.link_scope()));
    }
    Ok((links, names, addrs))
}

/// Adds an address to the link of this index; the links are sorted by it.
pub(super) fn add(links: &mut [Link], ifindex: IfIndex, addr: LinkAddr) {
    if let Ok(at) = links.binary_search_by_key(&ifindex, |l| l.ifindex) {
        links[at].addrs.push(addr);
    }
}

enum Igmp<'a> {
    Link(&'a [u8], IfIndex),
    Group(u32),
}

/// A line of `igmp`: index and name of a link, or, indented, a group that the link above has joined.
fn igmp_line(line: &[u8]) -> Option<Igmp<'_>> {
    let mut f = fields(line);
    let first = f.next()?;
    match line.first()?.is_ascii_digit() {
        true => {
            // Names of ten bytes and more have the colon glued to them.
            let name = f.next()?.split(|b| *b == b':').next()?;
            Some(Igmp::Link(name, IfIndex(number(first, 10)?)))
        }
        false => Some(Igmp::Group(number(first, 16)?)),
    }
}

/// Links that are down and have no address are only in `dev_snmp6`, a file for each.
fn ask_for_the_rest(files: &Files, present: &[Vec<u8>], names: &mut Names, gaps: &mut Vec<Gap>) {
    let mut unknown = Vec::new();
    let missing: Vec<&Vec<u8>> = present.iter().filter(|name| !names.of.contains_key(*name)).collect();
    for (asked, name) in missing.into_iter().enumerate() {
        let line = (asked < ASKED_ONE_BY_ONE).then(|| files.first_line(&[b"dev_snmp6/", name.as_slice()].concat()));
        let ifindex = line.and_then(Result::ok).and_then(|line| snmp6_index(&line));
        match ifindex {
            Some(ifindex) => drop(names.of.insert(name.clone(), ifindex)),
            None => unknown.push(text(name)),
        }
    }
    if let Some(first) = unknown.first() {
        let what = match unknown.len() {
            1 => format!("link {first}"),
            n => format!("link {first} and {} more", n - 1),
        };
        gaps.push(files.gap(what, "nothing in /proc shows its index"));
    }
}

fn snmp6_index(line: &[u8]) -> Option<IfIndex> {
    let mut f = fields(line);
    (f.next()? == b"ifIndex").then_some(())?;
    number(f.next()?, 10).map(IfIndex)
}

fn link(name: &[u8], ifindex: IfIndex) -> Link {
    Link {
        ifindex,
        ifname: text(name),
        // Index 1 is the loopback of every namespace: the kernel makes it first.
        kind: if ifindex == IfIndex(1) { "loopback" } else { "unknown" }.into(),
        operstate: "UNKNOWN".into(),
        ..Link::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_before_the_first_colon() {
        assert_eq!(dev_name(b"    lo:       0       0"), Some(b"lo".as_slice()));
        assert_eq!(dev_name(b"eth0:123 4 5"), Some(b"eth0".as_slice()));
        assert_eq!(dev_name(b"a\xff\x1b[1m: 0"), Some(b"a\xff\x1b[1m".as_slice()));
        assert_eq!(dev_name(b" face |bytes    packets"), None);
        assert_eq!(dev_name(b"   a|b: 0"), Some(b"a|b".as_slice()));
        assert_eq!(dev_name(b""), None);
    }

    #[test]
    fn igmp_tells_links_from_groups() {
        assert!(matches!(igmp_line(b"2\teth0      :     1      V3"), Some(Igmp::Link(b"eth0", IfIndex(2)))));
        assert!(matches!(igmp_line(b"3\tvery-long-name0:     1      V3"), Some(Igmp::Link(b"very-long-name0", _))));
        let group = format!("\t\t\t\t{:08X}     1 0:00000000\t\t0", all_hosts());
        assert!(matches!(igmp_line(group.as_bytes()), Some(Igmp::Group(g)) if g == all_hosts()));
        assert!(igmp_line(b"Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter").is_none());
    }

    #[test]
    fn an_address_that_is_not_yet_unique_is_not_usable() {
        assert!(address6(b"fe80000000000000001c65d7fffe6613f0").is_none(), "34 digits are no address");
        let (addr, name) = Addr6::parse(b"fe800000000000001c65d7fffe6613f0 03 40 20 c0     eth0").unwrap();
        assert_eq!((addr.ifindex, addr.prefix_len, name), (IfIndex(3), 64, b"eth0".as_slice()));
        assert!(addr.link_scope() && !addr.usable());
    }
}
