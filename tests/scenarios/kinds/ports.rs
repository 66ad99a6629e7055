//! VLANs, bonds, teams, Open vSwitch, and bridges in a circle.

use podnet::model::{BondPort, KindData, LlAddr};

use super::{At, HOST, Machine, Made, ROUTER, node, pod};

pub fn all() -> Vec<Made> {
    vec![
        ("vlan", vec![vlan()]),
        ("qinq", vec![qinq("node-a", 1), qinq("node-b", 2)]),
        ("bond", vec![bond()]),
        ("team", vec![team()]),
        ("openvswitch", vec![openvswitch()]),
        ("loop", vec![loop_of("node-a", 1, "eth0", "192.168.7.2"), loop_of("node-b", 2, "eth0", "192.168.7.1")]),
    ]
}

/// A trunk into a bridge that filters by VLAN, with a VLAN of the host's on top of it; and one into a VLAN's own bridge.
fn vlan() -> Machine {
    let (mut node, _) = node("node", 1);
    let eth1 = node.link(HOST, "eth1", "device", None);
    let pods = [("pod-a", "10.100.0.2/24", 100), ("pod-b", "10.100.0.3/24", 100), ("pod-c", "10.200.0.2/24", 200)];
    let mut ports = vec![eth1];
    for (name, addr, vid) in pods.into_iter().chain([("pod-d", "10.30.0.2/24", 300), ("pod-e", "10.100.0.5/24", 0)]) {
        let gateway = format!("{}.1", addr.rsplit_once('.').unwrap().0);
        let (_, veth) = pod(&mut node, name, addr, &gateway);
        ports.push(veth);
        if vid != 0 {
            node.vlans(veth, &[(vid, true, true)]);
        }
    }
    let br0 = node.bridge(HOST, "br0", true, &ports);
    node.vlans(eth1, &[(1, true, true), (100, false, false), (200, false, false)]);
    node.vlans(br0, &[(1, true, true), (100, false, false)]);
    node.learned(br0, eth1, ROUTER, Some(100));
    let vlan = node.vlan(HOST, "br0.100", br0, 100, false);
    node.addr(vlan, "10.100.0.254/24");
    let a = node.named(1, "eth0");
    node.neigh(a, "10.100.0.1", ROUTER);
    // The older way: a VLAN of the uplink is the port of a bridge of its own.
    let vlan = node.vlan(HOST, "eth1.400", eth1, 400, false);
    let (_, veth) = pod(&mut node, "pod-f", "10.40.0.2/24", "10.40.0.1");
    // The host's address there has moved, and a pod has the old entry.
    let (stale, other) = pod(&mut node, "pod-g", "10.40.0.3/24", "10.40.0.1");
    let eth0 = node.named(stale, "eth0");
    node.neigh(eth0, "10.40.0.254", LlAddr::mac([2, 0, 0, 0xee, 0, 1]));
    let br400 = node.bridge(HOST, "br400", false, &[vlan, veth, other]);
    node.addr(br400, "10.40.0.254/24");
    node.learned(br400, vlan, ROUTER, None);
    node
}

/// A VLAN inside a provider's VLAN, at both ends of a cable.
fn qinq(hostname: &str, number: u8) -> Machine {
    let mut node = Machine::new(hostname, number);
    let eth0 = node.link(HOST, "eth0", "device", None);
    let outer = node.vlan(HOST, "eth0.10", eth0, 10, true);
    let inner = node.vlan(HOST, "eth0.10.20", outer, 20, false);
    node.addr(inner, &format!("10.20.0.{number}/24"));
    // Only the second one has the other customer's VLAN.
    let other = if number == 2 { 30 } else { 40 };
    let inner = node.vlan(HOST, "customer", outer, other, false);
    node.addr(inner, &format!("10.{}.0.{number}/24", if number == 1 { 30 } else { 31 }));
    node.route(HOST, &format!("10.31.0.0/24 dev {}", if number == 1 { "customer" } else { "eth0.10.20" }));
    node
}

