//! Recordings: files as users hand them over, several machines as one network, and names and addresses hidden.
//! That a recorded trace is the live one is checked at every trace of the other tests (`node::Node::trace`).

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use podnet::model::{Flow, NetnsId, Snapshot, Topology};
use podnet::recorded::{Recorded, anonymise};
use podnet::trace::{Ask, Traced, trace};
use serde_json::{Value, json};

use super::node::{Node, PODNET, Run, with_stdin};
use super::{Test, scene, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(list_of_a_recording_is_the_live_one, Tools),
        test!(sysctls_are_those_of_proc, Tools),
        test!(files_of_every_sort_are_read, Tools),
        test!(files_are_written_where_a_path_leads, Tools),
        test!(hostile_files_are_refused),
        test!(machines_on_one_cable_are_one_network, Tools),
        test!(machines_with_an_overlay_are_one_network, Tools),
        test!(hidden_names_and_addresses_decide_the_same, Tools),
    ]
}

fn podnet(args: &[&str]) -> Run {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60", PODNET]).args(args);
    Run::new(args, command.output().unwrap())
}

fn list_of_a_recording_is_the_live_one() {
    let node = scene::reference();
    // Processes come and go: podnet itself is one.
    let steady = |run: &[u8]| -> Value {
        let mut list: Value = serde_json::from_slice(run).unwrap();
        for netns in list["namespaces"].as_array_mut().unwrap() {
            netns.as_object_mut().unwrap().remove("holders");
            netns.as_object_mut().unwrap().remove("owner");
        }
        list
    };
    let live = || steady(&node.podnet("list --json").stdout);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let before = live();
        let recording = node.podnet("snapshot");
        let recorded = steady(&with_stdin(&["list", "--json", "--snapshot", "-"], &recording.stdout).stdout);
        // The kernel numbers namespaces as links that lead there are read for the first time, and links settle.
        if before != live() && Instant::now() < deadline {
            continue;
        }
        for (live, recorded) in
            before["namespaces"].as_array().unwrap().iter().zip(recorded["namespaces"].as_array().unwrap())
        {
            assert_eq!(live, recorded);
        }
        assert_eq!(before, recorded);
        return;
    }
}

