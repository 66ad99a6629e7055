//! The reference scene: a Kubernetes node as the CNI bridge plugin wires it, a second one, and the router between them.

use super::node::Node;

/// Pods of the first node, in the order of their addresses from 172.22.0.253 down, and the ifname of their host ends.
pub const PODS: [(&str, &str); 3] = [("pod-a", "vetha"), ("pod-b", "vethb"), ("pod-c", "vethc")];

/// The host is the first node. `node-b` is the second one with the pod `web-b`; `router` is between them on its bridge
/// `lan`, and its `wan` is where the machine ends.
const SCRIPT: &str = "
    for ns in router node-b pod-a pod-b pod-c web-b; do ip netns add $ns; at $ns ip link set lo up; done
    # Without duplicate address detection, which makes the first packets wait.
    for ns in host router node-b pod-a pod-b pod-c web-b; do set_in $ns net.ipv6.conf.default.accept_dad=0; done
    for ns in host router node-b; do set_in $ns net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; done

    ip -n router link add lan type bridge
    ip -n router addr add 10.30.180.254/24 dev lan
    ip -n router addr add fd00:30::254/64 dev lan nodad
    ip -n router link set lan up

    # node <netns> <port of the router> <number> <pods' subnet>
    node() {
        ip -n router link add $2 type veth peer name eth0
        if [ $1 = host ]; then at router ip link set eth0 netns /proc/1/ns/net; else ip -n router link set eth0 netns $1; fi
        ip -n router link set $2 master lan up
        at $1 ip addr add 10.30.180.$3/24 dev eth0
        at $1 ip addr add fd00:30::$3/64 dev eth0 nodad
        at $1 ip link set eth0 up
        at $1 ip route add default via 10.30.180.254
        at $1 ip route add default via fd00:30::254
        at $1 ip link add cni0 type bridge
        at $1 ip addr add 172.22.$4.1/24 dev cni0
        at $1 ip addr add fd00:22:$4::1/64 dev cni0 nodad
        at $1 ip link set cni0 up
        ip -n router route add 172.22.$4.0/24 via 10.30.180.$3
        ip -n router route add fd00:22:$4::/64 via fd00:30::$3
    }
    node host swp1 56 0
    node node-b swp2 55 1
    ip route add 172.22.1.0/24 via 10.30.180.55
    ip route add fd00:22:1::/64 via fd00:30::55
    ip -n node-b route add 172.22.0.0/24 via 10.30.180.56
    ip -n node-b route add fd00:22:0::/64 via fd00:30::56

    # pod <netns> <its node> <host end> <pods' subnet> <number>
    pod() {
        at $2 ip link add $3 type veth peer name eth0 netns /run/netns/$1
        at $2 ip link set $3 master cni0 up
        ip -n $1 addr add 172.22.$4.$5/24 dev eth0
        ip -n $1 addr add fd00:22:$4::$5/64 dev eth0 nodad
        ip -n $1 link set eth0 up
        ip -n $1 route add default via 172.22.$4.1
        ip -n $1 route add 172.22.0.0/16 via 172.22.$4.1
        ip -n $1 route add default via fd00:22:$4::1
    }
    pod pod-a host vetha 0 253
    pod pod-b host vethb 0 252
    pod pod-c host vethc 0 251
    pod web-b node-b vethw 1 7
";

/// The machine's end where ifb devices cannot be made: the router itself holds the address then.
const WAN: &str = "
    ip -n router link add wan type ifb
    ip -n router addr add 203.0.113.2/30 dev wan
    ip -n router link set wan up
    ip -n router route add default via 203.0.113.1
";

/// Builds the scene on a new node.
pub fn reference() -> Node {
    Node::with(SCRIPT)
}

/// The scene with a way on from the router.
pub fn with_wan() -> Node {
    let node = reference();
    node.sh(WAN);
    node
}
