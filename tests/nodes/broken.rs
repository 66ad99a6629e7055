//! Networks with one thing broken each: the verdict, the finding and the hop, before and after a packet has tried, and
//! whether a packet really arrives.

use serde_json::{Value, json};

use super::node::{HOST, Node};
use super::truth::{arrives, hops, lost, verify};
use super::{Test, scene, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(link_is_down_in_the_pod, Tools),
        test!(host_end_is_down, Tools),
        test!(bridge_is_down, Tools),
        test!(uplink_has_no_carrier, Tools),
        test!(far_end_is_down_behind_the_bridge, Tools),
        test!(forwarding_is_off, Tools),
        test!(forwarding_is_off_for_ipv6, Tools),
        test!(strict_source_validation, Tools),
        test!(loose_source_validation_lets_it_pass, Tools),
        test!(no_route_in_the_pod, Tools),
        test!(no_route_on_the_host, Tools),
        test!(blackhole_route, Tools),
        test!(unreachable_route, Tools),
        test!(prohibit_route, Tools),
        test!(refusing_routes_of_the_pod_itself, Tools),
        test!(source_that_the_pod_does_not_have, Tools),
        test!(gateway_of_the_pod_that_nobody_has, Tools),
        test!(gateway_of_the_host_that_nobody_has, Tools),
        test!(address_of_the_segment_that_nobody_has, Tools),
        test!(neighbour_entry_with_the_address_of_another_pod, Tools),
        test!(neighbour_entry_with_an_address_that_nobody_has, Tools),
        test!(both_ports_isolated, Tools),
        test!(one_port_isolated, Tools),
        test!(port_that_does_not_forward_where_it_comes_in, Tools),
        test!(port_that_does_not_forward_where_it_goes_out, Tools),
        test!(frames_back_by_the_same_port_need_hairpin, Tools),
        test!(macvlans_of_one_link_reach_each_other, Tools),
        test!(address_of_another_link_of_a_pod_is_answered_for, Tools),
        test!(mtu_is_smaller_at_the_other_end, Tools),
        test!(mtu_is_smaller_at_the_uplink, Tools),
        test!(route_in_circles, Tools),
        test!(bridges_in_a_circle, Tools),
    ]
}

/// What podnet must say of a broken path: hop and finding of the break.
struct Broken {
    /// The last hop, as `netns/ifname step`; empty: none.
    last: &'static str,
    /// Id of the finding at it; empty: the verdict alone tells.
    finding: &'static str,
}

/// Nothing arrives, and podnet knows: cold, and again when the senders have tried.
#[track_caller]
fn dropped(node: &Node, from: &str, to: &str, at: &str, broken: Broken) {
    for round in ["before", "after"] {
        let trace = node.trace(&format!("{from} --to {to}"));
        let path = &trace["paths"][0];
        let what = format!("{round} a packet tried: {trace:#}");
        assert_eq!(path["verdict"]["action"], "dropped", "{what}");
        let hops = hops(node, path);
        assert_eq!(hops.last().map_or("", String::as_str), broken.last, "{what}");
        let found: Vec<&Value> = trace["findings"].as_array().unwrap().iter().collect();
        if broken.finding.is_empty() {
            assert!(found.is_empty(), "{what}");
        } else {
            let ids: Vec<&str> = found.iter().map(|f| f["id"].as_str().unwrap()).collect();
            assert!(ids.contains(&broken.finding), "{what}");
        }
        if !hops.is_empty() {
            verify(node, path);
        }
        assert!(lost(node, from, to, at), "it arrives all the same");
    }
}

