//! Wiring other than pair and bridge: the walk names exactly the devices that a real ping crosses, by counters or, where
//! a device passes frames on uncounted, by a capture.

use serde_json::{Value, json};

use super::capture::seen_on;
use super::node::{HOST, Node};
use super::truth::{counted, crossed, hops, lost};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(calico_wires_pods_without_a_bridge, Tools),
        test!(calico_without_proxy_arp_or_route, Tools),
        test!(ptp_wires_a_pod_to_the_host_alone, Tools),
        test!(macvlans_in_bridge_mode, Tools),
        test!(macvlans_that_keep_apart, Tools),
        test!(macvlan_does_not_reach_the_namespace_below, Tools),
        test!(macvlan_that_takes_all, Tools),
        test!(tap_is_held_by_a_process, Tools, Tap),
        test!(macvtap_is_held_by_nobody_seen, Tools),
        test!(two_bridges_joined_by_two_pairs_go_round, Tools),
        test!(packet_comes_back_to_its_sender, Tools),
        test!(bridge_is_taken_for_another, Tools),
    ]
}

/// The walk names these hops, cold and warm, and the counters of exactly the devices that count rise.
#[track_caller]
fn delivered(node: &Node, from: &str, to: &str, wanted: &[&str]) -> Value {
    let mut last = json!(null);
    for round in ["cold", "warm"] {
        last = node.trace(&format!("{from} --to {to}"));
        let path = &last["paths"][0];
        assert_eq!(hops(node, path), wanted, "{round}: {last:#}");
        assert_eq!(path["verdict"]["action"], "delivered", "{round}: {last:#}");
        assert_eq!(crossed(node, from, to), counted(node, path), "{round}: devices that the ping crossed");
    }
    last
}

#[track_caller]
fn dropped(node: &Node, from: &str, to: &str, at: &str, last: &str, finding: &str) {
    for round in ["cold", "warm"] {
        let trace = node.trace(&format!("{from} --to {to}"));
        let path = &trace["paths"][0];
        assert_eq!(path["verdict"]["action"], "dropped", "{round}: {trace:#}");
        assert_eq!(hops(node, path).last().unwrap(), last, "{round}: {trace:#}");
        let ids: Vec<&Value> = trace["findings"].as_array().unwrap().iter().map(|f| &f["id"]).collect();
        assert!(ids.contains(&&json!(finding)), "{round}: {trace:#}");
        assert!(lost(node, from, to, at), "it arrives all the same");
    }
}

/// Two pods, each on a pair that ends on the host with no address and no bridge; a third pod on a second node.
const CALICO: &str = "
    for ns in pod-a pod-b node-b pod-c; do ip netns add $ns; done
    for ns in host node-b pod-a pod-b pod-c; do
        at $ns ip link set lo up; set_in $ns net.ipv6.conf.default.accept_dad=0
    done
    for ns in host node-b; do set_in $ns net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; done
    ip link add eth0 type veth peer name eth0 netns node-b
    at host ip addr add 10.1.0.1/24 dev eth0; ip link set eth0 up
    at node-b ip addr add 10.1.0.2/24 dev eth0; ip -n node-b link set eth0 up
    # pod <netns> <node> <host end> <number>
    pod() {
        at $2 ip link add $3 address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns /run/netns/$1
        at $2 ip link set $3 up
        set_in $2 net.ipv4.conf.$3.proxy_arp=1 net.ipv4.conf.$3.rp_filter=1
        at $2 ip addr add fe80::ecee:eeff:feee:eeee/64 dev $3 nodad || true
        ip -n $1 addr add 192.168.0.$4/32 dev eth0; ip -n $1 addr add fd00:192::$4/128 dev eth0 nodad
        ip -n $1 link set eth0 up
        ip -n $1 route add 169.254.1.1 dev eth0 scope link; ip -n $1 route add default via 169.254.1.1
        ip -n $1 route add default via fe80::ecee:eeff:feee:eeee dev eth0
        at $2 ip route add 192.168.0.$4 dev $3 scope link; at $2 ip route add fd00:192::$4 dev $3
    }
    pod pod-a host cali-a 10
    pod pod-b host cali-b 11
    pod pod-c node-b cali-c 12
    ip route add 192.168.0.12 via 10.1.0.2
    # Without a route to 169.254.1.1 the host would not answer for it.
    ip route add default via 10.1.0.2; ip -n node-b route add default via 10.1.0.1
    ip -n node-b route add 192.168.0.8/30 via 10.1.0.1
