//! What netfilter means for a verdict, whose rules are not read: a chain that lets nothing pass is known to, rules that could
//! give a packet another address leave no drop certain, and what they could drop is said.

use serde_json::{Value, json};

use super::node::Node;
use super::scene;
use super::truth::lost;
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_chain_that_lets_nothing_pass, Tools, Nft),
        test!(a_table_of_iptables_that_lets_nothing_pass, Tools, Iptables),
        test!(a_service_address_is_not_said_to_be_dropped, Tools, Nft),
        test!(answers_to_a_masked_sender, Tools, Nft),
        test!(rules_that_could_drop_are_a_condition, Tools, Nft),
    ]
}

const WEB_B: &str = "172.22.1.7";

fn barred(node: &Node, hop: &str) {
    let trace = || node.trace(&format!("pod-a --to {WEB_B}"));
    let before = trace();
    assert_eq!(before["paths"][0]["verdict"]["action"], "dropped", "{before:#}");
    assert_eq!(before["findings"][0]["id"], "netfilter-drops", "{before:#}");
    let at = before["findings"][0]["hop"].as_u64().unwrap() as usize;
    assert_eq!(before["paths"][0]["verdict"]["hop"], at);
    assert_eq!(before["paths"][0]["hops"][at]["ifname"], hop, "{before:#}");
    assert!(lost(node, "pod-a", WEB_B, "web-b"));
    node.mend(&before["findings"][0]);
    let after = trace();
    assert_eq!(after["paths"][0]["verdict"]["action"], "delivered", "{before:#}: {after:#}");
    assert!(node.reaches("pod-a", WEB_B), "{before:#}");
}

fn a_chain_that_lets_nothing_pass() {
    let node = scene::reference();
    node.sh("nft add table ip fw; nft 'add chain ip fw forward { type filter hook forward priority 0; policy drop; }'");
    barred(&node, "cni0");
    let node = scene::reference();
    let chain = "nft 'add chain inet fw out { type filter hook output priority 0; policy drop; }'";
    node.sh(&format!("at pod-a nft add table inet fw; at pod-a {chain}"));
    barred(&node, "eth0");
}

fn a_table_of_iptables_that_lets_nothing_pass() {
    let node = scene::reference();
    node.sh("iptables-legacy -P FORWARD DROP");
    barred(&node, "cni0");
}

fn a_service_address_is_not_said_to_be_dropped() {
    let node = scene::reference();
    node.sh("ip route add blackhole 10.96.0.0/12
        nft -f - <<'END'
        table ip nat {
            chain pre { type nat hook prerouting priority dstnat; ip daddr 10.96.0.10 dnat to 172.22.0.251; }
        }
END");
    assert!(node.reaches("pod-a", "10.96.0.10"), "the service of the test does not work");
    let trace = node.trace("pod-a --to 10.96.0.10");
    let verdict = &trace["paths"][0]["verdict"];
    assert_eq!(verdict["action"], "unknown", "{trace:#}");
    assert_eq!(verdict["undecided"], json!(["netfilter in host"]), "{trace:#}");
    assert!(trace["findings"].as_array().unwrap().iter().all(|f| f["level"] != "fatal"), "{trace:#}");
    // What stops it before it gets there stops it for certain.
    node.sh("ip link set vetha down");
    assert_eq!(node.trace("pod-a --to 10.96.0.10")["paths"][0]["verdict"]["action"], "dropped");
}

fn answers_to_a_masked_sender() {
    let node = scene::reference();
    let reply = || -> Value { node.trace(&format!("pod-a --to {WEB_B} --reply"))["paths"][1]["verdict"].clone() };
    node.sh("ip -n router route del 172.22.0.0/24; ip -n node-b route del 172.22.0.0/24");
    assert_eq!(reply()["action"], "dropped");
    node.sh("nft -f - <<'END'
        table ip nat { chain post { type nat hook postrouting priority srcnat; oifname eth0 masquerade; }; }
END");
    assert!(node.reaches("pod-a", WEB_B), "the network of the test does not work");
    assert_eq!(reply()["action"], "unknown", "{}", reply());
    assert_eq!(reply()["undecided"], json!(["netfilter in host"]));
}

fn rules_that_could_drop_are_a_condition() {
    let node = scene::reference();
    let verdict = || -> Value { node.trace(&format!("pod-a --to {WEB_B}"))["paths"][0]["verdict"].clone() };
    assert_eq!(verdict()["undecided"], Value::Null);
    node.sh("nft -f - <<'END'
        table ip fw { chain forward { type filter hook forward priority 0; tcp dport 22 drop; }; }
        table ip nat { chain post { type nat hook postrouting priority srcnat; oifname nowhere masquerade; }; }
END");
    let verdict = verdict();
    assert_eq!(verdict["action"], "delivered");
    assert_eq!(verdict["undecided"], json!(["netfilter in host"]));
    assert!(
        verdict["reason"].as_str().unwrap().ends_with("if the rules of netfilter in host let it pass"),
        "{verdict}"
    );
}
