//! What a path must say: every field of every hop held against `ip`, `bridge` and the inode numbers of the namespaces,
//! and the devices that a real ping crossed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::node::Node;

/// Short for what a path must look like: `netns/ifname step`, a line a hop.
pub fn hops(node: &Node, path: &Value) -> Vec<String> {
    let names = node.inodes();
    let hops = path["hops"].as_array().unwrap().iter();
    hops.map(|hop| {
        let netns = hop["netns"].as_u64().and_then(|ino| names.get(&ino)).map_or("?", String::as_str);
        format!("{netns}/{} {}", hop["ifname"].as_str().unwrap(), hop["step"].as_str().unwrap())
    })
    .collect()
}

/// The path has exactly these hops and this end, and all that it says about them is so.
#[track_caller]
pub fn expect(node: &Node, path: &Value, action: &str, wanted: &[&str]) {
    assert_eq!(hops(node, path), wanted, "{path:#}");
    assert_eq!(path["verdict"]["action"], action, "{}", path["verdict"]);
    assert_eq!(path["verdict"]["hop"], wanted.len() as u64 - 1, "{}", path["verdict"]);
    verify(node, path);
}

/// Holds every field of every hop against what the kernel says through `ip` and `bridge`.
#[track_caller]
pub fn verify(node: &Node, path: &Value) {
    let names = node.inodes();
    let mut arrived: Option<String> = None;
    for hop in path["hops"].as_array().unwrap() {
        let netns = &names[&hop["netns"].as_u64().expect("a namespace without inode")];
        let ifname = hop["ifname"].as_str().unwrap();
        // podnet calls a namespace without a name after a process in it.
        let nameless = node.succeeds(&format!("[ -e /run/nameless/{netns} ]"));
        assert_eq!(hop["netns_name"], if nameless { "sleep" } else { netns });
        link(node, netns, hop);
        let dst = path["dst"].as_str().unwrap();
        if hop["route"].is_object() {
            let src = path["src"].as_str().unwrap();
            // The first namespace sends the packet, all others get it by a device.
            let from = arrived.as_ref().map(|iif| format!("from {src} iif {iif}")).unwrap_or_default();
            route(node, netns, hop, &format!("{dst} {from}"));
        }
        if hop["neigh"].is_object() {
            neigh(node, netns, hop);
        }
        if hop["fdb"].is_object() {
            fdb(node, netns, hop);
        }
        arrived = Some(ifname.to_owned());
    }
}

#[track_caller]
fn link(node: &Node, netns: &str, hop: &Value) {
    let ifname = hop["ifname"].as_str().unwrap();
    let truth = &node.json(&format!("at {netns} ip -d -j addr show dev '{ifname}'"))[0];
    let kind = match (&truth["linkinfo"]["info_kind"], truth["link_type"].as_str()) {
        (Value::String(kind), _) => kind,
        (_, Some("loopback")) => "loopback",
        _ => "device",
    };
    let master = &truth["master"];
    let address = truth["address"].as_str().filter(|a| a.chars().any(|c| !matches!(c, '0' | ':')));
    let set = |values: Vec<String>| values.into_iter().collect::<BTreeSet<_>>();
    let addrs = truth["addr_info"].as_array().unwrap().iter();
    let addrs = addrs.map(|a| format!("{}/{}", a["local"].as_str().unwrap(), a["prefixlen"])).collect();
    let told = hop["addrs"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_owned()).collect();
    let at = format!("{netns}/{ifname}");
    assert_eq!(hop["ifindex"], truth["ifindex"], "{at}");
    assert_eq!(hop["kind"], kind, "{at}");
    assert_eq!(hop["mtu"], truth["mtu"], "{at}");
    assert_eq!(hop["operstate"], truth["operstate"], "{at}");
    assert_eq!(hop["address"].as_str(), address, "{at}");
    assert_eq!(set(told), set(addrs), "{at}");
    // A port on the way has a master; one that is only sent by may leave it out.
    if hop["master"].is_string() {
        assert_eq!(&hop["master"], master, "{at}");
    }
    if hop["port"].is_object() {
        let port = &truth["linkinfo"]["info_slave_data"];
        for key in ["state", "hairpin", "isolated", "learning", "flood"] {
            assert_eq!(hop["port"][key], port[key], "{key} of {at}");
        }
    }
}

#[track_caller]
fn route(node: &Node, netns: &str, hop: &Value, flow: &str) {
    let said = &hop["route"];
    let get = |more: &str| node.json(&format!("at {netns} ip -j route get {more} {flow}"))[0].clone();
    let (picked, entry) = (get(""), get("fibmatch"));
    let at = format!("route of {netns} for {flow}: {said}, ip says {picked} by {entry}");
    assert_eq!(said["gateway"], picked["gateway"], "{at}");
    // IPv6 gives local answers the device that has the address, IPv4 gives lo.
    if said["type"] != "local" {
        assert_eq!(said["dev"], picked["dev"], "{at}");
    }
    assert_eq!(said["dst"], entry["dst"], "{at}");
    assert_eq!(said["dev"], hop["ifname"], "{at}");
    assert_eq!(said["oif"], hop["ifindex"], "{at}");
    assert_eq!(said["metric"].as_u64().unwrap_or(0), entry["metric"].as_u64().unwrap_or(0), "{at}");
}

