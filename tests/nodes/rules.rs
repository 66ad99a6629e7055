//! Rules of netfilter against real packets: rules drawn from all that podnet reads, and a datagram that arrives or not.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::Value;

use super::node::{Node, in_ci};
use super::scene;
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(drawn_rules_of_nftables, Tools, Nft),
        test!(drawn_rules_of_iptables_nft, Tools, Iptables),
        test!(drawn_rules_of_legacy_iptables, Tools, Iptables),
    ]
}

const WEB_B: &str = "172.22.1.7";
const PORT: u16 = 4444;

/// Rulesets a test draws, where nothing else is asked for, and where a change is tested.
const DRAWN: (u64, u64) = (8, 60);

/// A small generator; the seed stands in what a failure prints.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }

    fn of<'a>(&mut self, pool: &[&'a str]) -> &'a str {
        pool[self.below(pool.len())]
    }
}

fn seeds() -> impl Iterator<Item = u64> {
    let asked = std::env::var("PODNET_RULESETS").ok().and_then(|text| text.parse().ok());
    1..=asked.unwrap_or(if in_ci() { DRAWN.1 } else { DRAWN.0 })
}

const NFT: [&str; 34] = [
    "ip saddr 172.22.0.253",
    "ip saddr 172.22.0.0/24",
    "ip saddr != 172.22.0.0/16",
    "ip saddr 172.22.0.0-172.22.0.200",
    "ip daddr 172.22.1.7",
    "ip daddr != 172.22.1.7",
    "ip daddr { 10.0.0.1, 172.22.1.0/24 }",
    "ip daddr != { 10.0.0.1, 10.1.0.0/16 }",
    "udp dport 4000-5000",
    "udp dport { 53, 4444 }",
    "udp dport != { 1-100, 4000-4100 }",
    "udp sport > 30000",
    "udp sport < 20000",
    "tcp dport 4444",
    "th dport 4444",
    "meta l4proto tcp",
    "meta l4proto { udp, icmp }",
    "ip protocol udp",
    "iifname cni0",
    "iifname \"cni*\"",
    "iifname { lo, eth0 }",
    "oifname eth0",
    "oifname != \"eth*\"",
    "iif cni0",
    "ct state new",
    "ct state established,related",
    "ct state invalid",
    "ct state { new, untracked }",
    "meta mark 0",
    "meta mark and 0x3 == 1",
    "ip daddr . udp dport @pairs",
    "ip saddr @nets",
    "fib daddr type local",
    "ip saddr . ip daddr { 172.22.0.253 . 172.22.1.7 }",
];

const NFT_VERDICTS: [&str; 14] = [
    "accept",
    "drop",
    "drop",
    "reject",
    "return",
    "jump c1",
    "jump c2",
    "goto c2",
    "counter",
    "meta mark set 1",
    "log",
    "ct state vmap { new : jump c1, established : drop }",
    "udp dport vmap { 1-1000 : drop, 4444 : goto c2 }",
    "ip saddr . udp dport vmap { 172.22.0.253 . 4444 : accept, 10.0.0.1 . 1-3 : drop }",
];

fn nft(draw: &mut Draw) -> String {
    let family = if draw.below(2) == 0 { "ip" } else { "inet" };
    let policy = if draw.below(3) == 0 { "drop" } else { "accept" };
    let mut rules = |verdicts: &[&str]| -> String {
        let count = 1 + draw.below(4);
        let rule = |_| {
            let conditions: Vec<&str> = (0..draw.below(3)).map(|_| draw.of(&NFT)).collect();
            format!("        {} {}\n", conditions.join(" "), draw.of(verdicts))
        };
        (0..count).map(rule).collect()
    };
    let inner = ["accept", "drop", "return", "counter", "goto c2", "meta mark set 1"];
    let last = ["accept", "drop", "return", "counter"];
    format!(
        "table {family} fw {{
    set nets {{ type ipv4_addr; flags interval; elements = {{ 10.0.0.0/8, 172.22.0.128/25 }}; }}
    set pairs {{ type ipv4_addr . inet_service; flags interval; elements = {{ 172.22.1.0/24 . 4400-4500, 10.0.0.1 . 1 }}; }}
    chain c2 {{
{}    }}
    chain c1 {{
{}    }}
    chain pre {{ type filter hook prerouting priority -150;
{}    }}
    chain forwarded {{ type filter hook forward priority 0; policy {policy};
{}    }}
}}\n",
        rules(&last),
        rules(&inner),
        rules(&NFT_VERDICTS),
        rules(&NFT_VERDICTS),
    )
}

const IPTABLES: [&str; 24] = [
    "-s 172.22.0.253",
    "-s 172.22.0.0/24",
    "! -s 172.22.0.0/16",
    "-d 172.22.1.0/24",
    "! -d 172.22.1.7",
    "-i cni0",
    "-i cni+",
    "! -i cni0",
    "-p udp",
    "! -p tcp",
    "-p tcp",
    "-p udp --dport 4444",
    "-p udp ! --dport 4000:5000",
    "-p udp --sport 20000:60000",
    "-p udp -m multiport --dports 53,4400:4500",
    "-p udp -m multiport ! --ports 53,54",
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "-m conntrack ! --ctstate INVALID",
    "-m state --state NEW",
    "-m mark --mark 0x1/0x1",
    "-m mark ! --mark 0x1",
    "-m addrtype --dst-type LOCAL",
    "-m addrtype ! --dst-type LOCAL",
];

