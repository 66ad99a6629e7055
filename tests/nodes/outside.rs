//! What an ordinary user sees of a pod that is root's: the same way, and what stays hidden with the capability it takes.

use serde_json::Value;

use super::node::{Node, PODNET, with_stdin};
use super::{Test, scene, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(ordinary_user_sees_the_common_path, Tools, Users),
        test!(recording_of_an_ordinary_user_promises_nothing, Tools, Users),
        test!(whoever_may_enter_need_not_be_let_back, Tools),
    ]
}

/// What podnet says to somebody who may do nothing.
fn by_nobody(node: &Node, args: &str) -> Vec<u8> {
    // The binary may be built where others may not look.
    let command = format!(
        "cp {PODNET} /run/podnet && chmod 755 /run/podnet && exec setpriv --reuid 65534 --regid 65534 --clear-groups \
         --inh-caps=-all --bounding-set=-all /run/podnet {args}"
    );
    let out = node.command("sh").args(["-c", &command]).output().unwrap();
    assert!(!out.stdout.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// A trace by somebody who may do nothing.
fn as_nobody(node: &Node, args: &str) -> Value {
    serde_json::from_slice(&by_nobody(node, &format!("trace {args} --json"))).unwrap()
}

/// Name, index and step of each hop.
fn way(trace: &Value) -> Vec<(String, u64, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let hops = trace["paths"][0]["hops"].as_array().unwrap();
    hops.iter().map(|h| (text(&h["ifname"]), h["ifindex"].as_u64().unwrap(), text(&h["step"]))).collect()
}

fn ordinary_user_sees_the_common_path() {
    let node = scene::reference();
    let pid = node.process("pod-a");
    for to in ["172.22.0.1", "10.30.180.56", "172.22.1.7"] {
        let (root, nobody) = (node.trace(&format!("{pid} --to {to}")), as_nobody(&node, &format!("{pid} --to {to}")));
        // Pod, pair, bridge and uplink; what is beyond is root's alone here.
        let common = way(&root).len().min(4);
        assert_eq!(way(&nobody)[..common], way(&root)[..common], "{nobody:#}");
        let needs = nobody["gaps"].as_array().unwrap().iter().filter_map(|g| g["needs"].as_str());
        assert!(needs.into_iter().any(|n| n.contains("CAP_SYS_ADMIN")), "{nobody:#}");
        assert!(root["gaps"].as_array().unwrap().is_empty(), "{root:#}");
        assert!(nobody["source"]["pid"] == pid, "{nobody:#}");
    }
}

fn recording_of_an_ordinary_user_promises_nothing() {
    let node = scene::reference();
    let targets = ["host".to_owned(), node.process("pod-a").to_string()];
    let recording = by_nobody(&node, "snapshot");
    let mut told = 0;
    for target in &targets {
        for to in ["172.22.0.1", "172.22.0.253", "172.22.1.7", "10.30.180.55", "203.0.113.9", "fd00:22:1::7"] {
            let live = node.trace(&format!("{target} --to {to}"));
            let recorded = with_stdin(&["trace", target, "--to", to, "--json", "--snapshot", "-"], &recording);
            let recorded: Value = serde_json::from_slice(&recorded.stdout).unwrap();
            let (live, end) = (&live["paths"][0]["verdict"], &recorded["paths"][0]["verdict"]["action"]);
            match end.as_str().unwrap() {
                "unknown" => assert!(!recorded["gaps"].as_array().unwrap().is_empty(), "{recorded:#}"),
                _ => {
                    told += 1;
                    assert_eq!(end, &live["action"], "{target} to {to}: {recorded:#}");
                }
            }
        }
    }
    // The routes of the recorder's own namespace are there.
    assert!(told > 0);
}

fn whoever_may_enter_need_not_be_let_back() {
    let node = Node::new();
    // The user namespace has rights over the process's network namespace, and none over podnet's own.
    let script = format!(
        "unshare -Ur sh -ec '
            unshare -n sh -c \"ip link add a0 type veth peer name a1; ip link set a0 up; echo >/run/up; exec sleep 60\" &
            while [ ! -e /run/up ]; do :; done
            if nsenter --net=/proc/self/ns/net true 2>/dev/null; then exit 7; fi
            {PODNET} trace $! --json || [ $? = 1 ]
            kill $!'"
    );
    let trace = node.json(&script);
    // From outside the kind could not be told.
    assert_eq!(trace["paths"][0]["hops"][0]["kind"], "veth", "{trace:#}");
}
