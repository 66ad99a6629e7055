//! Recorded namespaces (tests/procnet/record.sh) against what `ip -j` said of them at the same time.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::ProcNet;
use crate::model::{Flow, IfIndex, NeighState, Pid, Route, RouteAnswer, RouteType, TableId};

fn recorded(case: &str) -> ProcNet {
    ProcNet::read_dir(Pid(812), &dir(case)).unwrap()
}

fn dir(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/procnet").join(case)
}

fn truth(case: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir(case).join("truth.json")).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap()
}

fn word<'a>(value: &'a Value, key: &str, else_: &'a str) -> &'a str {
    value[key].as_str().unwrap_or(else_)
}

/// The links with their addresses are those of `ip addr`, but for addresses whose link cannot be told.
fn same_links(case: &str, unplaced: &[&str]) {
    let (seen, truth) = (recorded(case), truth(case));
    let mut expected = BTreeSet::new();
    let mut addrs = BTreeSet::new();
    for link in list(&truth, "addr") {
        let up = list(link, "flags").iter().any(|f| f == "UP");
        expected.insert((link["ifindex"].as_u64().unwrap(), word(link, "ifname", "").to_owned(), up));
        for a in list(link, "addr_info").iter().filter(|a| !unplaced.contains(&word(a, "local", ""))) {
            let cidr = format!("{}/{}", word(a, "local", ""), a["prefixlen"]);
            addrs.insert((word(link, "ifname", "").to_owned(), cidr, a["scope"] == "link"));
        }
    }
    let links = seen.links.iter().map(|l| (u64::from(l.ifindex.0), l.ifname.clone(), l.up));
    assert_eq!(links.collect::<BTreeSet<_>>(), expected, "{case}");
    let of_links =
        seen.links.iter().flat_map(|l| l.addrs.iter().map(|a| (l.ifname.clone(), a.to_string(), a.link_scope)));
    assert_eq!(of_links.collect::<BTreeSet<_>>(), addrs, "{case}");
    for ip in unplaced {
        assert!(seen.gaps.iter().any(|g| g.what.contains(ip)), "{case}: {ip} is missing without a gap");
    }
}

type RouteKey = (TableId, String, String, Option<String>, u64);

/// Everything but the device.
fn key(table: TableId, kind: &str, dst: &str, gateway: Option<&str>, metric: u64) -> RouteKey {
    // IPv6 routes that refuse look alike.
    let refuses = matches!(kind, "blackhole" | "unreachable" | "prohibit" | "throw" | "other");
    let kind = if refuses && dst.contains(':') { "other" } else { kind };
    (table, kind.to_owned(), dst.to_owned(), gateway.map(str::to_owned), metric)
}

/// The routes are those of `ip route`, but for a type of service and for destinations of which the files show too little.
fn same_routes(case: &str, left_out: &[&str]) {
    let (seen, truth) = (recorded(case), truth(case));
    let mut expected = Vec::new();
    for (family, key_of_family) in [("route", "0.0.0.0/0"), ("route6", "::/0")] {
        for r in list(&truth, family) {
            let table = match word(r, "table", "main") {
                "main" => TableId::MAIN,
                "local" => TableId::LOCAL,
                _ => continue,
            };
            let dst = match word(r, "dst", "") {
                "default" => key_of_family,
                dst => dst,
            };
            if left_out.contains(&dst) || !r["tos"].is_null() {
                continue;
            }
            // Of IPv4's next hops the first is shown, of IPv6's all of them.
            let first = if family == "route" { &r["nexthops"][0] } else { &Value::Null };
            let gateway = r["gateway"].as_str().or(first["gateway"].as_str());
            let dev = r["dev"].as_str().or(first["dev"].as_str()).map(str::to_owned);
            let metric = r["metric"].as_u64().unwrap_or(0);
            expected.push((key(table, word(r, "type", "unicast"), dst, gateway, metric), dev, r.clone()));
        }
    }
    let mut routes = seen.routes();
    for (want, dev, r) in expected {
        let at = routes.iter().position(|r| {
            let gateway = r.gateway.map(|g| g.to_string());
            let dst = if r.dst.prefix_len() == 0 { r.dst.to_string() } else { r.dst_text() };
            let same_dev = r.dev == dev || r.dev.is_none();
            key(r.table, r.kind.word(), &dst, gateway.as_deref(), r.metric.into()) == want && same_dev
        });
        let found = routes.remove(at.unwrap_or_else(|| panic!("{case}: {r} is missing from {routes:#?}")));
        let hops = r["nexthops"].as_array().filter(|_| found.dst.addr().is_ipv6()).map_or(0, Vec::len);
        assert_eq!(found.nexthops.len(), hops, "{case}: {r}");
    }
    assert!(routes.is_empty(), "{case}: nobody else knows {routes:#?}");
}

