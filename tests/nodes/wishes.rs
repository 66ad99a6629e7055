//! Attaches that are asked for in unusual ways: each is refused before the first change, or what comes of it works.

use super::attach::{attach, detach, node, refused, same, settles, state};
use super::node::eventually;
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_the_kernel_would_refuse_is_refused_first, Tools),
        test!(unusual_addresses_work, Tools),
        test!(routes_of_the_host_that_are_in_nobodys_way, Tools),
        test!(names_that_are_words_of_a_command, Tools),
        test!(several_links_of_one_namespace, Tools),
        test!(the_mtu_of_a_bridge_that_falls_is_told, Tools),
        test!(ipv6_only_where_it_is_needed, Tools),
    ]
}

fn what_the_kernel_would_refuse_is_refused_first() {
    let node = node("blue");
    node.sh("ip link add small mtu 1000 type bridge; ip addr add 10.4.0.1/24 dev small; ip link set small up
        ip route add blackhole 10.7.0.0/26");
    let cases = [
        ("--ifname all", "usage", "keeps it"),
        ("--ifname default", "usage", "keeps it"),
        ("--host-ifname all", "usage", "keeps it"),
        ("--bridge default", "usage", "keeps it"),
        ("--subnet fd00:9::/64 --mtu 1000", "conflict", "MTU of 1000"),
        ("--bridge small --address fd00:9::5/64 --gateway none", "conflict", "MTU of 1000"),
        ("--address 255.255.255.255/32", "usage", "no host"),
        ("--address 0.0.0.5/8", "usage", "no host"),
        ("--address 10.9.0.5/0", "usage", "no host"),
        ("--address ::ffff:10.9.0.5/120", "usage", "no host"),
        ("--address ff02::5/64", "usage", "no host"),
        ("--address ::5/64", "usage", "no gateway's"),
        ("--subnet 0.0.0.0/0", "usage", "no host"),
        ("--subnet 224.0.0.0/24", "usage", "no host"),
        ("--subnet 127.0.0.0/24", "usage", "no host"),
        ("--address 10.9.0.5/24 --gateway 0.0.0.0", "usage", "gateway"),
        ("--address 10.9.0.5/24 --gateway 10.9.0.255", "usage", "gateway"),
        ("--address 10.9.0.5/24 --gateway 10.9.0.0", "usage", "gateway"),
        ("--address 10.9.0.5/24 --gateway 169.254.1.1", "usage", "gateway"),
        ("--ptp --address 10.9.0.5/24 --gateway 0.0.0.0", "usage", "gateway"),
        ("--ptp --address 10.9.0.5/24 --gateway 224.0.0.1", "usage", "gateway"),
        ("--ptp --address 10.9.0.5/24 --gateway 127.0.0.1", "usage", "gateway"),
        ("--ptp --address fd00::5/64 --gateway ff02::1", "usage", "gateway"),
        ("--route 10.213.0.0/24", "usage", "without being asked"),
        ("--route 0.0.0.0/0", "usage", "without being asked"),
        ("--route 10.88.0.0/16,10.77.0.1", "usage", "cannot go by 10.77.0.1"),
        ("--route 10.88.0.0/16,10.213.0.255", "usage", "cannot go by"),
        ("--address 10.213.0.9/24 --route 10.88.0.0/16,10.213.0.9", "usage", "cannot go by"),
        ("--ptp --subnet 10.9.0.0/24 --route 10.88.0.0/16,10.9.0.77", "usage", "cannot go by"),
        ("--subnet 10.7.0.0/24", "conflict", "blackhole"),
        ("--subnet 10.9.0.0/24 --subnet 10.9.0.0/16", "usage", "overlaps"),
    ];
    let before = state(&node);
    for (args, id, words) in cases {
        let (message, error) = refused(&node, &format!("blue {args}"), &before);
        assert_eq!(error["id"], id, "{args}: {error}");
        assert!(message.contains(words), "{args}: {message}");
    }
}

fn unusual_addresses_work() {
    let node = node("blue");
    node.sh("ip link add br0 address 02:00:00:00:00:aa type bridge; ip addr add 10.5.0.1/31 dev br0
        ip addr add fd00:5::/127 dev br0 nodad; ip link set br0 up
        sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    // A bridge has a carrier until its first port has left.
    attach(&node, "blue --bridge br0 --address 10.5.0.0/31");
    detach(&node, "blue");
    eventually("the bridge has no carrier", || node.sh("ip link show br0").contains("NO-CARRIER"));
    let before = state(&node);
    for (args, gateway) in [
        ("--bridge br0 --address 10.5.0.0/31 --address fd00:5::1/127", "10.5.0.1"),
        ("--bridge br0 --address 10.5.0.0/31 --address fd00:5::1/127", "fd00:5::"),
        ("--ptp --address 10.9.0.5/31", "169.254.1.1"),
        ("--ptp --address 10.9.0.5/24", "10.9.0.1"),
        ("--address 169.254.7.7/16", "169.254.0.1"),
        ("--address 10.9.0.5/24 --address 10.9.0.6/24", "10.9.0.1"),
        ("--address 10.9.0.5/24 --route 0.0.0.0/0 --no-default-route", "10.9.0.1"),
        ("--address fd00:9::5/64 --gateway fe80::1", "fe80::1%eth0"),
    ] {
        attach(&node, &format!("blue {args}"));
        assert!(node.reaches("blue", gateway), "{args}");
        detach(&node, "blue");
        settles(|| before.clone(), || state(&node), args);
    }
    // Without a network there is no gateway, and a note says so.
    let said = attach(&node, "blue --address 10.9.0.5/32");
    assert!(said["notes"][0].as_str().unwrap().contains("no gateway"), "{said:#}");
}

fn routes_of_the_host_that_are_in_nobodys_way() {
    let node = node("blue");
    // A VPN's way to everywhere, and networks that lead nowhere unless somebody has a part of them.
    node.sh("sysctl -qw net.ipv4.ip_forward=1
        ip link add vpn type veth peer name far; ip link set vpn up; ip link set far up; ip addr add 172.16.0.2/24 dev vpn
        ip route add 0.0.0.0/1 via 172.16.0.1; ip route add 128.0.0.0/1 via 172.16.0.1; ip route add blackhole 10.0.0.0/8
        ip route add blackhole 10.65.1.0/26");
    attach(&node, "blue");
    assert!(node.reaches("blue", "10.213.0.1"));
    detach(&node, "blue");
    attach(&node, "blue --ptp --subnet 10.65.1.0/26");
    assert!(node.reaches("host", "10.65.1.2"));
}

fn names_that_are_words_of_a_command() {
    for (args, ifname) in
        [("--ifname up --host-ifname dev --bridge type", "up"), ("--ifname=-x --host-ifname=a\"b --bridge=e$f'", "-x")]
    {
        let node = node("blue");
        node.sh("sysctl -qw net.ipv4.ip_forward=1");
        let before = state(&node);
        // By hand and by podnet.
        let script = node.podnet(&format!("attach blue {args} --dry-run")).text().to_owned();
        node.sh(&script);
        assert!(node.reaches("blue", "10.213.0.1"), "{script}");
        detach(&node, &format!("blue --ifname={ifname}"));
        same(&before, &state(&node), args);
        let undo = attach(&node, &format!("blue {args}"))["steps"].clone();
        assert!(node.reaches("blue", "10.213.0.1"));
        // The way back is made of commands, too.
        for step in undo.as_array().unwrap().iter().rev() {
            step["undo"].as_array().unwrap().iter().for_each(|undo| drop(node.sh(undo.as_str().unwrap())));
        }
        same(&before, &state(&node), args);
    }
}

fn several_links_of_one_namespace() {
    let node = node("blue");
    node.sh("sysctl -qw net.ipv4.ip_forward=1");
    let before = state(&node);
    attach(&node, "blue");
    let one = state(&node);
    // A second link into a network would not be used for it.
    for args in ["blue --ifname net1 --no-default-route", "blue --ifname net1 --bridge other --subnet 10.213.0.0/16"] {
        let (message, _) = refused(&node, args, &one);
        assert!(message.contains("on eth0 already") || message.contains("collides"), "{message}");
    }
    attach(&node, "blue --ifname net1 --bridge other --subnet 10.77.0.0/24 --no-default-route");
    attach(&node, "blue --ifname net2 --ptp --subnet 10.78.0.0/24 --no-default-route");
    for gateway in ["10.213.0.1", "10.77.0.1", "10.78.0.1"] {
        assert!(node.reaches("blue", gateway), "{gateway}");
    }
    let gone = detach(&node, "blue --ifname net1");
    assert_eq!(gone["removed"].as_array().unwrap().len(), 3, "{gone:#}");
    detach(&node, "blue --ifname net2");
    same(&one, &state(&node), "the others are gone");
    assert!(node.reaches("blue", "10.213.0.1"));
    detach(&node, "blue");
    same(&before, &state(&node), "all are gone");
}

fn the_mtu_of_a_bridge_that_falls_is_told() {
    let node = node("blue red");
    node.sh("ip link add br0 type bridge; ip addr add 10.5.0.1/24 dev br0; ip link set br0 up");
    let mtu = || node.json("ip -j link show br0")[0]["mtu"].clone();
    assert_eq!(attach(&node, "red --bridge br0")["notes"], serde_json::json!([]));
    let said = attach(&node, "blue --bridge br0 --mtu 1400");
    assert!(said["notes"][0].as_str().unwrap().contains("falls to 1400"), "{said:#}");
    assert_eq!(mtu(), 1400);
    detach(&node, "blue");
    assert_eq!(mtu(), 1500);
}

fn ipv6_only_where_it_is_needed() {
    let node = node("blue router");
    // A switch whose host has nothing to say in IPv6.
    node.sh("ip link add lan type bridge; ip link set lan up; sysctl -qw net.ipv6.conf.lan.disable_ipv6=1
        ip link add r0 type veth peer name eth0 netns router; ip link set r0 master lan up
        ip -n router addr add fd00:7::1/64 dev eth0 nodad; ip -n router link set eth0 up");
    eventually("the port forwards", || node.sh("bridge -j link show dev r0").contains("forwarding"));
    attach(&node, "blue --bridge lan --address fd00:7::5/64 --gateway fd00:7::1");
    assert!(node.reaches("blue", "fd00:7::1"));
    detach(&node, "blue");
    node.sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
    let (message, error) = refused(&node, "blue --ptp --subnet fd00:8::/64", &state(&node));
    assert!(message.contains("host's side"), "{error}");
}
