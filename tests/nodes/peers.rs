//! The other end of a pair is (namespace, index), never an index alone, wherever that namespace is and whoever holds it.

use std::net::UdpSocket;

use serde_json::{Value, json};

use super::capture::hold_tap;
use super::node::{HOST, Node};
use super::truth::{arrives, crossed, expect, hops};
use super::{Test, scene, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_pod_has_the_same_index, Tools),
        test!(indexes_that_belong_to_others_in_the_wrong_namespace, Tools),
        test!(both_ends_have_the_same_index, Tools),
        test!(other_end_is_held_by_an_open_file_of_an_unseen_process, Tools),
        test!(other_end_is_held_by_an_open_file_of_a_process_of_the_node, Tools),
        test!(other_end_is_held_by_a_socket, Tools),
        test!(both_ends_are_in_one_namespace, Tools),
        test!(private_namespace_of_an_engine_with_a_pair_to_the_host, Tools),
        test!(private_namespace_of_an_engine_with_a_tap, Tools, Tap),
        test!(pod_in_a_pod, Tools),
    ]
}

/// The only path of a trace.
fn path(trace: &Value) -> &Value {
    assert_eq!(trace["paths"].as_array().unwrap().len(), 1, "{trace:#}");
    &trace["paths"][0]
}

fn every_pod_has_the_same_index() {
    let node = scene::reference();
    for (pod, _) in scene::PODS {
        assert_eq!(node.json(&format!("ip -n {pod} -j link show dev eth0"))[0]["ifindex"], 2);
    }
    for (pod, host_end) in scene::PODS {
        let trace = node.trace(&format!("{host_end} --to 172.22.0.1"));
        assert_eq!(trace["source"]["netns"], node.inode(pod), "the pod behind {host_end}");
        let first = format!("{pod}/eth0 route");
        expect(&node, path(&trace), "delivered", &[&first, &format!("host/{host_end} peer"), "host/cni0 master"]);
    }
}

fn indexes_that_belong_to_others_in_the_wrong_namespace() {
    // The host's end of red has the index that blue's eth0 has in blue, and the other way round; in each of the three
    // namespaces there is a link with every index that matters.
    let node = Node::with(
        "for ns in red blue; do ip netns add $ns; ip -n $ns link set lo up; done
         ip link add br0 type bridge; ip addr add 10.9.0.1/24 dev br0; ip link set br0 up
         ip link add veth-red index 50 type veth peer name eth0 index 60 netns red
         ip link add veth-blue index 60 type veth peer name eth0 index 50 netns blue
         ip -n red link add wrong index 50 type veth peer name wrong2 index 61
         ip -n blue link add wrong index 60 type veth peer name wrong2 index 51
         ip link set veth-red master br0 up; ip link set veth-blue master br0 up
         ip -n red addr add 10.9.0.2/24 dev eth0; ip -n red link set eth0 up
         ip -n blue addr add 10.9.0.3/24 dev eth0; ip -n blue link set eth0 up",
    );
    let trace = node.trace("red --to 10.9.0.3");
    let wanted = ["red/eth0 route", "host/veth-red peer", "host/br0 master", "host/veth-blue fdb", "blue/eth0 peer"];
    expect(&node, path(&trace), "delivered", &wanted);
    assert!(arrives(&node, "red", "10.9.0.3", "blue"));
    expect(&node, path(&node.trace("red --to 10.9.0.3")), "delivered", &wanted);
    assert_eq!(node.trace("veth-blue")["source"]["netns"], node.inode("blue"));
}

fn both_ends_have_the_same_index() {
    // The kernel leaves IFLA_LINK out then.
    let node = Node::with(
        "ip netns add pod; ip link add vpod index 77 type veth peer name eth0 index 77 netns pod
         ip addr add 10.9.0.1/24 dev vpod; ip link set vpod up
         ip -n pod addr add 10.9.0.2/24 dev eth0; ip -n pod link set eth0 up; ip -n pod link set lo up",
    );
    expect(&node, path(&node.trace("pod --to 10.9.0.1")), "delivered", &["pod/eth0 route", "host/vpod peer"]);
    expect(&node, path(&node.trace("host --to 10.9.0.2")), "delivered", &["host/vpod route", "pod/eth0 peer"]);
    assert_eq!(node.trace("vpod --to 10.9.0.1")["source"]["netns"], node.inode("pod"));
    assert!(arrives(&node, "pod", "10.9.0.1", HOST));
}