";

fn calico_wires_pods_without_a_bridge() {
    let node = Node::with(CALICO);
    let to_b = ["pod-a/eth0 route", "host/cali-a peer", "host/cali-b route", "pod-b/eth0 peer"];
    let trace = delivered(&node, "pod-a", "192.168.0.11", &to_b);
    assert_eq!((&trace["findings"], &trace["gaps"]), (&json!([]), &json!([])));
    assert_eq!(trace["paths"][0]["hops"][0]["route"]["gateway"], "169.254.1.1");
    let to_c = [
        "pod-a/eth0 route",
        "host/cali-a peer",
        "host/eth0 route",
        "node-b/eth0 peer",
        "node-b/cali-c route",
        "pod-c/eth0 peer",
    ];
    delivered(&node, "pod-a", "192.168.0.12", &to_c);
    delivered(&node, "pod-a", "fd00:192::11", &to_b);
    delivered(&node, HOST, "192.168.0.10", &["host/cali-a route", "pod-a/eth0 peer"]);
}

fn calico_without_proxy_arp_or_route() {
    let node = Node::with(CALICO);
    node.sh("set_in host net.ipv4.conf.cali-a.proxy_arp=0; ip -n pod-a neigh flush dev eth0");
    let trace = node.trace("pod-a --to 192.168.0.11");
    assert_eq!(trace["findings"][0]["id"], "next-hop-absent", "{trace:#}");
    assert!(lost(&node, "pod-a", "192.168.0.11", "pod-b"));
    node.mend(&trace["findings"][0]);
    node.sh("ip -n pod-a neigh flush dev eth0");
    assert_eq!(node.trace("pod-a --to 192.168.0.11")["paths"][0]["verdict"]["action"], "delivered");
    // On, and without a way to the address that it could answer for.
    node.sh("ip route del default; ip -n pod-a neigh flush dev eth0");
    let trace = node.trace("pod-a --to 192.168.0.11");
    let evidence = trace["findings"][0]["evidence"].as_str().unwrap();
    assert!(evidence.contains("has no route to that") && !evidence.contains("off"), "{trace:#}");
    assert!(lost(&node, "pod-a", "192.168.0.11", "pod-b"));
    node.sh("ip route add default via 10.1.0.2; ip -n pod-a neigh flush dev eth0; ip route del 192.168.0.11");
    let trace = node.trace("pod-a --to 192.168.0.11");
    assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "{trace:#}");
    // The other node takes it for one of the host's pods and sends it back.
    assert_eq!(trace["findings"][0]["id"], "loop", "{trace:#}");
    assert!(lost(&node, "pod-a", "192.168.0.11", "pod-b"));
}

fn ptp_wires_a_pod_to_the_host_alone() {
    let node = Node::with(
        "for ns in pod-a pod-b; do ip netns add $ns; ip -n $ns link set lo up; done
         set_in host net.ipv4.ip_forward=1
         for n in 2 3; do
             pod=pod-$(echo $n | tr 23 ab)
             ip link add veth$n type veth peer name eth0 netns $pod
             ip addr add 10.22.0.1/32 dev veth$n; ip link set veth$n up; ip route add 10.22.0.$n/32 dev veth$n src 10.22.0.1
             ip -n $pod addr add 10.22.0.$n/24 dev eth0; ip -n $pod link set eth0 up
             ip -n $pod route del 10.22.0.0/24
             ip -n $pod route add 10.22.0.1 dev eth0 src 10.22.0.$n
             ip -n $pod route add 10.22.0.0/24 via 10.22.0.1 src 10.22.0.$n
             ip -n $pod route add default via 10.22.0.1
         done",
    );
    delivered(
        &node,
        "pod-a",
        "10.22.0.3",
        &["pod-a/eth0 route", "host/veth2 peer", "host/veth3 route", "pod-b/eth0 peer"],
    );
    delivered(&node, "pod-a", "10.22.0.1", &["pod-a/eth0 route", "host/veth2 peer"]);
}

