//! What could stop a packet and podnet does not decide: chains of netfilter are named where they look at it, programs
//! leave the end open, and where there is nothing of either, nothing is said.

use serde_json::{Value, json};

use super::node::Node;
use super::scene;
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(chains_of_nftables_are_named_where_they_look, Tools, Nft),
        test!(chains_of_other_families_and_devices_are_left_out, Tools, Nft),
        test!(bridged_frames_are_looked_at_where_bridges_ask, Tools, Nft),
        test!(tables_of_iptables_are_named, Tools, Iptables),
        test!(chains_without_rules_say_nothing, Tools, Nft),
        test!(filters_of_tc_leave_the_end_open, Tools, Tc),
    ]
}

const WEB_B: &str = "172.22.1.7";

/// `netns/ifname table chain`, a line for each chain that a path names.
fn chains(node: &Node, path: &Value) -> Vec<String> {
    let names = node.inodes();
    let mut all = Vec::new();
    for hop in path["hops"].as_array().unwrap() {
        for chain in hop["chains"].as_array().unwrap_or(&Vec::new()) {
            let netns = &names[&hop["netns"].as_u64().unwrap()];
            let text = |key: &str| chain[key].as_str().unwrap().to_owned();
            all.push(format!("{netns}/{} {} {}", hop["ifname"].as_str().unwrap(), text("table"), text("chain")));
        }
    }
    all
}

/// A trace as text, without the breaks of its lines.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().filter(|word| *word != "\u{2502}").collect::<Vec<_>>().join(" ")
}

fn chains_of_nftables_are_named_where_they_look() {
    let node = scene::reference();
    node.sh("nft -f - <<'END'
        table inet fw {
            chain c-pre { type filter hook prerouting priority raw; policy accept; ip daddr 10.99.0.1 drop; }
            chain c-fwd { type filter hook forward priority filter; policy drop; ct state established accept; accept; }
            chain c-in { type filter hook input priority filter; policy accept; tcp dport 22 accept; }
            chain c-out { type filter hook output priority filter; policy drop; }
            chain c-empty { type filter hook postrouting priority filter; policy accept; }
            chain c-called { tcp dport 22 accept; }
        }
        table ip nat { chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; masquerade; }; }
END");
    let trace = node.trace(&format!("pod-a --to {WEB_B}"));
    let path = &trace["paths"][0];
    // That they are there does not say that they drop it.
    assert_eq!(path["verdict"]["action"], "delivered", "{trace:#}");
    assert_eq!(chains(&node, path), ["host/cni0 fw c-pre", "host/cni0 fw c-fwd", "host/eth0 nat POSTROUTING"]);
    let fwd = &path["hops"][2]["chains"][1];
    let wanted = json!({
        "backend": "nf_tables", "family": "inet", "table": "fw", "chain": "c-fwd", "type": "filter", "hook": "forward",
        "priority": 0, "policy": "drop", "rules": 2, "outcomes": ["pass"],
    });
    assert_eq!(fwd, &wanted);
    // To the host itself, and from it.
    let to_host = node.trace("pod-a --to 172.22.0.1");
    assert_eq!(chains(&node, &to_host["paths"][0]), ["host/cni0 fw c-pre", "host/cni0 fw c-in"]);
    let from_host = node.trace("host --to 172.22.0.253");
    assert_eq!(chains(&node, &from_host["paths"][0]), ["host/cni0 fw c-out", "host/cni0 nat POSTROUTING"]);
    // Calmly: one line a hop, with names, policies and numbers of rules.
    let text = node.podnet(&format!("trace pod-a --to {WEB_B}"));
    let told = unwrapped(text.text());
    assert!(told.contains("inet fw c-fwd (policy drop, 2 rules)"), "{}", text.text());
    assert!(told.contains("netfilter gives it another source: ip nat POSTROUTING handle"), "{}", text.text());
}

