//! Who takes a packet, and who does not: the kernel's rules for answering, forwarding and ignoring, one case each, with a
//! real packet for truth.

use super::node::Node;
use super::truth::{arrives, lost};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_is_lost_is_said_to_be_lost, Tools),
        test!(what_arrives_is_said_to_arrive, Tools),
        test!(an_address_that_another_one_has_as_well, Tools),
    ]
}

/// Pods `a`, `b` and `c` on the host's bridge, `out` behind its uplink, `far` behind that.
const SCRIPT: &str = "
    for ns in a b c out far; do ip netns add $ns; at $ns ip link set lo up; done
    for ns in host a b c out far; do set_in $ns net.ipv6.conf.default.accept_dad=0; done
    for ns in host out; do set_in $ns net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; done
    ip link add cni0 address 02:00:00:00:00:01 type bridge; ip addr add 10.1.0.1/24 dev cni0; ip addr add fd00:1::1/64 dev cni0; ip link set cni0 up
    for pod in a:2 b:3 c:4; do
        ns=${pod%:*} last=${pod#*:}
        ip link add v$ns type veth peer name eth0 netns $ns; ip link set v$ns master cni0 up
        ip -n $ns addr add 10.1.0.$last/24 dev eth0; ip -n $ns addr add fd00:1::$last/64 dev eth0
        ip -n $ns link set eth0 up; ip -n $ns route add default via 10.1.0.1; ip -n $ns route add default via fd00:1::1
    done
    ip link add eth0 type veth peer name eth0 netns out; ip addr add 192.168.9.1/24 dev eth0
    ip addr add fd00:9::1/64 dev eth0; ip link set eth0 up
    ip -n out addr add 192.168.9.2/24 dev eth0; ip -n out addr add fd00:9::2/64 dev eth0; ip -n out link set eth0 up
    ip -n out route add 10.1.0.0/24 via 192.168.9.1; ip -n out route add fd00:1::/64 via fd00:9::1
    mac_of() { at $1 ip -o link show dev $2 | grep -o 'ether [^ ]*' | cut -c7-; }
";

fn with(change: &str) -> Node {
    Node::with(&format!("{SCRIPT}\n{change}"))
}

fn what_is_lost_is_said_to_be_lost() {
    for (change, to, at, finding) in [
        (
            "ip -n a neigh replace fd00:1::1 lladdr $(mac_of host cni0) dev eth0 nud permanent
             set_in host net.ipv6.conf.cni0.disable_ipv6=1",
            "fd00:9::2",
            "out",
            "ipv6-off",
        ),
        (
            "ip -n a addr del fd00:1::2/64 dev eth0
             ip -n a -6 route replace default via $(ip -j addr show cni0 | grep -o 'fe80[^\"]*') dev eth0",
            "fd00:9::2",
            "out",
            "source-scope",
        ),
        ("ip -n a link set eth0 arp off", "10.1.0.3", "b", "arp-off"),
        ("bridge link set dev vb bcast_flood off", "10.1.0.3", "b", "next-hop-absent"),
        // Whoever asks would be sent back to where the answer has to come from.
        ("ip neigh add proxy 10.1.0.77 dev cni0", "10.1.0.77", "b", "next-hop-absent"),
        ("bridge fdb replace $(mac_of b eth0) dev vb master", "10.1.0.3", "b", "fdb-local"),
        (
            "ip -n a neigh replace 10.1.0.1 lladdr $(mac_of host vb) dev eth0 nud permanent",
            "192.168.9.2",
            "out",
            "neigh-wrong",
        ),
    ] {
        let node = with(change);
        let trace = node.trace(&format!("a --to {to}"));
        assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "{change}: {trace:#}");
        assert_eq!(trace["findings"][0]["id"], finding, "{change}: {trace:#}");
        assert!(lost(&node, "a", to, at), "{change}: it arrives all the same");
    }
}

fn what_arrives_is_said_to_arrive() {
    for (change, to, at) in [
        // An address that moved: what the host knows of it is old.
        (
            "ip addr flush dev eth0; at b ping -c 1 -w 5 10.1.0.1 >/dev/null
             ip neigh replace 10.1.0.9 lladdr $(mac_of b eth0) dev cni0 nud reachable
             ip -n c addr add 10.1.0.9/24 dev eth0",
            "10.1.0.9",
            "c",
        ),
        // c has found that somebody else has the address, and does without.
        (
            "ip -n b addr add fd00:1::5/64 dev eth0; at b ping -c 1 -w 5 fd00:1::1 >/dev/null
             set_in c net.ipv6.conf.eth0.accept_dad=1; ip -n c addr add fd00:1::5/64 dev eth0
             for i in $(seq 100); do ip -n c -6 addr show dadfailed | grep -q fd00 && break; sleep 0.05; done",
            "fd00:1::5",
            "b",
        ),
        // Ports that may not talk to each other, and a host that passes on what they say.
        (
            "for p in va vb; do bridge link set dev $p isolated on; done
             set_in host net.ipv4.conf.cni0.proxy_arp_pvlan=1",
            "10.1.0.3",
            "b",
        ),
        // The tunnel's other end is no address of the segment: a proxy answers for it.
        (
            "ip link add vx type vxlan id 7 local 192.168.9.1 remote 192.168.9.77 dstport 4789
             ip addr add 10.7.0.1/24 dev vx; ip link set vx up
             ip -n out link add eth1 type veth peer name eth0 netns far; ip -n out link set eth1 up
             ip -n out route add 192.168.9.77 dev eth1; set_in out net.ipv4.conf.all.proxy_arp=1
             ip -n far addr add 192.168.9.77/24 dev eth0; ip -n far link set eth0 up
             ip -n far link add vx type vxlan id 7 local 192.168.9.77 remote 192.168.9.1 dstport 4789
             ip -n far addr add 10.7.0.2/24 dev vx; ip -n far link set vx up; ip -n far route add 10.1.0.0/24 via 10.7.0.1",
            "10.7.0.2",
            "far",
        ),
        // A route for packets from some sources alone.
        (
            "ip -n a -6 route del default; ip -n a -6 route add default from fd00:1::/64 via fd00:1::1",
            "fd00:9::2",
            "out",
        ),
    ] {
        let node = with(change);
        let trace = node.trace(&format!("a --to {to}"));
        let path = &trace["paths"][0];
        assert_eq!(path["verdict"]["action"], "delivered", "{change}: {trace:#}");
        assert_eq!(path["hops"].as_array().unwrap().last().unwrap()["netns"], node.inode(at), "{change}: {trace:#}");
        assert!(arrives(&node, "a", to, at), "{change}: it does not arrive");
    }
}

/// Whoever was named is meant, and nobody else.
fn an_address_that_another_one_has_as_well() {
    for (change, from, to, taker) in [
        (
            "ip -n c addr add 10.1.0.3/24 dev eth0; ip -n a neigh replace 10.1.0.3 lladdr $(mac_of c eth0) dev eth0",
            "a",
            "b",
            "c",
        ),
        ("ip addr add 10.1.0.2/32 dev lo", "out", "a", "host"),
    ] {
        let node = with(change);
        let trace = node.trace(&format!("{from} --to {to}"));
        let verdict = &trace["paths"][0]["verdict"];
        assert_eq!(verdict["action"], "dropped", "{change}: {trace:#}");
        assert!(
            verdict["reason"].as_str().unwrap().starts_with(&format!("{taker} takes it instead of {to}")),
            "{verdict}"
        );
        assert_eq!(trace["findings"][0]["id"], "address-elsewhere", "{trace:#}");
    }
}
