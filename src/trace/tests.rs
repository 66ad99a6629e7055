//! Walks over links that the kernel at hand may not have, each way as the kernel's sources have it.
#![cfg(test)]

mod netfilter;
mod tunnel;
mod vlan;

use super::Traced;
use super::fake::Fake;
use crate::model::{Action, BondPort, Iptunnel, KindData, LinkId, LlAddr, NetnsId, PortVlan, Program, Topology};

/// `netns/ifname step`, a line a hop.
fn hops(traced: &Traced) -> Vec<String> {
    let step = |hop: &crate::model::Hop| format!("{:?}", hop.step).to_lowercase();
    traced.paths[0].hops.iter().map(|h| format!("{}/{} {}", h.netns_name, h.ifname, step(h))).collect()
}

#[track_caller]
fn ends(traced: &Traced, action: Action, wanted: &[&str]) {
    assert_eq!(hops(traced), wanted, "{:?} {:?}", traced.paths[0].verdict, traced.findings);
    assert_eq!(traced.paths[0].verdict.action, action, "{:?}", traced.paths[0].verdict);
}

fn ids(traced: &Traced) -> Vec<&str> {
    traced.findings.iter().map(|f| f.id.as_str()).collect()
}

/// A host with a bond of two pairs to a switch.
fn bonded(mode: u8, active: usize) -> (Fake, NetnsId, [LinkId; 2], LinkId) {
    let mut net = Fake::default();
    let (host, switch) = (net.space("host"), net.space("switch"));
    let (eth0, swp0) = net.pair((host, "eth0"), (switch, "swp0"), "veth");
    let (eth1, swp1) = net.pair((host, "eth1"), (switch, "swp1"), "veth");
    let ports = [eth0, eth1];
    let bond = net.link(
        host,
        "bond0",
        "bond",
        Some(KindData::Bond { mode, active: Some(ports[active].ifindex), all_active: Some(false) }),
    );
    for (n, port) in ports.into_iter().enumerate() {
        let link = net.of(port);
        link.master = Some(bond.ifindex);
        link.port_kind = Some("bond".to_owned());
        link.bond_port = Some(BondPort { active: mode != 1 || n == active, up: true });
    }
    net.addr(bond, "10.6.0.2/24");
    let bridge = net.bridge(switch, "br0", false, &[swp0, swp1]);
    net.addr(bridge, "10.6.0.1/24");
    (net, host, ports, bond)
}

#[test]
fn bond_sends_by_its_active_port() {
    for (active, name, far) in [(0, "host/eth0 lower", "switch/swp0 peer"), (1, "host/eth1 lower", "switch/swp1 peer")]
    {
        let (mut net, host, ..) = bonded(1, active);
        let wanted = ["host/bond0 route", name, far, "switch/br0 master"];
        ends(&net.trace(host, "10.6.0.1"), Action::Delivered, &wanted);
    }
    // Which port a hash picks is not seen; that all lead out of the machine is.
    let (mut net, host, ports, _) = bonded(4, 0);
    ends(&net.trace(host, "10.6.0.1"), Action::Unknown, &["host/bond0 route"]);
    net.of(ports[1]).bond_port = Some(BondPort { active: true, up: false });
    assert_eq!(net.trace(host, "10.6.0.1").paths[0].verdict.action, Action::Delivered);
    let (mut net, host, ports, _) = bonded(4, 0);
    ports.iter().for_each(|port| net.of(*port).kind = "device".to_owned());
    let traced = net.trace(host, "10.6.0.1");
    assert_eq!(traced.paths[0].verdict.action, Action::LeavesNode);
    assert!(traced.paths[0].verdict.reason.contains("eth0, eth1"), "{:?}", traced.paths[0].verdict);
    let (mut net, host, _, bond) = bonded(1, 0);
    net.of(bond).data = Some(KindData::Bond { mode: 1, active: None, all_active: Some(false) });
    assert_eq!(ids(&net.trace(host, "10.6.0.1")), ["no-active-port"]);
}

