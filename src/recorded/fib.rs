//! The routing tables of a recorded namespace, indexed for the longest prefix. In which order tables are asked, and what
//! a route that was found means, is left to the look-ups.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{IfIndex, RecordedRoute, TableId};

/// One table of one family: by prefix length, the longest first, then by prefix, in the kernel's order.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_length: BTreeMap<Reverse<u8>, HashMap<u128, Vec<usize>>>,
}

impl Table {
    /// Groups of routes to the same prefix that has the address in it, the longest prefix first.
    pub(super) fn matching(&self, ip: IpAddr) -> impl Iterator<Item = &[usize]> {
        self.by_length
            .iter()
            .filter_map(move |(Reverse(length), prefixes)| prefixes.get(&masked(ip, *length)).map(Vec::as_slice))
    }
}

/// All tables of a namespace.
#[derive(Debug, Default)]
pub(super) struct Fib {
    v4: HashMap<TableId, Table>,
    v6: HashMap<TableId, Table>,
}

impl Fib {
    /// Indexes routes by their place. `merged`: the local and the main IPv4 table are one.
    pub(super) fn new(routes: &[RecordedRoute], merged: bool) -> Fib {
        let mut fib = Fib::default();
        for (at, route) in routes.iter().enumerate() {
            fib.add(at, &route.dst, route.table);
        }
        if merged {
            // Both names lead to the same routes; of the same prefix those of local come first.
            for (from, into) in [(TableId::LOCAL, TableId::MAIN), (TableId::MAIN, TableId::LOCAL)] {
                for (at, route) in routes.iter().enumerate().filter(|(_, r)| r.table == from && r.dst.addr().is_ipv4())
                {
                    fib.add(at, &route.dst, into);
                }
            }
            let main = fib.v4.get_mut(&TableId::MAIN).into_iter().flat_map(|table| table.by_length.values_mut());
            main.flat_map(HashMap::values_mut)
                .for_each(|all| all.sort_by_key(|at| routes[*at].table != TableId::LOCAL));
        }
        fib
    }

    fn add(&mut self, at: usize, dst: &IpNet, table: TableId) {
        let tables = if dst.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let length = dst.prefix_len();
        let prefixes = tables.entry(table).or_default().by_length.entry(Reverse(length)).or_default();
        prefixes.entry(masked(dst.addr(), length)).or_default().push(at);
    }

    pub(super) fn table(&self, id: TableId, ipv6: bool) -> Option<&Table> {
        if ipv6 { self.v6.get(&id) } else { self.v4.get(&id) }
    }
}

fn masked(ip: IpAddr, length: u8) -> u128 {
    let bits = match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => u128::from(ip),
    };
    match length {
        0 => 0,
        length => bits & (u128::MAX << (128 - u32::from(length.min(128)))),
    }
}

/// One way on of a route: its own, or one of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) gateway: Option<IpAddr>,
    pub(super) oif: Option<IfIndex>,
    flags: u32,
}

impl Hop {
    pub(super) fn new(gateway: Option<IpAddr>, oif: Option<IfIndex>) -> Hop {
        Hop { gateway, oif, flags: 0 }
    }

    /// The gateway is taken to be on the link whatever the tables say.
    pub(super) fn is_onlink(&self) -> bool {
        self.flags & RecordedRoute::ONLINK != 0
    }

    /// The kernel would not use it.
    pub(super) fn is_dead(&self, ignore_linkstate: bool) -> bool {
        // A link without carrier is told as dead where that is to be heeded, and as without carrier as well.
        self.flags & RecordedRoute::DEAD != 0 && !(ignore_linkstate && self.flags & RecordedRoute::LINKDOWN != 0)
    }
}

/// The ways on of a route, in order.
pub(super) fn hops(route: &RecordedRoute) -> Vec<Hop> {
    match route.nexthops.is_empty() {
        true => vec![Hop { gateway: route.gateway, oif: route.oif, flags: route.flags }],
        false => route.nexthops.iter().map(|n| Hop { gateway: n.gateway, oif: Some(n.oif), flags: n.flags }).collect(),
    }
}
