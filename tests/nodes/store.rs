//! Addresses: those that the CNI host-local plugin would give, never one twice, whoever asks and however many at once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::attach::{attach, detach, node, settles, state};
use super::needs::CNI;
use super::node::{Node, PODNET, in_ci};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(ranges_and_what_is_never_given, Tools),
        test!(the_plugin_reads_what_podnet_writes, Tools, Cni),
        test!(podnet_and_the_plugins_share_a_bridge, Tools, Cni),
        test!(many_at_once, Tools),
        test!(a_file_system_without_unnamed_files, Tools, Strace),
        test!(named_addresses_are_taken, Tools, Cni),
        test!(a_crowd_has_to_wait_and_nobody_fails, Tools),
    ]
}

fn ranges_and_what_is_never_given() {
    let node = node("a b c d e f");
    node.sh("sysctl -qw net.ipv4.ip_forward=1");
    let addr =
        |name: &str, args: &str| attach(&node, &format!("{name} {args}"))["addrs"][0].as_str().unwrap().to_owned();
    let part =
        "--subnet 10.9.0.0/24 --range 10.9.0.10-10.9.0.12 --gateway 10.9.0.11 --ipam-dir /run/store --network web";
    assert_eq!(addr("a", part), "10.9.0.10/24");
    assert_eq!(addr("b", part), "10.9.0.12/24", "not the gateway's");
    let error = node.podnet(&format!("attach c {part} --json")).refusal();
    assert!(
        error["message"].as_str().unwrap().contains("taken") && error["hint"].as_str().unwrap().contains("--gc"),
        "{error}"
    );
    detach(&node, "a");
    assert_eq!(addr("c", part), "10.9.0.10/24");
    assert_eq!(node.sh("ls /run/store/web"), "10.9.0.10\n10.9.0.12\nlast_reserved_ip.0\nlock\n");
    // One that was named is taken, too, and only once.
    let named = "--subnet 10.9.0.0/24 --address 10.9.0.99/24 --ipam-dir /run/store --network web";
    assert_eq!(addr("d", named), "10.9.0.99/24");
    let error = node.podnet(&format!("attach e {named} --json")).refusal();
    assert!(error["message"].as_str().unwrap().contains("10.9.0.99 is taken"), "{error}");
    // What somebody uses without having taken it is passed over.
    node.sh("ip netns exec f true; ip link add f0 type veth peer name eth0 netns f; ip link set f0 master podnet0 up
        ip -n f addr add 10.9.0.13/24 dev eth0; ip -n f link set eth0 up");
    assert!(node.reaches("f", "10.9.0.11"));
    let rest =
        "--subnet 10.9.0.0/24 --range 10.9.0.13-10.9.0.20 --gateway 10.9.0.11 --ipam-dir /run/store --network web";
    let e = attach(&node, &format!("e {rest}"));
    assert_eq!(e["addrs"], json!(["10.9.0.14/24"]));
    assert!(e["notes"][0].as_str().unwrap().contains("10.9.0.13 was passed over"), "{e:#}");
}

/// A network for the plugins, on podnet's bridge and in its store.
fn conflist(bridge: &str) -> String {
    let ranges = json!([[{"subnet": "10.22.0.0/24"}], [{"subnet": "fd00:22::/64"}]]);
    json!({
        "cniVersion": "0.4.0", "name": bridge, "type": "bridge", "bridge": bridge, "isGateway": true,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]},
    })
    .to_string()
}

/// What a plugin answers to a command for a namespace.
fn cni(node: &Node, command: &str, netns: &str, config: &str) -> (bool, String) {
    node.tries(&format!(
        "export CNI_COMMAND={command} CNI_CONTAINERID=cni-{netns} CNI_NETNS=/run/netns/{netns} CNI_IFNAME=eth0 CNI_PATH={CNI}
         {CNI}/bridge <<'EOF'\n{config}\nEOF"
    ))
}

/// Adds a pod by the plugins, to which podnet has left the addresses from the third on.
fn the_plugin_gives_the_third(node: &Node, netns: &str) {
    let (ok, text) = cni(node, "ADD", netns, &conflist("cni0"));
    let result: Value = serde_json::from_str(&text).unwrap();
    assert!(ok, "{text}");
    assert_eq!(
        (&result["ips"][0]["address"], &result["ips"][1]["address"]),
        (&json!("10.22.0.3/24"), &json!("fd00:22::3/64"))
    );
}

