//! Walks over VLANs: tags on the way and bridges that filter by them.

#![cfg(test)]

use super::*;

const TAGGED: PortVlan = PortVlan { vid: 5, last: 5, pvid: false, untagged: false };
const ACCESS: PortVlan = PortVlan { vid: 5, last: 5, pvid: true, untagged: true };

/// A host with `eth0.5`, a switch whose bridge filters by VLAN, and on the bridge `br0.5` with the gateway.
struct Trunk {
    net: Fake,
    host: NetnsId,
    port: LinkId,
    bridge: LinkId,
}

fn trunk() -> Trunk {
    let mut net = Fake::default();
    let (host, switch) = (net.space("host"), net.space("switch"));
    let (eth0, port) = net.pair((host, "eth0"), (switch, "swp1"), "veth");
    let tagged = net.vlan(host, "eth0.5", eth0, 5, false);
    let bridge = net.bridge(switch, "br0", true, &[port]);
    let gateway = net.vlan(switch, "br0.5", bridge, 5, false);
    net.addr(tagged, "10.5.0.2/24");
    net.addr(gateway, "10.5.0.1/24");
    net.knows(tagged, "10.5.0.1", bridge);
    net.vlans.insert(port, vec![TAGGED]);
    net.vlans.insert(bridge, vec![TAGGED]);
    Trunk { net, host, port, bridge }
}

#[test]
fn tag_goes_over_the_trunk_to_the_vlan_of_the_bridge() {
    let Trunk { mut net, host, .. } = trunk();
    let traced = net.trace(host, "10.5.0.1");
    let wanted =
        ["host/eth0.5 route", "host/eth0 lower", "switch/swp1 peer", "switch/br0 master", "switch/br0.5 upper"];
    ends(&traced, Action::Delivered, &wanted);
    let tags: Vec<usize> = traced.paths[0].hops.iter().map(|h| h.tags.len()).collect();
    assert_eq!(tags, [0, 1, 1, 0, 0]);
}

#[test]
fn port_or_bridge_that_is_not_in_the_vlan_drops() {
    let Trunk { mut net, host, port, .. } = trunk();
    net.vlans.insert(port, vec![PortVlan { vid: 6, last: 9, ..TAGGED }]);
    let traced = net.trace(host, "10.5.0.1");
    ends(&traced, Action::Dropped, &["host/eth0.5 route", "host/eth0 lower", "switch/swp1 peer", "switch/br0 master"]);
    assert_eq!((ids(&traced), traced.findings[0].hop), (vec!["vlan-not-allowed"], 2));
    let Trunk { mut net, host, bridge, .. } = trunk();
    net.vlans.insert(bridge, Vec::new());
    let traced = net.trace(host, "10.5.0.1");
    assert_eq!((ids(&traced), traced.findings[0].hop), (vec!["vlan-not-allowed"], 3));
    // Untagged on the bridge itself the frame is no longer one of the VLAN's link.
    let Trunk { mut net, host, bridge, .. } = trunk();
    net.vlans.insert(bridge, vec![ACCESS]);
    let wanted = ["host/eth0.5 route", "host/eth0 lower", "switch/swp1 peer", "switch/br0 master"];
    ends(&net.trace(host, "10.5.0.1"), Action::Delivered, &wanted);
}

#[test]
fn tag_that_nobody_at_the_other_end_knows() {
    let mut net = Fake::default();
    let (host, other) = (net.space("host"), net.space("other"));
    let (eth0, far) = net.pair((host, "eth0"), (other, "eth0"), "veth");
    let tagged = net.vlan(host, "eth0.5", eth0, 5, false);
    net.addr(tagged, "10.5.0.2/24");
    net.addr(far, "10.5.0.1/24");
    let traced = net.trace(host, "10.5.0.1");
    ends(&traced, Action::Dropped, &["host/eth0.5 route", "host/eth0 lower", "other/eth0 peer"]);
    assert_eq!(ids(&traced), ["vlan-absent"]);
}

#[test]
fn access_ports_of_one_vlan_reach_each_other_and_no_others() {
    for (vid, action) in [(5, Action::Delivered), (6, Action::Dropped)] {
        let mut net = Fake::default();
        let (a, b, host) = (net.space("a"), net.space("b"), net.space("host"));
        let (eth_a, port_a) = net.pair((a, "eth0"), (host, "va"), "veth");
        let (eth_b, port_b) = net.pair((b, "eth0"), (host, "vb"), "veth");
        let bridge = net.bridge(host, "br0", true, &[port_a, port_b]);
        net.addr(eth_a, "10.5.0.2/24");
        net.addr(eth_b, "10.5.0.3/24");
        net.vlans.insert(port_a, vec![ACCESS]);
        net.vlans.insert(port_b, vec![PortVlan { vid, last: vid, ..ACCESS }]);
        // Cold: only ports of the VLAN are asked. Learned: an entry is one of its VLAN.
        assert_eq!(net.trace(a, "10.5.0.3").paths[0].verdict.action, action);
        net.knows(eth_a, "10.5.0.3", eth_b);
        net.learn(bridge, eth_b, Some(vid), port_b);
        let traced = net.trace(a, "10.5.0.3");
        assert_eq!(traced.paths[0].verdict.action, action, "{:?}", hops(&traced));
        // And a port that takes nothing without a tag.
        net.vlans.insert(port_a, vec![TAGGED]);
        assert_eq!(ids(&net.trace(a, "10.5.0.3")), ["vlan-not-allowed"]);
    }
}

