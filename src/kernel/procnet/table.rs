//! What the files show of the routing tables of one family, before anything is looked up in them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{IfIndex, Route, RouteType, TableId};

/// One route, and what of it the files keep to themselves.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) route: Route,
    /// What of the route is not shown although it decides where a packet goes.
    pub(super) hidden: Option<&'static str>,
}

/// The tables of one family.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// The routes of the main and the local table, in the kernel's order.
    pub(super) entries: Vec<Entry>,
    /// Prefixes of routes in other tables; which rules lead there is not shown.
    pub(super) elsewhere: Vec<IpNet>,
    /// There are tables beside main and local, be it empty ones.
    pub(super) others: bool,
    /// Local and main are one table, which the kernel splits for good when the first rule is touched: every rule is
    /// still as the kernel made it.
    pub(super) merged: bool,
    /// Why the tables are not to be looked anything up in, if they are not.
    pub(super) unsure: Option<&'static str>,
}

impl Tables {
    /// Rules may send this destination to a table whose routes are not shown.
    pub(super) fn may_go_elsewhere(&self, dst: IpAddr) -> bool {
        self.elsewhere.iter().any(|net| net.contains(&dst))
    }
}

/// Bare facts of a route that a file shows.
pub(super) struct Shown<'a> {
    pub(super) dst: IpNet,
    pub(super) kind: RouteType,
    pub(super) gateway: Option<IpAddr>,
    pub(super) oif: Option<IfIndex>,
    pub(super) dev: Option<&'a [u8]>,
    pub(super) table: TableId,
    pub(super) metric: u32,
    pub(super) scope: &'a str,
}

impl Shown<'_> {
    /// The route; its origin and its preferred source are in no file.
    pub(super) fn route(self) -> Route {
        Route {
            dst: self.dst,
            kind: self.kind,
            gateway: self.gateway,
            oif: self.oif,
            dev: self.dev.map(crate::kernel::text),
            table: self.table,
            metric: self.metric,
            prefsrc: None,
            protocol: "unknown".into(),
            scope: self.scope.into(),
            mtu: None,
            nexthops: Vec::new(),
            nhid: None,
            encap: None,
            onlink: false,
        }
    }
}
