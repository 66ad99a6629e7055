//! Tunnels between nodes: the walk goes into the outer packet and out of it again, over exactly the devices that a ping
//! crosses.

use serde_json::{Value, json};

use super::node::Node;
use super::truth::{counted, crossed, hops, lost};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(pods_of_two_nodes_over_vxlan_as_flannel_wires_it, Tools),
        test!(answer_over_vxlan_comes_the_same_way, Tools),
        test!(endpoint_of_the_other_node_is_missing, Tools),
        test!(other_node_listens_for_another_network, Tools),
        test!(own_address_of_the_tunnel_is_gone, Tools),
        test!(underlay_has_no_way_to_the_other_node, Tools),
        test!(mtu_without_room_for_the_tunnel, Tools),
        test!(tunnel_that_leads_into_itself, Tools),
        test!(underlay_of_ipv6, Tools),
        test!(mark_of_the_packet_leads_the_one_around_it, Tools),
        test!(vxlan_of_another_namespace_as_overlay_networks_wire_it, Tools),
    ]
}

/// Two nodes with a pod each. Every node has its pods' bridge, and a vxlan device whose entries name the other node.
const FLANNEL: &str = "
    for ns in node-b pod-a pod-b; do ip netns add $ns; done
    for ns in host node-b pod-a pod-b; do at $ns ip link set lo up; set_in $ns net.ipv6.conf.all.disable_ipv6=1; done
    for ns in host node-b; do set_in $ns net.ipv4.ip_forward=1 net.ipv6.conf.default.disable_ipv6=1; done
    ip link add eth0 type veth peer name eth0 netns node-b
    # node <netns> <number> <pod>
    node() {
        at $1 ip addr add 10.1.0.$2/24 dev eth0; at $1 ip link set eth0 up
        at $1 ip link add cni0 type bridge; at $1 ip addr add 10.244.$2.1/24 dev cni0; at $1 ip link set cni0 up
        at $1 ip link add flannel.1 address 02:00:00:00:00:0$2 mtu 1450 type vxlan id 1 local 10.1.0.$2 dev eth0 dstport 8472 nolearning
        at $1 ip addr add 10.244.$2.0/32 dev flannel.1; at $1 ip link set flannel.1 up
        at $1 ip link add veth0 type veth peer name eth0 netns /run/netns/$3
        at $1 ip link set veth0 master cni0 up; at $3 ip link set eth0 mtu 1450 up
        at $1 ip link set veth0 mtu 1450; at $1 ip link set cni0 mtu 1450
        at $3 ip addr add 10.244.$2.2/24 dev eth0; at $3 ip route add default via 10.244.$2.1
    }
    node host 1 pod-a
    node node-b 2 pod-b
    # knows <netns> <other node's number>
    knows() {
        at $1 ip route add 10.244.$2.0/24 via 10.244.$2.0 dev flannel.1 onlink
        at $1 ip neigh add 10.244.$2.0 lladdr 02:00:00:00:00:0$2 dev flannel.1 nud permanent
        at $1 bridge fdb append 02:00:00:00:00:0$2 dev flannel.1 dst 10.1.0.$2 self permanent
    }
    knows host 2
    knows node-b 1
";

/// The host's vxlan device, made anew without a link that its packets must leave by.
const UNBOUND: &str = "
    ip link del flannel.1
    ip link add flannel.1 address 02:00:00:00:00:01 type vxlan id 1 local 10.1.0.1 dstport 8472 nolearning
    ip addr add 10.244.1.0/32 dev flannel.1; ip link set flannel.1 up
    knows() {
        at $1 ip route add 10.244.$2.0/24 via 10.244.$2.0 dev flannel.1 onlink
        at $1 ip neigh add 10.244.$2.0 lladdr 02:00:00:00:00:0$2 dev flannel.1 nud permanent
        at $1 bridge fdb append 02:00:00:00:00:0$2 dev flannel.1 dst 10.1.0.$2 self permanent
    }
";

