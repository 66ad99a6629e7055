//! What netfilter means for a verdict: a chain or a rule that lets nothing pass is named with what mends it, a service's packets are
//! followed to its endpoints and back, and what is not decided is a condition.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::node::Node;
use super::scene;
use super::truth::lost;
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_chain_that_lets_nothing_pass, Tools, Nft),
        test!(a_table_of_iptables_that_lets_nothing_pass, Tools, Iptables),
        test!(a_rule_that_drops_is_named, Tools, Nft),
        test!(a_rule_that_somebody_keeps_is_not_to_be_deleted, Tools, Iptables),
        test!(a_service_is_followed_to_its_endpoint, Tools, Nft),
        test!(a_service_with_several_endpoints, Tools, Iptables),
        test!(endpoints_that_are_drawn, Tools, Nft),
        test!(answers_past_the_one_who_translates, Tools, Nft),
        test!(answers_to_a_masked_sender, Tools, Nft),
        test!(a_mark_that_a_rule_gives_decides_the_way, Tools, Nft),
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

fn a_rule_that_drops_is_named() {
    let node = scene::reference();
    node.sh("nft -f - <<'END'
        table inet fw {
            set blocked { type ipv4_addr; flags interval; elements = { 172.22.1.0/24 }; }
            chain forward { type filter hook forward priority 0; policy accept; ct state established accept; jump more; }
            chain more { ip daddr @blocked drop; }
        }
END");
    barred(&node, "cni0");
    node.sh("iptables-legacy -N WEB; iptables-legacy -A FORWARD -j WEB; iptables-legacy -A WEB -i cni0 -j REJECT");
    barred(&node, "cni0");
    node.sh("iptables-nft -A FORWARD -d 172.22.1.0/24 -m conntrack --ctstate NEW -m comment --comment closed -j DROP");
    let reason =
        node.trace(&format!("pod-a --to {WEB_B}"))["paths"][0]["verdict"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.ends_with("ip daddr 172.22.1.0/24 ct state new drop (closed)"), "{reason}");
    barred(&node, "cni0");
}

fn a_rule_that_somebody_keeps_is_not_to_be_deleted() {
    let node = scene::reference();
    node.sh("iptables-nft -N DOCKER-ISOLATION-STAGE-2; iptables-nft -A FORWARD -j DOCKER-ISOLATION-STAGE-2
        iptables-nft -A DOCKER-ISOLATION-STAGE-2 -o eth0 -j DROP");
    let finding = node.trace(&format!("pod-a --to {WEB_B}"))["findings"][0].clone();
    assert_eq!(finding["id"], "netfilter-drops", "{finding:#}");
    assert_eq!(finding["fix"], "the rule is one of Docker, which would set it again: change it there");
}

fn a_service_is_followed_to_its_endpoint() {
    let node = scene::reference();
    node.sh("ip route add blackhole 10.96.0.0/12
        nft -f - <<'END'
        table ip nat {
            chain pre { type nat hook prerouting priority dstnat; ip daddr 10.96.0.10 dnat to 172.22.1.7; }
        }
END");
    assert!(node.reaches("pod-a", "10.96.0.10"), "the service of the test does not work");
    let trace = node.trace("pod-a --to 10.96.0.10");
    let path = &trace["paths"][0];
    assert_eq!(path["verdict"]["action"], "delivered", "{trace:#}");
    assert_eq!(path["redirected_to"], WEB_B, "{trace:#}");
    assert_eq!(path["hops"].as_array().unwrap().last().unwrap()["netns_name"], "web-b", "{trace:#}");
    assert_eq!(trace["findings"], json!([]), "{trace:#}");
    // Another address of the same network is nobody's.
    assert_eq!(node.trace("pod-a --to 10.96.0.11")["paths"][0]["verdict"]["action"], "dropped");
    // And what the host itself sends, which a route must take at first.
    node.sh("ip route del blackhole 10.96.0.0/12; nft -f - <<'END'
        table ip nat {
            chain out { type nat hook output priority -100; ip daddr 10.96.0.10 dnat to 172.22.1.7; }
            chain late { type filter hook output priority 0; ip daddr 10.96.0.10 drop; }
        }
END");
    assert!(node.reaches("host", "10.96.0.10"), "the service of the test does not work");
    let trace = node.trace("host --to 10.96.0.10 --reply");
    assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered", "{trace:#}");
    assert_eq!(trace["paths"][1]["verdict"]["action"], "delivered", "{trace:#}");
    assert_eq!(trace["paths"][0]["redirected_to"], WEB_B, "{trace:#}");
    node.sh("ip link set vetha down");
    assert_eq!(node.trace("pod-a --to 10.96.0.10")["paths"][0]["verdict"]["action"], "dropped");
}

fn a_service_with_several_endpoints() {
    let node = scene::reference();
    // As kube-proxy writes it, in short; the first endpoint is the sender itself.
    node.sh("i='iptables-nft -t nat'
        for c in SERVICES SVC SEP1 SEP2 MASQ POST; do $i -N $c; done
        $i -A PREROUTING -j SERVICES
        $i -A POSTROUTING -j POST
        $i -A SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j SVC
        $i -A SVC -m statistic --mode random --probability 0.5 -j SEP1
        $i -A SVC -j SEP2
        $i -A SEP1 -s 172.22.0.253/32 -j MASQ
        $i -A SEP1 -p tcp -m tcp -j DNAT --to-destination 172.22.0.253:80
        $i -A SEP2 -s 172.22.1.7/32 -j MASQ
        $i -A SEP2 -p tcp -m tcp -j DNAT --to-destination 172.22.1.7:80
        $i -A MASQ -j MARK --or-mark 0x4000
        $i -A POST -m mark ! --mark 0x4000/0x4000 -j RETURN
        $i -A POST -j MARK --xor-mark 0x4000
        $i -A POST -j MASQUERADE --random-fully");
    let _listeners = ["pod-a", "web-b"].map(|netns| listen(&node, netns));
    let works = || (0..8).all(|_| connects(&node, "pod-a", "10.96.0.10:80"));
    // The bridge hands it on by itself, and not to where it came from.
    assert!(!works(), "a bridge without hairpin hands frames back");
    let ask = "pod-a --to 10.96.0.10 --proto tcp --dport 80 --reply";
    let before = node.trace(ask);
    assert_eq!(before["paths"][0]["verdict"]["action"], "dropped", "{before:#}");
    assert_eq!(before["findings"][0]["id"], "hairpin-off", "{before:#}");
    node.mend(&before["findings"][0]);
    assert!(works(), "{before:#}");
    let trace = node.trace(ask);
    let ends = |trace: &Value| -> Vec<String> {
        let paths = trace["paths"].as_array().unwrap().iter();
        let end = |p: &Value| {
            format!("{} {} {}", p["verdict"]["action"].as_str().unwrap(), p["redirected_to"], p["hidden_as"])
        };
        paths.map(end).collect()
    };
    let wanted = [
        "delivered \"172.22.0.253\" \"172.22.0.1\"",
        "delivered null null",
        "delivered \"172.22.1.7\" null",
        "delivered null null",
    ];
    assert_eq!(ends(&trace), wanted, "{trace:#}");
    // What the packet was not given could decide.
    let trace = node.trace("pod-a --to 10.96.0.10");
    assert_eq!(ends(&trace), ["unknown null null"], "{trace:#}");
    assert_eq!(trace["paths"][0]["verdict"]["undecided"], json!(["netfilter in host"]), "{trace:#}");
}

fn listen(node: &Node, netns: &str) -> TcpListener {
    node.inside(netns, || TcpListener::bind("0.0.0.0:80").unwrap())
}

fn endpoints_that_are_drawn() {
    let node = scene::reference();
    // As kube-proxy writes it for nftables, in short.
    node.sh("nft -f - <<'END'
        table ip kube-proxy {
            map service-ips {
                type ipv4_addr . inet_proto . inet_service : verdict
                elements = { 10.96.0.10 . tcp . 80 : goto service }
            }
            chain pre { type nat hook prerouting priority dstnat; ip daddr . meta l4proto . th dport vmap @service-ips; }
            chain post { type nat hook postrouting priority srcnat; mark and 0x4000 == 0x4000 masquerade; }
            chain service { numgen random mod 2 vmap { 0 : goto one, 1 : goto two }; }
            chain one { ip saddr 172.22.0.251 mark set 0x4000; meta l4proto tcp dnat to 172.22.0.251:80; }
            chain two { ip saddr 172.22.1.7 mark set 0x4000; meta l4proto tcp dnat to 172.22.1.7:80; }
        }
END");
    let _listeners = ["pod-c", "web-b"].map(|netns| listen(&node, netns));
    assert!((0..8).all(|_| connects(&node, "pod-a", "10.96.0.10:80")), "the service of the test does not work");
    let trace = node.trace("pod-a --to 10.96.0.10 --proto tcp --dport 80 --reply");
    let end = |n: usize| (&trace["paths"][n]["verdict"]["action"], &trace["paths"][n]["redirected_to"]);
    assert_eq!(end(0), (&json!("delivered"), &json!("172.22.0.251")), "{trace:#}");
    assert_eq!(end(1).0, "delivered", "{trace:#}");
    assert_eq!(end(2), (&json!("delivered"), &json!(WEB_B)), "{trace:#}");
    assert_eq!(end(3).0, "delivered", "{trace:#}");
    assert_eq!(trace["paths"].as_array().unwrap().len(), 4);
}

/// A connection comes about.
fn connects(node: &Node, from: &str, to: &str) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    node.inside(from, || TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_ok())
}

fn answers_past_the_one_who_translates() {
    let node = scene::reference();
    node.sh("set_in host net.bridge.bridge-nf-call-iptables=0
        nft -f - <<'END'
        table ip nat {
            chain pre { type nat hook prerouting priority dstnat; ip daddr 10.96.0.10 dnat to 172.22.0.251; }
        }
END");
    let _listener = listen(&node, "pod-c");
    assert!(!connects(&node, "pod-a", "10.96.0.10:80"), "the answers are translated");
    let ask = "pod-a --to 10.96.0.10 --reply";
    let before = node.trace(ask);
    assert_eq!(before["paths"][0]["verdict"]["action"], "delivered", "{before:#}");
    assert_eq!(before["paths"][1]["verdict"]["action"], "dropped", "{before:#}");
    assert_eq!(before["findings"][0]["id"], "answer-not-translated", "{before:#}");
    node.mend(&before["findings"][0]);
    assert!(connects(&node, "pod-a", "10.96.0.10:80"), "{before:#}");
    let after = node.trace(ask);
    assert_eq!(after["paths"][1]["verdict"]["action"], "delivered", "{after:#}");
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
    assert_eq!(reply()["action"], "delivered", "{}", reply());
    let trace = || node.trace(&format!("pod-a --to {WEB_B}"))["paths"][0].clone();
    assert_eq!((&trace()["src"], &trace()["hidden_as"]), (&json!("172.22.0.253"), &json!("10.30.180.56")));
    // Behind that it comes from the host.
    node.sh("at node-b nft add table ip fw
        at node-b nft 'add chain ip fw forward { type filter hook forward priority 0; }'
        at node-b nft add rule ip fw forward ip saddr 172.22.0.0/24 drop");
    assert!(node.reaches("pod-a", WEB_B), "the rule of the test drops what was masked");
    assert_eq!((&trace()["verdict"]["action"], &trace()["verdict"]["undecided"]), (&json!("delivered"), &Value::Null));
    node.sh("at node-b nft add rule ip fw forward ip saddr 10.30.180.56 drop");
    assert!(lost(&node, "pod-a", WEB_B, "web-b"));
    assert_eq!(trace()["verdict"]["action"], "dropped");
    // One of several sources is none that is known.
    node.sh("at node-b nft flush chain ip fw forward; nft flush chain ip nat post
        nft add rule ip nat post oifname eth0 snat to 10.30.180.56-10.30.180.57");
    assert_eq!(reply()["action"], "unknown", "{}", reply());
    assert_eq!(reply()["undecided"], json!(["netfilter in host"]));
}

fn a_mark_that_a_rule_gives_decides_the_way() {
    let node = scene::reference();
    let action = || node.trace(&format!("pod-a --to {WEB_B}"))["paths"][0]["verdict"]["action"].clone();
    node.sh("ip rule add fwmark 7 lookup 100; ip route add blackhole 172.22.1.0/24 table 100
        nft add table ip fw
        nft 'add chain ip fw pre { type filter hook prerouting priority mangle; }'
        nft add rule ip fw pre ip saddr 172.22.0.252 meta mark set 7");
    assert_eq!(action(), "delivered");
    assert!(node.reaches("pod-a", WEB_B));
    node.sh("nft add rule ip fw pre ip saddr 172.22.0.253 meta mark set 7");
    assert!(lost(&node, "pod-a", WEB_B, "web-b"));
    assert_eq!(action(), "dropped");
}

fn rules_that_could_drop_are_a_condition() {
    let node = scene::reference();
    let verdict =
        |more: &str| -> Value { node.trace(&format!("pod-a --to {WEB_B} {more}"))["paths"][0]["verdict"].clone() };
    assert_eq!(verdict("")["undecided"], Value::Null);
    node.sh("nft -f - <<'END'
        table ip fw { chain forward { type filter hook forward priority 0; tcp dport 22 drop; }; }
        table ip nat { chain post { type nat hook postrouting priority srcnat; oifname nowhere masquerade; }; }
END");
    let open = verdict("");
    assert_eq!(open["action"], "delivered");
    assert_eq!(open["undecided"], json!(["netfilter in host"]));
    assert!(
        open["reason"].as_str().unwrap().ends_with("netfilter in host let it pass (--proto and --dport could tell)"),
        "{open}"
    );
    assert_eq!(verdict("--proto udp")["undecided"], Value::Null);
    assert_eq!(verdict("--proto tcp --dport 23")["undecided"], Value::Null);
    assert_eq!(verdict("--proto tcp --dport 22")["action"], "dropped");
}