#[test]
fn bond_takes_nothing_in_by_a_backup() {
    let (mut net, _, ports, bond) = bonded(1, 1);
    let switch = NetnsId::Inode { dev: 4, ino: 2 };
    let bridge = net.links(switch).unwrap().into_iter().find(|l| l.ifname == "br0").unwrap();
    let bridge = LinkId { netns: switch, ifindex: bridge.ifindex };
    net.knows(bridge, "10.6.0.2", bond);
    let far = net.of(ports[0]).link.unwrap();
    net.learn(bridge, bond, None, LinkId { netns: switch, ifindex: far });
    let traced = net.trace(switch, "10.6.0.2");
    ends(&traced, Action::Dropped, &["switch/br0 route", "switch/swp0 fdb", "host/eth0 peer"]);
    assert_eq!(ids(&traced), ["port-inactive"]);
    for (all_active, action) in [(Some(true), Action::Delivered), (None, Action::Unknown)] {
        net.of(bond).data = Some(KindData::Bond { mode: 1, active: Some(ports[1].ifindex), all_active });
        assert_eq!(net.trace(switch, "10.6.0.2").paths[0].verdict.action, action);
    }
    net.of(bond).data = Some(KindData::Bond { mode: 1, active: Some(ports[1].ifindex), all_active: Some(false) });
    let far = net.of(ports[1]).link.unwrap();
    net.learn(bridge, bond, None, LinkId { netns: switch, ifindex: far });
    let wanted = ["switch/br0 route", "switch/swp1 fdb", "host/eth1 peer", "host/bond0 master"];
    ends(&net.trace(switch, "10.6.0.2"), Action::Delivered, &wanted);
}

/// Two containers as ipvlans of a host's uplink, and a machine at its other end.
fn ipvlans(mode: &str, apart: Option<&str>) -> (Fake, [NetnsId; 4], LinkId) {
    let mut net = Fake::default();
    let spaces = ["in1", "in2", "host", "outside"].map(|name| net.space(name));
    let [in1, in2, host, outside] = spaces;
    let (eth0, far) = net.pair((host, "eth0"), (outside, "eth0"), "veth");
    net.addr(eth0, "10.5.0.1/24");
    net.addr(far, "10.5.0.9/24");
    for (n, space) in [in1, in2].into_iter().enumerate() {
        let data = KindData::Ipvlan { mode: mode.to_owned(), apart: apart.map(str::to_owned) };
        let link = net.link(space, "ipv0", "ipvlan", Some(data));
        net.below(link, eth0);
        net.of(link).address = net.of(eth0).address;
        net.of(link).noarp = mode != "l2";
        net.addr(link, &format!("10.5.0.10{}/24", n + 1));
    }
    (net, spaces, far)
}

#[test]
fn ipvlans_of_one_link_reach_each_other() {
    for mode in ["l2", "l3", "l3s"] {
        let (mut net, [in1, ..], _) = ipvlans(mode, None);
        ends(
            &net.trace(in1, "10.5.0.102"),
            Action::Delivered,
            &["in1/ipv0 route", "host/eth0 lower", "in2/ipv0 upper"],
        );
    }
    let (mut net, [in1, ..], _) = ipvlans("l2", Some("private"));
    ends(&net.trace(in1, "10.5.0.102"), Action::Dropped, &["in1/ipv0 route", "host/eth0 lower"]);
    // Out by the link below: as a frame, or routed by the namespace below.
    let (mut net, [in1, ..], _) = ipvlans("l2", None);
    ends(&net.trace(in1, "10.5.0.9"), Action::Delivered, &["in1/ipv0 route", "host/eth0 lower", "outside/eth0 peer"]);
    let (mut net, [in1, ..], _) = ipvlans("l3", None);
    let wanted = ["in1/ipv0 route", "host/eth0 lower", "host/eth0 route", "outside/eth0 peer"];
    ends(&net.trace(in1, "10.5.0.9"), Action::Delivered, &wanted);
}

