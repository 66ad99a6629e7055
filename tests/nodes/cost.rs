//! One trace costs the length of its path and not the size of the node: counted in system calls.

use std::collections::BTreeMap;

use super::node::{Node, PODNET};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(default_path_costs_the_same_on_a_large_node, Tools, Strace),
        test!(path_to_a_neighbour_asks_the_kernel_the_same_on_a_large_node, Tools, Strace),
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
    assert!(node.ping("pod1", "10.244.0.12") && node.ping("pod1", "10.244.0.1"));
    let pid = node.pid_of("pod1");
    (node, pid)
}

/// How many system calls of each sort one run makes.
fn calls(node: &Node, args: &str) -> BTreeMap<String, u32> {
    // Without the answers of the clock and the like, and threads as well.
    node.sh(&format!("strace -f -qq -o /run/calls {PODNET} {args} >/run/out || true"));
    let mut calls = BTreeMap::new();
    for line in node.sh("cat /run/calls").lines() {
        let name = line.split_once(' ').map_or("", |(_, rest)| rest.trim_start()).split('(').next().unwrap_or_default();
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            *calls.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    calls
}

/// What asks for facts; the rest (memory, threads) may differ from run to run.
const FACTS: [&str; 14] = [
    "sendto",
    "sendmsg",
    "recvfrom",
    "recvmsg",
    "openat",
    "open",
    "read",
    "pread64",
    "readlink",
    "readlinkat",
    "socket",
    "setns",
    "getdents64",
    "ioctl",
];

#[track_caller]
fn same(facts: &[&'static str], args: impl Fn(u32) -> String) {
    let counts = [10, 300].map(|pods| {
        let (node, pid) = node(pods);
        // The trace is one that works.
        let trace = node.trace(&args(pid));
        assert!(trace["paths"][0]["hops"].as_array().unwrap().len() >= 4, "{trace:#}");
        calls(&node, &format!("trace {}", args(pid)))
    });
    let of = |which: usize| -> Vec<(&str, u32)> {
        facts.iter().map(|name| (*name, counts[which].get(*name).copied().unwrap_or(0))).collect()
    };
    let [few, many] = [of(0), of(1)];
    assert!(few.iter().any(|(name, count)| name.starts_with("send") && *count > 5), "nothing was counted: {few:?}");
    assert_eq!(few, many, "system calls with 10 pods and with 300");
}

fn default_path_costs_the_same_on_a_large_node() {
    same(&FACTS, |pid| format!("{pid} -4"));
}

fn path_to_a_neighbour_asks_the_kernel_the_same_on_a_large_node() {
    // Whose namespace the neighbour's is, only a look at all processes tells; the questions about the path do not grow.
    same(&FACTS[..4], |pid| format!("{pid} --to 10.244.0.12"));
}
