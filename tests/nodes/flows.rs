//! What packets have besides addresses decides as it does for real ones: rules on protocol, ports, marks and type of
//! service, next hops of several, and the way back.

use serde_json::{Value, json};

use super::node::{HOST, Node};
use super::truth::hops;
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(rules_on_protocol_and_ports, Tools),
        test!(rules_on_ports_of_ipv6, Tools),
        test!(rules_on_mark_and_tos, Tools),
        test!(mark_ends_with_its_namespace, Tools),
        test!(rule_on_what_was_not_given_is_told, Tools),
        test!(source_that_was_asked_for, Tools),
        test!(several_next_hops_by_addresses_and_by_ports, Tools),
        test!(next_hop_by_more_than_was_given, Tools),
        test!(next_hop_of_ipv6_by_its_flow_label, Tools),
        test!(nexthop_objects_are_named, Tools),
        test!(throw_goes_on_to_the_next_rule, Tools),
        test!(answer_that_comes_another_way, Tools),
        test!(answer_that_is_refused, Tools),
        test!(answer_from_outside_comes_in_where_it_went_out, Tools),
        test!(flags_that_make_no_sense_together, Tools),
    ]
}

/// A pod, its host with two uplinks, and a server behind both.
const TWO_WAYS: &str = "
    for ns in pod server; do ip netns add $ns; done
    for ns in host pod server; do
        at $ns ip link set lo up; set_in $ns net.ipv6.conf.all.disable_ipv6=1 net.ipv4.conf.all.rp_filter=0
    done
    set_in host net.ipv4.ip_forward=1
    ip link add vpod type veth peer name eth0 netns pod
    ip addr add 10.7.0.1/24 dev vpod; ip link set vpod up
    ip -n pod addr add 10.7.0.2/24 dev eth0; ip -n pod link set eth0 up; ip -n pod route add default via 10.7.0.1
    for n in 1 2; do
        ip link add up$n type veth peer name in$n netns server
        ip addr add 10.8.$n.1/24 dev up$n; ip link set up$n up
        ip -n server addr add 10.8.$n.2/24 dev in$n; ip -n server link set in$n up
    done
    ip -n server addr add 10.99.0.1/32 dev lo
    ip -n server route add 10.7.0.0/24 via 10.8.1.1
    ip route add 10.99.0.0/24 via 10.8.1.2
    ip route add 10.99.0.0/24 via 10.8.2.2 table 100
";

/// The link of the host that the trace leaves by.
#[track_caller]
fn uplink(node: &Node, args: &str) -> String {
    let trace = node.trace(args);
    let path = &trace["paths"][0];
    assert_eq!(path["verdict"]["action"], "delivered", "{trace:#}");
    let found = hops(node, path).into_iter().find(|h| h.starts_with("host/up"));
    found.unwrap_or_else(|| panic!("{trace:#}")).trim_start_matches("host/").trim_end_matches(" route").to_owned()
}

/// The link of the host that packets leave by, when a script sends ten or more of them.
#[track_caller]
fn sent_by(node: &Node, script: &str) -> String {
    let count = |link: &str| -> u64 {
        let link = node.json(&format!("ip -j -s link show dev {link}"));
        link[0]["stats64"]["tx"]["packets"].as_u64().unwrap()
    };
    let before = ["up1", "up2"].map(count);
    node.sh(script);
    let after = ["up1", "up2"].map(count);
    let moved: Vec<usize> = (0..2).filter(|n| after[*n] - before[*n] >= 10).collect();
    assert_eq!(moved.len(), 1, "{script}: {before:?} {after:?}");
    ["up1", "up2"][moved[0]].to_owned()
}

/// Datagrams of a pod with these ports.
fn udp(node: &Node, sport: u16, dport: u16) -> String {
    udp_of(node, "pod", sport, dport)
}

fn udp_of(node: &Node, netns: &str, sport: u16, dport: u16) -> String {
    sent_by_socket(node, netns, || {
        let socket = std::net::UdpSocket::bind(("0.0.0.0", sport)).unwrap();
        for _ in 0..20 {
            // The server has no such port, and says so.
            let _ = socket.send_to(b"x", ("10.99.0.1", dport));
        }
    })
}