#[test]
fn ipvlan_takes_what_comes_in_for_its_address() {
    let (mut net, [_, _, host, outside], far) = ipvlans("l2", None);
    let eth0 = LinkId { netns: host, ifindex: net.of(far).link.unwrap() };
    net.knows(far, "10.5.0.102", eth0);
    let wanted = ["outside/eth0 route", "host/eth0 peer", "in2/ipv0 upper"];
    ends(&net.trace(outside, "10.5.0.102"), Action::Delivered, &wanted);
}

/// Two nodes with a tunnel of a kind between them.
fn tunnel(kind: &str, data: impl Fn(usize) -> KindData) -> (Fake, NetnsId, [LinkId; 2]) {
    let mut net = Fake::default();
    let (a, b) = (net.space("a"), net.space("b"));
    let (eth_a, eth_b) = net.pair((a, "eth0"), (b, "eth0"), "veth");
    net.addr(eth_a, "10.1.0.1/24");
    net.addr(eth_b, "10.1.0.2/24");
    let ends = [a, b].map(|space| net.link(space, "tun0", kind, None));
    for (n, end) in ends.into_iter().enumerate() {
        net.of(end).data = Some(data(n));
        net.of(end).noarp = true;
        net.of(end).mtu = Some(1400);
        net.addr(end, &format!("10.244.{n}.1/32"));
        net.route(end, &format!("10.244.{}.0/24", 1 - n), Some(["10.1.0.2", "10.1.0.1"][n]));
    }
    (net, a, ends)
}

fn iptunnel(remote: Option<&str>, key: Option<u32>) -> KindData {
    let remote = remote.map(|ip| ip.parse().unwrap());
    KindData::Iptunnel(Iptunnel { remote, okey: key, ikey: key, ..Iptunnel::default() })
}

const OVER_TUNNEL: [&str; 4] = ["a/tun0 route", "a/eth0 route", "b/eth0 peer", "b/tun0 tunnel"];

/// A pod behind a pair of netkit.
fn netkit(policy: &str) -> (Fake, NetnsId, LinkId) {
    let mut net = Fake::default();
    let (pod, host) = (net.space("pod"), net.space("host"));
    let (eth0, far) = net.pair((pod, "eth0"), (host, "nk0"), "netkit");
    for end in [eth0, far] {
        net.of(end).data = Some(KindData::Netkit { policy: policy.to_owned(), l2: false });
        net.of(end).noarp = true;
    }
    net.addr(eth0, "10.0.0.2/24");
    net.addr(far, "10.0.0.1/24");
    (net, pod, eth0)
}

#[test]
fn netkit_passes_by_its_policy_or_by_its_program() {
    let (mut net, pod, eth0) = netkit("forward");
    ends(&net.trace(pod, "10.0.0.1"), Action::Delivered, &["pod/eth0 route", "host/nk0 peer"]);
    let (mut shut, pod_, eth0_) = netkit("blackhole");
    let traced = shut.trace(pod_, "10.0.0.1");
    ends(&traced, Action::Dropped, &["pod/eth0 route"]);
    assert_eq!(ids(&traced), ["netkit-blackhole"]);
    for (net, at) in [(&mut net, eth0), (&mut shut, eth0_)] {
        let name = Some("cil_from_container".to_owned());
        // Programs of both ends are attached at, and told of, the host's.
        let end = net.of(at).clone();
        let far = net.far_end(at, &end).unwrap().unwrap();
        net.programs.insert(far, vec![Program { kind: "netkit".to_owned(), ingress: true, name, id: Some(9) }]);
        let traced = net.trace(at.netns, "10.0.0.1");
        ends(&traced, Action::Unknown, &["pod/eth0 route", "host/nk0 peer"]);
        let reason = &traced.paths[0].verdict.reason;
        assert!(reason.contains("the netkit program cil_from_container at nk0 of host"), "{reason}");
    }
}