/// The packet arrives, and podnet says so, before and after; the findings, if any.
#[track_caller]
fn delivered(node: &Node, from: &str, to: &str, at: &str) -> Value {
    let mut last = json!(null);
    for round in ["before", "after"] {
        let trace = node.trace(&format!("{from} --to {to}"));
        assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered", "{round} a packet tried: {trace:#}");
        verify(node, &trace["paths"][0]);
        assert!(arrives(node, from, to, at), "it does not arrive");
        last = trace;
    }
    last
}

/// The reference scene with one thing changed.
fn with(change: &str) -> Node {
    let node = scene::reference();
    node.sh(change);
    node
}

const WEB_B: &str = "172.22.1.7";
const POD_C: &str = "172.22.0.251";

fn link_is_down_in_the_pod() {
    let node = with("ip -n pod-a link set eth0 down");
    dropped(&node, "pod-a", WEB_B, "web-b", Broken { last: "pod-a/eth0 route", finding: "link-down" });
    // Without a destination the link itself is followed, and tells why there is no route.
    let trace = node.trace("pod-a");
    assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped");
    assert_eq!(hops(&node, &trace["paths"][0])[0], "pod-a/eth0 route");
    assert_eq!(trace["findings"][0]["id"], "link-down", "{trace:#}");
    assert_eq!(trace["findings"][0]["hop"], 0, "{trace:#}");
}

fn host_end_is_down() {
    let node = with("ip link set vetha down");
    let broken = || Broken { last: "host/vetha peer", finding: "link-down" };
    dropped(&node, "pod-a", WEB_B, "web-b", broken());
    dropped(&node, "pod-a", "fd00:22:1::7", "web-b", broken());
}

fn bridge_is_down() {
    let node = with("ip link set cni0 down");
    dropped(&node, "pod-a", POD_C, "pod-c", Broken { last: "host/cni0 master", finding: "link-down" });
}

fn uplink_has_no_carrier() {
    let node = with("ip -n router link set swp1 down");
    dropped(&node, "pod-a", WEB_B, "web-b", Broken { last: "router/swp1 peer", finding: "link-down" });
}

fn far_end_is_down_behind_the_bridge() {
    let node = with("ip -n pod-c link set eth0 down");
    dropped(&node, "pod-a", POD_C, "pod-c", Broken { last: "pod-c/eth0 peer", finding: "link-down" });
}

fn forwarding_is_off() {
    let node = with("set_in host net.ipv4.ip_forward=0");
    dropped(&node, "pod-a", WEB_B, "web-b", Broken { last: "host/cni0 master", finding: "forwarding-off" });
    // What does not have to be forwarded still arrives.
    delivered(&node, "pod-a", POD_C, "pod-c");
    delivered(&node, "pod-a", "10.30.180.56", HOST);
    node.sh("set_in host net.ipv4.ip_forward=1; set_in node-b net.ipv4.ip_forward=0");
    dropped(&node, "pod-a", WEB_B, "web-b", Broken { last: "node-b/eth0 peer", finding: "forwarding-off" });
}

fn forwarding_is_off_for_ipv6() {
    let node = with("set_in host net.ipv6.conf.all.forwarding=0");
    // IPv4 is another matter.
    delivered(&node, "pod-a", WEB_B, "web-b");
    let broken = Broken { last: "host/cni0 master", finding: "forwarding-off" };
    dropped(&node, "pod-a", "fd00:22:1::7", "web-b", broken);
}

/// The way back to pod-a does not lead out by the bridge.
const ASYMMETRIC: &str = "ip route add 172.22.0.253/32 via 10.30.180.254";

fn strict_source_validation() {
    let node = with("set_in host net.ipv4.conf.all.rp_filter=1");
    node.sh(ASYMMETRIC);
    dropped(&node, "pod-a", WEB_B, "web-b", Broken { last: "host/cni0 master", finding: "source-refused" });
    delivered(&node, "pod-b", WEB_B, "web-b");
}

fn loose_source_validation_lets_it_pass() {
    let node = with("set_in host net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.cni0.rp_filter=1");
    node.sh(ASYMMETRIC);
    delivered(&node, "pod-a", WEB_B, "web-b");
}

fn no_route_in_the_pod() {
    let node =
        with("ip -n pod-a route del default; ip -n pod-a route del 172.22.0.0/16; ip -n pod-a -6 route del default");
    dropped(&node, "pod-a", WEB_B, "web-b", Broken { last: "", finding: "" });
    dropped(&node, "pod-a", "fd00:22:1::7", "web-b", Broken { last: "", finding: "" });
    delivered(&node, "pod-a", POD_C, "pod-c");
}

fn no_route_on_the_host() {
    let node = with(
        "ip route del default; ip route del 172.22.1.0/24; ip -6 route del default; ip -6 route del fd00:22:1::/64",
    );
    dropped(&node, "pod-a", WEB_B, "web-b", Broken { last: "host/cni0 master", finding: "" });
    dropped(&node, "pod-a", "fd00:22:1::7", "web-b", Broken { last: "host/cni0 master", finding: "" });
}

#[track_caller]
fn refusing_route(kind: &str) {
    let node = with(&format!(
        "ip route replace {kind} 172.22.1.0/24; ip -6 route del fd00:22:1::/64; ip -6 route add {kind} fd00:22:1::/64"
    ));
    for to in [WEB_B, "fd00:22:1::7"] {
        dropped(&node, "pod-a", to, "web-b", Broken { last: "host/cni0 master", finding: "route-refuses" });
        let reason = node.trace(&format!("pod-a --to {to}"))["paths"][0]["verdict"]["reason"].clone();
        assert!(reason.as_str().unwrap().contains(kind), "{reason} for a {kind} route");
    }
}

fn blackhole_route() {
    refusing_route("blackhole");
}

fn unreachable_route() {
    refusing_route("unreachable");
}

fn prohibit_route() {
    refusing_route("prohibit");
}

fn refusing_routes_of_the_pod_itself() {
    let node = with(
        "ip -n pod-a route add blackhole 172.22.1.7; ip -n pod-a route add unreachable 10.30.180.55
         ip -n pod-a route add prohibit 10.30.180.254; ip -n pod-a -6 route add blackhole fd00:22:1::7",
    );
    for (to, at) in
        [(WEB_B, "web-b"), ("10.30.180.55", "node-b"), ("10.30.180.254", "router"), ("fd00:22:1::7", "web-b")]
    {
        dropped(&node, "pod-a", to, at, Broken { last: "", finding: "" });
    }
}

fn source_that_the_pod_does_not_have() {
    let node = with("");
    let trace = node.trace(&format!("pod-a --to {WEB_B} --from 172.22.0.99"));
    let reason = trace["paths"][0]["verdict"]["reason"].as_str().unwrap();
    assert!(reason.contains("172.22.0.99") && reason.contains("no address of pod-a"), "{trace:#}");
    assert!(!node.succeeds(&format!("at pod-a ping -c 1 -W 1 -I 172.22.0.99 {WEB_B}")));
}

fn gateway_of_the_pod_that_nobody_has() {
    let node = with("ip -n pod-a route replace 172.22.0.0/16 via 172.22.0.99");
    let trace = node.trace(&format!("pod-a --to {WEB_B}"));
    assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "{trace:#}");
    assert_eq!(trace["findings"][0]["id"], "next-hop-absent", "{trace:#}");
    assert!(lost(&node, "pod-a", WEB_B, "web-b"));
    // Having tried, the pod knows itself.
    super::node::eventually("the neighbour entry has failed", || {
        node.succeeds("ip -n pod-a neigh show to 172.22.0.99 | grep -q FAILED")
    });
    let trace = node.trace(&format!("pod-a --to {WEB_B}"));
    assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "{trace:#}");
    assert_eq!(trace["paths"][0]["hops"][0]["neigh"]["state"], "FAILED", "{trace:#}");
    assert_eq!((&trace["findings"][0]["id"], &trace["findings"][0]["hop"]), (&json!("neigh-failed"), &json!(0)));
}

