//! Pods and containers by name, on nodes where only the state that runtimes leave on disk tells of them: the namespaces
//! are mounts, the daemons were never there. What real runtimes write is tested with those, in `tests/runtimes`.

use serde_json::{Value, json};

use super::node::Node;
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_name_of_a_pod_leads_to_it, Tools),
        test!(every_name_of_a_container_leads_to_it, Tools),
        test!(names_that_mean_several_are_offered_each, Tools),
        test!(near_names_are_offered, Tools),
        test!(paths_lead_from_name_to_name, Tools),
        test!(containers_on_the_network_of_the_host_are_named_there, Tools),
        test!(directory_of_the_same_name_is_no_pod, Tools),
        test!(shells_offer_what_is_there, Tools),
    ]
}

const UID: [&str; 3] = [
    "0f6e4f54-2b29-4b6f-9e0e-5b3f5d1b2c3d",
    "1f6e4f54-2b29-4b6f-9e0e-5b3f5d1b2c3d",
    "2f6e4f54-2b29-4b6f-9e0e-5b3f5d1b2c3d",
];

/// A bridge with pods of these names (`namespace/pod`), whose runtimes left CNI's cache and the mounts behind. The
/// first has the address 10.244.0.11 and the MAC 02:00:00:00:00:11.
fn pods(names: &[&str]) -> Node {
    let node = Node::with(
        "mount -t tmpfs tmpfs /var/lib; mkdir -p /var/lib/cni/results
         ip link add cni0 type bridge; ip addr add 10.244.0.1/24 dev cni0; ip link set cni0 up",
    );
    for (at, name) in names.iter().enumerate() {
        let (namespace, pod) = name.split_once('/').unwrap();
        let id = format!("{at}{}", "a".repeat(63));
        let cached = json!({
            "kind": "cniCacheV1", "containerId": id, "ifName": "eth0", "networkName": "podlab",
            "cniArgs": [["K8S_POD_UID", UID[at]], ["K8S_POD_NAME", pod], ["K8S_POD_NAMESPACE", namespace]],
            "result": {"interfaces": [{"name": format!("veth{at}")},
                {"name": "eth0", "sandbox": format!("/var/run/netns/cni-{at}")}]},
        });
        node.sh(&format!(
            "echo '{cached}' >/var/lib/cni/results/podlab-{id}-eth0
             ip netns add cni-{at}; ip -n cni-{at} link set lo up
             ip link add veth{at} type veth peer name eth0 address 02:00:00:00:00:1{} netns cni-{at}
             ip link set veth{at} master cni0 up; ip -n cni-{at} link set eth0 up
             ip -n cni-{at} addr add 10.244.0.1{}/24 dev eth0
             ip -n cni-{at} route add default via 10.244.0.1",
            at + 1,
            at + 1
        ));
    }
    node
}

/// A container of Docker whose namespace is mounted and has no process.
fn docker(node: &Node, id: &str, name: &str, mode: &str) {
    let key = format!("/var/run/docker/netns/{}", &id[..12]);
    let joins = mode.starts_with("container:");
    let config = json!({
        "ID": id, "Name": format!("/{name}"), "State": {"Running": true, "Pid": 0}, "Config": {"Labels": {}},
        "NetworkSettings": {"SandboxKey": if joins { "" } else { &key }},
    });
    node.sh(&format!(
        "mountpoint -q /var/lib || mount -t tmpfs tmpfs /var/lib
         mkdir -p /var/lib/docker/containers/{id} /run/docker/netns
         echo '{config}' >/var/lib/docker/containers/{id}/config.v2.json
         echo '{{\"NetworkMode\":\"{mode}\"}}' >/var/lib/docker/containers/{id}/hostconfig.json"
    ));
    if !joins {
        let place = key.trim_start_matches("/var");
        node.sh(&format!("touch {place}; unshare --net={place} ip link set lo up"));
    }
}

fn inode(node: &Node, path: &str) -> u64 {
    node.sh(&format!("stat -Lc %i {path}")).trim().parse().unwrap()
}

fn listed(node: &Node) -> Vec<Value> {
    let run = node.podnet("list --json");
    assert_eq!(run.stderr, "");
    let mut list: Value = serde_json::from_slice(&run.stdout).unwrap();
    list["namespaces"].as_array_mut().unwrap().drain(..).collect()
}