fn the_plugin_reads_what_podnet_writes() {
    let node = node("a b");
    node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    let nets = "--bridge cni0 --subnet 10.22.0.0/24 --subnet fd00:22::/64";
    let a = attach(&node, &format!("a {nets}"));
    assert_eq!(a["addrs"], json!(["10.22.0.2/24", "fd00:22::2/64"]));
    the_plugin_gives_the_third(&node, "b");
    // Both sorts of file are of one form.
    let form = |addr: &str| node.sh(&format!("od -c /var/lib/cni/networks/cni0/{addr} | grep -c '\\\\r  *\\\\n'"));
    assert_eq!(form("10.22.0.2"), form("10.22.0.3"));
    assert!(node.reaches("a", "10.22.0.3") && node.reaches("b", "fd00:22::2"));
    // The plugin gives back what podnet took, by the id that it is written under.
    let entry = node.sh("head -1 /var/lib/cni/networks/cni0/10.22.0.2");
    let id = entry.trim();
    let ipam = conflist("cni0");
    node.sh(&format!("CNI_COMMAND=DEL CNI_CONTAINERID={id} CNI_NETNS=/run/netns/a CNI_IFNAME=eth0 CNI_PATH={CNI} {CNI}/host-local <<'EOF'\n{ipam}\nEOF"));
    assert_eq!(
        node.sh("ls /var/lib/cni/networks/cni0"),
        "10.22.0.3\nfd00:22::3\nlast_reserved_ip.0\nlast_reserved_ip.1\nlock\n"
    );
}

fn podnet_and_the_plugins_share_a_bridge() {
    let names: Vec<String> = (0..12).map(|i| format!("p{i}")).collect();
    let node = node(&names.join(" "));
    node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    let config = conflist("cni0");
    node.sh(&format!("cat >/run/net.json <<'EOF'\n{config}\nEOF"));
    // Both at once, in turn for each of the namespaces, and again.
    let script = format!(
        "one() {{
            if [ $(( $1 % 2 )) = 0 ]; then
                {PODNET} attach p$1 --bridge cni0 --subnet 10.22.0.0/24 --subnet fd00:22::/64 >/run/out$1 2>&1
            else
                CNI_COMMAND=ADD CNI_CONTAINERID=cni-p$1 CNI_NETNS=/run/netns/p$1 CNI_IFNAME=eth0 CNI_PATH={CNI} \
                    {CNI}/bridge </run/net.json >/run/result$1 2>&1
            fi || {{ echo \"$1 failed: $(cat /run/out$1 /run/result$1)\"; }}
        }}
        two() {{
            if [ $(( $1 % 2 )) = 0 ]; then {PODNET} detach p$1 >/run/out$1 2>&1
            else CNI_COMMAND=DEL CNI_CONTAINERID=cni-p$1 CNI_NETNS=/run/netns/p$1 CNI_IFNAME=eth0 CNI_PATH={CNI} \
                    {CNI}/bridge </run/net.json >/run/out$1 2>&1
            fi || echo \"$1 failed: $(cat /run/out$1)\"
        }}"
    );
    // The plugin does not bear that somebody else makes the bridge at the same moment.
    node.sh(&format!("{script}\n one 1"));
    let rounds = if in_ci() { 5 } else { 1 };
    for round in 0..rounds {
        let said = node.sh(&format!("{script}\n for i in 0 2 3 4 5 6 7 8 9 10 11; do one $i & done; wait"));
        assert_eq!(said, "", "round {round}");
        let mut addrs = BTreeSet::new();
        for name in &names {
            for link in node.json(&format!("ip -n {name} -j addr show dev eth0 scope global")).as_array().unwrap() {
                // Of another scope there is an empty one.
                for addr in link["addr_info"].as_array().into_iter().flatten().filter_map(|addr| addr["local"].as_str())
                {
                    assert!(addrs.insert(addr.to_owned()), "{addr} twice");
                }
            }
        }
        assert_eq!(addrs.len(), 24, "{addrs:?}");
        assert_eq!(node.json("bridge -j link").as_array().unwrap().len(), 12);
        for odd in (1..12).step_by(2) {
            let prev: Value = serde_json::from_str(&node.sh(&format!("cat /run/result{odd}"))).unwrap();
            let mut config: Value = serde_json::from_str(&config).unwrap();
            config["prevResult"] = prev;
            let (ok, text) = cni(&node, "CHECK", &format!("p{odd}"), &config.to_string());
            assert!(ok, "CHECK of p{odd}: {text}");
        }
        let said = node.sh(&format!("{script}\n for i in 0 2 3 4 5 6 7 8 9 10 11; do two $i & done; wait"));
        assert_eq!(said, "", "round {round}");
        assert_eq!(node.json("bridge -j link").as_array().unwrap().len(), 1);
    }
    let left = node.sh("ls /var/lib/cni/networks/cni0");
    assert_eq!(left.lines().count(), 5, "the one that stayed, with its two addresses: {left}");
}