fn gateway_of_the_host_that_nobody_has() {
    let node = with("ip route replace 172.22.1.0/24 via 10.30.180.77");
    dropped(&node, "pod-a", WEB_B, "web-b", Broken { last: "router/lan master", finding: "next-hop-absent" });
}

fn address_of_the_segment_that_nobody_has() {
    let node = scene::reference();
    dropped(&node, "pod-a", "172.22.0.99", "pod-c", Broken { last: "host/cni0 master", finding: "next-hop-absent" });
}

fn neighbour_entry_with_the_address_of_another_pod() {
    let node = scene::reference();
    let mac = node.json("ip -n pod-b -j link show dev eth0")[0]["address"].as_str().unwrap().to_owned();
    // It was learned when pod-b had the address, and is not doubted as long as it is permanent.
    node.sh(&format!("ip -n pod-a neigh replace {POD_C} lladdr {mac} dev eth0 nud permanent"));
    assert!(node.reaches("pod-b", "172.22.0.1"), "so that the bridge knows where pod-b is");
    // The frame reaches pod-b, which is not meant and does not forward.
    dropped(&node, "pod-a", POD_C, "pod-c", Broken { last: "pod-b/eth0 peer", finding: "forwarding-off" });
    // A stale entry is used just the same, until the kernel has had its doubts.
    node.sh(&format!("ip -n pod-a neigh replace {POD_C} lladdr {mac} dev eth0 nud stale"));
    let trace = node.trace(&format!("pod-a --to {POD_C}"));
    assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "{trace:#}");
    assert_eq!(trace["paths"][0]["hops"][0]["neigh"]["state"], "STALE");
}

fn neighbour_entry_with_an_address_that_nobody_has() {
    let node = with("ip -n pod-a neigh replace 172.22.0.251 lladdr 02:00:00:00:00:99 dev eth0 nud permanent");
    dropped(&node, "pod-a", POD_C, "pod-c", Broken { last: "pod-c/eth0 peer", finding: "neigh-wrong" });
}