const WAY: [&str; 10] = [
    "pod-a/eth0 route",
    "host/veth0 peer",
    "host/cni0 master",
    "host/flannel.1 route",
    "host/eth0 route",
    "node-b/eth0 peer",
    "node-b/flannel.1 tunnel",
    "node-b/cni0 route",
    "node-b/veth0 fdb",
    "pod-b/eth0 peer",
];

/// The walk names these hops, cold and warm, and the counters of exactly these devices rise.
#[track_caller]
fn delivered(node: &Node, from: &str, to: &str, wanted: &[&str]) -> Value {
    let mut last = json!(null);
    for _ in 0..2 {
        last = node.trace(&format!("{from} --to {to}"));
        let path = &last["paths"][0];
        assert_eq!(hops(node, path), wanted, "{last:#}");
        assert_eq!(path["verdict"]["action"], "delivered", "{last:#}");
        assert_eq!(crossed(node, from, to), counted(node, path), "devices that the ping crossed");
    }
    last
}

#[track_caller]
fn dropped(node: &Node, to: &str, last: &str, finding: &str) -> Value {
    let trace = node.trace(&format!("pod-a --to {to}"));
    let path = &trace["paths"][0];
    assert_eq!(path["verdict"]["action"], "dropped", "{trace:#}");
    assert_eq!(hops(node, path).last().unwrap(), last, "{trace:#}");
    let ids: Vec<&Value> = trace["findings"].as_array().unwrap().iter().map(|f| &f["id"]).collect();
    assert!(finding.is_empty() || ids.contains(&&json!(finding)), "{trace:#}");
    assert!(lost(node, "pod-a", to, "pod-b"), "it arrives all the same");
    trace
}

fn pods_of_two_nodes_over_vxlan_as_flannel_wires_it() {
    let node = Node::with(FLANNEL);
    let trace = delivered(&node, "pod-a", "10.244.2.2", &WAY);
    assert_eq!((&trace["findings"], &trace["gaps"]), (&json!([]), &json!([])));
    let path = &trace["paths"][0];
    let encap = &path["hops"][3]["encap"];
    let wanted = json!({
        "remote": "10.1.0.2", "local": "10.1.0.1", "port": 8472, "id": 1, "overhead": 50, "by": "fdb",
    });
    assert_eq!(encap, &wanted);
    assert_eq!((&path["src"], &path["dst"]), (&json!("10.244.1.2"), &json!("10.244.2.2")));
    // The outer packet's route is that of the outer packet.
    assert_eq!(path["hops"][4]["route"]["dst"], "10.1.0.0/24");
    // From the node itself.
    delivered(&node, "host", "10.244.2.2", &WAY[3..]);
}

fn answer_over_vxlan_comes_the_same_way() {
    let node = Node::with(FLANNEL);
    let trace = node.trace("pod-a --to 10.244.2.2 --reply");
    let back = &trace["paths"][1];
    assert_eq!(back["reply_to"], 0);
    assert_eq!(back["verdict"]["action"], "delivered", "{trace:#}");
    assert_eq!(trace["findings"], json!([]), "{trace:#}");
    let mut wanted: Vec<String> = hops(&node, &trace["paths"][0]).iter().map(|h| device(h)).collect();
    wanted.reverse();
    assert_eq!(hops(&node, back).iter().map(|h| device(h)).collect::<Vec<_>>(), wanted);
}

fn device(hop: &str) -> String {
    hop.split_once(' ').unwrap().0.to_owned()
}

fn endpoint_of_the_other_node_is_missing() {
    let node = Node::with(FLANNEL);
    node.sh("bridge fdb del 02:00:00:00:00:02 dev flannel.1 dst 10.1.0.2 self");
    let trace = dropped(&node, "10.244.2.2", "host/flannel.1 route", "tunnel-endpoint-absent");
    assert_eq!(trace["findings"][0]["hop"], 3, "{trace:#}");
    assert!(fix(&trace).contains("bridge fdb append 02:00:00:00:00:02 dev flannel.1 dst"), "{trace:#}");
    // Nor is there anybody who could be asked for the address.
    node.sh("ip neigh del 10.244.2.0 dev flannel.1");
    let trace = dropped(&node, "10.244.2.2", "host/flannel.1 route", "tunnel-endpoint-absent");
    assert!(fix(&trace).contains("ip neigh add 10.244.2.0 lladdr <mac> dev flannel.1"), "{trace:#}");
}