/// A bond in active-backup mode below a bridge; one by LACP of which a port is out of the aggregate, one of which
/// both are in it; one without a working port.
fn bond() -> Machine {
    let mut node = Machine::new("node", 1);
    let eth: Vec<At> = (0..8).map(|n| node.link(HOST, &format!("eth{n}"), "device", None)).collect();
    let mut bond = |name: &str, mode: u8, ports: [(At, BondPort); 2], active: Option<At>| {
        let data = KindData::Bond { mode, active: active.map(|at| at.1), all_active: Some(false) };
        let bond = node.link(HOST, name, "bond", Some(data));
        for (port, state) in ports {
            node.port(port, bond, "bond");
            let mac = node.of(bond).address;
            let link = node.of(port);
            (link.bond_port, link.address) = (Some(state), mac);
            if !state.up {
                (link.carrier, link.operstate) = (Some(false), "DOWN".to_owned());
            }
        }
        bond
    };
    let state = |active, up| BondPort { active, up };
    let bond0 = bond("bond0", 1, [(eth[0], state(false, true)), (eth[1], state(true, true))], Some(eth[1]));
    let bond1 = bond("bond1", 4, [(eth[2], state(true, true)), (eth[3], state(false, true))], None);
    let bond2 = bond("bond2", 1, [(eth[4], state(false, false)), (eth[5], state(false, false))], None);
    let bond3 = bond("bond3", 4, [(eth[6], state(true, true)), (eth[7], state(true, true))], None);
    (node.of(bond2).operstate, node.of(bond2).carrier) = ("DOWN".to_owned(), Some(false));
    for (n, bond) in [bond0, bond1, bond2, bond3].into_iter().enumerate() {
        let (_, veth) = pod(&mut node, &format!("pod-{n}"), &format!("10.{n}.0.2/24"), &format!("10.{n}.0.1"));
        let bridge = node.bridge(HOST, &format!("br{n}"), false, &[bond, veth]);
        node.learned(bridge, bond, ROUTER, None);
    }
    node
}

/// A team of which one port has no carrier.
fn team() -> Machine {
    let mut node = Machine::new("node", 1);
    let ports = [node.link(HOST, "eth0", "device", None), node.link(HOST, "eth1", "device", None)];
    let team = node.link(HOST, "team0", "team", None);
    for port in ports {
        node.port(port, team, "team");
    }
    let lost = node.of(ports[0]);
    (lost.carrier, lost.operstate) = (Some(false), "DOWN".to_owned());
    node.addr(team, "192.168.7.1/24");
    node.route(HOST, "default via 192.168.7.254 dev team0");
    node.neigh(team, "192.168.7.254", ROUTER);
    node
}

/// Pods at an integration bridge whose flows only Open vSwitch knows.
fn openvswitch() -> Machine {
    let (mut node, _) = node("node", 1);
    let system = node.link(HOST, "ovs-system", "openvswitch", None);
    let link = node.of(system);
    (link.up, link.operstate, link.carrier) = (false, "DOWN".to_owned(), Some(false));
    let internal = node.link(HOST, "br-int", "openvswitch", None);
    node.of(internal).operstate = "UNKNOWN".to_owned();
    node.addr(internal, "10.128.0.1/23");
    let eth1 = node.link(HOST, "eth1", "device", None);
    node.port(eth1, system, "openvswitch");
    for (name, addr) in [("pod-a", "10.128.0.4/23"), ("pod-b", "10.128.0.5/23")] {
        let (_, veth) = pod(&mut node, name, addr, "10.128.0.1");
        node.port(veth, system, "openvswitch");
    }
    node
}

/// A node that has two bridges with two pairs between them, and that sends a network to a neighbour who sends it back.
fn loop_of(hostname: &str, number: u8, dev: &str, neighbour: &str) -> Machine {
    let (mut node, _) = node(hostname, number);
    node.route(HOST, &format!("10.99.0.0/16 via {neighbour} dev {dev}"));
    let (_, veth) = pod(&mut node, "pod-a", &format!("10.{number}.0.2/24"), &format!("10.{number}.0.1"));
    let (one, other) = node.pair((HOST, "a1"), (HOST, "b1"), "veth");
    let (second, back) = node.pair((HOST, "a2"), (HOST, "b2"), "veth");
    let br0 = node.bridge(HOST, "br0", false, &[veth, one, second]);
    let br1 = node.bridge(HOST, "br1", false, &[other, back]);
    node.addr(br0, &format!("10.{number}.0.1/24"));
    // What a storm leaves behind: each of them takes the other one for the way there.
    node.learned(br0, one, ROUTER, None);
    node.learned(br1, back, ROUTER, None);
    let eth0 = node.named(1, "eth0");
    node.neigh(eth0, &format!("10.{number}.0.9"), ROUTER);
    node
}