fn chains_of_other_families_and_devices_are_left_out() {
    let node = scene::reference();
    node.sh("nft -f - <<'END'
        table ip6 six { chain c-fwd { type filter hook forward priority filter; policy drop; }; }
        table ip four { chain c-dnat { type nat hook prerouting priority dstnat; policy accept; tcp dport 80 dnat to 10.0.0.1; }; }
        table netdev dev {
            chain a { type filter hook ingress device vetha priority 0; policy accept; ip daddr 10.99.0.1 drop; }
            chain b { type filter hook ingress device vethb priority 0; policy accept; ip daddr 10.99.0.1 drop; }
            chain m { type filter hook ingress devices = { vetha, vethb } priority 1; policy accept; ip daddr 10.99.0.1 drop; }
        }
        table arp arps { chain c-in { type filter hook input priority filter; policy drop; }; }
END
    ");
    let four = node.trace(&format!("pod-a --to {WEB_B}"));
    assert_eq!(chains(&node, &four["paths"][0]), ["host/vetha dev a", "host/vetha dev m", "host/cni0 four c-dnat"]);
    let by_b = node.trace(&format!("pod-b --to {WEB_B}"));
    assert_eq!(chains(&node, &by_b["paths"][0]), ["host/vethb dev b", "host/vethb dev m", "host/cni0 four c-dnat"]);
    let text = node.podnet(&format!("trace pod-a --to {WEB_B}"));
    // Whether it is the packet of a service is not decided, and that is said.
    let told = "netfilter could send it elsewhere: ip four c-dnat handle 2: l4proto tcp dport 80 dnat to 10.0.0.1";
    assert!(unwrapped(text.text()).contains(told), "{}", text.text());
    let six = node.trace("pod-a --to fd00:22:1::7");
    assert_eq!(chains(&node, &six["paths"][0]), ["host/vetha dev a", "host/vetha dev m", "host/cni0 six c-fwd"]);
}

fn bridged_frames_are_looked_at_where_bridges_ask() {
    let node = scene::reference();
    node.sh("nft -f - <<'END'
        table bridge br { chain c-fwd { type filter hook forward priority filter; policy accept; ip daddr 10.99.0.1 drop; }; }
        table ip four { chain c-fwd { type filter hook forward priority filter; policy accept; ip daddr 10.99.0.1 drop; }; }
END
    set_in host net.bridge.bridge-nf-call-iptables=0 || true");
    let told = || chains(&node, &node.trace("pod-a --to 172.22.0.251")["paths"][0]);
    assert_eq!(told(), ["host/vethc br c-fwd"]);
    if node.succeeds("set_in host net.bridge.bridge-nf-call-iptables=1") {
        let mut both = told();
        both.sort();
        assert_eq!(both, ["host/vethc br c-fwd", "host/vethc four c-fwd"]);
        node.sh("set_in host net.bridge.bridge-nf-call-iptables=0; ip link set cni0 type bridge nf_call_iptables 1");
        let mut both = told();
        both.sort();
        assert_eq!(both, ["host/vethc br c-fwd", "host/vethc four c-fwd"]);
    }
}

fn tables_of_iptables_are_named() {
    let node = scene::reference();
    node.sh("iptables-legacy -w -P FORWARD DROP; iptables-legacy -w -A FORWARD -j ACCEPT
         iptables-legacy -w -N KUBE; iptables-legacy -w -A KUBE -p tcp -j DROP
         iptables-legacy -w -A INPUT -j KUBE; iptables-legacy -w -A INPUT -p udp -j DROP
         iptables-legacy -w -t nat -A PREROUTING -d 10.96.0.1 -p tcp -j DNAT --to-destination 172.22.0.251
         ip6tables-legacy -w -A FORWARD -p tcp -j DROP");
    let trace = node.trace(&format!("pod-a --to {WEB_B}"));
    let path = &trace["paths"][0];
    assert_eq!(chains(&node, path), ["host/cni0 nat PREROUTING", "host/cni0 filter FORWARD"]);
    let forward = &path["hops"][2]["chains"][1];
    let wanted = json!({
        "backend": "legacy", "family": "ip", "table": "filter", "chain": "FORWARD", "type": "filter",
        "hook": "forward", "priority": 0, "policy": "drop", "rules": 1, "outcomes": ["pass"],
    });
    assert_eq!(forward, &wanted);
    let to_host = node.trace("pod-a --to 172.22.0.1");
    let last = to_host["paths"][0]["hops"][2]["chains"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["chain"], &last["rules"]), (&json!("INPUT"), &json!(2)));
    let six = node.trace("pod-a --to fd00:22:1::7");
    assert_eq!(chains(&node, &six["paths"][0]), ["host/cni0 filter FORWARD"]);
    assert_eq!(six["paths"][0]["hops"][2]["chains"][0]["family"], "ip6");
}

fn chains_without_rules_say_nothing() {
    let node = scene::reference();
    let before = node.podnet(&format!("trace pod-a --to {WEB_B}")).text().to_owned();
    node.sh("nft add table inet t; nft add chain inet t c '{ type filter hook forward priority 0; policy accept; }'");
    assert_eq!(node.podnet(&format!("trace pod-a --to {WEB_B}")).text(), before);
}

fn filters_of_tc_leave_the_end_open() {
    let node = scene::reference();
    let action = || node.trace(&format!("pod-a --to {WEB_B}"))["paths"][0]["verdict"]["action"].clone();
    node.sh("tc qdisc add dev vetha clsact; tc qdisc add dev vethb clsact");
    // A place for filters is no filter.
    assert_eq!(action(), "delivered");
    // What the other side of the link sends is not what comes in here; nor is it this pod's.
    node.sh("tc filter add dev vetha egress protocol ip u32 match u32 0 0 flowid 1:1
         tc filter add dev vethb ingress protocol ip u32 match u32 0 0 flowid 1:1");
    assert_eq!(action(), "delivered");
    node.sh("tc filter add dev vetha ingress bpf da bytecode '1,6 0 0 2,'");
    let trace = node.trace(&format!("pod-a --to {WEB_B}"));
    let path = &trace["paths"][0];
    assert_eq!(path["verdict"]["action"], "unknown", "{trace:#}");
    assert_eq!(path["hops"][1]["programs"], json!([{ "type": "tc", "ingress": true, "name": "bpf" }]));
    let reason = path["verdict"]["reason"].as_str().unwrap();
    assert!(reason.contains("tc program bpf at vetha of host"), "{reason}");
    // The way is shown to its end all the same.
    assert_eq!(path["hops"].as_array().unwrap().len(), 11);
    assert!(!node.ping("pod-a", WEB_B));
    node.sh("tc filter del dev vethb ingress; tc qdisc add dev eth0 clsact
         tc filter add dev eth0 egress protocol ip u32 match u32 0 0 flowid 1:1");
    let trace = node.trace(&format!("pod-b --to {WEB_B}"));
    assert_eq!(trace["paths"][0]["verdict"]["action"], "unknown", "{trace:#}");
}