#[test]
fn program_leaves_every_end_open_and_only_on_its_side() {
    let xdp = |ingress| Program { kind: "xdp".to_owned(), ingress, name: None, id: Some(4) };
    for (ingress, action) in [(true, Action::Unknown), (false, Action::Delivered)] {
        let mut net = Fake::default();
        let (pod, host) = (net.space("pod"), net.space("host"));
        let (eth0, far) = net.pair((pod, "eth0"), (host, "veth0"), "veth");
        net.addr(eth0, "10.0.0.2/24");
        net.addr(far, "10.0.0.1/24");
        net.programs.insert(far, vec![xdp(ingress)]);
        assert_eq!(net.trace(pod, "10.0.0.1").paths[0].verdict.action, action);
        // What would be dropped behind it may have gone another way.
        net.of(far).addrs.clear();
        let wanted = if ingress { Action::Unknown } else { Action::Dropped };
        assert_eq!(net.trace(pod, "10.0.0.1").paths[0].verdict.action, wanted);
    }
}

#[test]
fn what_cannot_be_looked_into_is_said_by_name() {
    for (kind, word) in [("wireguard", "encrypts"), ("openvswitch", "Open vSwitch"), ("can", "kind can")] {
        let mut net = Fake::default();
        let host = net.space("host");
        let link = net.link(host, "x0", kind, None);
        net.addr(link, "10.0.0.2/24");
        let traced = net.trace(host, "10.0.0.9");
        ends(&traced, Action::Unknown, &["host/x0 route"]);
        assert!(traced.paths[0].verdict.reason.contains(word), "{:?}", traced.paths[0].verdict);
    }
    // A port of Open vSwitch, and a route that makes a header of its own.
    let mut net = Fake::default();
    let (pod, host) = (net.space("pod"), net.space("host"));
    let (eth0, port) = net.pair((pod, "eth0"), (host, "veth0"), "veth");
    let switch = net.link(host, "ovs-system", "openvswitch", None);
    net.of(port).master = Some(switch.ifindex);
    net.of(port).port_kind = Some("openvswitch".to_owned());
    net.addr(eth0, "10.0.0.2/24");
    let traced = net.trace(pod, "10.0.0.9");
    ends(&traced, Action::Unknown, &["pod/eth0 route", "host/veth0 peer", "host/ovs-system master"]);
    assert!(traced.paths[0].verdict.reason.contains("Open vSwitch"));
    net.route(eth0, "10.9.0.0/24", None).encap = Some("mpls".to_owned());
    let traced = net.trace(pod, "10.9.0.1");
    assert_eq!(traced.paths[0].verdict.action, Action::Unknown);
    assert!(traced.paths[0].verdict.reason.contains("mpls"));
}

#[test]
fn port_of_a_vrf_shows_it() {
    let mut net = Fake::default();
    let (pod, host) = (net.space("pod"), net.space("host"));
    let (eth0, port) = net.pair((pod, "eth0"), (host, "veth0"), "veth");
    let vrf = net.link(host, "blue", "vrf", Some(KindData::Vrf { table: 100 }));
    net.of(port).master = Some(vrf.ifindex);
    net.addr(eth0, "10.0.0.2/24");
    net.addr(port, "10.0.0.1/24");
    ends(&net.trace(pod, "10.0.0.1"), Action::Delivered, &["pod/eth0 route", "host/veth0 peer", "host/blue master"]);
}

#[test]
fn virtual_function_leaves_and_names_its_physical_one() {
    let mut net = Fake::default();
    let pod = net.space("pod");
    let eth0 = net.link(pod, "eth0", "device", None);
    net.of(eth0).pf = Some("ens1f0".to_owned());
    net.addr(eth0, "10.0.0.2/24");
    let traced = net.trace(pod, "10.0.0.9");
    ends(&traced, Action::LeavesNode, &["pod/eth0 route"]);
    assert_eq!(traced.paths[0].hops[0].pf.as_deref(), Some("ens1f0"));
}

