//! Rules of netfilter in every place that a packet and its answer come by, against real packets: what podnet is certain of
//! happens, and what happens podnet does not exclude.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::Value;

use super::node::Node;
use super::scene;
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(chains_are_asked_in_the_order_of_the_kernel, Tools, Nft),
        test!(marks_of_packets_that_are_sent, Tools, Nft),
        test!(packets_to_oneself, Tools, Nft),
        test!(connections_that_are_not_followed, Tools, Nft),
        test!(connections_that_are_translated, Tools, Nft),
        test!(frames_inside_a_bridge, Tools, Nft),
        test!(times_to_live, Tools, Nft),
        test!(questions_for_addresses, Tools, Nft),
        test!(targets_of_iptables, Tools, Iptables),
    ]
}

const PORT: u16 = 4444;

/// A packet and who waits for it.
struct Packet {
    from: &'static str,
    to: &'static str,
    listens: &'static str,
}

const FAR: Packet = Packet { from: "pod-a", to: "172.22.1.7", listens: "web-b" };
const FAR_6: Packet = Packet { to: "fd00:22:1::7", ..FAR };
const SERVICE: Packet = Packet { to: "10.96.0.10", ..FAR };
const NEAR: Packet = Packet { to: "172.22.0.252", listens: "pod-b", ..FAR };
const OWN: Packet = Packet { from: "host", to: "172.22.0.1", listens: "host" };

/// Whether a datagram arrives, and whether its answer does.
fn tried(node: &Node, packet: &Packet, sport: u16) -> (bool, bool) {
    let to: IpAddr = packet.to.parse().unwrap();
    let any = if to.is_ipv6() { "::".parse().unwrap() } else { IpAddr::from(Ipv4Addr::UNSPECIFIED) };
    let bound = |netns: &str, port: u16| {
        let socket = node.inside(netns, || UdpSocket::bind((any, port)).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(80))).unwrap();
        socket
    };
    let (listener, sender) = (bound(packet.listens, PORT), bound(packet.from, sport));
    // Who is told of a rule that rejects, or of a route that is none, learns it by an error.
    let _ = sender.send_to(b"there", (to, PORT));
    let Ok((_, whom)) = listener.recv_from(&mut [0; 16]) else { return (false, false) };
    let _ = listener.send_to(b"back", whom);
    let answer = sender.recv_from(&mut [0; 16]);
    (true, answer.is_ok_and(|(_, who)| who == SocketAddr::new(to, PORT)))
}

fn word(path: &Value) -> String {
    let verdict = &path["verdict"];
    let action = verdict["action"].as_str().unwrap_or("none");
    format!("{action}{}", if verdict["undecided"].is_null() { "" } else { ", perhaps" })
}

/// Rules, the packet, and what podnet has to say of it and of its answer, where it has to.
type Case = (&'static str, Packet, &'static str);

const CLEAN: &str = "for ns in host router pod-a pod-b node-b web-b; do at $ns nft flush ruleset; done";

fn hold(node: &Node, cases: Vec<Case>) {
    for (number, (rules, packet, wanted)) in cases.into_iter().enumerate() {
        node.sh(rules);
        let sport = 30_000 + number as u16;
        let Packet { from, to, .. } = packet;
        let trace = node.trace(&format!("{from} --to {to} --proto udp --sport {sport} --dport {PORT} --reply"));
        let (there, back) = (word(&trace["paths"][0]), word(&trace["paths"][1]));
        let (arrives, answered) = tried(node, &packet, sport);
        let told = format!("{rules}\n{there}; {back}; arrives: {arrives}, answered: {answered}\n{trace:#}");
        for (said, is) in [(there.as_str(), arrives), (back.as_str(), answered)] {
            assert!(is || said != "delivered" || said == back && !arrives, "{told}");
            assert!(!is || said != "dropped", "{told}");
        }
        assert_eq!(if back == "none" { there.clone() } else { format!("{there}; {back}") }, wanted, "{told}");
        node.sh(CLEAN);
    }
}