/// Asks as `ip route get` does: `DST [oif DEV] [from SRC]`.
fn ask(seen: &ProcNet, query: &str) -> Result<RouteAnswer, String> {
    let words: Vec<&str> = query.split(' ').collect();
    let after = |key| words.iter().position(|w| *w == key).map(|at| words[at + 1]);
    let oif = after("oif").map(|name| seen.links.iter().find(|l| l.ifname == name).unwrap().ifindex);
    let src = after("from").map(|ip| ip.parse().unwrap());
    seen.route_out(&Flow { src, ..Flow::to(words[0].parse().unwrap()) }, oif).map_err(|gap| gap.why)
}

/// Every look-up gives what the kernel gave, but for those in `hidden`, which are gaps, and those in `no_source`,
/// where the kernel's choice of a source cannot be known.
fn same_answers(case: &str, hidden: &[&str], no_source: &[&str]) {
    let (seen, truth) = (recorded(case), truth(case));
    for got in list(&truth, "get").iter().filter(|g| !g.is_null()) {
        let query = word(got, "query", "");
        let answer = ask(&seen, query);
        if hidden.contains(&query) {
            assert!(answer.is_err(), "{case}: {query}: {answer:?}");
            continue;
        }
        match answer.unwrap_or_else(|why| panic!("{case}: {query}: {why}")) {
            RouteAnswer::Refused(errno) => {
                let words = match word(got, "answer", "") {
                    "Network is unreachable" => "ENETUNREACH",
                    "No route to host" => "EHOSTUNREACH",
                    "Permission denied" => "EACCES",
                    "Invalid argument" => "EINVAL",
                    _ => panic!("{case}: {got}"),
                };
                assert!(errno.split([' ', ',']).any(|e| e == words), "{case}: {got}: {errno}");
                assert!(query.contains(':') || errno == words, "{case}: {got}: {errno}");
            }
            RouteAnswer::Route(route) => same_route(case, query, &route, &got["answer"][0], no_source),
        }
    }
}

fn same_route(case: &str, query: &str, route: &Route, kernel: &Value, no_source: &[&str]) {
    let kind = word(kernel, "type", "unicast");
    assert_eq!(route.kind.word(), kind, "{case}: {query}");
    assert_eq!(route.dev.as_deref(), kernel["dev"].as_str(), "{case}: {query}");
    assert_eq!(route.gateway.map(|g| g.to_string()).as_deref(), kernel["gateway"].as_str(), "{case}: {query}");
    // The kernel does not repeat a source that it was given.
    let given = query.split_once("from ").map(|(_, src)| src);
    let source = kernel["prefsrc"].as_str().or(given);
    let source = source.filter(|_| !no_source.contains(&query));
    assert_eq!(route.prefsrc.map(|s| s.to_string()).as_deref(), source, "{case}: {query}");
}

#[test]
fn a_pod_of_a_bridge_plugin() {
    same_links("pod", &[]);
    same_routes("pod", &[]);
    same_answers("pod", &[], &[]);
    let seen = recorded("pod");
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    let down = seen.links.iter().find(|l| l.ifname == "down0").unwrap();
    assert!(!down.up, "a link without addresses is found through dev_snmp6");
}

#[test]
fn a_pod_with_a_bare_address_and_a_link_local_router() {
    same_links("calico", &[]);
    same_routes("calico", &[]);
    same_answers("calico", &[], &[]);
}

#[test]
fn a_dual_stack_pod() {
    same_links("dual", &[]);
    same_routes("dual", &[]);
    same_answers("dual", &[], &[]);
}

#[test]
fn routes_that_refuse_and_routes_that_hide_something() {
    same_links("refused", &[]);
    same_routes("refused", &["10.72.0.0/16"]);
    same_answers("refused", &["10.72.0.1", "fd00:70::1"], &[]);
    let seen = recorded("refused");
    let of_71: Vec<Route> = seen.routes().into_iter().filter(|r| r.dst.to_string() == "10.71.0.0/16").collect();
    assert_eq!(of_71.len(), 1, "the one for a type of service is left out");
    assert_eq!(of_71[0].gateway, Some("10.1.2.7".parse().unwrap()));
    assert!(seen.gaps.iter().any(|g| g.what == "routes for one type of service"));
    let throw = seen.routes().into_iter().find(|r| r.dst.to_string() == "10.69.0.0/16").unwrap();
    assert_eq!((throw.kind, throw.oif, throw.dev), (RouteType::Throw, None, None));
}