fn fix(trace: &Value) -> &str {
    trace["findings"][0]["fix"].as_str().unwrap()
}

fn own_address_of_the_tunnel_is_gone() {
    let node = Node::with(FLANNEL);
    node.sh("ip addr del 10.1.0.1/24 dev eth0; ip addr add 10.1.0.9/24 dev eth0");
    let trace = dropped(&node, "10.244.2.2", "host/flannel.1 route", "source-absent");
    assert!(trace["findings"][0]["message"].as_str().unwrap().contains("10.1.0.1"), "{trace:#}");
}

fn other_node_listens_for_another_network() {
    let node = Node::with(FLANNEL);
    node.sh("ip -n node-b link set flannel.1 down");
    dropped(&node, "10.244.2.2", "node-b/eth0 peer", "tunnel-end-absent");
    node.sh("ip -n node-b link del flannel.1
         ip -n node-b link add flannel.1 address 02:00:00:00:00:02 type vxlan id 2 local 10.1.0.2 dev eth0 dstport 8472 nolearning
         ip -n node-b link set flannel.1 up");
    let trace = dropped(&node, "10.244.2.2", "node-b/eth0 peer", "tunnel-end-absent");
    assert!(trace["findings"][0]["evidence"].as_str().unwrap().contains("flannel.1 (number 2"), "{trace:#}");
    node.sh("ip -n node-b link del flannel.1
         ip -n node-b link add flannel.1 address 02:00:00:00:00:02 type vxlan id 1 local 10.1.0.2 dev eth0 dstport 4789 nolearning
         ip -n node-b link set flannel.1 up");
    dropped(&node, "10.244.2.2", "node-b/eth0 peer", "tunnel-end-absent");
}

fn underlay_has_no_way_to_the_other_node() {
    let node = Node::with(FLANNEL);
    node.sh("ip -n node-b addr del 10.1.0.2/24 dev eth0");
    dropped(&node, "10.244.2.2", "node-b/eth0 peer", "next-hop-absent");
    // Not bound to a link the outer packet takes what routes there are.
    node.sh(&format!("ip -n node-b addr add 10.1.0.2/24 dev eth0; {UNBOUND} knows host 2"));
    delivered(&node, "pod-a", "10.244.2.2", &WAY);
    node.sh("ip route add unreachable 10.1.0.2");
    dropped(&node, "10.244.2.2", "host/flannel.1 route", "");
}

fn mtu_without_room_for_the_tunnel() {
    let node = Node::with(FLANNEL);
    // Made without a lower link it does not know what room there is.
    node.sh(&format!(
        "{UNBOUND} knows host 2; ip link set flannel.1 mtu 1500; ip -n pod-a link set eth0 mtu 1500
         for dev in cni0 veth0; do ip link set $dev mtu 1500; ip -n node-b link set $dev mtu 1500; done
         ip -n pod-b link set eth0 mtu 1500"
    ));
    let trace = delivered(&node, "pod-a", "10.244.2.2", &WAY);
    let finding = &trace["findings"][0];
    assert_eq!(
        (&finding["id"], &finding["hop"], &finding["level"]),
        (&json!("mtu-tunnel"), &json!(4), &json!("warning"))
    );
    assert!(finding["message"].as_str().unwrap().contains("1450"), "{finding}");
    // The tunnel's own limit: what fits goes in one piece, what does not is split on the wire.
    let pieces = |size: u32| {
        let before = sent(&node, "eth0");
        node.sh(&format!("at pod-a ping -q -c 1 -w 2 -s {} 10.244.2.2 >/dev/null", size - 28));
        sent(&node, "eth0") - before
    };
    assert_eq!(pieces(1450), 1);
    assert_eq!(pieces(1451), 2);
}

fn sent(node: &Node, ifname: &str) -> u64 {
    node.json(&format!("ip -j -s link show dev {ifname}"))[0]["stats64"]["tx"]["packets"].as_u64().unwrap()
}

fn tunnel_that_leads_into_itself() {
    let node = Node::with(FLANNEL);
    node.sh(&format!("{UNBOUND} knows host 2; ip route add 10.1.0.2/32 via 10.244.2.0 dev flannel.1 onlink"));
    let trace = dropped(&node, "10.244.2.2", "host/flannel.1 route", "loop");
    assert!(trace["paths"][0]["hops"].as_array().unwrap().len() < 16, "{trace:#}");
}

fn underlay_of_ipv6() {
    let node = Node::with(FLANNEL);
    node.sh("for ns in host node-b; do set_in $ns net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_dad=0; done
         # v6 <netns> <own number> <other's>
         v6() {
             at $1 ip addr add fd01::$2/64 dev eth0 nodad
             at $1 ip link del flannel.1
             at $1 ip link add flannel.1 address 02:00:00:00:00:0$2 mtu 1430 type vxlan id 1 local fd01::$2 dstport 8472 nolearning
             at $1 ip addr add 10.244.$2.0/32 dev flannel.1; at $1 ip link set flannel.1 up
             at $1 ip route add 10.244.$3.0/24 via 10.244.$3.0 dev flannel.1 onlink
             at $1 ip neigh add 10.244.$3.0 lladdr 02:00:00:00:00:0$3 dev flannel.1 nud permanent
             at $1 bridge fdb append 02:00:00:00:00:0$3 dev flannel.1 dst fd01::$3 self permanent
         }
         v6 host 1 2; v6 node-b 2 1");
    let trace = delivered(&node, "pod-a", "10.244.2.2", &WAY);
    let encap = &trace["paths"][0]["hops"][3]["encap"];
    assert_eq!((&encap["remote"], &encap["overhead"]), (&json!("fd01::2"), &json!(70)));
}

fn mark_of_the_packet_leads_the_one_around_it() {
    // Two nodes with the same address, and a rule that tells marked packets from others.
    let node = Node::with(
        "for n in 1 2; do
             ip netns add w$n
             ip link add u$n type veth peer name eth0 netns w$n
             ip addr add 10.8.$n.1/24 dev u$n; ip link set u$n up
             ip -n w$n addr add 10.8.$n.2/24 dev eth0; ip -n w$n link set eth0 up; ip -n w$n link set lo up
             ip -n w$n addr add 10.77.0.2/32 dev lo; ip -n w$n route add 10.77.0.1/32 via 10.8.$n.1
             ip -n w$n link add vx0 address 02:00:00:00:00:02 type vxlan id 7 dstport 4789 remote 10.77.0.1 local 10.77.0.2
             ip -n w$n addr add 172.30.0.2/24 dev vx0; ip -n w$n link set vx0 up
         done
         for ns in host w1 w2; do set_in $ns net.ipv4.conf.all.rp_filter=0; done
         ip addr add 10.77.0.1/32 dev lo
         ip route add 10.77.0.2 via 10.8.1.2; ip route add 10.77.0.2 via 10.8.2.2 table 100
         ip rule add fwmark 0x10 table 100
         ip link add vx0 mtu 1450 type vxlan id 7 dstport 4789 remote 10.77.0.2 local 10.77.0.1 nolearning
         ip addr add 172.30.0.1/24 dev vx0; ip link set vx0 up
         ip neigh add 172.30.0.2 lladdr 02:00:00:00:00:02 dev vx0 nud permanent",
    );
    let came = |n: u8| {
        node.json(&format!("ip -n w{n} -j -s link show dev vx0"))[0]["stats64"]["rx"]["packets"].as_u64().unwrap()
    };
    for (n, mark, args) in [(1, "", "--mark 0"), (2, "-m 16", "--mark 0x10")] {
        let before = came(n);
        // Only one of the two answers, and it need not be this one.
        node.tries(&format!("ping -q -c 5 -i 0.002 -w 1 {mark} 172.30.0.2"));
        assert!(came(n) >= before + 5, "w{n}");
        let trace = node.trace(&format!("host --to 172.30.0.2 {args}"));
        let far = [format!("host/u{n} route"), format!("w{n}/eth0 peer"), format!("w{n}/vx0 tunnel")];
        assert_eq!(hops(&node, &trace["paths"][0])[1..], far, "{trace:#}");
        assert_eq!((&trace["paths"][0]["verdict"]["action"], &trace["gaps"]), (&json!("delivered"), &json!([])));
    }
}

fn vxlan_of_another_namespace_as_overlay_networks_wire_it() {
    // The engine makes the device on the host and moves it, with its bridge, into a namespace of its own: the outer
    // packets stay on the host. Unknown addresses go to every other node.
    let node = Node::with(
        "for ns in node-b ovl-a ovl-b ctr-a ctr-b; do ip netns add $ns; done
         for ns in host node-b ovl-a ovl-b ctr-a ctr-b; do at $ns ip link set lo up; set_in $ns net.ipv6.conf.all.disable_ipv6=1; done
         ip link add eth0 type veth peer name eth0 netns node-b
         overlay() {
             at $1 ip addr add 10.1.0.$2/24 dev eth0; at $1 ip link set eth0 up
             at $1 ip link add vx-$3 type vxlan id 4097 dstport 4789 proxy
             at $1 ip link set vx-$3 netns /run/netns/ovl-$3
             ip -n ovl-$3 link set vx-$3 name vxlan0
             ip -n ovl-$3 link add br0 type bridge; ip -n ovl-$3 link set br0 up
             ip -n ovl-$3 link set vxlan0 master br0 up
             ip -n ovl-$3 link add veth0 type veth peer name eth0 netns ctr-$3
             ip -n ovl-$3 link set veth0 master br0 up
             ip -n ctr-$3 link set eth0 address 02:42:0a:00:00:0$2
             ip -n ctr-$3 addr add 10.0.0.$2/24 dev eth0; ip -n ctr-$3 link set eth0 mtu 1450 up
         }
         overlay host 1 a; overlay node-b 2 b
         # The engine tells each side where the other containers are.
         ip netns exec ovl-a bridge fdb add 02:42:0a:00:00:02 dev vxlan0 dst 10.1.0.2 self permanent
         ip netns exec ovl-b bridge fdb add 02:42:0a:00:00:01 dev vxlan0 dst 10.1.0.1 self permanent
         ip -n ovl-a neigh add 10.0.0.2 lladdr 02:42:0a:00:00:02 dev vxlan0 nud permanent
         ip -n ovl-b neigh add 10.0.0.1 lladdr 02:42:0a:00:00:01 dev vxlan0 nud permanent
         ip netns exec ovl-a bridge fdb add 02:42:0a:00:00:02 dev vxlan0 master static
         ip netns exec ovl-b bridge fdb add 02:42:0a:00:00:01 dev vxlan0 master static
         ip -n ctr-a neigh add 10.0.0.2 lladdr 02:42:0a:00:00:02 dev eth0 nud permanent
         ip -n ctr-b neigh add 10.0.0.1 lladdr 02:42:0a:00:00:01 dev eth0 nud permanent",
    );
    let wanted = [
        "ctr-a/eth0 route",
        "ovl-a/veth0 peer",
        "ovl-a/br0 master",
        "ovl-a/vxlan0 fdb",
        "host/eth0 route",
        "node-b/eth0 peer",
        "ovl-b/vxlan0 tunnel",
        "ovl-b/br0 master",
        "ovl-b/veth0 fdb",
        "ctr-b/eth0 peer",
    ];
    delivered(&node, "ctr-a", "10.0.0.2", &wanted);
}