fn sent_by_socket(node: &Node, netns: &str, send: impl FnOnce() + Send) -> String {
    let count = |link: &str| -> u64 {
        let link = node.json(&format!("ip -j -s link show dev {link}"));
        link[0]["stats64"]["tx"]["packets"].as_u64().unwrap()
    };
    let before = ["up1", "up2"].map(count);
    node.inside(netns, send);
    let after = ["up1", "up2"].map(count);
    let moved: Vec<usize> = (0..2).filter(|n| after[*n] - before[*n] >= 10).collect();
    assert_eq!(moved.len(), 1, "{before:?} {after:?}");
    ["up1", "up2"][moved[0]].to_owned()
}

fn rules_on_protocol_and_ports() {
    let node = Node::with(TWO_WAYS);
    node.sh(
        "ip rule add pref 10 ipproto udp dport 53 table 100; ip rule add pref 11 ipproto tcp sport 1000-2000 table 100",
    );
    let ask = |more: &str| uplink(&node, &format!("pod --to 10.99.0.1 {more}"));
    assert_eq!(ask("--proto udp --sport 4000 --dport 53"), "up2");
    assert_eq!(udp(&node, 4000, 53), "up2");
    assert_eq!(ask("--proto udp --sport 4000 --dport 54"), "up1");
    assert_eq!(udp(&node, 4000, 54), "up1");
    assert_eq!(ask("--proto tcp --sport 1500 --dport 53"), "up2");
    assert_eq!(ask("--proto tcp --sport 2500 --dport 53"), "up1");
    assert_eq!(ask("--proto icmp"), "up1");
    assert_eq!(sent_by(&node, "at pod ping -q -c 20 -i 0.002 10.99.0.1 >/dev/null"), "up1");
    // What was asked for stands in the answer.
    let path = &node.trace("pod --to 10.99.0.1 --proto udp --sport 4000 --dport 53")["paths"][0];
    assert_eq!((&path["proto"], &path["sport"], &path["dport"]), (&json!("udp"), &json!(4000), &json!(53)));
}

