//! The reference scene, two nodes as containerd and the CNI bridge plugin wire them, and the plan that builds it; pure.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::model::{
    Change, LlAddr, Machine, NetnsRef, NewLink, Plan, Role, RouteType, SceneBridge, SceneLink, SceneRoute,
};

/// The node that the demo's own processes are on.
pub const NODE_A: &str = "node-a";

/// The traces that tell most: out of the node, to the neighbour pod, to the pod on the other node.
pub const TRACES: [&[&str]; 3] = [
    &["trace", "signin-test-a"],
    &["trace", "signin-test-a", "--to", "172.22.0.252"],
    &["trace", "signin-test-a", "--to", "172.22.1.7"],
];

/// The machines, each after the one that it hangs on.
pub static REFERENCE: [Machine; 8] = [
    Machine {
        name: "internet",
        role: Role::Internet,
        netns: None,
        link: None,
        bridge: None,
        routes: &[via([10, 30, 180, 0], 24, [203, 0, 113, 2]), via([172, 22, 0, 0], 16, [203, 0, 113, 2])],
    },
    Machine {
        name: "router",
        role: Role::Router,
        netns: None,
        link: Some(SceneLink {
            ifname: "wan",
            address: LlAddr::mac([0x52, 0x54, 0, 0xcb, 0x71, 2]),
            addr: net([203, 0, 113, 2], 30),
            peer: "internet",
            peer_ifname: "eth0",
            peer_address: LlAddr::mac([0x52, 0x54, 0, 0xcb, 0x71, 1]),
            peer_addr: Some(net([203, 0, 113, 1], 30)),
        }),
        bridge: bridge("lan", [0x52, 0x54, 0, 0x1e, 0xb4, 254], net([10, 30, 180, 254], 24)),
        routes: &[
            via([0; 4], 0, [203, 0, 113, 1]),
            via([172, 22, 0, 0], 24, [10, 30, 180, 56]),
            via([172, 22, 1, 0], 24, [10, 30, 180, 55]),
        ],
    },
    Machine {
        bridge: bridge("cni0", [0xaa, 0x8d, 0x2f, 0x44, 0x14, 0xb0], net([172, 22, 0, 1], 24)),
        routes: &[via([0; 4], 0, [10, 30, 180, 254]), via([172, 22, 1, 0], 24, [10, 30, 180, 55])],
        ..node(NODE_A, 56, "swp1")
    },
    Machine {
        link: port(0, 253, 0x6e, NODE_A, "veth12acb4c1", 0x77),
        routes: &[via([0; 4], 0, [172, 22, 0, 1]), via([172, 22, 0, 0], 16, [172, 22, 0, 1])],
        ..pod("signin-test-a")
    },
    Machine {
        link: port(0, 252, 0x19, NODE_A, "veth0c9a5076", 0x5c),
        routes: &[via([0; 4], 0, [172, 22, 0, 1]), via([172, 22, 0, 0], 16, [172, 22, 0, 1])],
        ..pod("signin-test-b")
    },
    Machine {
        link: port(0, 251, 0xd2, NODE_A, "veth7d31e0a2", 0x8b),
        routes: &[via([0; 4], 0, [172, 22, 0, 1]), via([172, 22, 0, 0], 16, [172, 22, 0, 1])],
        ..pod("db-0")
    },
    Machine {
        bridge: bridge("cni0", [0x1e, 0x73, 0xc8, 0x05, 0xda, 0x46], net([172, 22, 1, 1], 24)),
        routes: &[via([0; 4], 0, [10, 30, 180, 254]), via([172, 22, 0, 0], 24, [10, 30, 180, 56])],
        ..node("node-b", 55, "swp2")
    },
    Machine {
        link: port(1, 7, 0xe3, "node-b", "veth5b8f2c64", 0x3d),
        routes: &[via([0; 4], 0, [172, 22, 1, 1]), via([172, 22, 0, 0], 16, [172, 22, 1, 1])],
        ..pod("web-b")
    },
];

const fn pod(name: &'static str) -> Machine {
    Machine { name, role: Role::Pod, netns: None, link: None, bridge: None, routes: &[] }
}

/// A pod's link: address `172.22.<subnet>.<host>`, and an end of the pair on the node's bridge.
const fn port(
    subnet: u8,
    host: u8,
    mac: u8,
    peer: &'static str,
    peer_ifname: &'static str,
    peer_mac: u8,
) -> Option<SceneLink> {
    Some(SceneLink {
        ifname: "eth0",
        address: LlAddr::mac([0xc2, 0xce, 0x72, 0x1b, 0x97, mac]),
        addr: net([172, 22, subnet, host], 24),
        peer,
        peer_ifname,
        peer_address: LlAddr::mac([0xe2, 0x5d, 0x0c, 0x91, 0x3a, peer_mac]),
        peer_addr: None,
    })
}

/// A node at `10.30.180.<host>` on a port of the router's switch.
const fn node(name: &'static str, host: u8, port: &'static str) -> Machine {
    let link = SceneLink {
        ifname: "eth0",
        address: LlAddr::mac([0x52, 0x54, 0, 0x1e, 0xb4, host]),
        addr: net([10, 30, 180, host], 24),
        peer: "router",
        peer_ifname: port,
        peer_address: LlAddr::mac([0x52, 0x54, 0, 0x9a, 0x10, host]),
        peer_addr: None,
    };
    Machine { name, role: Role::Node, netns: None, link: Some(link), bridge: None, routes: &[] }
}

const fn bridge(ifname: &'static str, mac: [u8; 6], addr: IpNet) -> Option<SceneBridge> {
    Some(SceneBridge { ifname, address: LlAddr::mac(mac), addr })
}

const fn ip([a, b, c, d]: [u8; 4]) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

