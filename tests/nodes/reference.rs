//! A Kubernetes node wired by the CNI bridge plugin, hop by hop, for every sort of destination.

use super::Test;
use super::node::Node;
use super::scene;
use super::test;
use super::truth::{counted, crossed, expect};

pub fn tests() -> Vec<Test> {
    vec![
        test!(default_route_goes_up_the_bridge_and_out_by_the_uplink, Tools, Ifb),
        test!(pod_on_the_same_bridge_is_reached_without_the_gateway, Tools),
        test!(pod_on_the_other_node_is_reached_over_both_hosts, Tools),
        test!(own_addresses_of_the_host_are_reached, Tools),
        test!(internet_ends_at_the_last_device_that_can_be_seen, Tools, Ifb),
        test!(ipv6_goes_the_same_ways, Tools),
    ]
}

/// Traces to an address, checks every hop, then pings: the same devices must have been crossed.
#[track_caller]
fn delivered(node: &Node, from: &str, to: &str, wanted: &[&str]) {
    let trace = node.trace(&format!("{from} --to {to}"));
    expect(node, &trace["paths"][0], "delivered", wanted);
    assert_eq!(trace["findings"], serde_json::json!([]));
    assert_eq!(trace["gaps"], serde_json::json!([]));
    assert_eq!(crossed(node, from, to), counted(node, &trace["paths"][0]), "devices that the ping crossed");
}

const TO_ROUTER: [&str; 6] = [
    "pod-a/eth0 route",
    "host/vetha peer",
    "host/cni0 master",
    "host/eth0 route",
    "router/swp1 peer",
    "router/lan master",
];

fn default_route_goes_up_the_bridge_and_out_by_the_uplink() {
    let node = scene::with_wan();
    let trace = node.trace("pod-a -4");
    let path = &trace["paths"][0];
    assert_eq!(trace["paths"].as_array().unwrap().len(), 1);
    assert_eq!(path["to"], "default");
    // An ifb drops what nobody has redirected to it.
    expect(&node, path, "dropped", &[&TO_ROUTER[..], &["router/wan route"]].concat());
    assert_eq!(trace["findings"][0]["id"], "ifb-not-redirected", "{trace:#}");
    let dropped = || node.json("ip -n router -j -s link show dev wan")[0]["stats64"]["rx"]["dropped"].as_u64().unwrap();
    let before = dropped();
    assert!(!node.ping("pod-a", "198.51.100.1"));
    assert!(dropped() > before, "the ifb did not drop it");
    assert_eq!(path["hops"][0]["route"]["gateway"], "172.22.0.1");
    assert_eq!(path["hops"][3]["route"]["gateway"], "10.30.180.254");
}

fn pod_on_the_same_bridge_is_reached_without_the_gateway() {
    let node = scene::reference();
    let wanted = ["pod-a/eth0 route", "host/vetha peer", "host/cni0 master", "host/vethc fdb", "pod-c/eth0 peer"];
    // Twice: delivered() pings, and what nobody had resolved the first time is known the second time.
    let first = node.trace("pod-a --to 172.22.0.251");
    assert_eq!(first["paths"][0]["hops"][0]["neigh"]["state"], "NONE");
    delivered(&node, "pod-a", "172.22.0.251", &wanted);
    let second = node.trace("pod-a --to 172.22.0.251");
    let sender = &second["paths"][0]["hops"][0];
    assert_ne!(sender["neigh"]["state"], "NONE");
    assert_eq!(sender["route"]["dst"], "172.22.0.0/24");
    assert_eq!(sender["route"]["gateway"], serde_json::json!(null));
    assert_eq!(second["paths"][0]["hops"][2]["fdb"]["mac"], sender["neigh"]["lladdr"]);
    delivered(&node, "pod-a", "172.22.0.251", &wanted);
    // The host knows nothing of the gateway's part in it: the packets never went up to the bridge's own address.
    assert!(!crossed(&node, "pod-a", "172.22.0.252").contains("host/cni0"));
}

const TO_WEB_B: [&str; 11] = [
    "pod-a/eth0 route",
    "host/vetha peer",
    "host/cni0 master",
    "host/eth0 route",
    "router/swp1 peer",
    "router/lan master",
    "router/swp2 fdb",
    "node-b/eth0 peer",
    "node-b/cni0 route",
    "node-b/vethw fdb",
    "web-b/eth0 peer",
];

fn pod_on_the_other_node_is_reached_over_both_hosts() {
    let node = scene::reference();
    // Before anybody has asked for any address, and after.
    delivered(&node, "pod-a", "172.22.1.7", &TO_WEB_B);
    delivered(&node, "pod-a", "172.22.1.7", &TO_WEB_B);
    let trace = node.trace("pod-a --to 172.22.1.7");
    let hops = &trace["paths"][0]["hops"];
    assert_eq!(hops[0]["route"]["dst"], "172.22.0.0/16");
    assert_eq!(hops[3]["route"]["dst"], "172.22.1.0/24");
    assert_eq!(hops[3]["route"]["gateway"], "10.30.180.55");
}

fn own_addresses_of_the_host_are_reached() {
    let node = scene::reference();
    for address in ["172.22.0.1", "10.30.180.56"] {
        delivered(&node, "pod-b", address, &["pod-b/eth0 route", "host/vethb peer", "host/cni0 master"]);
    }
}

fn internet_ends_at_the_last_device_that_can_be_seen() {
    let node = scene::with_wan();
    let trace = node.trace("pod-c --to 198.51.100.77");
    let mut wanted = [&TO_ROUTER[..], &["router/wan route"]].concat();
    (wanted[0], wanted[1]) = ("pod-c/eth0 route", "host/vethc peer");
    expect(&node, &trace["paths"][0], "dropped", &wanted);
}

fn ipv6_goes_the_same_ways() {
    let node = scene::reference();
    delivered(&node, "pod-a", "fd00:22:1::7", &TO_WEB_B);
    delivered(&node, "pod-a", "fd00:22:1::7", &TO_WEB_B);
    let same = ["pod-a/eth0 route", "host/vetha peer", "host/cni0 master", "host/vethc fdb", "pod-c/eth0 peer"];
    delivered(&node, "pod-a", "fd00:22::251", &same);
    delivered(&node, "pod-a", "fd00:22::251", &same);
    delivered(&node, "pod-a", "fd00:30::56", &["pod-a/eth0 route", "host/vetha peer", "host/cni0 master"]);
}