#[test]
fn port_whose_vlans_are_not_seen_may_lead_to_the_holder() {
    let mut net = Fake::default();
    let (a, b, host) = (net.space("a"), net.space("b"), net.space("host"));
    let (eth_a, port_a) = net.pair((a, "eth0"), (host, "va"), "veth");
    let (eth_b, port_b) = net.pair((b, "eth0"), (host, "vb"), "veth");
    net.bridge(host, "br0", true, &[port_a, port_b]);
    net.addr(eth_a, "10.5.0.2/24");
    net.addr(eth_b, "10.5.0.3/24");
    net.vlans.insert(port_a, vec![ACCESS]);
    net.hidden.push(port_b);
    let traced = net.trace(a, "10.5.0.3");
    ends(&traced, Action::Unknown, &["a/eth0 route", "host/va peer", "host/br0 master"]);
    assert!(traced.paths[0].verdict.reason.contains("they cannot be read"), "{:?}", traced.paths[0].verdict);
}

#[test]
fn locked_port_is_asked_for_the_sender_in_its_vlan() {
    for (filters, vlan) in [(true, Some(5)), (false, None)] {
        let mut net = Fake::default();
        let (a, b, host) = (net.space("a"), net.space("b"), net.space("host"));
        let (eth_a, port_a) = net.pair((a, "eth0"), (host, "va"), "veth");
        let (eth_b, port_b) = net.pair((b, "eth0"), (host, "vb"), "veth");
        let bridge = net.bridge(host, "br0", filters, &[port_a, port_b]);
        let (vlan_a, vlan_b) = match filters {
            true => (eth_a, eth_b),
            // A tag is none of its business.
            false => (net.vlan(a, "eth0.5", eth_a, 5, false), net.vlan(b, "eth0.5", eth_b, 5, false)),
        };
        net.addr(vlan_a, "10.5.0.2/24");
        net.addr(vlan_b, "10.5.0.3/24");
        net.knows(vlan_a, "10.5.0.3", eth_b);
        net.vlans.insert(port_a, vec![ACCESS]);
        net.vlans.insert(port_b, vec![ACCESS]);
        net.learn(bridge, eth_b, vlan, port_b);
        net.of(port_a).port.as_mut().unwrap().locked = true;
        net.learn(bridge, eth_a, Some(7), port_a);
        let traced = net.trace(a, "10.5.0.3");
        assert_eq!((ids(&traced), hops(&traced).pop()), (vec!["port-locked"], Some("host/br0 master".to_owned())));
        net.learn(bridge, eth_a, vlan, port_a);
        let traced = net.trace(a, "10.5.0.3");
        assert_eq!(traced.paths[0].verdict.action, Action::Delivered, "{:?}", traced.findings);
    }
}

#[test]
fn bridge_that_does_not_filter_passes_tags_on() {
    let mut net = Fake::default();
    let (a, b, host) = (net.space("a"), net.space("b"), net.space("host"));
    let (eth_a, port_a) = net.pair((a, "eth0"), (host, "va"), "veth");
    let (eth_b, port_b) = net.pair((b, "eth0"), (host, "vb"), "veth");
    let bridge = net.bridge(host, "br0", false, &[port_a, port_b]);
    let (vlan_a, vlan_b) = (net.vlan(a, "eth0.5", eth_a, 5, false), net.vlan(b, "eth0.5", eth_b, 5, false));
    net.addr(vlan_a, "10.5.0.2/24");
    net.addr(vlan_b, "10.5.0.3/24");
    net.knows(vlan_a, "10.5.0.3", vlan_b);
    net.learn(bridge, vlan_b, None, port_b);
    let wanted = ["a/eth0.5 route", "a/eth0 lower", "host/va peer", "host/br0 master", "host/vb fdb", "b/eth0 peer"];
    ends(&net.trace(a, "10.5.0.3"), Action::Delivered, &[&wanted[..], &["b/eth0.5 upper"]].concat());
}

#[test]
fn two_tags_one_around_the_other() {
    let mut net = Fake::default();
    let (a, b) = (net.space("a"), net.space("b"));
    let (eth_a, eth_b) = net.pair((a, "eth0"), (b, "eth0"), "veth");
    let (outer_a, outer_b) = (net.vlan(a, "eth0.100", eth_a, 100, true), net.vlan(b, "eth0.100", eth_b, 100, true));
    let (inner_a, inner_b) =
        (net.vlan(a, "eth0.100.5", outer_a, 5, false), net.vlan(b, "eth0.100.5", outer_b, 5, false));
    net.addr(inner_a, "10.5.0.2/24");
    net.addr(inner_b, "10.5.0.3/24");
    net.knows(inner_a, "10.5.0.3", eth_b);
    let traced = net.trace(a, "10.5.0.3");
    let wanted = [
        "a/eth0.100.5 route",
        "a/eth0.100 lower",
        "a/eth0 lower",
        "b/eth0 peer",
        "b/eth0.100 upper",
        "b/eth0.100.5 upper",
    ];
    ends(&traced, Action::Delivered, &wanted);
    let tags: Vec<u16> = traced.paths[0].hops[3].tags.iter().map(|tag| tag.vid).collect();
    assert_eq!(tags, [100, 5], "the outer one first");
    // A tag of the other sort is another VLAN.
    net.of(outer_b).data = Some(KindData::Vlan { id: 100, ad: false });
    assert_eq!(ids(&net.trace(a, "10.5.0.3")), ["vlan-absent"]);
}