fn chains_are_asked_in_the_order_of_the_kernel() {
    let node = scene::reference();
    node.sh("ip route add blackhole 10.96.0.0/12");
    let both = "delivered; delivered";
    hold(
        &node,
        vec![
            // Of one place the newest is asked first.
            (
                "nft -f - <<'END'
                table ip one {
                    chain marks { type filter hook forward priority 0; meta mark set 1; }
                    chain asks { type filter hook forward priority 0; meta mark 1 drop; }
                }
END",
                FAR,
                both,
            ),
            (
                "nft -f - <<'END'
                table ip one {
                    chain asks { type filter hook forward priority 0; meta mark 1 drop; }
                    chain marks { type filter hook forward priority 0; meta mark set 1; }
                }
END",
                FAR,
                "dropped",
            ),
            // Which of two tables is older, nobody tells.
            (
                "nft add table ip one; nft -f - <<'END'
                table ip two { chain asks { type filter hook forward priority 0; meta mark 1 drop; }; }
                table ip one { chain marks { type filter hook forward priority 0; meta mark set 1; }; }
END",
                FAR,
                "delivered, perhaps; delivered, perhaps",
            ),
            // Addresses are given at one place, whatever the chain says, and what is asked behind it sees the new one.
            (
                "nft -f - <<'END'
                table ip one {
                    chain nat { type nat hook prerouting priority 0; ip daddr 10.96.0.10 dnat to 172.22.1.7; }
                    chain asks { type filter hook prerouting priority -50; ip daddr 10.96.0.10 drop; }
                }
END",
                SERVICE,
                both,
            ),
            (
                "nft -f - <<'END'
                table ip one {
                    chain nat { type nat hook prerouting priority -100; ip daddr 10.96.0.10 dnat to 172.22.1.7; }
                    chain asks { type filter hook prerouting priority 0; ip daddr 172.22.1.7 drop; }
                }
END",
                SERVICE,
                "dropped",
            ),
            // Without anything that follows connections nobody asks it.
            (
                "nft -f - <<'END'
                table ip one { chain nat { type nat hook prerouting priority -100; udp dport 4444 drop; }; }
END",
                FAR,
                "delivered, perhaps; delivered",
            ),
        ],
    );
}

fn marks_of_packets_that_are_sent() {
    let node = scene::reference();
    hold(
        &node,
        vec![
            (
                "at pod-a nft -f - <<'END'
                table ip one {
                    chain out { type filter hook output priority 0; meta mark set 1; }
                    chain post { type filter hook postrouting priority 0; meta mark 1 drop; }
                }
END",
                FAR,
                "dropped",
            ),
            (
                "ip -n pod-a rule add fwmark 7 lookup 100; ip -n pod-a route add blackhole default table 100
                at pod-a nft -f - <<'END'
                table ip one { chain out { type filter hook output priority 0; meta mark set 7; }; }
END",
                FAR,
                "delivered; delivered",
            ),
            // A chain of this sort has the packet routed once more.
            (
                "at pod-a nft -f - <<'END'
                table ip one { chain out { type route hook output priority 0; meta mark set 7; }; }
END",
                FAR,
                "unknown",
            ),
            (
                "ip rule add fwmark 7 lookup 100; ip route add blackhole default table 100
                nft -f - <<'END'
                table ip one { chain pre { type filter hook prerouting priority -150; ct mark set 7; meta mark set ct mark; }; }
END",
                FAR,
                "unknown",
            ),
        ],
    );
}

fn packets_to_oneself() {
    let node = scene::reference();
    let cases = [
        "table ip one { chain c { type filter hook postrouting priority 0; oifname lo udp dport 4444 drop; }; }",
        "table ip one { chain c { type filter hook prerouting priority 0; iifname lo udp dport 4444 drop; }; }",
        "table netdev one { chain c { type filter hook ingress device lo priority 0; udp dport 4444 drop; }; }",
    ];
    for rules in cases {
        node.sh(&format!("nft -f - <<'END'\n{rules}\nEND"));
        hold(&node, vec![("", OWN, "dropped")]);
    }
}

fn connections_that_are_not_followed() {
    let node = scene::reference();
    node.sh("ip route add blackhole 10.96.0.0/12");
    hold(
        &node,
        vec![
            (
                "nft -f - <<'END'
                table ip one {
                    chain raw { type filter hook prerouting priority -300; iifname cni0 notrack; }
                    chain c { type filter hook forward priority 0; policy drop; ct state established accept; iifname cni0 accept; }
                }
END",
                FAR,
                "delivered; delivered, perhaps",
            ),
            (
                "nft -f - <<'END'
                table ip one {
                    chain raw { type filter hook prerouting priority -300; iifname cni0 ct zone set 5; }
                    chain c { type filter hook forward priority 0; policy drop; ct state established accept; iifname cni0 accept; }
                }
END",
                FAR,
                "delivered; delivered, perhaps",
            ),
            (
                "nft -f - <<'END'
                table ip one {
                    chain raw { type filter hook prerouting priority -300; notrack; }
                    chain nat { type nat hook prerouting priority -100; ip daddr 10.96.0.10 dnat to 172.22.1.7; }
                }
END",
                SERVICE,
                "unknown, perhaps",
            ),
        ],
    );
}

fn connections_that_are_translated() {
    let node = scene::reference();
    node.sh("ip route add blackhole 10.96.0.0/12");
    hold(
        &node,
        vec![
            // Another namespace knows nothing of it.
            (
                "nft -f - <<'END'
                table ip one { chain nat { type nat hook prerouting priority -100; ip daddr 10.96.0.10 dnat to 172.22.1.7; }; }
END
                at node-b nft -f - <<'END'
                table ip one { chain c { type filter hook forward priority 0; policy drop; ct status dnat accept; }; }
END",
                SERVICE,
                "dropped",
            ),
            (
                "nft -f - <<'END'
                table ip one {
                    chain nat { type nat hook prerouting priority -100; ip daddr 10.96.0.10 dnat to 172.22.1.7; }
                    chain c { type filter hook forward priority 0; policy drop; ct status dnat accept; }
                }
END",
                SERVICE,
                "delivered; delivered, perhaps",
            ),
        ],
    );
}

