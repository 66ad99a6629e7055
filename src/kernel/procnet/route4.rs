//! IPv4 routes: `route` has devices, gateways and metrics of the main table, `fib_trie` the types, the scopes and
//! the local table. Neither has further next hops, preferred sources or MTUs (its MTU column is the advertised MSS).

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::files::{Files, LIMIT, fields, number};
use super::links::Names;
use super::table::{Entry, Shown, Tables};
use crate::model::{Gap, RouteType, TableId};

const RTF_GATEWAY: u32 = 0x2;
const RTF_REJECT: u32 = 0x200;

/// One line of `route`.
#[derive(Debug)]
struct Line {
    dev: Vec<u8>,
    dst: Ipv4Net,
    gateway: Ipv4Addr,
    flags: u32,
    metric: u32,
}

/// One route of `fib_trie`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) dst: Ipv4Net,
    pub(super) kind: RouteType,
    scope: &'static str,
    tos: bool,
}

/// What `fib_trie` shows.
#[derive(Debug, Default)]
pub(super) struct Trie {
    main: Vec<Leaf>,
    pub(super) local: Vec<Leaf>,
    others: Vec<Leaf>,
    /// Tables other than main and local, by their headings.
    headings: usize,
}

/// The tables, and the trie for whoever looks for addresses.
pub(super) fn read(files: &Files, names: &Names, gaps: &mut Vec<Gap>) -> io::Result<(Tables, Trie)> {
    let mut lines = Vec::new();
    let mut whole = files.whole("route", LIMIT, gaps, |line| lines.extend(Line::parse(line)))?;
    let mut parser = TrieParser::default();
    whole &= files.whole("fib_trie", LIMIT, gaps, |line| parser.line(line))?;
    let trie = parser.trie;
    let mut tables = tables(&lines, &trie, names);
    if trie.main.iter().any(|leaf| leaf.tos) {
        gaps.push(files.gap("routes for one type of service", "/proc does not show for which"));
    }
    if !whole {
        tables.unsure = Some("/proc was not read to the end of the IPv4 routes");
    }
    Ok((tables, trie))
}

impl Line {
    /// Device, destination, gateway, flags, two counters, metric, mask, and what does not matter here.
    fn parse(line: &[u8]) -> Option<Line> {
        let f: Vec<&[u8]> = fields(line).collect();
        let [dev, dst, gateway, flags, _, _, metric, mask, ..] = f[..] else { return None };
        // A negative metric is an older kernel's way to write one of more than 31 bits.
        let metric = std::str::from_utf8(metric).ok()?.parse::<i64>().ok()? as u32;
        let dst = Ipv4Net::with_netmask(address(dst)?, address(mask)?).ok()?;
        Some(Line { dev: dev.to_vec(), dst, gateway: address(gateway)?, flags: number(flags, 16)?, metric })
    }
}

/// An address in `route`: the kernel prints the four bytes in memory as a number of the machine's own byte order.
fn address(field: &[u8]) -> Option<Ipv4Addr> {
    number(field, 16).map(|n| Ipv4Addr::from(n.to_ne_bytes()))
}

#[derive(Default)]
struct TrieParser {
    trie: Trie,
    table: Option<TableId>,
    at: Option<Ipv4Addr>,
}

impl TrieParser {
    fn line(&mut self, line: &[u8]) {
        let Ok(line) = std::str::from_utf8(line) else { return };
        match line {
            "Main:" => self.table = Some(TableId::MAIN),
            "Local:" => self.table = Some(TableId::LOCAL),
            _ if line.starts_with("Id ") => {
                self.table = None;
                self.trie.headings += 1;
            }
            _ => self.node(line.trim_start()),
        }
    }

    fn node(&mut self, line: &str) {
        if let Some(address) = line.strip_prefix("|-- ") {
            self.at = address.parse().ok();
        } else if let Some(leaf) = self.at.and_then(|at| leaf(at, line)) {
            let trie = &mut self.trie;
            match self.table {
                Some(TableId::MAIN) => trie.main.push(leaf),
                Some(TableId::LOCAL) => trie.local.push(leaf),
                _ => trie.others.push(leaf),
            }
        }
    }
}