fn every_name_of_a_pod_leads_to_it() {
    let node = pods(&["dev/signin-test-a", "prod/db-0"]);
    let wanted = inode(&node, "/run/netns/cni-0");
    let owner = &listed(&node).into_iter().find(|n| n["netns"] == wanted).unwrap()["owner"];
    assert_eq!(owner["pod"], json!({"namespace": "dev", "name": "signin-test-a", "uid": UID[0]}));
    for target in [
        "dev/signin-test-a",
        "signin-test-a",
        UID[0],
        "pod:signin-test-a",
        "pod:dev/signin-test-a",
        &format!("pod:{}", UID[0]),
        "0aaaaaaa",
        &format!("ctr:0{}", "a".repeat(63)),
        "cni-0",
        "netns:cni-0",
        "/run/netns/cni-0",
        &format!("netns:{wanted}"),
        "veth0",
        "link:veth0",
        "10.244.0.11",
        "ip:10.244.0.11",
        "02:00:00:00:00:11",
        "mac:02-00-00-00-00-11",
    ] {
        let trace = node.trace(&format!("{target} -4"));
        assert_eq!(trace["source"]["netns"], wanted, "{target}");
        assert_eq!(trace["source"]["owner"], *owner, "{target}");
        assert_eq!(trace["source"]["netns_name"], "dev/signin-test-a", "{target}");
    }
    let text = node.podnet("trace signin-test-a -4");
    assert!(text.text().starts_with("pod dev/signin-test-a  cni"), "{}", text.text());
    let list = node.podnet("list");
    assert!(list.text().contains("\ndev/signin-test-a "), "{}", list.text());
    assert_eq!(node.podnet("list --name dev/* --json").text().matches("\"netns\": ").count(), 1 + 1);
}

const WEB: &str = "3f2a9c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809";
const DB: &str = "3f2bbbbb5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809";

fn every_name_of_a_container_leads_to_it() {
    let node = Node::new();
    docker(&node, WEB, "web", "bridge");
    docker(&node, DB, "db", "bridge");
    let wanted = inode(&node, &format!("/run/docker/netns/{}", &WEB[..12]));
    for target in ["web", "ctr:web", WEB, &WEB[..12], &WEB[..4], &WEB[..4].to_uppercase(), "ctr:3f2a", "ctr:3F2A9"] {
        let trace = node.trace(&format!("{target} -4"));
        assert_eq!(trace["source"]["netns"], wanted, "{target}");
        assert_eq!(trace["source"]["owner"]["containers"], json!([{"id": WEB, "name": "web", "sandbox": false}]));
    }
    for (target, id) in
        [("ctr:3f2", "ambiguous-target"), ("3f2", "unknown-target"), ("pod:web", "unknown-target"), ("ctr:", "usage")]
    {
        assert_eq!(node.podnet(&format!("trace {target} --json")).refusal()["id"], id, "{target}");
    }
}

