//! IPv6 routes: `ipv6_route` lists the routes of all tables one after the other and does not say where one ends.

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::files::{Files, LIMIT_SQUARE, address6, fields, number};
use super::links::Names;
use super::table::{Entry, Shown, Tables};
use crate::model::{Gap, Nexthop, RouteType, TableId};

const RTF_GATEWAY: u32 = 0x2;
const RTF_DYNAMIC: u32 = 0x10;
const RTF_REJECT: u32 = 0x200;
const RTF_ADDRCONF: u32 = 0x4_0000;
const RTF_ANYCAST: u32 = 0x10_0000;
const RTF_CACHE: u32 = 0x100_0000;
const RTF_LOCAL: u32 = 0x8000_0000;

/// One line of `ipv6_route`.
#[derive(Debug, Clone)]
struct Line {
    dst: Ipv6Net,
    for_one_source: bool,
    gateway: Ipv6Addr,
    metric: u32,
    flags: u32,
    dev: Vec<u8>,
}

/// The tables.
pub(super) fn read(files: &Files, names: &Names, gaps: &mut Vec<Gap>) -> io::Result<Tables> {
    let mut lines = Vec::new();
    let whole = files.whole("ipv6_route", LIMIT_SQUARE, gaps, |line| lines.extend(Line::parse(line)))?;
    let mut tables = tables(&lines, names);
    if !whole {
        tables.unsure = Some("/proc was not read to the end of the IPv6 routes");
    } else if let Some(why) = tables.unsure {
        gaps.push(files.gap("IPv6 routes", why));
    }
    Ok(tables)
}

impl Line {
    /// Destination and source with their lengths, gateway, metric, two counters, flags, device; all hexadecimal.
    fn parse(line: &[u8]) -> Option<Line> {
        let f: Vec<&[u8]> = fields(line).collect();
        let [dst, len, _, source_len, gateway, metric, _, _, flags, ref dev @ ..] = f[..] else { return None };
        let len = u8::try_from(number(len, 16)?).ok()?;
        Some(Line {
            dst: Ipv6Net::new(address6(dst)?, len).ok()?,
            for_one_source: number(source_len, 16)? != 0,
            gateway: address6(gateway)?,
            metric: number(metric, 16)?,
            flags: number(flags, 16)?,
            dev: dev.first().map_or(Vec::new(), |dev| dev.to_vec()),
        })
    }

    /// The kernel's own entry at the root of a table without a default route.
    fn is_null(&self) -> bool {
        self.dst.prefix_len() == 0 && self.metric == u32::MAX && self.flags & RTF_REJECT != 0
    }

    fn kind(&self) -> RouteType {
        match self.flags {
            // Blackhole, unreachable, prohibit and throw look alike.
            f if f & RTF_REJECT != 0 => RouteType::Other,
            f if f & RTF_LOCAL != 0 => RouteType::Local,
            f if f & RTF_ANYCAST != 0 => RouteType::Anycast,
            _ if self.dst.addr().is_multicast() => RouteType::Multicast,
            _ => RouteType::Unicast,
        }
    }

    fn gateway(&self) -> Option<IpAddr> {
        (self.flags & RTF_GATEWAY != 0).then_some(IpAddr::V6(self.gateway))
    }

    /// The kernel makes one multipath route of the two: same prefix and metric, gateways that nobody advertised.
    fn joins(&self, other: &Line) -> bool {
        let joinable = |l: &Line| l.flags & RTF_GATEWAY != 0 && l.flags & (RTF_ADDRCONF | RTF_DYNAMIC) == 0;
        self.dst == other.dst && self.metric == other.metric && joinable(self) && joinable(other)
    }
}

/// Splits the list where one table ends. The walk comes to a table's root last: to its default routes by metric, or to
/// the null entry where it has none. So a table ends behind these.
fn split(lines: &[Line]) -> Vec<Vec<&Line>> {
    let mut tables: Vec<Vec<&Line>> = Vec::new();
    let mut last: Option<&Line> = None;
    for line in lines {
        let starts = last.is_none_or(|last| {
            let behind_root = last.dst.prefix_len() == 0;
            behind_root && (last.is_null() || line.is_null() || line.dst.prefix_len() != 0 || line.metric < last.metric)
        });
        match tables.last_mut() {
            Some(table) if !starts => table.push(line),
            _ => tables.push(vec![line]),
        }
        last = Some(line);
    }
    tables
}

fn tables(lines: &[Line], names: &Names) -> Tables {
    let lines: Vec<Line> = lines.iter().filter(|line| line.flags & RTF_CACHE == 0).cloned().collect();
    let mut split = split(&lines);
    // The kernel sorts tables by the low byte of their number: main (254) and local (255) come last.
    let local = split.pop().unwrap_or_default();
    let main = split.pop().unwrap_or_default();
    let null_behind_default = lines.windows(2).any(|w| w[1].is_null() && w[0].dst.prefix_len() == 0 && !w[0].is_null());
    let unsure = if lines.iter().any(|line| line.for_one_source) {
        Some("/proc does not show which table a route for one source prefix is in")
    } else if null_behind_default {
        Some("/proc does not show where one table ends and the next begins")
    } else {
        None
    };
    let mut entries = Vec::new();
    for (table, id) in [(local, TableId::LOCAL), (main, TableId::MAIN)] {
        let routes: Vec<&Line> = table.into_iter().filter(|line| !line.is_null()).collect();
        entries.extend(routes.chunk_by(|a, b| a.joins(b)).filter_map(|lines| entry(lines, id, names)));
    }
    let elsewhere = split.iter().flatten().filter(|line| !line.is_null());
    Tables {
        entries,
        elsewhere: elsewhere.map(|line| IpNet::V6(line.dst)).collect(),
        others: !split.is_empty(),
        merged: false,
        unsure,
    }
}

/// One route: a line, or those of a multipath route.
fn entry(lines: &[&Line], table: TableId, names: &Names) -> Option<Entry> {
    let line = *lines.first()?;
    let oif = names.ifindex(&line.dev);
    let multipath = lines.len() > 1;
    let mut route = Shown {
        dst: IpNet::V6(line.dst),
        kind: line.kind(),
        gateway: line.gateway(),
        oif,
        dev: (!line.dev.is_empty()).then_some(line.dev.as_slice()),
        table,
        metric: line.metric,
        scope: "global",
    }
    .route();
    if multipath {
        (route.gateway, route.oif, route.dev) = (None, None, None);
        // Weights are not shown.
        let nexthop =
            |line: &&Line| Some(Nexthop { gateway: line.gateway(), oif: names.ifindex(&line.dev)?, weight: 1 });
        route.nexthops = lines.iter().filter_map(nexthop).collect();
    }
    let hidden = if multipath {
        Some("which of its next hops a packet takes is not shown")
    } else if oif.is_none() {
        Some("its device is not shown")
    } else {
        None
    };
    Some(Entry { route, hidden })
}