/// `/24 link UNICAST`, and `tos=16` behind it where the route is for one type of service only.
fn leaf(at: Ipv4Addr, line: &str) -> Option<Leaf> {
    let mut f = line.strip_prefix('/')?.split(' ');
    let dst = Ipv4Net::new(at, f.next()?.parse().ok()?).ok()?;
    let scope = match f.next()? {
        "universe" => "global",
        "site" => "site",
        "link" => "link",
        "host" => "host",
        "nowhere" => "nowhere",
        _ => "unknown",
    };
    let kind = match f.next()? {
        "UNICAST" => RouteType::Unicast,
        "LOCAL" => RouteType::Local,
        "BROADCAST" => RouteType::Broadcast,
        "ANYCAST" => RouteType::Anycast,
        "MULTICAST" => RouteType::Multicast,
        "BLACKHOLE" => RouteType::Blackhole,
        "UNREACHABLE" => RouteType::Unreachable,
        "PROHIBIT" => RouteType::Prohibit,
        "THROW" => RouteType::Throw,
        _ => RouteType::Other,
    };
    Some(Leaf { dst, kind, scope, tos: f.any(|word| word.starts_with("tos=")) })
}

/// Puts the two files together: both list the routes of one prefix in the same order.
fn tables(lines: &[Line], trie: &Trie, names: &Names) -> Tables {
    let merged = trie.main == trie.local;
    // `route` leaves broadcast and multicast out.
    let in_route = |leaf: &Leaf| !matches!(leaf.kind, RouteType::Broadcast | RouteType::Multicast);
    let mut leaves: HashMap<Ipv4Net, Vec<usize>> = HashMap::new();
    for (i, leaf) in trie.main.iter().enumerate().filter(|(_, leaf)| in_route(leaf)) {
        leaves.entry(leaf.dst).or_default().push(i);
    }
    let mut left: HashMap<Ipv4Net, usize> = HashMap::new();
    lines.iter().for_each(|line| *left.entry(line.dst).or_default() += 1);
    let mut entries = Vec::new();
    let mut shown = HashSet::new();
    for line in lines {
        // Where local and main are one, the local routes of a prefix come before the others: count from the end.
        let of_prefix = leaves.get(&line.dst).map_or(&[][..], Vec::as_slice);
        let left = left.entry(line.dst).or_default();
        let at = of_prefix.len().checked_sub(*left).map(|at| of_prefix[at]);
        *left = left.saturating_sub(1);
        shown.extend(at);
        let leaf = at.map(|at| &trie.main[at]);
        // A packet without a type of service passes such a route by.
        if leaf.is_none_or(|leaf| !leaf.tos) {
            entries.push(main_entry(line, leaf, names));
        }
    }
    let local = if merged { &trie.main } else { &trie.local };
    let only_in_trie = local.iter().enumerate().filter(|(i, leaf)| !(leaf.tos || merged && shown.contains(i)));
    entries.extend(only_in_trie.map(|(_, leaf)| local_entry(leaf)));
    Tables {
        entries,
        elsewhere: trie.others.iter().map(|leaf| IpNet::V4(leaf.dst)).collect(),
        others: trie.headings > 0,
        merged,
        unsure: None,
    }
}

fn main_entry(line: &Line, leaf: Option<&Leaf>, names: &Names) -> Entry {
    let kind = match leaf {
        Some(leaf) => leaf.kind,
        None if line.flags & RTF_REJECT != 0 => RouteType::Other,
        None => RouteType::Unicast,
    };
    let sends = matches!(kind, RouteType::Unicast | RouteType::Local | RouteType::Anycast);
    let oif = sends.then(|| names.ifindex(&line.dev)).flatten();
    let hidden = if line.flags & RTF_GATEWAY != 0 && line.gateway.is_unspecified() {
        Some("its gateway is an IPv6 address")
    } else if sends && oif.is_none() {
        Some("its device is not shown")
    } else {
        None
    };
    let route = Shown {
        dst: IpNet::V4(line.dst),
        kind,
        gateway: (!line.gateway.is_unspecified()).then_some(IpAddr::V4(line.gateway)),
        oif,
        dev: sends.then_some(line.dev.as_slice()),
        table: TableId::MAIN,
        metric: line.metric,
        scope: leaf.map_or("unknown", |leaf| leaf.scope),
    };
    Entry { route: route.route(), hidden }
}

/// A route that only `fib_trie` has. The devices of the local ones follow from the addresses, later.
fn local_entry(leaf: &Leaf) -> Entry {
    let own = matches!(leaf.kind, RouteType::Local | RouteType::Broadcast | RouteType::Anycast);
    let route = Shown {
        dst: IpNet::V4(leaf.dst),
        kind: leaf.kind,
        gateway: None,
        oif: None,
        dev: None,
        table: TableId::LOCAL,
        metric: 0,
        scope: leaf.scope,
    };
    Entry { route: route.route(), hidden: (!own).then_some("its next hop is not shown") }
}