fn frames_inside_a_bridge() {
    let node = scene::reference();
    node.sh("set_in host net.bridge.bridge-nf-call-iptables=1");
    hold(
        &node,
        vec![
            // Nothing is seen of where it came in.
            (
                "nft -f - <<'END'
                table ip one { chain c { type filter hook postrouting priority 0; iifname cni0 drop; }; }
END",
                NEAR,
                "delivered; delivered",
            ),
            (
                "nft -f - <<'END'
                table ip one { chain c { type filter hook postrouting priority 0; iifname != cni0 drop; }; }
END",
                NEAR,
                "dropped",
            ),
            (
                "nft -f - <<'END'
                table bridge one { chain c { type filter hook forward priority 0; iifname vetha drop; }; }
END",
                NEAR,
                "delivered, perhaps; delivered, perhaps",
            ),
            (
                "nft -f - <<'END'
                table netdev one { chain c { type filter hook ingress device cni0 priority 0; meta mark set 1; }; }
                table ip one { chain c { type filter hook forward priority 0; meta mark 1 drop; }; }
END",
                FAR,
                "dropped",
            ),
            // There and back by ways of which one is not shown to IP.
            (
                "set_in host net.bridge.bridge-nf-call-iptables=0
                ip -n pod-b route add 172.22.0.253/32 via 172.22.0.1
                nft -f - <<'END'
                table ip one { chain c { type filter hook forward priority 0; policy drop; ct state established accept; }; }
END",
                NEAR,
                "delivered; delivered, perhaps",
            ),
        ],
    );
}

fn times_to_live() {
    let node = scene::reference();
    assert!(node.reaches("pod-a", FAR_6.to));
    hold(
        &node,
        vec![
            (
                "nft -f - <<'END'
                table ip one { chain c { type filter hook prerouting priority 0; ip ttl set 2; }; }
END",
                FAR,
                "delivered, perhaps; delivered, perhaps",
            ),
            (
                "nft -f - <<'END'
                table ip6 one { chain c { type filter hook prerouting priority 0; ip6 hoplimit set 1; }; }
END",
                FAR_6,
                "delivered, perhaps; delivered, perhaps",
            ),
        ],
    );
}

fn questions_for_addresses() {
    let node = scene::reference();
    let input = |more: &str| {
        node.sh(&format!(
            "ip -n node-b -6 neigh flush all
            at web-b nft -f - <<'END'
            table ip6 one {{ chain c {{ type filter hook input priority 0; policy drop; {more} udp dport 4444 accept; }}; }}
END"
        ));
    };
    input("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept;");
    hold(&node, vec![("", FAR_6, "delivered; delivered")]);
    input("");
    hold(&node, vec![("", FAR_6, "unknown")]);
    node.sh("ip -n node-b neigh flush all; at web-b nft -f - <<'END'
        table arp one { chain c { type filter hook input priority 0; policy drop; }; }
END");
    hold(&node, vec![("", FAR, "unknown")]);
    node.sh("ip -n pod-a neigh flush all; at pod-a nft -f - <<'END'
        table arp one { chain c { type filter hook output priority 0; policy drop; }; }
END");
    hold(&node, vec![("", FAR, "unknown")]);
}

fn targets_of_iptables() {
    let apart = "iptables-legacy -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
        iptables-legacy -A FORWARD -i cni0 -j ACCEPT; iptables-legacy -P FORWARD DROP";
    for (rules, packet, wanted) in [
        ("iptables-legacy -t raw -A PREROUTING -i cni0 -j CT --zone 5", FAR, "delivered; delivered, perhaps"),
        ("iptables-legacy -t raw -A PREROUTING -i cni0 -j NOTRACK", FAR, "delivered; delivered, perhaps"),
        ("iptables-legacy -t mangle -A PREROUTING -j TTL --ttl-set 1", FAR, "delivered, perhaps; delivered, perhaps"),
        ("iptables-legacy -t mangle -A PREROUTING -j TTL --ttl-set 64", FAR, "delivered; delivered"),
        ("ip6tables-legacy -t mangle -A PREROUTING -j HL --hl-set 1", FAR_6, "delivered, perhaps; delivered, perhaps"),
        (
            "ip rule add fwmark 7 lookup 100; ip route add blackhole default table 100
            iptables-legacy -t mangle -A OUTPUT -j MARK --set-mark 7",
            Packet { from: "host", ..FAR },
            "unknown",
        ),
    ] {
        let node = scene::reference();
        assert!(node.reaches("pod-a", packet.to));
        node.sh(apart);
        hold(&node, vec![(rules, packet, wanted)]);
    }
}
