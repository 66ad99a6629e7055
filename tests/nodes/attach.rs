//! What `attach` makes works, is what the printed commands make, and nothing else is touched; what cannot come true is
//! refused before the first change.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::node::{Node, PODNET, eventually};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(both_families_work_and_detach_leaves_nothing, Tools),
        test!(the_printed_commands_do_the_same, Tools),
        test!(a_bridge_that_is_there_is_used_as_it_is, Tools),
        test!(what_cannot_come_true_is_refused_first, Tools),
        test!(a_full_bridge_is_refused, Tools),
        test!(settings_that_cannot_be_written_are_refused_first, Tools),
        test!(who_may_not_is_told_what_it_takes, Tools, Users),
        test!(a_port_that_does_not_forward_is_undone, Tools),
        test!(addresses_of_others_are_not_drawn, Tools),
        test!(an_ipv6_address_of_somebody_else_is_undone, Tools),
        test!(an_ipv6_address_of_somebody_else_is_refused, Tools),
        test!(point_to_point, Tools),
        test!(macvlan, Tools),
        test!(port_settings_and_routes, Tools),
        test!(neighbours_learn_the_new_address_at_once, Tools),
        test!(masquerade_beside_the_rules_of_others, Tools, Nft),
        test!(what_is_set_along_with_forwarding_is_put_back, Tools),
    ]
}

/// A node with namespaces of these names and an address store of its own.
pub fn node(names: &str) -> Node {
    // Without duplicate address detection a state is the same at any time.
    let node = Node::with("mount -t tmpfs tmpfs /var/lib; set_in host net.ipv6.conf.default.accept_dad=0");
    for name in names.split_whitespace() {
        node.sh(&format!(
            "ip netns add {name}; ip -n {name} link set lo up; set_in {name} net.ipv6.conf.default.accept_dad=0"
        ));
    }
    node
}

pub fn attach(node: &Node, args: &str) -> Value {
    node.podnet(&format!("attach {args} --json")).document("attach")
}

pub fn detach(node: &Node, args: &str) -> Value {
    node.podnet(&format!("detach {args} --json")).document("detach")
}

/// Everything that attach could change, as others tell it. Of the store what it holds, not where it went on.
pub fn state(node: &Node) -> BTreeMap<String, String> {
    let text = node.sh(
        "for ns in host $(ls /run/netns); do
            echo \"@@ $ns\"
            at $ns sh -c 'ip -d -j addr; ip -j route show table all; ip -6 -j route show table all; bridge -d -j link
                grep -rs . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward | grep -v secret || true'
         done
         echo '@@ store'
         find /var/lib /run/store -type f 2>/dev/null | grep -vE '/(lock|last_reserved_ip.*)$' | sort |
            while read file; do echo \"$file: $(cat \"$file\")\"; done
         echo '@@ rules'; nft list ruleset 2>&1 || true",
    );
    let parts = text.split("@@ ").skip(1).map(|part| part.split_once('\n').unwrap());
    parts.map(|(name, text)| (name.to_owned(), lines(text))).collect()
}

/// A line for each fact; of JSON without what changes by itself.
fn lines(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(Value::Array(items)) => {
                for item in items {
                    let name =
                        ["ifname", "dst"].iter().find_map(|key| item[key].as_str()).unwrap_or_default().to_owned();
                    facts(&name, &item, &mut lines);
                }
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.sort();
    lines.join("\n")
}

/// Each value with the way to it.
fn facts(way: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let clock = ["_timer", "life_time", "_detected", "topology_change", "tso_max_size", "tso_max_segs"]
                    .iter()
                    .any(|end| key.ends_with(end));
                if !clock {
                    facts(&format!("{way} {key}"), value, lines);
                }
            }
        }
        Value::Array(all) if way.ends_with("addr_info") => {
            for addr in all {
                facts(&format!("{way} {}", addr["local"].as_str().unwrap_or_default()), addr, lines);
            }
        }
        other => lines.push(format!("{way}: {other}")),
    }
}

#[track_caller]
pub fn same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>, what: &str) {
    for (part, text) in before {
        let differ = |a: &str, b: &str| -> Vec<String> {
            a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(str::to_owned).collect()
        };
        let now = &after[part];
        assert!(text == now, "{what}: {part}:\ngone: {:#?}\nnew: {:#?}", differ(text, now), differ(now, text));
    }
}