#[test]
fn rules_and_other_tables_make_gaps_where_they_could_matter() {
    same_links("rules", &[]);
    same_routes("rules", &[]);
    same_answers("rules", &["172.30.0.1", "fd55::1"], &[]);
    let seen = recorded("rules");
    for family in ["IPv4", "IPv6"] {
        let what = format!("{family} rules and tables other than main");
        assert!(seen.gaps.iter().any(|g| g.what == what), "{:?}", seen.gaps);
    }
    let gap = seen.route_out(&Flow::to("172.30.0.1".parse().unwrap()), None).unwrap_err();
    assert_eq!(gap.needs.as_deref(), Some(super::NEEDS));
}

#[test]
fn addresses_that_may_be_on_any_link_are_left_out() {
    let unplaced = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "172.16.0.1", "203.0.113.7"];
    same_links("odd", &unplaced);
    same_routes("odd", &[]);
    let no_source =
        ["10.8.0.5", "10.9.9.9", "10.0.0.99", "172.16.0.2", "8.8.8.8", "10.0.0.99 oif mac0", "10.50.0.1 oif eth0"];
    same_answers("odd", &[], &no_source);
}

#[test]
fn an_arriving_packet_is_taken_or_its_way_unknown() {
    let seen = recorded("pod");
    let flow = |dst: &str| Flow { src: Some("8.8.8.8".parse().unwrap()), ..Flow::to(dst.parse().unwrap()) };
    match seen.route_in(&flow("10.244.1.5")) {
        Ok(RouteAnswer::Route(route)) => assert_eq!(route.kind, RouteType::Local),
        other => panic!("{other:?}"),
    }
    assert!(seen.route_in(&flow("10.244.1.6")).is_err());
}

#[test]
fn neighbours_by_link_and_address() {
    let seen = recorded("pod");
    let neigh = |ifindex, ip: &str| seen.neigh(IfIndex(ifindex), ip.parse::<IpAddr>().unwrap());
    let router = neigh(2, "10.244.1.1").unwrap().unwrap();
    assert_eq!(router.state, NeighState::Permanent);
    assert_eq!(router.lladdr.unwrap().to_string(), "02:00:00:00:00:01");
    assert_eq!(neigh(2, "10.244.1.2").unwrap().unwrap().state, NeighState::Stale);
    let silent = neigh(2, "10.244.1.3").unwrap().unwrap();
    assert_eq!((silent.state, silent.lladdr), (NeighState::Incomplete, None));
    assert_eq!(neigh(3, "10.244.1.1"), Ok(None));
    assert_eq!(neigh(2, "10.244.1.4"), Ok(None));
    assert!(neigh(2, "fe80::1").is_err());
}

#[test]
fn names_may_have_any_bytes() {
    let seen = recorded("names");
    let links: Vec<(u32, &str)> = seen.links.iter().map(|l| (l.ifindex.0, l.ifname.as_str())).collect();
    assert_eq!(links, [(1, "lo"), (2, "eth0"), (3, "a\\xff\x1b[1m"), (4, "*"), (5, "fifteen_letters")]);
    let addr4 = |at: usize| seen.links[at].addrs.iter().find(|a| a.local.is_ipv4()).map(|a| a.to_string());
    assert_eq!(addr4(3).as_deref(), Some("10.0.0.1/24"), "a link may be called what `route` calls none");
    assert_eq!(addr4(2).as_deref(), Some("10.0.1.1/24"));
    let blackhole = seen.routes().into_iter().find(|r| r.dst.to_string() == "10.66.0.0/16").unwrap();
    assert_eq!((blackhole.kind, blackhole.oif), (RouteType::Blackhole, None));
}

#[test]
fn our_own_namespace_can_be_read() {
    let seen = ProcNet::read(Pid(std::process::id())).unwrap();
    assert!(seen.links.iter().any(|l| l.is_loopback() && l.ifindex == IfIndex(1)), "{:?}", seen.links);
    assert!(ProcNet::read(Pid(u32::MAX)).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound));
}