fn rules_on_ports_of_ipv6() {
    let node = Node::with(TWO_WAYS);
    node.sh("for ns in host pod server; do
             set_in $ns net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.forwarding=1
         done
         ip addr add fd07::1/64 dev vpod nodad; ip -n pod addr add fd07::2/64 dev eth0 nodad
         ip -n pod -6 route add default via fd07::1
         for n in 1 2; do
             ip addr add fd08:$n::1/64 dev up$n nodad; ip -n server addr add fd08:$n::2/64 dev in$n nodad
         done
         ip -n server addr add fd99::1/128 dev lo nodad; ip -n server -6 route add fd07::/64 via fd08:1::1
         ip -6 route add fd99::/64 via fd08:1::2; ip -6 route add fd99::/64 via fd08:2::2 table 100
         ip -6 rule add pref 10 ipproto udp dport 53 table 100; ip -6 rule add pref 11 ipproto ipv6-icmp table 100
         # So that nothing waits for a link-layer address.
         for to in fd07::2 fd08:1::2 fd08:2::2; do ping -q -c 1 -w 2 $to >/dev/null; done
         ip netns exec pod ping -q -c 1 -w 2 fd99::1 >/dev/null");
    let send = |dport: u16| {
        sent_by_socket(&node, "pod", move || {
            let socket = std::net::UdpSocket::bind("[::]:4000").unwrap();
            for _ in 0..20 {
                let _ = socket.send_to(b"x", ("fd99::1", dport));
            }
        })
    };
    let ask = |more: &str| uplink(&node, &format!("pod --to fd99::1 {more}"));
    assert_eq!((ask("--proto udp --sport 4000 --dport 53"), send(53)), ("up2".into(), "up2".into()));
    assert_eq!((ask("--proto udp --sport 4000 --dport 54"), send(54)), ("up1".into(), "up1".into()));
    let ping = "at pod ping -q -c 20 -i 0.002 fd99::1 >/dev/null";
    assert_eq!((ask("--proto icmp"), sent_by(&node, ping)), ("up2".into(), "up2".into()));
}

fn rules_on_mark_and_tos() {
    let node = Node::with(TWO_WAYS);
    node.sh("ip rule add pref 10 fwmark 0x7 table 100; ip rule add pref 11 tos 0x10 table 100");
    let ping = |more: &str| sent_by(&node, &format!("ping -q -c 20 -i 0.002 {more} 10.99.0.1 >/dev/null"));
    let ask = |more: &str| uplink(&node, &format!("host --to 10.99.0.1 {more}"));
    for (ours, theirs, wanted) in [
        ("", "", "up1"),
        ("--mark 7", "-m 7", "up2"),
        ("--mark 0x7", "-m 7", "up2"),
        ("--mark 8", "-m 8", "up1"),
        ("--tos 0x10", "-Q 0x10", "up2"),
        ("--tos 8", "-Q 8", "up1"),
    ] {
        assert_eq!((ask(ours).as_str(), ping(theirs).as_str()), (wanted, wanted), "{ours}");
    }
    // The type of service is part of the packet and goes with it.
    assert_eq!(uplink(&node, "pod --to 10.99.0.1 --tos 0x10"), "up2");
    assert_eq!(sent_by(&node, "at pod ping -q -c 20 -i 0.002 -Q 0x10 10.99.0.1 >/dev/null"), "up2");
}

fn mark_ends_with_its_namespace() {
    let node = Node::with(TWO_WAYS);
    node.sh("ip rule add pref 10 fwmark 7 table 100");
    let trace = node.trace("pod --to 10.99.0.1 --mark 7");
    assert_eq!(hops(&node, &trace["paths"][0])[2], "host/up1 route");
    assert_eq!(trace["findings"][0]["id"], "mark-lost", "{trace:#}");
    assert_eq!(sent_by(&node, "at pod ping -q -c 20 -i 0.002 -m 7 10.99.0.1 >/dev/null"), "up1");
}

fn rule_on_what_was_not_given_is_told() {
    let node = Node::with(TWO_WAYS);
    node.sh("ip rule add pref 10 ipproto tcp dport 443 table 100");
    let gaps = |args: &str| node.trace(&format!("pod --to 10.99.0.1 {args}"))["gaps"].clone();
    let told = gaps("").to_string();
    assert!(told.contains("rule 10") && told.contains("--dport"), "{told}");
    assert_eq!(gaps("--proto tcp --dport 443"), json!([]));
    assert_eq!(gaps("--proto udp --dport 443"), json!([]));
    node.sh(
        "ip rule del pref 10; ip rule add pref 10 fwmark 0x0/0xff table 100; ip rule add pref 11 fwmark 0x7 table 100",
    );
    let told = gaps("").to_string();
    assert!(told.contains("rule 10 (fwmark 0x0/0xff)") && told.contains("rule 11 (fwmark 0x7)"), "{told}");
    // What starts here has its mark here.
    assert_eq!(node.trace("host --to 10.99.0.1 --mark 1")["gaps"], json!([]));
}

fn source_that_was_asked_for() {
    let node = Node::with(TWO_WAYS);
    node.sh("ip -n pod addr add 10.7.0.77/24 dev eth0; ip rule add pref 10 from 10.7.0.77 table 100");
    assert_eq!(uplink(&node, "pod --to 10.99.0.1"), "up1");
    assert_eq!(uplink(&node, "pod --to 10.99.0.1 --from 10.7.0.77"), "up2");
    assert_eq!(sent_by(&node, "at pod ping -q -c 20 -i 0.002 -I 10.7.0.77 10.99.0.1 >/dev/null"), "up2");
    assert_eq!(node.trace("pod --to 10.99.0.1 --from 10.7.0.77")["paths"][0]["src"], "10.7.0.77");
    // The kernel lets no process send from an address that is not the namespace's.
    let trace = node.trace("pod --to 10.99.0.1 --from 10.7.0.78");
    assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "{trace:#}");
}

