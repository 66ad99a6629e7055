//! What a finding says to type mends what it found, typed as it stands.

use super::node::PODNET;
use super::{Test, scene, test};

pub fn tests() -> Vec<Test> {
    vec![test!(commands_of_findings_mend_what_they_found, Tools)]
}

fn commands_of_findings_mend_what_they_found() {
    let breaks = [
        // Whoever is in a pod calls its links what they like.
        (r#"ip -n pod-c link set eth0 down; ip -n pod-c link set eth0 name "e;\$(id)'""#, "172.22.0.251", "link-down"),
        ("ip link set vethc down", "172.22.0.251", "link-down"),
        ("set_in host net.ipv4.ip_forward=0", "172.22.1.7", "forwarding-off"),
        ("set_in node-b net.ipv4.ip_forward=0", "172.22.1.7", "forwarding-off"),
        ("set_in node-b net.ipv6.conf.all.forwarding=0", "fd00:22:1::7", "forwarding-off"),
        ("for p in vetha vethc; do bridge link set dev $p isolated on; done", "172.22.0.251", "port-isolated"),
        ("bridge link set dev vetha locked on; ip link set cni0 type bridge fdb_flush", "172.22.0.251", "port-locked"),
    ];
    for (broken, to, finding) in breaks {
        let node = scene::reference();
        node.sh(broken);
        let trace = || node.trace(&format!("pod-a --to {to}"));
        let before = trace();
        assert_eq!(before["paths"][0]["verdict"]["action"], "dropped", "{broken}: {before:#}");
        assert_eq!(before["findings"][0]["id"], finding, "{broken}: {before:#}");
        let fix = before["findings"][0]["fix"].as_str().unwrap();
        node.sh(&format!("podnet() {{ {PODNET} \"$@\"; }}; {fix}"));
        let after = trace();
        assert_eq!(after["paths"][0]["verdict"]["action"], "delivered", "{fix}: {after:#}");
    }
}