#[track_caller]
fn neigh(node: &Node, netns: &str, hop: &Value) {
    let (said, ifname) = (&hop["neigh"], hop["ifname"].as_str().unwrap());
    let dst = said["dst"].as_str().unwrap();
    let next = hop["route"]["gateway"].as_str().unwrap_or(dst);
    assert_eq!(dst, next, "whom {netns}/{ifname} hands it to");
    let entry = node.json(&format!("at {netns} ip -j neigh show to {dst} dev {ifname}"))[0].clone();
    if said["state"] == "NONE" {
        // No entry: the address is that of a link of whoever would answer.
        assert!(entry.is_null(), "{entry}");
        assert!(holders(node, dst).contains(said["lladdr"].as_str().unwrap()), "who has {dst}: {said}");
    } else {
        assert_eq!(said["state"], entry["state"][0], "{entry}");
        assert_eq!(said["lladdr"], entry["lladdr"], "{entry}");
    }
}

#[track_caller]
fn fdb(node: &Node, netns: &str, hop: &Value) {
    let (said, bridge) = (&hop["fdb"], hop["ifname"].as_str().unwrap());
    let mac = said["mac"].as_str().unwrap();
    let entry = node.json(&format!("at {netns} bridge -j fdb get {mac} br {bridge}"))[0].clone();
    assert_eq!(said["local"], entry["state"] == "permanent", "{entry}");
    // A bridge without an address of its own borrows one from a port, and the entry names that port.
    if said["local"] == false {
        let link = node.json(&format!("at {netns} ip -j link show dev {}", entry["ifname"].as_str().unwrap()));
        assert_eq!(said["ifindex"], link[0]["ifindex"], "forwarding entry of {mac} on {netns}/{bridge}");
    }
}

/// Link-layer addresses of all links of the namespace that has an address.
fn holders(node: &Node, ip: &str) -> BTreeSet<String> {
    for netns in node.inodes().values() {
        let found = node.json(&format!("at {netns} ip -j addr show to {ip}"));
        if found.as_array().unwrap().iter().any(|l| l["ifname"].is_string()) {
            let links = node.json(&format!("at {netns} ip -j link"));
            return links.as_array().unwrap().iter().map(|l| l["address"].as_str().unwrap().to_owned()).collect();
        }
    }
    BTreeSet::new()
}

/// Every device of the node with its packet counters, by `netns/ifname`.
fn counters(node: &Node) -> BTreeMap<String, [u64; 2]> {
    let mut all = BTreeMap::new();
    for netns in node.inodes().values() {
        let links = node.json(&format!("at {netns} ip -j -s link"));
        for link in links.as_array().unwrap() {
            let count = ["rx", "tx"].map(|way| link["stats64"][way]["packets"].as_u64().unwrap());
            all.insert(format!("{netns}/{}", link["ifname"].as_str().unwrap()), count);
        }
    }
    all
}

/// The devices that a ping and its answer crossed, by their counters. A bridge counts only what goes up to its own
/// namespace or comes down from it.
pub fn crossed(node: &Node, from: &str, to: &str) -> BTreeSet<String> {
    const PINGS: u64 = 50;
    let before = counters(node);
    node.sh(&format!("at {from} ping -q -c {PINGS} -i 0.002 -w 5 {to} >/dev/null"));
    let after = counters(node);
    let moved = |name: &String, now: &[u64; 2]| {
        let then = before.get(name).copied().unwrap_or_default();
        // Fewer than these are neighbour discovery and the like.
        now[0] - then[0] >= PINGS || now[1] - then[1] >= PINGS
    };
    after.iter().filter(|(name, now)| moved(name, now)).map(|(name, _)| name.clone()).collect()
}

/// The devices of a path that count every packet: all but bridges that pass frames from port to port.
pub fn counted(node: &Node, path: &Value) -> BTreeSet<String> {
    let hops = hops(node, path);
    let named = hops.iter().map(|line| line.split_once(' ').unwrap());
    let list: Vec<(&str, &str)> = named.collect();
    let passes_on = |i: usize| list[i].1 == "master" && list.get(i + 1).is_some_and(|(_, step)| *step == "fdb");
    (0..list.len()).filter(|i| !passes_on(*i)).map(|i| list[i].0.to_owned()).collect()
}

/// Whether an echo request from a namespace is taken in by another one: this way only, as a trace tells it. The
/// receiver's counter says so, not an answer.
pub fn arrives(node: &Node, from: &str, to: &str, at: &str) -> bool {
    let before = echo_requests(node, to, at);
    node.succeeds(&format!("at {from} ping -q -c 1 -w 2 {to} >/dev/null 2>&1"));
    echo_requests(node, to, at) > before
}

/// Whether a few echo requests are all lost on the way.
pub fn lost(node: &Node, from: &str, to: &str, at: &str) -> bool {
    let before = echo_requests(node, to, at);
    node.succeeds(&format!("at {from} ping -q -c 3 -i 0.05 -W 0.3 {to} >/dev/null 2>&1"));
    echo_requests(node, to, at) == before
}

/// How many echo requests a namespace has taken in.
fn echo_requests(node: &Node, to: &str, at: &str) -> u64 {
    if to.contains(':') {
        let text = node.sh(&format!("at {at} grep ^Icmp6InEchos /proc/net/snmp6"));
        return text.split_whitespace().nth(1).unwrap().parse().unwrap();
    }
    let text = node.sh(&format!("at {at} grep ^Icmp: /proc/net/snmp"));
    let (names, values) = text.split_once('\n').unwrap();
    let mut fields = names.split(' ').zip(values.trim().split(' '));
    fields.find(|(name, _)| *name == "InEchos").unwrap().1.parse().unwrap()
}