/// Podnet has some of them from netlink, by numbers. Each is on in another choice of the rounds, so no two can be mixed up.
fn sysctls_are_those_of_proc() {
    let node = Node::new();
    node.sh("ip netns add blue; ip -n blue link set lo up");
    let sysctls = || -> BTreeMap<String, Value> {
        let recording: Value = serde_json::from_slice(&node.podnet("snapshot").stdout).unwrap();
        let namespaces = recording["namespaces"].as_array().unwrap();
        let blue = namespaces.iter().find(|n| n["name"] == "blue").unwrap();
        serde_json::from_value(blue["facts"]["sysctls"].clone()).unwrap()
    };
    let keys: Vec<String> = sysctls().into_iter().filter(|(_, value)| value.is_number()).map(|(key, _)| key).collect();
    assert!(keys.len() > 18, "{keys:?}");
    for round in 0..5 {
        for (number, key) in (1..).zip(&keys) {
            let on = number >> round & 1;
            node.sh(&format!("ip netns exec blue sh -c 'echo {on} >/proc/sys/net/{key}'"));
        }
        let recorded = sysctls();
        for key in &keys {
            let wanted: i64 = node.sh(&format!("ip netns exec blue cat /proc/sys/net/{key}")).trim().parse().unwrap();
            assert_eq!(recorded[key], json!(wanted), "{key} in round {round}");
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn files_of_every_sort_are_read() {
    let node = scene::reference();
    let plain = node.podnet("snapshot").stdout;
    let dir = Path::new("/run/snapshots");
    std::fs::create_dir_all(dir).unwrap();
    let wanted = with_stdin(&["trace", "pod-a", "--to", "172.22.1.7", "--json", "--snapshot", "-"], &plain).trace();
    let files =
        [("a.json", plain.clone()), ("b.json.gz", gzip(&plain)), ("c.json.zst", zstd(&plain)), ("d", gzip(&plain))];
    for (name, bytes) in files {
        let file = dir.join(name);
        std::fs::write(&file, bytes).unwrap();
        let args = ["trace", "pod-a", "--to", "172.22.1.7", "--json", "--snapshot", file.to_str().unwrap()];
        assert_eq!(podnet(&args).trace(), wanted, "{name}");
        std::fs::remove_file(&file).unwrap();
    }
    // What podnet itself writes.
    for name in ["e.json", "e.json.gz"] {
        let said = node.sh(&format!("cd /run; {PODNET} snapshot -o {name}; wc -c <{name}"));
        assert!(said.contains("7 namespaces"), "{said}");
    }
    assert!(node.succeeds("cd /run; test $(wc -c <e.json.gz) -lt $(wc -c <e.json) && [ $(ls | grep -c part) = 0 ]"));
    let lost = node.podnet("snapshot --json -o /nowhere/a.json").refusal();
    assert_eq!(lost["id"], "failed");
}

/// What is no plain file is written to and stays; a link stays a link. Who may not see the network may not read of it.
fn files_are_written_where_a_path_leads() {
    let node = Node::new();
    node.sh(&format!(
        "cd /run; umask 022; mkfifo fifo; (timeout 20 cat fifo >through) & {PODNET} snapshot -o fifo >said; test -p fifo; wait
         ln -s /proc/self/fd/1 out; {PODNET} snapshot --json -o out | cat >piped; test -L out
         ln -s nowhere/new.json gone; ! {PODNET} snapshot -o gone 2>said; test -L gone; rm gone
         touch old.json; chmod 640 old.json; ln -s old.json link.json
         {PODNET} snapshot -o link.json >said; test -L link.json; {PODNET} snapshot -o new.json >said"
    ));
    for file in ["through", "piped", "old.json", "new.json"] {
        let document: Value = serde_json::from_str(&node.sh(&format!("cat /run/{file}"))).unwrap();
        assert_eq!(document["kind"], "snapshot", "{file}");
    }
    assert_eq!(node.sh("cd /run; stat -c %a old.json new.json; ls | grep part || true"), "640\n600\n");
}

fn hostile_files_are_refused() {
    let dir = Path::new("/run/hostile");
    std::fs::create_dir_all(dir.join("empty")).unwrap();
    let head = json!({
        "schema": 1, "kind": "snapshot", "podnet": "0", "hostname": "h", "kernel": "6.1", "boot_id": "",
        "taken_at": 0, "own": 0, "host": 0, "conf": {"inet": [], "inet6": []}, "namespaces": [], "gaps": [],
    });
    let with = |key: &str, value: Value| {
        let mut document = head.clone();
        document[key] = value;
        document.to_string().into_bytes()
    };
    let netns = |rest: Value| with("namespaces", json!([rest]));
    let mut truncated = gzip(head.to_string().as_bytes());
    truncated.truncate(40);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("words", b"not a snapshot".to_vec()),
        ("bytes", (0..=255u8).cycle().take(5000).collect()),
        ("deep", [b"[".repeat(200_000), b"]".repeat(200_000)].concat()),
        ("cut", truncated),
        ("gzip-bomb", gzip(&vec![b' '; 66 << 20])),
        ("zstd-bomb", zstd(&vec![b' '; 66 << 20])),
        ("zstd-noise", [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0xff; 3000]].concat()),
        ("other-kind", br#"{"schema":1,"kind":"list","namespaces":[]}"#.to_vec()),
        ("newer", with("schema", json!(2))),
        ("newest", with("schema", json!(u64::MAX))),
        ("no-namespace", with("own", json!(0))),
        ("own-elsewhere", with("own", json!(7))),
        ("far-number", netns(json!({"netns": 1, "name": "x", "nsids": {"0": 99}}))),
        (
            "no-address",
            netns(json!({"netns": 1, "name": "x", "links": [
            {"ifindex": 1, "ifname": "l", "addrs": [{"local": "10.0.0.1", "prefixlen": 200}]}]})),
        ),
        (
            "no-prefix",
            netns(json!({"netns": 1, "name": "x", "facts": {"routes": [
            {"dst": "10.0.0.0/99", "table": 254, "protocol": "boot"}]}})),
        ),
        ("huge-number", netns(json!({"netns": 1, "name": "x", "links": [{"ifindex": 99_999_999_999u64}]}))),
    ];
    for (name, bytes) in cases {
        let file = dir.join(name);
        std::fs::write(&file, bytes).unwrap();
        for command in [&["trace", "host"][..], &["list"]] {
            let run = podnet(&[command, &["--json", "--snapshot", file.to_str().unwrap()]].concat());
            assert_eq!(run.refusal()["id"], "snapshot", "{name}");
        }
        std::fs::remove_file(&file).unwrap();
    }
    let refused = |path: &str| podnet(&["trace", "host", "--json", "--snapshot", path]).refusal()["id"].clone();
    assert_eq!(refused("/run/hostile/empty"), "usage");
    assert_eq!(refused("/run/hostile/none"), "snapshot");
    assert_eq!(refused("/dev/null"), "snapshot");
    let told = podnet(&["list", "--json", "--snapshot", "/dev/zero"]).refusal();
    assert!(told["causes"][0].as_str().unwrap().contains("MiB"), "{told}");
    // Loops and absurd places in what fits together end in an answer.
    let looped = netns(json!({"netns": 1, "name": "x", "nsids": {"0": 0}, "links": [
        {"ifindex": 2, "ifname": "a", "kind": "veth", "up": true, "operstate": "UP", "link": 3, "link_netnsid": 0, "master": 2},
        {"ifindex": 3, "ifname": "b", "kind": "bridge", "up": true, "operstate": "UP", "link": 2, "master": 3}],
        "facts": {"routes": [{"dst": "0.0.0.0/0", "table": 254, "protocol": "boot", "oif": 2}], "rules": [
            {"priority": 0, "action": "goto", "goto": 0}, {"priority": 1, "action": "lookup", "table": 254}],
            "split": true, "neighbours": [], "proxies": [], "fdb": [], "ports": [2, 2, 9]}}));
    let run = with_stdin(&["trace", "x", "--to", "10.0.0.1", "--json", "--snapshot", "-"], &looped);
    assert_ne!(run.trace()["paths"][0]["verdict"]["action"], "delivered");
}

/// Two machines with a pod each, on one cable.
fn machines() -> [Node; 2] {
    let nodes = ["a", "b"].map(|name| {
        let node = Node::new();
        node.sh(&format!("ip netns add pod-{name}"));
        node
    });
    let cable = format!("ip link add x netns {} type veth peer name y netns {}", nodes[0].init(), nodes[1].init());
    assert!(Command::new("sh").args(["-euc", &cable]).status().unwrap().success());
    for (number, node) in [1, 2].into_iter().zip(&nodes) {
        let (name, end) = if number == 1 { ("a", "x") } else { ("b", "y") };
        node.sh(&format!(
            "set_in host net.ipv4.ip_forward=1 net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
             ip link set {end} name eth0; ip addr add 192.168.7.{number}/24 dev eth0; ip link set eth0 up
             ip link add cni0 type bridge; ip addr add 10.{number}.0.1/24 dev cni0; ip link set cni0 up
             ip link add veth0 type veth peer name eth0 netns pod-{name}; ip link set veth0 master cni0 up
             ip -n pod-{name} link set lo up
             ip -n pod-{name} addr add 10.{number}.0.2/24 dev eth0; ip -n pod-{name} link set eth0 up
             ip -n pod-{name} route add default via 10.{number}.0.1"
        ));
    }
    nodes
}

/// Where the recordings of these machines lie: two tests run at the same time.
fn folder(nodes: &[Node; 2]) -> String {
    format!("/run/machines-{}", nodes[0].init())
}

/// The recordings of both, in files; `cut`: as if the pair between them were a cable between two network cards.
fn recordings(nodes: &[Node; 2], cut: bool) -> Vec<String> {
    let mut files = Vec::new();
    for (node, name) in nodes.iter().zip(["a", "b"]) {
        let mut recording: Value = serde_json::from_slice(&node.podnet("snapshot").stdout).unwrap();
        recording["hostname"] = json!(format!("node-{name}"));
        if cut {
            for link in recording["namespaces"][0]["links"].as_array_mut().unwrap() {
                if link["ifname"] == "eth0" {
                    link["kind"] = json!("device");
                    let link = link.as_object_mut().unwrap();
                    ["link", "link_netnsid", "peer"].iter().for_each(|key| drop(link.remove(*key)));
                }
            }
        }
        std::fs::create_dir_all(folder(nodes)).unwrap();
        let file = format!("{}/{name}.json", folder(nodes));
        std::fs::write(&file, recording.to_string()).unwrap();
        files.push(file);
    }
    files
}

/// Device by device from one pod to the other, and what it says at last.
fn crosses(files: &[String], target: &str, to: &str) -> (Vec<String>, String) {
    let mut args = vec!["trace", target, "--to", to, "--json"];
    files.iter().for_each(|file| args.extend(["--snapshot", file]));
    let trace = podnet(&args).trace();
    let path = &trace["paths"][0];
    let hop = |h: &Value| {
        let node = h["node"].as_str().unwrap_or("?");
        let name = h["netns_name"].as_str().unwrap().split(' ').next().unwrap().to_owned();
        format!("{node} {name}/{} {}", h["ifname"].as_str().unwrap(), h["step"].as_str().unwrap())
    };
    let hops = path["hops"].as_array().unwrap().iter().map(hop).collect();
    (hops, path["verdict"]["action"].as_str().unwrap().to_owned())
}

fn machines_on_one_cable_are_one_network() {
    let nodes = machines();
    nodes[0].sh("ip route add 10.2.0.0/24 via 192.168.7.2");
    nodes[1].sh("ip route add 10.1.0.0/24 via 192.168.7.1");
    assert!(nodes[0].ping("pod-a", "10.2.0.2"), "the network of the test does not work");
    for (cut, step) in [(false, "peer"), (true, "wire")] {
        let files = recordings(&nodes, cut);
        let over = format!("node-b host/eth0 {step}");
        let wanted = [
            "node-a pod-a/eth0 route",
            "node-a host/veth0 peer",
            "node-a host/cni0 master",
            "node-a host/eth0 route",
            &over,
            "node-b host/cni0 route",
            "node-b host/veth0 fdb",
            "node-b pod-b/eth0 peer",
        ];
        // By the name of the machine, by a name that only one of them has, and from a folder.
        for target in ["node-a:pod-a", "pod-a", "10.1.0.2"] {
            let (hops, action) = crosses(&files, target, "node-b:pod-b");
            assert_eq!(
                (hops.iter().map(String::as_str).collect::<Vec<_>>(), action.as_str()),
                (wanted.to_vec(), "delivered")
            );
        }
        assert_eq!(crosses(&[folder(&nodes)], "pod-a", "10.2.0.2").0.len(), wanted.len());
        // Of one machine alone the way ends where it leaves.
        let (hops, action) = crosses(&files[..1], "pod-a", "10.2.0.2");
        assert_ne!(action, "delivered", "{hops:?}");
        let host = podnet(&["trace", "host", "--json", "--snapshot", &files[0], "--snapshot", &files[1]]).refusal();
        assert_eq!(host["id"], "ambiguous-target");
        assert_eq!(host["candidates"].as_array().unwrap().len(), 2, "{host}");
    }
    // Not there any more: nothing arrives, and the recordings know why.
    nodes[1].sh("ip -n pod-b addr flush dev eth0");
    assert!(!nodes[0].ping("pod-a", "10.2.0.2"));
    assert_eq!(crosses(&recordings(&nodes, true), "pod-a", "10.2.0.2").1, "dropped");
}

fn machines_with_an_overlay_are_one_network() {
    let nodes = machines();
    let mac = |node: &Node| node.json("ip -j link show dev flannel.1")[0]["address"].as_str().unwrap().to_owned();
    for (number, node) in [1, 2].into_iter().zip(&nodes) {
        node.sh(&format!(
            "ip link add flannel.1 type vxlan id 1 local 192.168.7.{number} dev eth0 dstport 8472 nolearning
             ip addr add 10.{number}.0.0/32 dev flannel.1; ip link set flannel.1 up"
        ));
    }
    for (other, at) in [(0, 1), (1, 0)] {
        let (number, mac) = (other + 1, mac(&nodes[other]));
        nodes[at].sh(&format!(
            "ip route add 10.{number}.0.0/24 via 10.{number}.0.0 dev flannel.1 onlink
             ip neigh add 10.{number}.0.0 lladdr {mac} dev flannel.1 nud permanent
             bridge fdb add {mac} dev flannel.1 dst 192.168.7.{number} self permanent"
        ));
    }
    assert!(nodes[0].ping("pod-a", "10.2.0.2"), "the network of the test does not work");
    for (cut, step) in [(false, "peer"), (true, "wire")] {
        let (hops, action) = crosses(&recordings(&nodes, cut), "pod-a", "10.2.0.2");
        let over = format!("node-b host/eth0 {step}");
        let wanted = [
            "node-a pod-a/eth0 route",
            "node-a host/veth0 peer",
            "node-a host/cni0 master",
            "node-a host/flannel.1 route",
            "node-a host/eth0 route",
            &over,
            "node-b host/flannel.1 tunnel",
            "node-b host/cni0 route",
            "node-b host/veth0 fdb",
            "node-b pod-b/eth0 peer",
        ];
        assert_eq!(
            (hops.iter().map(String::as_str).collect::<Vec<_>>(), action.as_str()),
            (wanted.to_vec(), "delivered")
        );
    }
}

/// All traces between the addresses of a recording: places and indexes, which hiding leaves as they are.
fn all_traces(snapshot: &Snapshot) -> Vec<String> {
    let mut recorded = Recorded::default();
    recorded.add(snapshot.clone()).unwrap();
    let addrs: Vec<IpAddr> = snapshot
        .namespaces
        .iter()
        .flat_map(|n| &n.links)
        .flat_map(|l| &l.link.addrs)
        .filter(|a| !a.link_scope)
        .map(|a| a.local)
        .collect();
    let mut all = Vec::new();
    for (at, netns) in snapshot.namespaces.iter().enumerate() {
        let id = NetnsId::Recorded { snapshot: 0, at: at as u32, ino: netns.netns };
        for to in &addrs {
            let ask = Ask { to: Some(*to), ..Ask::default() };
            let Traced { paths, findings, .. } = trace(&mut recorded, id, &ask);
            let hops: Vec<_> = paths[0].hops.iter().map(|h| (h.netns.ino(), h.ifindex, h.step)).collect();
            let ids: Vec<&str> = findings.iter().map(|f| f.id.as_str()).collect();
            all.push(format!("{at} {:?} {hops:?} {ids:?}", paths[0].verdict.action));
            let answer = recorded.route_out(id, &Flow::to(*to), None).is_ok();
            all.push(answer.to_string());
        }
    }
    all
}

fn hidden_names_and_addresses_decide_the_same() {
    let node = scene::reference();
    node.sh("ip rule add from 172.22.0.253 lookup 77; ip route add prohibit 172.22.1.0/24 table 77");
    for (from, to) in [("pod-b", "172.22.1.7"), ("pod-c", "172.22.0.252")] {
        assert!(node.reaches(from, to));
    }
    let text = String::from_utf8(node.podnet("snapshot").stdout).unwrap();
    let plain: Snapshot = serde_json::from_str(&text).unwrap();
    let hidden = anonymise(plain.clone(), &std::hash::RandomState::new());
    let traces = all_traces(&plain);
    assert!(
        traces.len() > 100
            && traces.iter().any(|t| t.contains("Delivered"))
            && traces.iter().any(|t| t.contains("Dropped"))
    );
    assert_eq!(traces, all_traces(&hidden));
    // Nothing of it is left, whether the binary hides it or the library.
    let binary = String::from_utf8(node.podnet("snapshot --anonymise").stdout).unwrap();
    for hidden in [serde_json::to_string(&hidden).unwrap(), binary] {
        for secret in ["pod-a", "web-b", "cni0", "vetha", "172.22.0.253", "10.30.180.56", "fd00:22:1::7"] {
            assert!(!hidden.contains(secret), "{secret} is still there");
        }
        let macs = plain.namespaces.iter().flat_map(|n| &n.links).filter_map(|l| l.link.address);
        for mac in macs.filter(|mac| !mac.is_zero()) {
            assert!(!hidden.contains(&mac.to_string()), "{mac} is still there");
        }
    }
}