fn both_ports_isolated() {
    let node = with("bridge link set dev vetha isolated on; bridge link set dev vethc isolated on");
    dropped(&node, "pod-a", POD_C, "pod-c", Broken { last: "host/vethc fdb", finding: "port-isolated" });
    // The bridge itself is no port.
    delivered(&node, "pod-a", "172.22.0.1", HOST);
    delivered(&node, "pod-a", WEB_B, "web-b");
}

fn one_port_isolated() {
    let node = with("bridge link set dev vetha isolated on");
    delivered(&node, "pod-a", POD_C, "pod-c");
}

fn port_that_does_not_forward_where_it_comes_in() {
    // Disabled, listening, learning; blocking only spanning tree itself can set.
    for state in [0, 1, 2] {
        let node = with(&format!("bridge link set dev vetha state {state}"));
        let trace = node.trace(&format!("pod-a --to {POD_C}"));
        assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "state {state}: {trace:#}");
        let finding = &trace["findings"][0];
        assert_eq!((&finding["id"], &finding["hop"]), (&json!("port-not-forwarding"), &json!(1)), "{trace:#}");
        assert_eq!(trace["paths"][0]["verdict"]["hop"], 2, "{trace:#}");
        verify(&node, &trace["paths"][0]);
        assert!(lost(&node, "pod-a", POD_C, "pod-c"));
    }
}

fn port_that_does_not_forward_where_it_goes_out() {
    let node = with("bridge link set dev vethc state 1");
    dropped(&node, "pod-a", POD_C, "pod-c", Broken { last: "host/vethc fdb", finding: "port-not-forwarding" });
}

/// Two containers as macvlans of a pod's eth0.
const MACVLANS: &str = "
    for n in 1 2; do
        nameless in$n
        at pod-a ip link add m$n link eth0 netns /run/nameless/in$n type macvlan mode $mode
        at in$n ip addr add 172.22.0.10$n/24 dev m$n
        at in$n ip link set m$n up
        at in$n ip link set lo up
    done
";