fn names_that_mean_several_are_offered_each() {
    let node = pods(&["dev/web", "prod/web"]);
    docker(&node, WEB, "web", "bridge");
    let error = node.podnet("trace web --json").refusal();
    assert_eq!(error["id"], "ambiguous-target");
    let candidates = error["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 3, "{error:#}");
    let mut met = Vec::new();
    for candidate in candidates {
        let whole = node.podnet_os(&["trace", candidate.as_str().unwrap(), "-4", "--json"]).trace();
        let word = candidate.as_str().unwrap().split(' ').next().unwrap();
        assert_eq!(whole["source"], node.trace(&format!("{word} -4"))["source"]);
        assert!(candidate.as_str().unwrap().contains(whole["source"]["owner"]["name"].as_str().unwrap()));
        met.push(whole["source"]["netns"].as_u64().unwrap());
    }
    met.sort();
    met.dedup();
    assert_eq!(met.len(), 3);
    for (target, name) in [("dev/web", "dev/web"), ("pod:prod/web", "prod/web"), ("ctr:web", "web")] {
        assert_eq!(node.trace(&format!("{target} -4"))["source"]["owner"]["name"], name);
    }
    assert_eq!(node.podnet("trace pod:web --json").refusal()["candidates"].as_array().unwrap().len(), 2);
}

fn near_names_are_offered() {
    let node = pods(&["dev/signin-test-a", "prod/db-0"]);
    for (typed, meant) in
        [("signin", "dev/signin-test-a"), ("dev/singin-test-a", "dev/signin-test-a"), ("pod:db0", "prod/db-0")]
    {
        let error = node.podnet(&format!("trace {typed} --json")).refusal();
        assert_eq!(error["id"], "unknown-target");
        assert_eq!(error["candidates"], json!([meant]), "{typed}");
        let error = node.podnet(&format!("trace prod/db-0 --to {typed} --json")).refusal();
        assert_eq!(error["candidates"], json!([meant]), "{typed}");
    }
    assert_eq!(node.podnet("trace nothing-like-it --json").refusal()["candidates"], json!([]));
}

fn paths_lead_from_name_to_name() {
    let node = pods(&["dev/web", "dev/db"]);
    for to in ["dev/db", "db", "pod:dev/db", "10.244.0.12", "mac:02:00:00:00:00:12", "link:veth1", "netns:cni-1"] {
        let trace = node.trace(&format!("dev/web --to {to}"));
        assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered", "{to}");
        let last = trace["paths"][0]["hops"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["netns_name"], &last["ifname"]), (&json!("dev/db"), &json!("eth0")), "{to}");
    }
    assert!(node.reaches("cni-0", "10.244.0.12"));
}

fn containers_on_the_network_of_the_host_are_named_there() {
    let node = Node::new();
    node.sh(&format!(
        "mkdir -p /run/bin
         cat >/run/bin/conmon <<'END'
#!/bin/sh
# A container has mounts of its own.
unshare -m sleep infinity &
while [ $(readlink /proc/$!/ns/mnt) = $(readlink /proc/$$/ns/mnt) ]; do :; done
echo $! >/run/inside
wait
END
         chmod +x /run/bin/conmon
         /run/bin/conmon -c {WEB} -n proxy >/dev/null 2>&1 </dev/null &
         while [ ! -s /run/inside ]; do :; done"
    ));
    let namespaces = listed(&node);
    assert_eq!(namespaces[0]["name"], "host");
    assert_eq!(namespaces[0]["owner"], json!(null));
    assert_eq!(namespaces[0]["tenants"][0]["name"], "proxy", "{:#}", namespaces[0]["tenants"]);
    let text = node.podnet("list");
    assert!(text.text().contains("share the host's namespace\n  proxy (podman)\n"), "{}", text.text());
    // It has no path of its own: its packets start in the host's namespace, and that is said.
    let inside = node.sh("cat /run/inside");
    for target in ["proxy", "ctr:proxy", &WEB[..12], inside.trim()] {
        let trace = node.trace(&format!("{target} --to 127.0.0.1"));
        assert_eq!(trace["source"]["netns_name"], "host", "{target}");
        assert_eq!(trace["source"]["owner"], json!(null), "{target}");
        assert_eq!(trace["source"]["tenant"]["name"], "proxy", "{target}");
    }
    let text = node.podnet("trace proxy --to 127.0.0.1");
    assert!(text.text().contains("host  used by podman proxy"), "{}", text.text());
}

fn directory_of_the_same_name_is_no_pod() {
    let node = pods(&["run/netns"]);
    let wanted = inode(&node, "/run/netns/cni-0");
    let mut command = node.command("sh");
    command.args(["-c", &format!("cd /; {} trace run/netns -4 --json", super::node::PODNET)]);
    let trace: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(trace["source"]["netns"], wanted);
}

/// What bash offers for the last of these words.
fn completed(node: &Node, words: &[&str]) -> Vec<String> {
    let script = format!(
        "source <(COMPLETE=bash {podnet}); COMP_WORDS=({podnet} {}); COMP_CWORD={}; COMP_TYPE=9
         $(complete -p podnet | sed 's/.*-F \\([^ ]*\\).*/\\1/') {podnet} '{}' >&2; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len(),
        words.last().unwrap(),
        podnet = super::node::PODNET,
    );
    let out = node.command("bash").args(["-c", &script]).output().unwrap();
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn shells_offer_what_is_there() {
    let node = pods(&["dev/web", "dev/worker", "prod/db"]);
    docker(&node, WEB, "shop", "bridge");
    docker(&node, DB, "$(touch /run/pwned)", "bridge");
    assert_eq!(completed(&node, &["trace", "dev/w"]), ["dev/web", "dev/worker"]);
    assert_eq!(completed(&node, &["trace", "dev/web", "--to", "prod/"]), ["prod/db"]);
    assert_eq!(completed(&node, &["trace", "sh"]), ["shop"]);
    assert_eq!(completed(&node, &["trace", "veth"]), ["veth0", "veth1", "veth2"]);
    assert_eq!(completed(&node, &["trace", "nothing"]), [""; 0]);
    let all = completed(&node, &["trace", ""]);
    assert!(all.contains(&"dev/web".to_owned()) && all.contains(&"shop".to_owned()), "{all:?}");
    assert!(!all.iter().any(|name| name.contains('$')), "{all:?}");
}
