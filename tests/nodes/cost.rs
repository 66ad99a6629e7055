//! One trace costs the length of its path and not the size of the node: counted in system calls.

use std::collections::BTreeMap;

use super::node::{Node, PODNET};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(default_path_costs_the_same_on_a_large_node, Tools, Strace),
        test!(path_to_a_known_neighbour_asks_the_same_of_the_network, Tools, Strace),
        test!(path_to_an_unknown_neighbour_grows_with_the_ports_and_no_faster, Tools, Strace),
    ]
}

/// A bridge with so many pods, each in a namespace with a process, and one process in the first pod that is traced.
fn node(pods: usize) -> (Node, u32) {
    let node = Node::with(&format!(
        "ip link add cni0 type bridge; ip addr add 10.244.0.1/16 dev cni0; ip link set cni0 up
         ip link add uplink type veth peer name far; ip link set uplink up; ip link set far up
         ip addr add 10.1.0.1/24 dev uplink; ip route add default via 10.1.0.254
         for i in $(seq {pods}); do
             nameless pod$i
             echo link add veth$i type veth peer name eth0 netns /run/nameless/pod$i
             echo link set veth$i master cni0 up
         done >/run/batch
         ip -batch /run/batch
         set_in host net.ipv4.ip_forward=1
         for i in 1 2; do
             at pod$i ip addr add 10.244.0.1$i/16 dev eth0; at pod$i ip link set eth0 up
             at pod$i ip route add default via 10.244.0.1
         done"
    ));
    assert_eq!(node.json("bridge -j link").as_array().unwrap().len(), pods);
    // So that neighbours and forwarding entries are there.
    assert!(node.reaches("pod1", "10.244.0.12") && node.reaches("pod1", "10.244.0.1"));
    let pid = node.pid_of("pod1");
    (node, pid)
}

/// What a run asks for: netlink requests by their type, and reads of files by their system call.
fn questions(node: &Node, args: &str) -> BTreeMap<String, u32> {
    const READS: [&str; 8] =
        ["openat", "readlink", "readlinkat", "getdents64", "socket", "setns", "statx", "newfstatat"];
    node.sh(&format!("strace -f -qq -o /run/calls {PODNET} {args} >/run/out || true"));
    let mut questions = BTreeMap::new();
    for line in node.sh("cat /run/calls").lines() {
        let Some((call, rest)) = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').split_once('(')
        else {
            continue;
        };
        let asked = match call {
            "sendto" => rest.split_once("nlmsg_type=").map(|(_, kind)| request(kind)),
            "recvfrom" => Some(call),
            other => READS.contains(&other).then_some(other),
        };
        if let Some(asked) = asked {
            *questions.entry(asked.to_owned()).or_insert(0) += 1;
        }
    }
    assert!(questions["RTM_GETLINK"] > 2 && questions["RTM_GETROUTE"] > 1, "{questions:?}");
    questions
}

/// The type of a request; of a socket that another thread has made strace shows the number alone.
fn request(kind: &str) -> &str {
    const TYPES: [(&str, &str); 5] = [
        ("0x12 ", "RTM_GETLINK"),
        ("0x16 ", "RTM_GETADDR"),
        ("0x1a ", "RTM_GETROUTE"),
        ("0x1e ", "RTM_GETNEIGH"),
        ("0x5a ", "RTM_GETNSID"),
    ];
    let named = TYPES.iter().find(|(number, _)| kind.starts_with(number)).map(|(_, name)| *name);
    named.unwrap_or_else(|| kind.split(',').next().unwrap_or_default())
}

/// What is asked with few pods and with many.
fn few_and_many(args: impl Fn(u32) -> String) -> [BTreeMap<String, u32>; 2] {
    [10, 300].map(|pods| {
        let (node, pid) = node(pods);
        let trace = node.trace(&args(pid));
        assert!(trace["paths"][0]["hops"].as_array().unwrap().len() >= 4, "{trace:#}");
        questions(&node, &format!("trace {}", args(pid)))
    })
}

fn default_path_costs_the_same_on_a_large_node() {
    let [few, many] = few_and_many(|pid| format!("{pid} -4"));
    assert_eq!(few, many, "with 10 pods and with 300");
}

fn path_to_a_known_neighbour_asks_the_same_of_the_network() {
    let [few, many] = few_and_many(|pid| format!("{pid} --to 10.244.0.12"));
    // Which namespace the bridge port leads to is known by a number only: all are tried until one has it. That alone
    // may grow, by one question and a few reads for each namespace.
    let network = |all: &BTreeMap<String, u32>| -> BTreeMap<String, u32> {
        let types = all.iter().filter(|(asked, _)| asked.starts_with("RTM_") && *asked != "RTM_GETNSID");
        types.map(|(asked, count)| (asked.clone(), *count)).collect()
    };
    assert_eq!(network(&few), network(&many), "with 10 pods and with 300");
    assert!(many["RTM_GETNSID"] <= few["RTM_GETNSID"] + 290, "{few:?} {many:?}");
    assert!(many["openat"] <= few["openat"] + 4 * 290, "{few:?} {many:?}");
}

fn path_to_an_unknown_neighbour_grows_with_the_ports_and_no_faster() {
    let [few, many] = [10, 100].map(|pods| {
        let (node, pid) = node(pods);
        // A bridge forgets within minutes who is where.
        node.sh("at pod1 ip neigh flush dev eth0; ip link set cni0 type bridge fdb_flush");
        questions(&node, &format!("trace {pid} --to 10.244.0.12"))
    });
    // Behind each port is somebody who is asked, and each namespace is asked once for its number. With a few it is
    // luck which of them is asked first.
    for (asked, each) in [("RTM_GETNSID", 2), ("RTM_GETLINK", 3), ("openat", 12)] {
        assert!(many[asked] <= each * 110, "{asked}: {few:?} {many:?}");
    }
}