const fn net(addr: [u8; 4], prefix_len: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(ip(addr), prefix_len))
}

const fn via(dst: [u8; 4], prefix_len: u8, gateway: [u8; 4]) -> SceneRoute {
    SceneRoute { dst: net(dst, prefix_len), gateway: IpAddr::V4(ip(gateway)) }
}

/// What builds the machines in namespaces that are there already; `ipv6`: the kernel has it.
pub fn plan(machines: &[Machine], ipv6: bool) -> Plan {
    let mut plan = Plan::default();
    for machine in machines {
        let netns = NetnsRef::Named(machine.name.to_owned());
        settings(&mut plan, &netns, machine, ipv6);
        plan.step(&netns, Change::SetUp { ifname: "lo".to_owned() });
        // The bridge comes first so that no pair has one index at both ends: the kernel takes such a link for one that
        // stands alone, and is in no hurry (a second) to notice its carrier.
        if let Some(bridge) = machine.bridge {
            plan.step(&netns, Change::AddBridge(new_link(bridge.ifname, bridge.address)));
            address(&mut plan, &netns, bridge.ifname, Some(bridge.addr));
        }
        if let Some(link) = machine.link {
            hang(&mut plan, &netns, &link, machines);
        }
    }
    // Only now does every gateway have its address.
    for machine in machines {
        let netns = NetnsRef::Named(machine.name.to_owned());
        let mut route = |kind, dst, gateway, dev| plan.step(&netns, Change::AddRoute { kind, dst, gateway, dev });
        for to in machine.routes {
            route(RouteType::Unicast, to.dst, Some(to.gateway), None);
        }
        if machine.role == Role::Internet {
            // Whatever is nowhere else is here, so that every address answers.
            route(RouteType::Local, net([0; 4], 0), None, Some("lo".to_owned()));
        }
    }
    plan
}

fn settings(plan: &mut Plan, netns: &NetnsRef, machine: &Machine, ipv6: bool) {
    let mut set = |key: &str, value: &str| {
        plan.step(netns, Change::SetSysctl { key: key.to_owned(), value: value.to_owned() });
    };
    // A new namespace starts with the host's value; a pod forwards nothing.
    set("net/ipv4/ip_forward", if machine.role == Role::Pod { "0" } else { "1" });
    if ipv6 {
        // Without duplicate address detection the link-local addresses are there at once.
        set("net/ipv6/conf/all/accept_dad", "0");
        set("net/ipv6/conf/default/accept_dad", "0");
    }
}

/// The pair is made from the side of the bridge, because only that end's message can name a master.
fn hang(plan: &mut Plan, netns: &NetnsRef, link: &SceneLink, machines: &[Machine]) {
    let upper = NetnsRef::Named(link.peer.to_owned());
    let master = machines.iter().find(|m| m.name == link.peer).and_then(|m| m.bridge);
    plan.step(
        &upper,
        Change::AddVeth {
            link: new_link(link.peer_ifname, link.peer_address),
            master: master.filter(|_| link.peer_addr.is_none()).map(|b| b.ifname.to_owned()),
            peer_netns: netns.clone(),
            peer: new_link(link.ifname, link.address),
        },
    );
    address(plan, &upper, link.peer_ifname, link.peer_addr);
    address(plan, netns, link.ifname, Some(link.addr));
}

fn address(plan: &mut Plan, netns: &NetnsRef, ifname: &str, addr: Option<IpNet>) {
    if let Some(addr) = addr {
        let ifname = ifname.to_owned();
        plan.step(netns, Change::AddAddr { ifname, addr, nodad: false, link_scope: false });
    }
    plan.step(netns, Change::SetUp { ifname: ifname.to_owned() });
}

fn new_link(ifname: &str, address: LlAddr) -> NewLink {
    NewLink { ifname: ifname.to_owned(), address: Some(address), ..NewLink::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_link_layer_address_is_its_own() {
        let links = REFERENCE.iter().filter_map(|m| m.link).flat_map(|l| [l.address, l.peer_address]);
        let all: Vec<LlAddr> = links.chain(REFERENCE.iter().filter_map(|m| m.bridge).map(|b| b.address)).collect();
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len());
        // None is a group address, which the kernel refuses.
        assert!(all.iter().all(|a| a.bytes()[0] & 1 == 0));
    }

    #[test]
    fn every_machine_hangs_on_an_earlier_one_and_its_name_fits_a_process() {
        for (i, machine) in REFERENCE.iter().enumerate() {
            assert!(machine.name.len() < 16, "{}", machine.name);
            let earlier = |name| REFERENCE[..i].iter().any(|m| m.name == name);
            assert!(machine.link.is_none_or(|link| earlier(link.peer)), "{}", machine.name);
        }
    }

    #[test]
    fn the_traces_are_about_machines_of_the_scene() {
        for words in TRACES {
            assert!(REFERENCE.iter().any(|m| m.role == Role::Pod && m.name == words[1]));
            let addr = words.get(3).map(|addr| addr.parse::<IpAddr>().unwrap());
            assert!(addr.is_none_or(|addr| REFERENCE.iter().any(|m| m.link.is_some_and(|l| l.addr.addr() == addr))));
        }
    }

    #[test]
    fn a_pod_is_made_from_the_bridges_side() {
        let plan = plan(&REFERENCE, false).to_string();
        assert!(plan.contains(
            "ip -n node-a link add name veth12acb4c1 address e2:5d:0c:91:3a:77 numtxqueues 1 numrxqueues 1 \
             master cni0 type veth peer name eth0 address c2:ce:72:1b:97:6e numtxqueues 1 numrxqueues 1 \
             netns signin-test-a\n"
        ));
        assert!(plan.contains("ip -n signin-test-a route add 172.22.0.0/16 via 172.22.0.1\n"));
    }
}