/// The finding that names the next hops.
#[track_caller]
fn next_hops(trace: &Value) -> String {
    let found = trace["findings"].as_array().unwrap().iter().find(|f| f["id"] == "multipath");
    found.unwrap_or_else(|| panic!("{trace:#}"))["evidence"].as_str().unwrap().to_owned()
}

const MULTIPATH: &str =
    "ip route replace 10.99.0.0/24 nexthop via 10.8.1.2 dev up1 weight 1 nexthop via 10.8.2.2 dev up2 weight 1";

fn several_next_hops_by_addresses_and_by_ports() {
    let node = Node::with(TWO_WAYS);
    node.sh(MULTIPATH);
    node.sh("for n in 1 2 3 4 5 6 7 8; do ip -n server addr add 10.99.0.10$n/32 dev lo; done");
    // By addresses alone; each destination has its own way, and both ways are taken.
    let mut taken = std::collections::BTreeSet::new();
    for n in 1..=8 {
        let to = format!("10.99.0.10{n}");
        let said = uplink(&node, &format!("pod --to {to}"));
        assert_eq!(sent_by(&node, &format!("at pod ping -q -c 20 -i 0.002 {to} >/dev/null")), said, "{to}");
        taken.insert(said);
    }
    assert_eq!(taken.len(), 2, "all went the same way");
    let trace = node.trace("pod --to 10.99.0.1");
    let evidence = next_hops(&trace);
    let by = uplink(&node, "pod --to 10.99.0.1");
    assert!(evidence.contains("via 10.8.1.2 dev up1 weight 1") && evidence.contains("via 10.8.2.2 dev up2 weight 1"));
    assert!(evidence.split(", ").any(|hop| hop.contains(&by) && hop.contains("(this flow)")), "{evidence}");
    assert_eq!(evidence.matches("this flow").count(), 1, "{evidence}");
    // By ports as well.
    node.sh("set_in host net.ipv4.fib_multipath_hash_policy=1");
    let mut taken = std::collections::BTreeSet::new();
    for sport in 4001..4009 {
        let said = uplink(&node, &format!("host --to 10.99.0.1 --proto udp --sport {sport} --dport 9999"));
        assert_eq!(udp_of(&node, HOST, sport, 9999), said, "source port {sport}");
        taken.insert(said);
    }
    assert_eq!(taken.len(), 2, "all went the same way");
}

/// Packets that differ in a number alone go by both links.
#[track_caller]
fn go_both_ways(mut way: impl FnMut(usize) -> String) {
    let first = way(1);
    assert!((2..40).any(|n| way(n) != first), "all went the same way");
}

/// Which of the next hops is used is not known, whatever the one that was followed leads to.
#[track_caller]
fn undecided(node: &Node, args: &str) {
    let trace = node.trace(args);
    let evidence = next_hops(&trace);
    assert!(evidence.contains("(followed here)") && !evidence.contains("this flow"), "{evidence}");
    assert_eq!(trace["paths"][0]["verdict"]["action"], "unknown", "{trace:#}");
}

fn next_hop_by_more_than_was_given() {
    let node = Node::with(TWO_WAYS);
    node.sh(&format!("{MULTIPATH}; set_in host net.ipv4.fib_multipath_hash_policy=1"));
    for args in ["", " --proto udp --dport 9999", " --proto icmp"] {
        undecided(&node, &format!("host --to 10.99.0.1{args}"));
    }
    // On its way a packet has the hash of its socket, which is another one each time with the same ports.
    go_both_ways(|_| {
        sent_by_socket(&node, "pod", || {
            let socket = std::net::UdpSocket::bind("0.0.0.0:4000").unwrap();
            socket.connect("10.99.0.1:9999").unwrap();
            (0..40).for_each(|_| drop(socket.send(b"x")));
        })
    });
    undecided(&node, "pod --to 10.99.0.1 --proto udp --sport 4000 --dport 9999");
    // Nor is it known to be dropped where one of the two leads nowhere.
    for n in [1, 2] {
        node.sh(&format!("ip -n server addr del 10.8.{n}.2/24 dev in{n}"));
        undecided(&node, "pod --to 10.99.0.1");
        node.sh(&format!("ip -n server addr add 10.8.{n}.2/24 dev in{n}"));
    }
    // The kernel takes none whose link is down.
    node.sh("ip link set up1 down");
    assert_eq!(uplink(&node, "pod --to 10.99.0.1"), "up2");
}