fn frames_back_by_the_same_port_need_hairpin() {
    // In this mode only the switch outside passes frames from one to the other.
    let node = with(&format!("mode=vepa; {MACVLANS}"));
    let ask = format!("{} --to 172.22.0.102", node.pid_of("in1"));
    let to_m2 = ["host/cni0 master", "host/vetha fdb", "pod-a/eth0 peer", "in2/m2 upper"];
    // Nobody has asked for the address yet, and then both are known to the bridge.
    let trace = node.trace("pod-b --to 172.22.0.102");
    assert_eq!(hops(&node, &trace["paths"][0])[2..], to_m2);
    assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered", "{trace:#}");
    assert!(node.reaches("in1", "172.22.0.1") && node.reaches("in2", "172.22.0.1"));
    assert!(lost(&node, "in1", "172.22.0.102", "in2"));
    let mac = node.json("at in2 ip -j link show dev m2")[0]["address"].as_str().unwrap().to_owned();
    node.sh(&format!("at in1 ip neigh replace 172.22.0.102 lladdr {mac} dev m1 nud permanent"));
    let trace = node.trace(&ask);
    assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "{trace:#}");
    assert_eq!(trace["findings"][0]["id"], "hairpin-off", "{trace:#}");
    node.sh("bridge link set dev vetha hairpin on");
    assert!(arrives(&node, "in1", "172.22.0.102", "in2"));
    for _ in 0..2 {
        let trace = node.trace(&ask);
        assert_eq!(hops(&node, &trace["paths"][0])[3..], to_m2);
        assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered", "{trace:#}");
        assert_eq!(trace["findings"], json!([]));
    }
}

fn macvlans_of_one_link_reach_each_other() {
    let node = with(&format!("mode=bridge; {MACVLANS}"));
    // Nothing of it goes further than the link below.
    for _ in 0..2 {
        let trace = node.trace(&format!("{} --to 172.22.0.102", node.pid_of("in1")));
        assert_eq!(hops(&node, &trace["paths"][0]), ["in1/m1 route", "pod-a/eth0 lower", "in2/m2 upper"]);
        assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered", "{trace:#}");
        assert!(arrives(&node, "in1", "172.22.0.102", "in2"));
    }
    // The way out is by the link below.
    assert!(node.reaches("in1", "172.22.0.1"));
    let trace = node.trace(&format!("{} --to 172.22.0.1", node.pid_of("in1")));
    let wanted = ["in1/m1 route", "pod-a/eth0 lower", "host/vetha peer", "host/cni0 master"];
    assert_eq!(hops(&node, &trace["paths"][0]), wanted);
    assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered", "{trace:#}");
}

fn address_of_another_link_of_a_pod_is_answered_for() {
    let node = with("ip -n pod-c addr add 172.22.0.50/32 dev lo; ip -n pod-c -6 addr add fd00:22::50/128 dev lo nodad");
    let trace = delivered(&node, "pod-a", "172.22.0.50", "pod-c");
    let wanted = ["pod-a/eth0 route", "host/vetha peer", "host/cni0 master", "host/vethc fdb", "pod-c/eth0 peer"];
    assert_eq!(hops(&node, &trace["paths"][0]), wanted);
    // IPv6 does not answer for addresses of other links.
    let trace = node.trace("pod-a --to fd00:22::50");
    assert_ne!(trace["paths"][0]["verdict"]["action"], "delivered", "{trace:#}");
    assert!(lost(&node, "pod-a", "fd00:22::50", "pod-c"));
}

#[track_caller]
fn mtu(node: &Node, change: &str, id: &str, level: &str, hop: u64) {
    node.sh(change);
    let trace = delivered(node, "pod-a", WEB_B, "web-b");
    let findings = trace["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{trace:#}");
    let finding = &findings[0];
    assert_eq!((&finding["id"], &finding["level"], &finding["hop"]), (&json!(id), &json!(level), &json!(hop)));
    let fits = |size: u32| {
        node.succeeds(&format!("at pod-a ping -q -c 1 -w 1 -M do -s {} {WEB_B} >/dev/null 2>&1", size - 28))
    };
    assert!(fits(1400));
    assert!(!fits(1500));
}

fn mtu_is_smaller_at_the_other_end() {
    // The kernel drops what is longer than the receiving end takes, and tells nobody.
    let node = scene::reference();
    mtu(&node, "ip link set vetha mtu 1400", "mtu-blackhole", "critical", 1);
}

fn mtu_is_smaller_at_the_uplink() {
    let node = scene::reference();
    mtu(&node, "ip link set eth0 mtu 1400", "mtu-shrinks", "warning", 3);
}

fn route_in_circles() {
    // The router sends it back to the host, which sends it to the router.
    let node = with("ip -n router route add 172.30.0.0/16 via 10.30.180.56");
    let trace = node.trace("pod-a --to 172.30.0.1");
    let path = &trace["paths"][0];
    assert_eq!(path["verdict"]["action"], "dropped", "{trace:#}");
    assert!(trace["findings"].as_array().unwrap().iter().any(|f| f["id"] == "loop"), "{trace:#}");
    // Told once, not until the time to live is over.
    assert!(path["hops"].as_array().unwrap().len() < 16, "{trace:#}");
    let said = node.sh("at pod-a ping -c 1 -w 2 172.30.0.1 || true");
    assert!(said.contains("Time to live exceeded"), "{said}");
}

fn bridges_in_a_circle() {
    // Two bridges, two pairs, no spanning tree. No frame is sent here: it would go round for ever.
    let node = Node::with(
        "set_in host net.ipv6.conf.default.disable_ipv6=1; ip netns add pod; set_in pod net.ipv6.conf.default.disable_ipv6=1
         for b in br1 br2; do ip link add $b type bridge; ip link set $b up; done
         for p in a b; do
             ip link add l$p type veth peer name r$p
             ip link set l$p master br1 up; ip link set r$p master br2 up
         done
         ip addr add 10.9.0.1/24 dev br1
         ip link add vpod type veth peer name eth0 netns pod; ip link set vpod master br2 up
         ip -n pod addr add 10.9.0.2/24 dev eth0; ip -n pod link set eth0 arp off up",
    );
    for ask in ["host --to 10.9.0.2", "host --to 10.9.0.99", "pod --to 10.9.0.1", "pod --to 10.9.0.99"] {
        let trace = node.trace(ask);
        assert!(trace["paths"][0]["hops"].as_array().unwrap().len() < 64, "{trace:#}");
    }
    // What was learned leads in a circle: la to ra, rb to lb.
    node.sh("bridge fdb add 02:00:00:00:00:02 dev la master static
         bridge fdb add 02:00:00:00:00:02 dev rb master static
         ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev br1 nud permanent");
    let trace = node.trace("host --to 10.9.0.2");
    assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "{trace:#}");
    assert!(trace["findings"].as_array().unwrap().iter().any(|f| f["id"] == "loop"), "{trace:#}");
    assert!(trace["paths"][0]["hops"].as_array().unwrap().len() < 16, "{trace:#}");
}
