//! Links on top of others (ipvlan), routing domains (vrf), pairs that programs decide for (netkit), virtual functions,
//! and programs at links.

use podnet::model::{KindData, LlAddr, RecordedRule, TableId};

use super::{At, HOST, Machine, Made, ROUTER, node, pod};

pub fn all() -> Vec<Made> {
    vec![
        ("ipvlan", vec![ipvlan()]),
        ("vrf", vec![vrf()]),
        ("netkit", vec![netkit()]),
        ("sriov", vec![sriov()]),
        ("programs", vec![programs()]),
    ]
}

/// Two pods above one uplink on layer 2, two above another one on layer 3, and one apart from its sibling.
fn ipvlan() -> Machine {
    let (mut node, eth0) = node("node", 1);
    let eth1 = node.link(HOST, "eth1", "device", None);
    node.addr(eth1, "10.50.0.1/24");
    let eth2 = node.link(HOST, "eth2", "device", None);
    let mut above = |name: &str, lower: At, mode: &str, apart: Option<&str>, addr: &str, route: &str| {
        let space = node.space(name);
        let data = KindData::Ipvlan { mode: mode.to_owned(), apart: apart.map(str::to_owned) };
        let link = node.link(space, "eth0", "ipvlan", Some(data));
        node.below(link, lower);
        node.of(link).address = node.of(lower).address;
        node.of(link).operstate = "UNKNOWN".to_owned();
        node.of(link).noarp = mode == "l3";
        node.addr(link, addr);
        node.route(space, route);
        link
    };
    let a = above("l2-a", eth0, "l2", None, "192.168.7.11/24", "default via 192.168.7.254 dev eth0");
    above("l2-b", eth0, "l2", None, "192.168.7.12/24", "default via 192.168.7.254 dev eth0");
    above("l3-a", eth1, "l3", None, "10.60.1.2/24", "default dev eth0");
    above("l3-b", eth1, "l3", None, "10.60.2.2/24", "default dev eth0");
    above("private-a", eth2, "l2", Some("private"), "10.70.0.2/24", "default via 10.70.0.1 dev eth0");
    above("private-b", eth2, "l2", Some("private"), "10.70.0.3/24", "default via 10.70.0.1 dev eth0");
    node.neigh(a, "192.168.7.254", ROUTER);
    node
}

/// A domain of its own for two pods and an uplink, beside the node's own network.
fn vrf() -> Machine {
    let (mut node, _) = node("node", 1);
    let vrf = node.link(HOST, "blue", "vrf", Some(KindData::Vrf { table: 10 }));
    node.of(vrf).mtu = Some(65575);
    node.of(vrf).noarp = true;
    let eth1 = node.link(HOST, "eth1", "device", None);
    node.port(eth1, vrf, "vrf");
    node.addr(eth1, "10.1.0.1/24");
    for (n, name) in [(2, "pod-a"), (3, "pod-b")] {
        let (_, veth) = pod(&mut node, name, &format!("10.{n}.0.2/24"), &format!("10.{n}.0.1"));
        node.port(veth, vrf, "vrf");
        node.addr(veth, &format!("10.{n}.0.1/24"));
    }
    node.route(HOST, "default via 10.1.0.254 dev eth1 table 10");
    // A domain without a default route of its own: the next rule asks the main table.
    let red = node.link(HOST, "red", "vrf", Some(KindData::Vrf { table: 20 }));
    (node.of(red).mtu, node.of(red).noarp) = (Some(65575), true);
    let (_, veth) = pod(&mut node, "pod-c", "10.4.0.2/24", "10.4.0.1");
    node.port(veth, red, "vrf");
    node.addr(veth, "10.4.0.1/24");
    node.neigh(eth1, "10.1.0.254", ROUTER);
    let facts = node.facts(HOST);
    let domain = RecordedRule { priority: 1000, l3mdev: true, table: TableId(0), ..RecordedRule::default() };
    for rules in [&mut facts.rules, &mut facts.rules6] {
        rules.as_mut().unwrap().insert(1, domain.clone());
    }
    // Touched rules split the tables.
    facts.split = true;
    node
}

/// Cilium's way with netkit: both ends drop what no program lets pass, and both programs are known at the host's end.
fn netkit() -> Machine {
    let (mut node, _) = node("node", 1);
    let mut pair = |name: &str, policy: &str, addr: &str, programs: bool| {
        let space = node.space(name);
        let ifname = name.replace("pod", "lxc");
        let (host, pod) = node.pair((HOST, &ifname), (space, "eth0"), "netkit");
        for end in [host, pod] {
            let link = node.of(end);
            link.data = Some(KindData::Netkit { policy: policy.to_owned(), l2: false });
            (link.noarp, link.address) = (true, Some(LlAddr::mac([0; 6])));
        }
        node.addr(pod, addr);
        node.route(space, "10.0.1.1 dev eth0");
        node.route(space, "default via 10.0.1.1 dev eth0");
        node.route(HOST, &format!("{} dev {ifname}", addr.trim_end_matches("/32")));
        if programs {
            node.program(host, "netkit", true, "cil_from_contai", 31);
            node.program(host, "netkit", false, "cil_to_containe", 32);
        }
    };
    pair("pod-a", "blackhole", "10.0.1.5/32", true);
    pair("pod-b", "blackhole", "10.0.1.6/32", false);
    pair("pod-c", "forward", "10.0.1.7/32", false);
    pair("pod-d", "forward", "10.0.1.8/32", false);
    node
}

/// A pod with a virtual function of the node's card for its own, and one whose function is in the host's namespace.
fn sriov() -> Machine {
    let (mut node, eth0) = node("node", 1);
    let pf = node.of(eth0);
    (pf.ifname, pf.driver, pf.parent_dev) =
        ("ens1f0".to_owned(), Some("ice".to_owned()), Some("pci/0000:03:00.0".to_owned()));
    let space = node.space("pod-a");
    let vf = node.link(space, "net1", "device", None);
    let link = node.of(vf);
    (link.driver, link.parent_dev, link.pf) = (None, Some("pci/0000:03:01.0".to_owned()), Some("ens1f0".to_owned()));
    node.addr(vf, "192.168.8.5/24");
    node.route(space, "default via 192.168.8.1 dev net1");
    node
}

/// Programs at the uplink and at a pod's end: what they do is not read.
fn programs() -> Machine {
    let (mut node, eth0) = node("node", 1);
    let (_, veth) = pod(&mut node, "pod-a", "10.1.0.2/24", "10.1.0.1");
    node.addr(veth, "10.1.0.1/24");
    let (_, other) = pod(&mut node, "pod-b", "10.2.0.2/24", "10.2.0.1");
    node.addr(other, "10.2.0.1/24");
    node.program(veth, "tcx", true, "cil_from_contai", 41);
    node.program(eth0, "xdp", true, "xdp_firewall", 42);
    node.of(eth0).xdp = Some(42);
    node
}