/// Attaches and detaches of as many namespaces at once, over and over; each process sees to its own.
fn many_at_once() {
    let (processes, rounds) = if in_ci() { (200, 1) } else { (12, 3) };
    let names: Vec<String> = (0..processes).map(|i| format!("p{i}")).collect();
    let node = node(&names.join(" "));
    node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    let before = state(&node);
    let said = node.sh(&format!(
        "one() {{
            for round in $(seq {rounds}); do
                {PODNET} attach p$1 >/run/out$1 2>&1 || {{ echo \"$1: $(cat /run/out$1)\"; return; }}
                # What nobody else may have at this moment.
                mkdir /run/has-$(ip -n p$1 -4 -o addr show dev eth0 | tr -s ' ' | cut -d' ' -f4 | tr / -) || echo \"$1 twice\"
                at p$1 ping -q -c 1 -w 5 10.213.0.1 >/run/out$1 || echo \"$1: no answer\"
                rmdir /run/has-$(ip -n p$1 -4 -o addr show dev eth0 | tr -s ' ' | cut -d' ' -f4 | tr / -)
                {PODNET} detach p$1 >/run/out$1 2>&1 || {{ echo \"$1: $(cat /run/out$1)\"; return; }}
            done
        }}
        for i in $(seq 0 {}); do one $i & done; wait", processes - 1
    ));
    assert_eq!(said, "");
    settles(|| before.clone(), || state(&node), "after all");
}

/// Whoever waits behind others that get on with it is served; one that holds the lock and does nothing is told of.
fn a_crowd_has_to_wait_and_nobody_fails() {
    let node = node("blue");
    node.sh("sysctl -qw net.ipv4.ip_forward=1; mkdir /run/podnet");
    let held =
        |by: &str| format!("flock /run/podnet/lock sh -c '{by}' & while flock -n /run/podnet/lock true; do :; done; ");
    let busy = held("for i in 1 2 3 4 5; do echo [] >/run/podnet/lock; sleep 0.2; done");
    node.sh(&format!("{busy} {PODNET} attach blue --wait 0.6 >/run/out; {PODNET} detach blue >/run/out"));
    let idle = held("exec sleep infinity");
    for command in ["attach", "detach"] {
        let (ok, text) = node.tries(&format!("({idle}) >/run/out 2>&1; {PODNET} {command} blue --wait 0.2"));
        assert!(!ok && text.contains("done nothing for 0.2 s") && text.contains("fuser"), "{text}");
        // A signal ends the waiting.
        let (ok, text) = node.tries(&format!("timeout 0.2 {PODNET} {command} blue || echo $?"));
        assert!(ok && text == "124\n", "{text}");
    }
}

/// Written in one go or not at all also where a file cannot be without a name.
fn a_file_system_without_unnamed_files() {
    let node = node("blue");
    node.sh("sysctl -qw net.ipv4.ip_forward=1; mkdir -p /var/lib/cni/networks/podnet0");
    let before = state(&node);
    let without = "strace -f -qq -o /run/calls -P /var/lib/cni/networks/podnet0 -e trace=openat -e inject=openat:error=EOPNOTSUPP:when=2";
    node.sh(&format!("{without} {PODNET} attach blue --json >/run/out"));
    assert!(node.sh("grep INJECTED /run/calls").contains("O_TMPFILE"), "{}", node.sh("cat /run/calls"));
    assert!(node.sh("cat /var/lib/cni/networks/podnet0/10.213.0.2").starts_with("podnet-"));
    detach(&node, "blue");
    settles(|| before.clone(), || state(&node), "after detach");
    // Killed with the text on disk and no name yet.
    let kill = without.replace("trace=openat", "trace=openat,rename -P /var/lib/cni/networks/podnet0/.podnet");
    let (ok, text) = node.tries(&format!("{kill} -e inject=rename:signal=SIGKILL:when=1 {PODNET} attach blue"));
    assert!(!ok, "{text} {}", node.sh("cat /run/calls"));
    assert_eq!(node.sh("ls -A /var/lib/cni/networks/podnet0"), ".podnet\nlast_reserved_ip.0\nlock\n");
    detach(&node, "blue");
    settles(|| before.clone(), || state(&node), "after the kill");
}

/// What was named is nobody else's either, also where the plugins give addresses.
fn named_addresses_are_taken() {
    let node = node("a b c d");
    node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
        ip link add cni0 address 02:00:00:00:00:aa type bridge; ip addr add 10.22.0.1/24 dev cni0
        ip addr add fd00:22::1/64 dev cni0 nodad; ip link set cni0 up");
    attach(&node, "a --bridge cni0 --address 10.22.0.2/24 --address fd00:22::2/64");
    // Down, so that nobody answers for it on the segment.
    node.sh("ip -n a link set eth0 down; ip neigh flush dev cni0");
    the_plugin_gives_the_third(&node, "b");
    for address in ["10.22.0.2/24", "10.22.0.3/24", "fd00:22::3/64"] {
        let error = node.podnet(&format!("attach c --bridge cni0 --address {address} --json")).refusal();
        assert!(error["message"].as_str().unwrap().contains("is taken"), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("--gc"), "{error}");
    }
    detach(&node, "a");
    assert_eq!(attach(&node, "c --bridge cni0 --address 10.22.0.2/24")["addrs"], json!(["10.22.0.2/24"]));
    assert_eq!(attach(&node, "d --ptp --address 10.88.0.7/32")["store"], "/var/lib/cni/networks/podnet-ptp");
}