/// A pod on the bridge whose namespace has no name and no process any more.
fn with_ghost(hold: impl FnOnce(&Node) -> Box<dyn std::any::Any>) {
    let node = scene::reference();
    node.sh("ip netns add ghost
         ip link add vghost index 808 type veth peer name inside index 909 netns ghost
         ip link set vghost master cni0 up
         ip -n ghost link set lo up
         ip -n ghost addr add 172.22.0.9/24 dev inside; ip -n ghost link set inside mtu 1400 up");
    let mac = node.json("ip -n ghost -j link show dev inside")[0]["address"].clone();
    let held = hold(&node);
    node.sh("ip netns del ghost");
    let host_end = node.json("ip -j link show dev vghost")[0].clone();
    // Cold: who would answer is found by looking at the other ends. Warm: by the forwarding entry.
    for _ in 0..2 {
        let trace = node.trace("pod-a --to 172.22.0.9");
        let path = path(&trace);
        let wanted = ["pod-a/eth0 route", "host/vetha peer", "host/cni0 master", "host/vghost fdb", "?/inside peer"];
        assert_eq!(hops(&node, path), wanted);
        let last = &path["hops"][4];
        assert_eq!(last["netns"], json!(null));
        assert_eq!(last["nsid"], host_end["link_netnsid"]);
        assert_eq!(last["ifindex"], 909);
        assert_eq!(last["ifindex"], host_end["link_index"]);
        assert_eq!(last["address"], mac);
        assert_eq!(last["mtu"], 1400);
        assert!(last["addrs"].as_array().unwrap().contains(&json!("172.22.0.9/24")), "{last}");
        assert_eq!(path["verdict"]["action"], "delivered");
        assert!(!trace["gaps"].as_array().unwrap().is_empty(), "that it could not be entered is a gap");
        assert!(node.reaches("pod-a", "172.22.0.9"));
    }
    drop(held);
}

fn other_end_is_held_by_an_open_file_of_an_unseen_process() {
    // The test itself, which is outside of the node's pid namespace.
    with_ghost(|node| Box::new(node.inside("ghost", || std::fs::File::open("/proc/thread-self/ns/net").unwrap())));
}

fn other_end_is_held_by_an_open_file_of_a_process_of_the_node() {
    with_ghost(|node| {
        node.sh("exec 9</run/netns/ghost; spawn host sleep infinity");
        Box::new(())
    });
}

fn other_end_is_held_by_a_socket() {
    with_ghost(|node| Box::new(node.inside("ghost", || UdpSocket::bind("0.0.0.0:0").unwrap())));
}

fn both_ends_are_in_one_namespace() {
    // Two bridges of the host, joined by a pair.
    let node = Node::with(
        "ip netns add pod; ip -n pod link set lo up
         ip link add br1 type bridge; ip link add br2 type bridge; ip link add va type veth peer name vb
         ip link set va master br1 up; ip link set vb master br2 up; ip link set br1 up; ip link set br2 up
         ip addr add 10.9.0.1/24 dev br1
         ip link add vpod type veth peer name eth0 netns pod; ip link set vpod master br2 up
         ip -n pod addr add 10.9.0.2/24 dev eth0; ip -n pod link set eth0 up",
    );
    let wanted = ["host/br1 route", "host/va fdb", "host/vb peer", "host/br2 master", "host/vpod fdb", "pod/eth0 peer"];
    for _ in 0..2 {
        expect(&node, path(&node.trace("host --to 10.9.0.2")), "delivered", &wanted);
        assert!(arrives(&node, HOST, "10.9.0.2", "pod"));
    }
    let refusal = node.podnet("trace va --json").refusal();
    assert_eq!((&refusal["id"], &refusal["exit"]), (&json!("unknown-target"), &json!(3)));
}

/// A container behind a bridge in a namespace that only the engine's process is in.
const ENGINE: &str = "
    nameless engine; nameless ctr
    for ns in engine ctr; do at $ns ip link set lo up; done
    set_in engine net.ipv4.ip_forward=1
    at engine ip link add podman0 type bridge
    at engine ip addr add 10.88.0.1/16 dev podman0; at engine ip link set podman0 up
    at engine ip link add veth0 type veth peer name eth0 netns /run/nameless/ctr
    at engine ip link set veth0 master podman0 up
    at ctr ip addr add 10.88.0.2/16 dev eth0; at ctr ip link set eth0 up; at ctr ip route add default via 10.88.0.1
";

fn private_namespace_of_an_engine_with_a_pair_to_the_host() {
    let node = Node::with(ENGINE);
    node.sh("ip link add vengine type veth peer name uplink netns /run/nameless/engine
         ip addr add 10.77.0.1/24 dev vengine; ip link set vengine up; ip route add 10.88.0.0/16 via 10.77.0.2
         at engine ip addr add 10.77.0.2/24 dev uplink; at engine ip link set uplink up
         at engine ip route add default via 10.77.0.1");
    let wanted =
        ["ctr/eth0 route", "engine/veth0 peer", "engine/podman0 master", "engine/uplink route", "host/vengine peer"];
    for _ in 0..2 {
        let trace = node.trace(&format!("{} --to 10.77.0.1", node.pid_of("ctr")));
        expect(&node, path(&trace), "delivered", &wanted);
        let named = wanted.iter().map(|line| line.split_once(' ').unwrap().0.to_owned()).collect();
        assert_eq!(crossed(&node, "ctr", "10.77.0.1"), named);
    }
}

fn private_namespace_of_an_engine_with_a_tap() {
    let node = Node::with(ENGINE);
    node.sh("at engine ip tuntap add dev tap0 mode tap; at engine ip addr add 10.0.2.100/24 dev tap0
         at engine ip link set tap0 up; at engine ip route add default via 10.0.2.2");
    let ask = format!("{} --to 198.51.100.9", node.pid_of("ctr"));
    let wanted = ["ctr/eth0 route", "engine/veth0 peer", "engine/podman0 master", "engine/tap0 route"];
    // Without a process that holds the device it has no carrier.
    expect(&node, path(&node.trace(&ask)), "dropped", &wanted);
    node.sh("touch /run/netns/engine; mount --bind /run/nameless/engine /run/netns/engine");
    let held = node.inside("engine", || hold_tap("tap0"));
    node.sh("umount /run/netns/engine; rm /run/netns/engine");
    expect(&node, path(&node.trace(&ask)), "unknown", &wanted);
    drop(held);
}

fn pod_in_a_pod() {
    // Docker in a pod: a bridge in pod-a, and a container on it whose namespace nobody named.
    let node = scene::reference();
    node.sh("nameless inner; at inner ip link set lo up; set_in pod-a net.ipv4.ip_forward=1
         at pod-a ip link add docker0 type bridge; at pod-a ip addr add 172.17.0.1/16 dev docker0
         at pod-a ip link set docker0 up
         at pod-a ip link add vinner type veth peer name eth0 netns /run/nameless/inner
         at pod-a ip link set vinner master docker0 up
         at inner ip addr add 172.17.0.2/16 dev eth0; at inner ip link set eth0 up
         at inner ip route add default via 172.17.0.1
         ip route add 172.17.0.0/16 via 172.22.0.253");
    let wanted = [
        "inner/eth0 route",
        "pod-a/vinner peer",
        "pod-a/docker0 master",
        "pod-a/eth0 route",
        "host/vetha peer",
        "host/cni0 master",
    ];
    let trace = node.trace(&format!("{} --to 10.30.180.56", node.pid_of("inner")));
    expect(&node, path(&trace), "delivered", &wanted);
    assert!(arrives(&node, "inner", "10.30.180.56", HOST));
    let back: Vec<&str> = vec![
        "host/cni0 route",
        "host/vetha fdb",
        "pod-a/eth0 peer",
        "pod-a/docker0 route",
        "pod-a/vinner fdb",
        "inner/eth0 peer",
    ];
    expect(&node, path(&node.trace("host --to 172.17.0.2")), "delivered", &back);
}