fn iptables(tool: &str, draw: &mut Draw) -> String {
    let mut script = format!("{tool} -N C1; {tool} -N C2; {tool} -t mangle -N C1\n");
    let mut rules = |table: &str, chain: &str, verdicts: &[&str]| {
        for _ in 0..1 + draw.below(4) {
            let mut condition = draw.of(&IPTABLES).to_owned();
            // A second one that is not of the same sort.
            let second = draw.of(&IPTABLES);
            let sort = |text: &str| text.trim_start_matches("! ")[..2].to_owned();
            let sorts = [sort(&condition), sort(second)];
            if draw.below(2) == 0 && sorts[0] != sorts[1] {
                condition = format!("{condition} {second}");
            }
            let verdict = draw.of(verdicts);
            let verdict = if table == "filter" { verdict } else { verdict.trim_start_matches("-j REJECT") };
            script
                .push_str(&format!("{tool} -t {table} -A {chain} {condition} -m comment --comment drawn {verdict}\n"));
        }
    };
    let last = ["-j ACCEPT", "-j DROP", "-j RETURN", ""];
    rules("filter", "C2", &last);
    rules("filter", "C1", &["-j ACCEPT", "-j DROP", "-j RETURN", "-g C2", "-j C2"]);
    rules("filter", "FORWARD", &["-j ACCEPT", "-j DROP", "-j REJECT", "-j C1", "-g C2", "-j C2", "-j LOG"]);
    rules("mangle", "C1", &last);
    let marking = ["-j ACCEPT", "-j DROP", "-j C1", "-g C1"];
    rules("mangle", "PREROUTING", &marking);
    if draw.below(3) == 0 {
        script.push_str(&format!("{tool} -P FORWARD DROP\n"));
    }
    script
}

/// Whether a datagram from the pod arrives.
fn arrives(node: &Node, sport: u16) -> bool {
    let taken = node.inside("web-b", || UdpSocket::bind((WEB_B, PORT)).unwrap());
    node.inside("pod-a", || {
        let from = UdpSocket::bind(("172.22.0.253", sport)).unwrap();
        // Who is told of a rule that rejects learns it by an error of a later call.
        from.send_to(b"drawn", (WEB_B, PORT)).unwrap();
    });
    taken.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
    taken.recv(&mut [0; 16]).is_ok()
}

/// Each ruleset is loaded, asked about and tried.
fn held_against_packets(rules: impl Fn(&mut Draw) -> String, load: &str, unload: &str) {
    let node = scene::reference();
    assert!(node.reaches("pod-a", WEB_B));
    let (mut passed, mut dropped) = (0, 0);
    for seed in seeds() {
        let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text = rules(&mut draw);
        // What contradicts itself, as TCP's port of a UDP packet, the tools refuse.
        if !node.succeeds(&format!("{load} <<'END'\n{text}END")) {
            node.sh(unload);
            continue;
        }
        let sport = 20_000 + seed as u16 * 7;
        let args = format!("pod-a --to {WEB_B} --proto udp --sport {sport} --dport {PORT}");
        let trace = match passed + dropped {
            0 | 1 => node.trace(&args),
            _ => node.podnet(&format!("trace {args} --json")).trace(),
        };
        let verdict = &trace["paths"][0]["verdict"];
        let arrived = arrives(&node, sport);
        let hops = trace["paths"][0]["hops"].as_array().unwrap();
        let chains: Vec<&Value> = hops.iter().filter_map(|hop| hop.get("chains")).collect();
        let told = format!("seed {seed}\n{text}\narrived: {arrived}\n{verdict:#}\n{chains:#?}");
        match verdict["action"].as_str().unwrap() {
            // All that the rules look at is known of the packet.
            "delivered" if verdict["undecided"].is_null() && arrived => passed += 1,
            "dropped" if !arrived => dropped += 1,
            _ => panic!("{told}"),
        }
        node.sh(unload);
    }
    assert!(passed > 0 && dropped > 0, "{passed} arrived, {dropped} did not");
}

fn drawn_rules_of_nftables() {
    held_against_packets(nft, "nft -f -", "nft flush ruleset");
}

fn drawn_rules_of_iptables_nft() {
    let unload =
        "iptables-nft -P FORWARD ACCEPT; for t in filter mangle; do iptables-nft -t $t -F; iptables-nft -t $t -X; done";
    held_against_packets(|draw| iptables("iptables-nft", draw), "sh -eu", unload);
}

fn drawn_rules_of_legacy_iptables() {
    let unload = "iptables-legacy -P FORWARD ACCEPT
        for t in filter mangle; do iptables-legacy -t $t -F; iptables-legacy -t $t -X; done";
    held_against_packets(|draw| iptables("iptables-legacy", draw), "sh -eu", unload);
}