fn next_hop_of_ipv6_by_its_flow_label() {
    let node = Node::with(TWO_WAYS);
    node.sh("for ns in host pod server; do
             set_in $ns net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.all.disable_ipv6=0
             set_in $ns net.ipv6.conf.all.forwarding=1
         done
         ip addr add fd07::1/64 dev vpod nodad
         ip -n pod addr add fd07::2/64 dev eth0 nodad; ip -n pod route add default via fd07::1
         for n in 1 2; do
             ip addr add fd08:$n::1/64 dev up$n nodad; ip -n server addr add fd08:$n::2/64 dev in$n nodad
         done
         ip -n server route add fd07::/64 via fd08:1::1
         ip -n server addr add fd99::1/128 dev lo nodad
         ip route add fd99::/64 nexthop via fd08:1::2 dev up1 nexthop via fd08:2::2 dev up2");
    assert!(node.reaches("pod", "fd99::1"));
    // Each socket of the pod has a label of its own.
    go_both_ways(|_| {
        sent_by_socket(&node, "pod", || {
            let socket = std::net::UdpSocket::bind("[::]:0").unwrap();
            (0..20).for_each(|_| drop(socket.send_to(b"x", "[fd99::1]:9999")));
        })
    });
    undecided(&node, "pod --to fd99::1 --proto udp --sport 4000 --dport 9999");
    // Where the packet begins there is none yet, and the protocol counts.
    undecided(&node, "host --to fd99::1");
    go_both_ways(|n| {
        let to = format!("fd99::{n}");
        let sent = sent_by(
            &node,
            &format!("ip -n server addr replace {to}/128 dev lo nodad; ping -q -c 20 -i 0.002 {to} >/dev/null"),
        );
        assert_eq!(uplink(&node, &format!("host --to {to} --proto icmp")), sent, "{to}");
        sent
    });
}

fn nexthop_objects_are_named() {
    let node = Node::with(TWO_WAYS);
    node.sh("ip nexthop add id 1 via 10.8.1.2 dev up1; ip nexthop add id 2 via 10.8.2.2 dev up2
         ip nexthop add id 10 group 1,3/2,1
         ip route replace 10.99.0.0/24 nhid 10");
    let evidence = next_hops(&node.trace("pod --to 10.99.0.1"));
    assert!(evidence.contains("via 10.8.1.2 dev up1 weight 3") && evidence.contains("dev up2 weight 1"), "{evidence}");
    // A route then names its object and nothing else.
    node.sh("set_in host net.ipv4.nexthop_compat_mode=0");
    let trace = node.trace("pod --to 10.99.0.1");
    assert_eq!(next_hops(&trace), evidence);
    assert_eq!(trace["paths"][0]["hops"][2]["route"]["nhid"], 10);
    let said = uplink(&node, "pod --to 10.99.0.1");
    assert_eq!(sent_by(&node, "at pod ping -q -c 20 -i 0.002 10.99.0.1 >/dev/null"), said);
}

fn throw_goes_on_to_the_next_rule() {
    let node = Node::with(TWO_WAYS);
    node.sh("ip rule add pref 10 from 10.7.0.0/24 table 200; ip route add throw 10.99.0.0/24 table 200
         ip route add default via 10.8.2.2 table 200");
    assert_eq!(uplink(&node, "pod --to 10.99.0.1"), "up1");
    assert_eq!(sent_by(&node, "at pod ping -q -c 20 -i 0.002 10.99.0.1 >/dev/null"), "up1");
    // And where nothing follows there is no way.
    node.sh("ip route del 10.99.0.0/24");
    let trace = node.trace("pod --to 10.99.0.1");
    assert_eq!(trace["paths"][0]["verdict"]["action"], "dropped", "{trace:#}");
}

fn answer_that_comes_another_way() {
    let node = Node::with(TWO_WAYS);
    node.sh("ip -n server route replace 10.7.0.0/24 via 10.8.2.1");
    let trace = node.trace("pod --to 10.99.0.1 --reply");
    let (there, back) = (&trace["paths"][0], &trace["paths"][1]);
    // What stands beside the name of the pod is not said of the server, where the answer starts.
    let run = node.podnet(&format!("trace {} --to 10.99.0.1 --reply", node.process("pod")));
    let with_pid: Vec<_> = run.text().lines().filter(|line| line.contains("  pid ")).collect();
    assert!(matches!(with_pid[..], [line] if !line.contains("server")), "{with_pid:?}");
    assert_eq!(hops(&node, there), ["pod/eth0 route", "host/vpod peer", "host/up1 route", "server/in1 peer"]);
    assert_eq!(hops(&node, back), ["server/in2 route", "host/up2 peer", "host/vpod route", "pod/eth0 peer"]);
    assert_eq!((&back["reply_to"], &back["src"], &back["dst"]), (&json!(0), &json!("10.99.0.1"), &json!("10.7.0.2")));
    assert_eq!((&back["verdict"]["action"], &there["reply_to"]), (&json!("delivered"), &json!(null)));
    let finding = trace["findings"].as_array().unwrap().iter().find(|f| f["id"] == "asymmetric").unwrap();
    assert_eq!((&finding["path"], &finding["hop"]), (&json!(1), &json!(0)));
    let evidence = finding["evidence"].as_str().unwrap();
    for name in ["up1 of host", "in1 of server", "up2 of host", "in2 of server"] {
        assert!(evidence.contains(name), "{evidence}");
    }
    // So do real ones go.
    let count = |ns: &str, link: &str, way: &str| {
        node.json(&format!("at {ns} ip -j -s link show dev {link}"))[0]["stats64"][way]["packets"].as_u64().unwrap()
    };
    let before = (count("server", "in1", "rx"), count("server", "in2", "tx"));
    node.sh("at pod ping -q -c 20 -i 0.002 10.99.0.1 >/dev/null");
    assert!(count("server", "in1", "rx") >= before.0 + 20 && count("server", "in2", "tx") >= before.1 + 20);
}

fn answer_that_is_refused() {
    let node = Node::with(TWO_WAYS);
    node.sh("ip -n server route replace 10.7.0.0/24 via 10.8.2.1; set_in host net.ipv4.conf.all.rp_filter=1");
    let trace = node.trace("pod --to 10.99.0.1 --reply");
    let actions: Vec<&Value> = trace["paths"].as_array().unwrap().iter().map(|p| &p["verdict"]["action"]).collect();
    assert_eq!(actions, ["delivered", "dropped"], "{trace:#}");
    assert!(trace["findings"].as_array().unwrap().iter().any(|f| f["id"] == "source-refused"), "{trace:#}");
    assert!(!node.ping("pod", "10.99.0.1"));
    // No way back at all.
    node.sh("set_in host net.ipv4.conf.all.rp_filter=0; ip -n server route del 10.7.0.0/24");
    let trace = node.trace("pod --to 10.99.0.1 --reply");
    assert_eq!(trace["paths"][1]["verdict"]["action"], "dropped", "{trace:#}");
    assert!(!node.ping("pod", "10.99.0.1"));
}

fn answer_from_outside_comes_in_where_it_went_out() {
    let node = Node::with(TWO_WAYS);
    // No path that can be made here leaves the machine; a dropped one has no answer, and that is told.
    node.sh("ip -n server link set in1 down");
    let trace = node.trace("pod --to 10.99.0.1 --reply");
    assert_eq!(trace["paths"].as_array().unwrap().len(), 1);
    assert!(trace["gaps"].to_string().contains("the way of the answer"), "{trace:#}");
}

fn flags_that_make_no_sense_together() {
    let node = Node::new();
    for args in [
        "--to 10.0.0.1 --from fd00::1",
        "--dport 80",
        "--proto icmp --dport 80",
        "--proto sctp",
        "--mark 0x1ffffffff",
        "--tos 256",
    ] {
        let run = node.podnet(&format!("trace {HOST} {args} --json"));
        assert_eq!(run.code, 2, "{args}: {}", run.stderr);
    }
}
