//! What an ordinary user sees of a pod that is root's: the same way, and what stays hidden with the capability it takes.

use serde_json::Value;

use super::node::{Node, PODNET};
use super::{Test, scene, test};

pub fn tests() -> Vec<Test> {
    vec![test!(ordinary_user_sees_the_common_path, Tools, Users)]
}

/// A trace by somebody who may do nothing.
fn as_nobody(node: &Node, args: &str) -> Value {
    // The binary may be built where others may not look.
    let command = format!(
        "cp {PODNET} /run/podnet && chmod 755 /run/podnet && exec setpriv --reuid 65534 --regid 65534 --clear-groups \
         --inh-caps=-all --bounding-set=-all /run/podnet trace {args} --json"
    );
    let out = node.command("sh").args(["-c", &command]).output().unwrap();
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)))
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
