//! Machines with links of the kinds that the kernel at hand does not have, and with wiring that goes in circles.

mod above;
mod ports;
mod tunnels;

use super::machine::{At, HOST, Machine, Space};

/// Name of a scenario's folder, and its machines.
pub type Made = (&'static str, Vec<Machine>);

pub fn all() -> Vec<Made> {
    [ports::all(), above::all(), tunnels::all()].into_iter().flatten().collect()
}

/// A node with an uplink and a router behind it.
fn node(hostname: &str, number: u8) -> (Machine, At) {
    let mut node = Machine::new(hostname, number);
    let eth0 = node.link(HOST, "eth0", "device", None);
    node.addr(eth0, &format!("192.168.7.{number}/24"));
    node.route(HOST, "default via 192.168.7.254 dev eth0");
    node.neigh(eth0, "192.168.7.254", ROUTER);
    (node, eth0)
}

/// A pod with a pair to the host: the host's end.
fn pod(node: &mut Machine, name: &str, addr: &str, gateway: &str) -> (Space, At) {
    let space = node.space(name);
    let (veth, eth0) = node.pair((HOST, &name.replace("pod", "veth")), (space, "eth0"), "veth");
    node.addr(eth0, addr);
    node.route(space, &format!("default via {gateway} dev eth0"));
    (space, veth)
}

/// The router of every network here.
const ROUTER: podnet::model::LlAddr = podnet::model::LlAddr::mac([2, 0, 0, 0xff, 0, 1]);