#[test]
fn answer_to_what_left_comes_in_where_it_left() {
    let mut net = Fake::default();
    let (pod, host) = (net.space("pod"), net.space("host"));
    let (eth0, port) = net.pair((pod, "eth0"), (host, "veth0"), "veth");
    let uplink = net.link(host, "ens1", "device", None);
    net.addr(eth0, "10.0.0.2/24");
    net.addr(port, "10.0.0.1/24");
    net.addr(uplink, "192.0.2.2/24");
    net.route(eth0, "0.0.0.0/0", Some("10.0.0.1"));
    net.route(uplink, "0.0.0.0/0", Some("192.0.2.1"));
    let ask = super::Ask { to: Some("8.8.8.8".parse().unwrap()), reply: true, ..super::Ask::default() };
    let traced = super::trace(&mut net, pod, &ask);
    ends(&traced, Action::LeavesNode, &["pod/eth0 route", "host/veth0 peer", "host/ens1 route"]);
    let back = Traced { paths: vec![traced.paths[1].clone()], ..Traced::default() };
    ends(&back, Action::Delivered, &["host/ens1 peer", "host/veth0 route", "pod/eth0 peer"]);
    assert_eq!(traced.paths[1].reply_to, Some(0));
    assert!(traced.findings.is_empty(), "{:?}", traced.findings);
    // Inside a tunnel the answer is not the packet that comes in.
    let (mut net, a, ends_) = tunnel("ipip", |_| iptunnel(None, None));
    let far = net.of(LinkId { netns: a, ifindex: crate::model::IfIndex(1) });
    (far.kind, far.link, far.link_netnsid) = ("device".to_owned(), None, None);
    net.route(ends_[0], "10.244.9.0/24", Some("10.1.0.2"));
    let ask = super::Ask { to: Some("10.244.9.1".parse().unwrap()), reply: true, ..super::Ask::default() };
    let traced = super::trace(&mut net, a, &ask);
    ends(&traced, Action::LeavesNode, &["a/tun0 route", "a/eth0 route"]);
    assert!(traced.paths[0].verdict.reason.contains("ipip"), "{:?}", traced.paths[0].verdict);
    assert_eq!((traced.paths.len(), traced.gaps.len()), (1, 1));
}

#[test]
fn macvlan_in_source_mode_is_not_guessed() {
    let mut net = Fake::default();
    let (outside, host, ctr) = (net.space("outside"), net.space("host"), net.space("ctr"));
    let (far, eth0) = net.pair((outside, "eth0"), (host, "eth0"), "veth");
    let upper = net.link(ctr, "m0", "macvlan", Some(KindData::Macvlan { mode: "source".to_owned() }));
    net.below(upper, eth0);
    net.addr(far, "10.0.0.9/24");
    net.addr(upper, "10.0.0.2/24");
    net.knows(far, "10.0.0.2", upper);
    assert_eq!(net.trace(outside, "10.0.0.2").paths[0].verdict.action, Action::Unknown);
}

#[test]
fn vxlan_that_sends_unknown_addresses_to_all() {
    let zero = LlAddr::mac([0; 6]);
    let vxlan = KindData::Vxlan {
        id: 1,
        local: None,
        remote: None,
        port: Some(4789),
        lower: None,
        learning: true,
        external: false,
    };
    let (mut net, a, ends_) = tunnel("vxlan", |_| vxlan.clone());
    ends_.iter().for_each(|end| net.of(*end).noarp = false);
    let remote = |ip: &str| crate::model::Remote {
        mac: zero,
        dst: Some(ip.parse().unwrap()),
        port: None,
        vni: None,
        via: None,
        state: "permanent".to_owned(),
    };
    net.addr(ends_[1], "10.1.0.2/32");
    net.remotes.insert(ends_[0], vec![remote("10.1.0.2")]);
    ends(&net.trace(a, "10.244.1.1"), Action::Delivered, &OVER_TUNNEL);
    net.remotes.insert(ends_[0], vec![remote("10.1.0.2"), remote("10.1.0.3")]);
    assert_eq!(net.trace(a, "10.244.1.1").paths[0].verdict.action, Action::Unknown);
    net.remotes.insert(ends_[0], vec![remote("239.1.1.1")]);
    assert_eq!(net.trace(a, "10.244.1.1").paths[0].verdict.action, Action::Unknown);
    net.remotes.clear();
    assert_eq!(ids(&net.trace(a, "10.244.1.1")), ["tunnel-endpoint-absent"]);
}
