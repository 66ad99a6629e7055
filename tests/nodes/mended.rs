//! What a finding says to type mends what it found, typed as it stands.

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
        ("set_in host net.ipv4.conf.cni0.forwarding=0", "172.22.1.7", "forwarding-off"),
        ("ip rule add prio 50 from 172.22.0.253 unreachable", "172.22.1.7", "rule-refuses"),
        (
            "ip rule add prio 63 iif cni0 blackhole; ip route add blackhole default table 66",
            "172.22.1.7",
            "rule-refuses",
        ),
        ("ip -6 rule add prio 9 to fd00:22:1::/64 prohibit", "fd00:22:1::7", "rule-refuses"),
        ("ip route add prohibit 172.22.1.7", "172.22.1.7", "route-refuses"),
        (
            "ip -n pod-a neigh replace 172.22.0.251 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
             bridge fdb add 02:00:00:00:00:99 dev vethc master static",
            "172.22.0.251",
            "neigh-wrong",
        ),
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
        node.mend(&before["findings"][0]);
        let after = trace();
        assert_eq!(after["paths"][0]["verdict"]["action"], "delivered", "{before:#}: {after:#}");
    }
}