/// Two containers as macvlans of a node's uplink; the other end of that is a machine on the same segment.
const MACVLANS: &str = "
    for ns in outside in1 in2; do ip netns add $ns; done
    for ns in host outside in1 in2; do at $ns ip link set lo up; set_in $ns net.ipv6.conf.all.disable_ipv6=1; done
    ip link add eth0 type veth peer name eth0 netns outside
    ip addr add 10.5.0.1/24 dev eth0; ip link set eth0 up
    ip -n outside addr add 10.5.0.9/24 dev eth0; ip -n outside link set eth0 up
    for n in 1 2; do
        ip link add m$n link eth0 netns in$n type macvlan mode $mode
        ip -n in$n addr add 10.5.0.10$n/24 dev m$n; ip -n in$n link set m$n up
    done
";

fn macvlans_in_bridge_mode() {
    let node = Node::with(&format!("mode=bridge; {MACVLANS}"));
    for round in ["cold", "warm"] {
        let trace = node.trace("in1 --to 10.5.0.102");
        assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered", "{round}: {trace:#}");
        let wanted = ["in1/m1 route", "host/eth0 lower", "in2/m2 upper"];
        assert_eq!(hops(&node, &trace["paths"][0]), wanted, "{round}");
        // The link below is shown the frames and does not count them; the wire does not get them.
        let ping = || node.sh("at in1 ping -q -c 20 -i 0.002 -w 5 10.5.0.102 >/dev/null");
        let on = seen_on(&node, &[(HOST, "eth0"), ("in2", "m2"), ("outside", "eth0")], "10.5.0.102", ping);
        assert_eq!(on, [true, true, false], "{round}");
    }
    let out = ["in1/m1 route", "host/eth0 lower", "outside/eth0 peer"];
    delivered(&node, "in1", "10.5.0.9", &out);
    delivered(&node, "outside", "10.5.0.101", &["outside/eth0 route", "host/eth0 peer", "in1/m1 upper"]);
}

fn macvlans_that_keep_apart() {
    for mode in ["private", "vepa"] {
        let node = Node::with(&format!("mode={mode}; {MACVLANS}"));
        // Only a switch outside that sends frames back could help, and here there is none.
        dropped(&node, "in1", "10.5.0.102", "in2", "outside/eth0 peer", "next-hop-absent");
        delivered(&node, "in1", "10.5.0.9", &["in1/m1 route", "host/eth0 lower", "outside/eth0 peer"]);
    }
}

fn macvlan_does_not_reach_the_namespace_below() {
    let node = Node::with(&format!("mode=bridge; {MACVLANS}"));
    dropped(&node, "in1", "10.5.0.1", HOST, "outside/eth0 peer", "next-hop-absent");
    // Nor the other way round.
    dropped(&node, HOST, "10.5.0.101", "in1", "outside/eth0 peer", "next-hop-absent");
}

fn macvlan_that_takes_all() {
    let node = Node::with(
        "for ns in outside in1; do ip netns add $ns; done
         for ns in host outside in1; do at $ns ip link set lo up; set_in $ns net.ipv6.conf.all.disable_ipv6=1; done
         ip link add eth0 type veth peer name eth0 netns outside; ip link set eth0 up
         ip -n outside addr add 10.5.0.9/24 dev eth0; ip -n outside link set eth0 up
         ip link add m1 link eth0 netns in1 type macvlan mode passthru
         ip -n in1 addr add 10.5.0.101/24 dev m1; ip -n in1 link set m1 up",
    );
    delivered(&node, "outside", "10.5.0.101", &["outside/eth0 route", "host/eth0 peer", "in1/m1 upper"]);
    delivered(&node, "in1", "10.5.0.9", &["in1/m1 route", "host/eth0 lower", "outside/eth0 peer"]);
}

fn tap_is_held_by_a_process() {
    // As a user-mode network does it: the process opens the device in the container and stays on the host.
    let node = Node::with(
        "for ns in ctr other; do ip netns add $ns; ip -n $ns link set lo up; ip -n $ns tuntap add dev tap0 mode tap; done
         ip -n ctr addr add 10.0.2.100/24 dev tap0; ip -n ctr link set tap0 up; ip -n ctr route add default via 10.0.2.2
         ip -n other addr add 10.0.2.100/24 dev tap0; ip -n other link set tap0 up",
    );
    let holder = |netns: &str| {
        let exe = std::env::current_exe().unwrap();
        let script = format!(
            "export {}=tap0:/run/netns/{netns}; spawn host {} hold; echo $!",
            super::capture::HOLD_TAP,
            exe.display()
        );
        node.sh(&script).trim().parse::<u64>().unwrap()
    };
    let (pid, other) = (holder("ctr"), holder("other"));
    super::node::eventually("the taps have a carrier", || {
        node.succeeds("for ns in ctr other; do ip -n $ns link show tap0 | grep -q LOWER_UP; done")
    });
    assert_ne!(pid, other);
    let trace = node.trace("ctr --to 198.51.100.9");
    let hop = &trace["paths"][0]["hops"][0];
    // Not the one that holds a device of the same name in another namespace.
    assert_eq!(hop["held_by"].as_array().unwrap().len(), 1, "{hop}");
    assert_eq!((&hop["held_by"][0]["pid"], &hop["held_by"][0]["sure"]), (&json!(pid), &json!(true)), "{hop}");
    assert_eq!(trace["paths"][0]["verdict"]["action"], "unknown");
    let reason = trace["paths"][0]["verdict"]["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("pid {pid}")), "{reason}");
}

fn macvtap_is_held_by_nobody_seen() {
    let node = Node::with(
        "for ns in outside; do ip netns add $ns; ip -n $ns link set lo up; done
         ip link add eth0 type veth peer name eth0 netns outside; ip link set eth0 up
         ip -n outside addr add 10.5.0.9/24 dev eth0; ip -n outside link set eth0 up
         ip link add vm0 link eth0 address 02:00:00:00:00:07 type macvtap mode bridge; ip link set vm0 up
         ip -n outside neigh add 10.5.0.7 lladdr 02:00:00:00:00:07 dev eth0 nud permanent",
    );
    let trace = node.trace("outside --to 10.5.0.7");
    assert_eq!(hops(&node, &trace["paths"][0]), ["outside/eth0 route", "host/eth0 peer", "host/vm0 upper"]);
    assert_eq!(trace["paths"][0]["verdict"]["action"], "unknown", "{trace:#}");
}

fn two_bridges_joined_by_two_pairs_go_round() {
    // The frame comes back by the other pair; no frame is sent here, it would go round for ever.
    let node = Node::with(
        "set_in host net.ipv6.conf.default.disable_ipv6=1
         for b in br1 br2; do ip link add $b type bridge; ip link set $b up; done
         for p in a b; do
             ip link add l$p type veth peer name r$p
             ip link set l$p master br1 up; ip link set r$p master br2 up
         done
         ip addr add 10.9.0.1/24 dev br1
         bridge fdb add 02:00:00:00:00:02 dev la master static; bridge fdb add 02:00:00:00:00:02 dev rb master static
         ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev br1 nud permanent",
    );
    let trace = node.trace("host --to 10.9.0.2");
    assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "{trace:#}");
    assert!(trace["findings"].as_array().unwrap().iter().any(|f| f["id"] == "loop"), "{trace:#}");
}

fn packet_comes_back_to_its_sender() {
    let node = Node::with(
        "ip netns add outside; ip -n outside link set lo up; set_in outside net.ipv4.ip_forward=1
         ip link add eth0 type veth peer name eth0 netns outside
         ip addr add 10.5.0.1/24 dev eth0; ip link set eth0 up; ip route add 10.99.0.0/16 via 10.5.0.9
         ip -n outside addr add 10.5.0.9/24 dev eth0; ip -n outside link set eth0 up
         ip -n outside route add 10.99.0.0/16 via 10.5.0.1",
    );
    dropped(&node, HOST, "10.99.0.1", "outside", "host/eth0 peer", "loop");
}

fn bridge_is_taken_for_another() {
    // A bridge takes another address when its first port goes; an entry that somebody set by hand stays.
    let node = Node::with(
        "ip netns add pod; set_in host net.ipv6.conf.default.disable_ipv6=1 net.ipv4.ip_forward=1
         ip link add br0 type bridge; ip addr add 10.9.0.1/24 dev br0; ip link set br0 up
         ip link add vpod type veth peer name eth0 netns pod; ip link set vpod master br0 up
         ip -n pod addr add 10.9.0.2/24 dev eth0; ip -n pod link set eth0 up
         ip -n pod neigh add 10.9.0.1 lladdr 02:00:00:00:00:02 dev eth0 nud permanent",
    );
    dropped(&node, "pod", "10.9.0.1", HOST, "host/br0 master", "neigh-wrong");
}