/// Both become the same once the kernel has done what it does in its own time: operational states, addresses of its own.
#[track_caller]
pub fn settles(
    mut one: impl FnMut() -> BTreeMap<String, String>,
    mut other: impl FnMut() -> BTreeMap<String, String>,
    what: &str,
) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (one, other) = (one(), other());
        if one == other || Instant::now() > deadline {
            return same(&one, &other, what);
        }
    }
}

fn both_families_work_and_detach_leaves_nothing() {
    let node = node("blue red");
    let before = state(&node);
    let both = "--subnet 10.88.0.0/24 --subnet fd00:88::/64";
    let blue = attach(&node, &format!("blue {both}"));
    let red = attach(&node, &format!("red {both} --ifname net1"));
    assert_eq!(blue["addrs"], serde_json::json!(["10.88.0.2/24", "fd00:88::2/64"]));
    assert_eq!(red["addrs"], serde_json::json!(["10.88.0.3/24", "fd00:88::3/64"]));
    assert_eq!((&blue["bridge_made"], &red["bridge_made"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(blue["sysctls"].as_array().unwrap().len(), 2, "{blue:#}");
    assert_eq!(red["sysctls"].as_array().unwrap().len(), 0, "{red:#}");
    // It works when podnet returns: the very first packet gets its answer.
    for (from, to) in [("blue", "10.88.0.1"), ("blue", "10.88.0.3"), ("red", "fd00:88::1"), ("red", "fd00:88::2")] {
        assert!(node.reaches(from, to), "{from} to {to}");
    }
    assert!(node.reaches("host", "fd00:88::3") && node.reaches("host", "10.88.0.2"));
    let link = &node.json("ip -n red -j link show dev net1")[0];
    assert_eq!(link["ifindex"], red["ifindex"]);
    let host = &node.json(&format!("ip -j link show dev {}", red["host_ifname"].as_str().unwrap()))[0];
    assert_eq!(host["master"], "podnet0");
    assert!(host["ifalias"].as_str().unwrap().contains("-red/net1 10.88.0.3 fd00:88::3"), "{host}");
    let queues = |at: &str, name: &Value| node.sh(&format!("at {at} ip -d -j link show {}", name.as_str().unwrap()));
    assert!(queues("red", &red["ifname"]).contains("\"num_tx_queues\":1,\"num_rx_queues\":1"));
    assert!(queues("host", &red["host_ifname"]).contains("\"num_tx_queues\":1,\"num_rx_queues\":1"));

    let gone = detach(&node, "blue");
    let what: Vec<_> = gone["removed"].as_array().unwrap().iter().map(|r| r["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["link", "address", "address"]);
    assert!(node.reaches("red", "10.88.0.1"), "the other one is not touched");
    let gone = detach(&node, "red --ifname net1");
    assert_eq!(gone["removed"][1]["what"], "bridge", "{gone:#}");
    node.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv4.conf.all.accept_redirects=1");
    same(&before, &state(&node), "after detach");
    assert_eq!(detach(&node, "blue")["removed"], serde_json::json!([]), "nothing to do is done, too");
}

/// Names, numbers and addresses that are made anew each time, made the same.
fn steady(state: BTreeMap<String, String>, replaced: &[(String, String)]) -> BTreeMap<String, String> {
    const DRAWN: [&str; 8] =
        [" address:", "bridge_id:", "root_id:", "designated_", "ifindex:", "link_index:", "netnsid:", " id:"];
    let steady = |text: &str| {
        let kept = text.lines().filter(|line| {
            let drawn = DRAWN.iter().any(|key| line.contains(key)) && !line.contains("02:00:5e");
            // Made of the link-layer address.
            !drawn && (!line.contains("fe80::") || line.contains("fe80::1 "))
        });
        let mut lines: Vec<String> =
            kept.map(|line| replaced.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to))).collect();
        lines.sort();
        lines.join("\n")
    };
    state.iter().map(|(part, text)| (part.clone(), steady(text))).collect()
}

/// So many links are up and have the address that the kernel makes up for each. That it is what begins with `fe80::`, and
/// not what has `fe80:` in it, is no trifle: one of 256 drawn link-layer addresses puts that into its end, too.
fn have_addresses(node: &Node, links: usize) {
    let have = |all: &str| (all.matches(" UP ").count(), all.matches(" fe80::").count());
    eventually("the links are up", || have(&node.sh("ip -br addr")) == (links, links));
}

fn the_printed_commands_do_the_same() {
    for args in [
        "--mac 02:00:5e:10:00:01",
        "--subnet 10.88.0.0/24 --subnet fd00:88::/64 --mtu 1400 --hairpin --isolated --mac 02:00:5e:10:00:01",
        "--address 10.88.0.9/24 --gateway 10.88.0.254 --route 10.99.0.0/16 --no-default-route --mac 02:00:5e:10:00:01",
        "--ptp --subnet 10.88.0.0/24 --subnet fd00:88::/64 --mac 02:00:5e:10:00:01",
        "--ptp --address 10.88.0.9/32 --gateway 169.254.1.1 --host-ifname cali7 --mac 02:00:5e:10:00:01",
        "--macvlan up0 --address 10.1.0.9/24 --gateway 10.1.0.1 --mac 02:00:5e:10:00:01",
        "--ifname net.7 --masquerade --mac 02:00:5e:10:00:01",
    ] {
        let make = || {
            let node = node("blue");
            node.sh("ip link add up0 type veth peer name up1; ip addr add 10.1.0.1/24 dev up0
                ip link set up0 up; ip link set up1 up");
            have_addresses(&node, 2);
            node
        };
        let (podnet, hand) = (make(), make());
        let before = state(&hand);
        let dry = hand.podnet(&format!("attach blue {args} --dry-run"));
        same(&before, &state(&hand), "a dry run changes nothing");
        let plan = attach(&hand, &format!("blue {args} --dry-run"));
        assert!(plan["dry_run"] == true && plan["verified"] == serde_json::json!([]), "{plan:#}");
        // The text is a script; what is not a command is a comment.
        hand.sh(dry.text());
        let commands: Vec<&str> = dry.text().lines().filter(|line| !line.starts_with('#')).collect();
        let steps: Vec<&str> =
            plan["steps"].as_array().unwrap().iter().map(|step| step["command"].as_str().unwrap()).collect();
        assert_eq!(commands, steps);
        let did = attach(&podnet, &format!("blue {args}"));
        let ids = |doc: &Value| {
            let steps = doc["steps"].as_array().unwrap().iter().map(|s| s["command"].as_str().unwrap());
            let alias = steps.rev().find(|step| step.contains("alias")).unwrap();
            let alias = alias[alias.find("podnet-").unwrap()..].split('/').next().unwrap().to_owned();
            let host_ifname = doc["host_ifname"].as_str().unwrap_or("-none-").to_owned();
            [(alias, "ID".to_owned()), (host_ifname, "HOSTEND".to_owned())]
        };
        assert!(state(&podnet)["host"].contains(did["host_ifname"].as_str().unwrap_or("up0")), "{did:#}");
        settles(|| steady(state(&podnet), &ids(&did)), || steady(state(&hand), &ids(&plan)), args);
        // What was made by hand is podnet's by what is written beside it.
        let gone = detach(&hand, &format!("blue --ifname {}", did["ifname"].as_str().unwrap()));
        assert!(!gone["removed"].as_array().unwrap().is_empty(), "{gone:#}");
    }
}

fn a_bridge_that_is_there_is_used_as_it_is() {
    let node = node("blue red");
    node.sh("ip link add cni0 type bridge; ip addr add 10.22.0.1/16 dev cni0; ip link set cni0 up
        ip link add lan type bridge; ip link set lan up");
    let blue = attach(&node, "blue --bridge cni0");
    assert_eq!(blue["addrs"], serde_json::json!(["10.22.0.2/16"]), "the bridge's own network");
    assert_eq!(blue["gateways"], serde_json::json!(["10.22.0.1"]));
    assert_eq!(blue["store"], "/var/lib/cni/networks/cni0");
    assert!(node.reaches("blue", "10.22.0.1"));
    // A bridge without an address is a switch: podnet gives it none.
    let red = attach(&node, "red --bridge lan --address 192.168.7.20/24");
    assert_eq!(red["gateways"], serde_json::json!([]));
    assert!(red["notes"][0].as_str().unwrap().contains("no gateway"), "{red:#}");
    assert_eq!(node.sh("ip -j -4 addr show dev lan | jq length").trim(), "0");
    detach(&node, "blue");
    detach(&node, "red");
    let left = node.json("ip -j link show type bridge");
    assert_eq!(left.as_array().unwrap().len(), 2, "podnet made neither: {left}");
    // Routers elsewhere on the switch are nobody's to make.
    node.sh("ip netns add router; ip link add r0 type veth peer name eth0 netns router; ip link set r0 master lan up
        ip -n router addr add 192.168.7.1/24 dev eth0; ip -n router link set eth0 up; ip -n router link set lo up");
    let red = attach(&node, "red --bridge lan --address 192.168.7.20/24 --gateway 192.168.7.1");
    assert_eq!(red["sysctls"], serde_json::json!([]), "the host passes nothing on: {red:#}");
    assert!(node.reaches("red", "192.168.7.1"));
}

/// The error of an attach that must not have changed anything.
#[track_caller]
pub fn refused(node: &Node, args: &str, before: &BTreeMap<String, String>) -> (String, Value) {
    let error = node.podnet(&format!("attach {args} --json")).refusal();
    same(before, &state(node), args);
    assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "no hint: {error}");
    (error["message"].as_str().unwrap().to_owned(), error)
}

fn what_cannot_come_true_is_refused_first() {
    let node = node("blue red other");
    node.sh("sysctl -qw net.ipv4.ip_forward=1; ip link add br0 type bridge; ip link set br0 up; ip addr add 10.5.0.1/24 dev br0
        ip link add wire type veth peer name far; ip link set wire up; ip link set far up
        ip addr add 10.6.0.1/16 dev wire; ip route add 10.7.0.0/16 via 10.6.0.2
        ip link add down0 type bridge
        ip -n red link add eth0 type bridge; ip -n red addr add 10.5.0.44/32 dev lo; ip -n red route add default dev lo
        ip link add o0 type veth peer name eth0 netns other; ip link set o0 master br0 up
        ip -n other addr add 10.5.0.9/24 dev eth0; ip -n other link set eth0 up");
    eventually("the port forwards", || {
        node.sh("bridge -j link show dev o0").contains("forwarding") && node.sh("ip link show br0").contains("state UP")
    });
    let cases = [
        ("host", "conflict", "podnet itself is in"),
        ("nowhere", "unknown-target", "nowhere"),
        ("blue --ifname lo", "usage", "loopback"),
        ("blue --ifname sixteen-bytes-xx", "usage", "16 bytes"),
        ("blue --ifname a/b", "usage", "does not take"),
        ("blue --host-ifname a:b", "usage", "does not take"),
        ("blue --bridge ..", "usage", "directory"),
        ("blue --mac 02:00", "usage", "2 bytes"),
        ("blue --mac 01:00:5e:00:00:01", "usage", "group"),
        ("blue --mac 00:00:00:00:00:00", "usage", "zero"),
        ("blue --mac nonsense", "usage", "nonsense"),
        ("blue --mtu 10", "usage", "MTU"),
        ("red", "conflict", "eth0 already"),
        ("blue --host-ifname wire", "conflict", "wire already"),
        ("blue --bridge wire", "conflict", "no bridge"),
        ("blue --bridge down0 --subnet 10.9.0.0/24", "conflict", "down"),
        ("blue --bridge br0 --mtu 9000", "conflict", "over"),
        ("blue --bridge br0 --address 10.5.0.9/24", "conflict", "in use"),
        ("blue --bridge br0 --address 10.5.0.1/24", "conflict", "br0"),
        ("red --bridge br0 --ifname net1 --address 10.5.0.44/24 --no-default-route", "conflict", "on lo already"),
        ("red --bridge br0 --ifname net1", "conflict", "default route already"),
        ("blue --subnet 10.6.0.0/24", "conflict", "wire"),
        ("blue --subnet 10.0.0.0/8", "conflict", "collides"),
        ("blue --subnet 10.7.3.0/24", "conflict", "10.7.0.0/16"),
        ("blue --ptp --subnet 10.6.0.0/24", "conflict", "collides"),
        ("blue --subnet 10.9.0.1/24", "usage", "not a network"),
        ("blue --subnet 10.9.0.0/31", "usage", "too small"),
        ("blue --subnet 10.9.0.0/24 --range 10.8.0.1-10.8.0.9", "usage", "no --subnet"),
        ("blue --address 10.9.0.0/24", "usage", "no host"),
        ("blue --address 10.9.0.255/24", "usage", "no host"),
        ("blue --address 224.0.0.1/24", "usage", "no host"),
        ("blue --address 10.9.0.7/24 --gateway 10.9.0.7", "conflict", "gateway"),
        ("blue --address 10.9.0.7/24 --gateway 10.8.0.1", "usage", "not in the network"),
        ("blue --address 10.9.0.7/24 --gateway fd00::1", "usage", "family"),
        ("blue --address 10.9.0.7/24 --address 10.9.0.7/24", "usage", "twice"),
        ("blue --address 10.9.0.7/24 --route fd00::/64,10.9.0.1", "usage", "families"),
        ("blue --gateway none --gateway 10.9.0.1", "usage", "both"),
        ("blue --ptp", "usage", "nothing says"),
        ("blue --ptp --bridge br0", "usage", "cannot be used"),
        ("blue --macvlan nowhere --address 10.9.0.7/24", "conflict", "no link nowhere"),
        ("blue --macvlan lo --address 10.9.0.7/24", "conflict", "loopback"),
        ("blue --macvlan o0 --address 10.9.0.7/24", "conflict", "port"),
        ("blue --network a/b", "usage", "network"),
        ("blue --ipam-dir /proc/nowhere", "failed", "address store"),
    ];
    let before = state(&node);
    for (args, id, words) in cases {
        let (message, error) = refused(&node, args, &before);
        assert_eq!(error["id"], id, "{args}: {error}");
        assert!(message.contains(words), "{args}: {message}");
    }
    // A store that is full or can only be read.
    node.sh("mkdir /run/full; mount -t tmpfs -o nr_inodes=3 tmpfs /run/full; mkdir /run/full/podnet0
        mkdir /run/ro; mount -t tmpfs -o ro tmpfs /run/ro");
    for (dir, words) in [("/run/full", "full"), ("/run/ro", "read-only")] {
        let (_, error) = refused(&node, &format!("blue --ipam-dir {dir}"), &before);
        let text = error.to_string();
        assert!(text.contains(words) || text.contains("No space"), "{text}");
    }
    // Without IPv6 there is none to give.
    node.sh("ip netns exec blue sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
    let (message, _) = refused(&node, "blue --subnet fd00:9::/64", &state(&node));
    assert!(message.contains("disable_ipv6"), "{message}");
    // And what is fine is fine.
    attach(&node, "blue --bridge br0");
}

fn a_full_bridge_is_refused() {
    let node = node("blue");
    node.sh("sysctl -qw net.ipv4.ip_forward=1; ip link add br0 type bridge; ip addr add 10.5.0.1/16 dev br0
        for i in $(seq 512); do echo link add p$i type veth peer name q$i; done >/run/batch
        for i in $(seq 512); do echo link set p$i master br0; done >>/run/batch
        for i in $(seq 511); do echo link set q$i master br0; done >>/run/batch
        ip -batch /run/batch; ip link set br0 up");
    let run = node.podnet("attach blue --bridge br0 --json");
    let error = run.refusal();
    assert!(error["message"].as_str().unwrap().contains("full"), "{error}");
    assert_eq!(node.sh("ip -n blue -j link | jq length").trim(), "1");
    assert_eq!(node.sh("ls /var/lib/cni/networks/br0").trim(), "lock");
}

fn settings_that_cannot_be_written_are_refused_first() {
    let node = node("blue");
    node.sh("mount -t proc -o ro proc /run/netns/../../proc || true; mount -o remount,ro /proc");
    let (message, error) = refused(&node, "blue", &state(&node));
    assert!(message.contains("net.ipv4.ip_forward") && message.contains("cannot be written"), "{error}");
    attach(&node, "blue --no-default-route");
}

fn who_may_not_is_told_what_it_takes() {
    let node = node("blue");
    let pid = node.process("blue");
    node.sh(&format!("cp {PODNET} /run/podnet-binary; chmod 755 /run/podnet-binary"));
    let before = state(&node);
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all";
    let without = |cap: &str| format!("setpriv --inh-caps=-{cap} --bounding-set=-{cap}");
    for who in [nobody.to_owned(), without("net_admin"), without("sys_admin")] {
        for what in ["attach", "detach"] {
            let (ok, text) = node.tries(&format!("{who} /run/podnet-binary {what} {pid}"));
            assert!(!ok && (text.contains("CAP_") || text.contains("root")), "{who} {what}: {text}");
        }
    }
    same(&before, &state(&node), "by those who may not");
}

fn a_port_that_does_not_forward_is_undone() {
    let node = node("blue");
    // A spanning tree makes each new port wait for 30 s.
    node.sh("sysctl -qw net.ipv4.ip_forward=1
        ip link add br0 address 02:00:00:00:00:aa type bridge stp_state 1; ip addr add 10.5.0.1/16 dev br0; ip link set br0 up");
    let before = state(&node);
    let error = node.podnet("attach blue --bridge br0 --wait 0.2 --json").refusal();
    assert!(error["message"].as_str().unwrap().contains("as a port of br0"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("undone"), "{error}");
    same(&before, &state(&node), "what does not work");
}

/// Of somebody who has taken it in no store, and of whom the host knows nothing yet.
fn addresses_of_others_are_not_drawn() {
    let node = node("blue red green silent wire");
    node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
        ip link add br0 type bridge; ip link set br0 up
        ip addr add 10.5.0.1/24 dev br0; ip addr add fd00:5::1/64 dev br0 nodad
        pod() {
            ip link add $1 type veth peer name eth0 netns $1; ip -n $1 link set eth0 up
            for addr in $2; do ip -n $1 addr add $addr dev eth0 nodad 2>/dev/null; done
            ip link set $1 ${3:-} up
        }
        pod silent '10.5.0.2/24 10.5.0.3/24 fd00:5::2/64' 'master br0'; pod wire '10.6.0.2/24 fd00:6::2/64'");
    eventually("the ports forward", || node.sh("bridge link show dev silent").contains("forwarding"));
    let drawn = |args: &str| {
        node.sh("ip neigh flush all; ip -6 neigh flush all");
        attach(&node, args)["addrs"].clone()
    };
    let nets = "--subnet 10.5.0.0/24 --subnet fd00:5::/64";
    assert_eq!(drawn(&format!("blue --bridge br0 {nets}")), json!(["10.5.0.4/24", "fd00:5::3/64"]));
    assert!(node.reaches("blue", "10.5.0.2") && node.reaches("blue", "fd00:5::2"), "they still work");
    let nets = "--subnet 10.6.0.0/24 --subnet fd00:6::/64";
    assert_eq!(drawn(&format!("red --macvlan wire {nets} --gateway none")), json!(["10.6.0.3/24", "fd00:6::3/64"]));
    // A link does not hear the macvlans on it: the kernel finds that out when it is too late for another address.
    node.sh("set_in green net.ipv6.conf.default.accept_dad=1");
    let before = state(&node);
    let same_again = "green --macvlan wire --subnet fd00:6::/64 --range fd00:6::3-fd00:6::9 --ipam-dir /run/store";
    let (message, _) = refused(&node, &format!("{same_again} --gateway none"), &before);
    assert!(message.contains("somebody else has fd00:6::3"), "{message}");
    // All of them are somebody's.
    let (message, _) = refused(&node, "green --bridge br0 --range 10.5.0.2-10.5.0.3 --subnet 10.5.0.0/24", &before);
    assert!(message.contains("every address of 10.5.0.0/24 from 10.5.0.2 to 10.5.0.3 is taken"), "{message}");
}

fn an_ipv6_address_of_somebody_else_is_refused() {
    let node = node("blue red");
    node.sh("sysctl -qw net.ipv6.conf.all.forwarding=1");
    attach(&node, "red --subnet fd00:88::/64 --address fd00:88::9/64");
    // Of a store of its own, which does not know of the other one's address.
    let (message, _) = refused(&node, "blue --address fd00:88::9/64 --ipam-dir /run/store", &state(&node));
    assert!(message.contains("fd00:88::9 is in use already"), "{message}");
}

fn an_ipv6_address_of_somebody_else_is_undone() {
    let node = node("blue red");
    node.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up
        set_in blue net.ipv6.conf.default.accept_dad=1");
    have_addresses(&node, 2);
    attach(&node, "red --macvlan up0 --address fd00:88::9/64");
    let before = state(&node);
    // Nobody on the host can ask a macvlan, so it is the kernel that finds out.
    let error = node.podnet("attach blue --macvlan up0 --address fd00:88::9/64 --ipam-dir /run/store --json").refusal();
    assert!(error.to_string().contains("somebody else has fd00:88::9"), "{error}");
    same(&before, &state(&node), "an address that is in use");
}

fn point_to_point() {
    let node = node("blue red");
    let before = state(&node);
    attach(&node, "blue --ptp --subnet 10.88.0.0/24 --subnet fd00:88::/64");
    attach(&node, "red --ptp --address 10.88.0.77/32 --gateway 169.254.1.1");
    node.sh("ip -n red addr; ip -n red route");
    assert!(node.reaches("blue", "10.88.0.1") && node.reaches("blue", "fd00:88::1"));
    assert!(node.reaches("red", "10.88.0.2"), "from pod to pod");
    assert!(node.reaches("blue", "10.88.0.77"), "and back");
    assert!(node.reaches("host", "10.88.0.77") && node.reaches("host", "fd00:88::2"));
    assert_eq!(node.json("ip -j link show type bridge"), serde_json::json!([]));
    detach(&node, "blue");
    detach(&node, "red");
    node.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv4.conf.all.accept_redirects=1");
    same(&before, &state(&node), "after detach");
    // IPv6 alone, by the link-local address that is the same for all.
    attach(&node, "blue --ptp --address fd00:88::7/128");
    assert!(node.reaches("host", "fd00:88::7"));
    assert!(node.sh("ip -n blue -6 route").contains("default via fe80::1"));
}

fn macvlan() {
    let node = node("blue red router");
    node.sh("ip link add up0 type veth peer name eth0 netns router; ip link set up0 up
        ip -n router addr add 10.1.0.1/24 dev eth0; ip -n router link set eth0 up");
    eventually("the router is up", || node.sh("ip -n router link show eth0").contains("state UP"));
    let before = state(&node);
    let blue = attach(&node, "blue --macvlan up0 --subnet 10.1.0.0/24 --gateway 10.1.0.1");
    assert_eq!((&blue["lower"], &blue["host_ifname"]), (&Value::from("up0"), &Value::Null));
    attach(&node, "red --macvlan up0 --subnet 10.1.0.0/24");
    assert!(node.reaches("blue", "10.1.0.1"), "the router");
    assert!(node.reaches("blue", "10.1.0.3"), "the other macvlan");
    detach(&node, "blue");
    detach(&node, "red");
    same(&before, &state(&node), "after detach");
}

fn port_settings_and_routes() {
    let node = node("blue red green");
    attach(&node, "blue --isolated --route 10.99.0.0/16 --route 10.98.0.0/16,10.213.0.77");
    attach(&node, "red --isolated --hairpin --no-default-route");
    attach(&node, "green");
    assert!(!node.ping("blue", "10.213.0.3"), "isolated from the other isolated one");
    assert!(
        node.reaches("blue", "10.213.0.4") && node.reaches("red", "10.213.0.4") && node.reaches("blue", "10.213.0.1")
    );
    let routes = node.sh("ip -n blue route");
    assert!(routes.contains("10.99.0.0/16 via 10.213.0.1 dev eth0"), "{routes}");
    assert!(routes.contains("10.98.0.0/16 via 10.213.0.77 dev eth0"), "{routes}");
    assert!(!node.sh("ip -n red route").contains("default"));
    let ports = node.json("bridge -d -j link");
    let hairpin = ports.as_array().unwrap().iter().filter(|port| port["hairpin"] == true).count();
    let isolated = ports.as_array().unwrap().iter().filter(|port| port["isolated"] == true).count();
    assert_eq!((hairpin, isolated), (1, 2));
}

fn neighbours_learn_the_new_address_at_once() {
    let node = node("blue red");
    for family in ["10.88.0", "fd00:88:"] {
        let net = if family.contains(':') { "fd00:88::/64" } else { "10.88.0.0/24" };
        let (red, blue) =
            if family.contains(':') { ("fd00:88::8/64", "fd00:88::9") } else { ("10.88.0.8/24", "10.88.0.9") };
        let len = net.rsplit('/').next().unwrap();
        attach(&node, &format!("red --subnet {net} --address {red}"));
        attach(&node, &format!("blue --subnet {net} --address {blue}/{len} --mac 02:00:00:00:00:01"));
        assert!(node.reaches("red", blue));
        detach(&node, "blue");
        attach(&node, &format!("blue --subnet {net} --address {blue}/{len} --mac 02:00:00:00:00:02"));
        // Before a single packet, who knew the old address knows the new one.
        eventually("the neighbour knows", || {
            node.sh(&format!("ip -n red neigh show to {blue}")).contains("02:00:00:00:00:02")
        });
        detach(&node, "blue");
        detach(&node, "red");
    }
}

fn masquerade_beside_the_rules_of_others() {
    let node = node("blue red green outside");
    node.sh(
        "ip link add up0 type veth peer name eth0 netns outside; ip addr add 192.0.2.1/24 dev up0; ip link set up0 up
        ip addr add 2001:db8::1/64 dev up0 nodad
        ip -n outside addr add 192.0.2.2/24 dev eth0; ip -n outside addr add 2001:db8::2/64 dev eth0 nodad
        ip -n outside link set eth0 up
        nft 'add table ip nat; add chain ip nat POSTROUTING { type nat hook postrouting priority 100; };
             add rule ip nat POSTROUTING ip saddr 172.17.0.0/16 masquerade comment \"of somebody else\"'",
    );
    let rules = node.sh("nft list ruleset");
    let both = "--subnet 10.88.0.0/24 --subnet fd00:88::/64";
    attach(&node, &format!("blue {both}"));
    assert!(!node.ping("blue", "192.0.2.2"), "outside knows no way back");
    detach(&node, "blue");
    attach(&node, &format!("blue {both} --masquerade"));
    attach(&node, &format!("red {both} --masquerade"));
    assert!(node.reaches("blue", "192.0.2.2") && node.reaches("red", "2001:db8::2"));
    // Where others let nothing pass, that is said.
    node.sh(
        "nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'",
    );
    let said = attach(&node, "green --masquerade");
    assert!(said["notes"].to_string().contains("the policy of ip filter FORWARD is drop"), "{said:#}");
    assert!(!node.ping("green", "192.0.2.2"));
    node.sh("nft add rule ip filter FORWARD accept");
    assert!(node.reaches("green", "192.0.2.2"));
    detach(&node, "green");
    node.sh("nft delete table ip filter");
    // Among themselves they see each other's own addresses.
    assert!(node.ping("blue", "10.88.0.4") || node.ping("blue", "10.88.0.3"));
    let gone = detach(&node, "blue");
    assert_eq!(gone["removed"][0]["what"], "rule", "rules go first: {gone:#}");
    assert!(node.reaches("red", "192.0.2.2"), "the other's rules stay");
    detach(&node, "red");
    assert_eq!(node.sh("nft list ruleset"), rules, "and nothing else changed");
    // Without nft it is refused before anything is changed.
    let before = state(&node);
    let script = format!(
        "mkdir /run/empty; mount --bind /run/empty /usr/sbin; PATH=/usr/bin:/bin {PODNET} attach blue --masquerade --json"
    );
    let (ok, text) = node.tries(&script);
    assert!(!ok && text.contains("nft"), "{text}");
    node.sh("umount /usr/sbin");
    same(&before, &state(&node), "without nft");
}

fn what_is_set_along_with_forwarding_is_put_back() {
    let node = node("blue");
    node.sh("ip link add up0 type veth peer name up1; sysctl -qw net.ipv4.conf.up0.forwarding=1
        sysctl -qw net.ipv6.conf.up1.forwarding=1 net.ipv4.conf.all.accept_redirects=0
        ip link add br0 address 02:00:00:00:00:aa type bridge stp_state 1; ip addr add 10.5.0.1/16 dev br0; ip addr add fd00:5::1/64 dev br0 nodad
        ip link set br0 up");
    let before = state(&node);
    let error = node.podnet("attach blue --bridge br0 --wait 0 --json").refusal();
    assert!(error["hint"].as_str().unwrap().contains("undone"), "{error}");
    same(&before, &state(&node), "settings");
}
