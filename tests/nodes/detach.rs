//! `detach` removes what attach made, whatever has become of it meanwhile, and nothing else; `--gc` finds what is left of
//! the dead.

use serde_json::Value;

use super::attach::{attach, detach, node, same, state};
use super::node::{Node, PODNET, eventually};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_pod_that_is_gone, Tools),
        test!(another_of_the_same_name_keeps_its_link, Tools),
        test!(what_podnet_did_not_make_needs_force, Tools),
        test!(a_bridge_that_is_to_stay, Tools),
        test!(a_bridge_that_others_use_stays, Tools),
        test!(a_pod_that_changes_its_link_cannot_fool_it, Tools),
        test!(a_pod_with_a_link_of_its_own_cannot_lead_it_astray, Tools),
        test!(a_store_with_other_things_in_it, Tools),
        test!(it_returns_when_the_link_is_gone, Tools, Strace),
        test!(leftovers_of_dead_pods, Tools, Nft),
        test!(what_cannot_be_looked_at_is_not_dead, Tools, Strace),
        test!(what_cannot_be_removed_is_in_nobodys_way, Tools, Nft),
        test!(many_links_of_dead_pods_go_at_once, Tools),
    ]
}

const NOTHING: &str = "note: nothing is left over of dead namespaces\n";

fn removed(said: &Value) -> Vec<&str> {
    said["removed"].as_array().unwrap().iter().map(|removed| removed["what"].as_str().unwrap()).collect()
}

fn settings(node: &Node) {
    node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
}

fn a_pod_that_is_gone() {
    let node = node("blue red");
    settings(&node);
    let mut before = state(&node);
    before.remove("blue");
    attach(&node, "blue");
    attach(&node, "red");
    attach(&node, "blue --ifname net1 --bridge other --subnet 10.77.0.0/24 --no-default-route");
    node.sh("ip netns del blue");
    eventually("its links are gone", || node.sh("ip -br link").matches("veth").count() == 1);
    let said = detach(&node, "blue");
    assert_eq!((removed(&said), &said["target"]), (vec!["bridge", "address"], &Value::Null), "{said:#}");
    assert_eq!((&said["removed"][0]["name"], &said["removed"][1]["name"]), (&"other".into(), &"10.213.0.2".into()));
    assert_eq!(removed(&detach(&node, "blue")), [""; 0]);
    let said = detach(&node, "blue --ifname net1");
    assert_eq!(removed(&said), ["address"], "{said:#}");
    detach(&node, "red");
    same(&before, &state(&node), "after all");
    // Its name may be left without it.
    node.sh("ip netns add blue; ip -n blue link set lo up");
    attach(&node, "blue");
    node.sh("umount /run/netns/blue");
    eventually("its link is gone", || !node.sh("ip -br link").contains("veth"));
    assert_eq!(removed(&detach(&node, "blue")), ["bridge", "address"]);
    node.sh("rm /run/netns/blue");
    same(&before, &state(&node), "after the name alone");
    // A process is gone by its number.
    node.sh("nameless temp");
    let pid = node.pid_of("temp");
    attach(&node, &format!("{pid}"));
    node.sh(&format!("kill -KILL {pid}"));
    eventually("the link is gone", || !node.sh("ip -br link").contains("veth"));
    assert_eq!(removed(&detach(&node, &pid.to_string())), ["bridge", "address"]);
    same(&before, &state(&node), "after the process");
}

fn another_of_the_same_name_keeps_its_link() {
    let node = node("blue");
    settings(&node);
    node.sh("nameless blue");
    attach(&node, "blue");
    // By another way to name it, which only the one who typed it knows.
    let kept = attach(&node, "/run/nameless/blue");
    node.sh("ip netns del blue");
    eventually("the link is gone", || node.sh("ip -br link").matches("veth").count() == 1);
    let said = detach(&node, "blue");
    assert_eq!((removed(&said), &said["removed"][0]["name"]), (vec!["address"], &"10.213.0.2".into()), "{said:#}");
    assert!(said["notes"][0].as_str().unwrap().contains(kept["host_ifname"].as_str().unwrap()), "{said:#}");
    assert_eq!(removed(&detach(&node, "/run/nameless/blue")), ["link", "bridge", "address"]);
}

fn what_podnet_did_not_make_needs_force() {
    let node = node("blue");
    node.sh("ip link add mine type veth peer name eth0 netns blue; ip link add br0 type bridge; ip link set mine master br0");
    let before = state(&node);
    let error = node.podnet("detach blue --json").refusal();
    assert!(error["id"] == "conflict" && error["hint"].as_str().unwrap().contains("--force"), "{error}");
    assert_eq!(node.podnet("detach host --json").refusal()["id"], "conflict");
    same(&before, &state(&node), "without --force");
    assert_eq!(removed(&detach(&node, "blue --force")), ["link"]);
    assert!(node.succeeds("ip link show br0") && !node.succeeds("ip link show mine"));
    assert_eq!(removed(&detach(&node, "nowhere")), [""; 0], "nothing is there, so nothing is to do");
}

fn a_bridge_that_is_to_stay() {
    let node = node("blue");
    settings(&node);
    attach(&node, "blue");
    assert_eq!(removed(&detach(&node, "blue --keep-bridge")), ["link", "address"]);
    let bridge = &node.json("ip -j link show podnet0")[0];
    assert!(bridge["group"] == "default" && bridge["ifalias"].is_null(), "{bridge}");
    // It is not podnet's any more.
    assert_eq!(attach(&node, "blue")["addrs"], serde_json::json!(["10.213.0.3/24"]));
    assert_eq!(removed(&detach(&node, "blue")), ["link", "address"]);
    assert_eq!(removed(&detach(&node, "blue")), [""; 0]);
    assert!(node.succeeds("ip link show podnet0"));
}

fn a_bridge_that_others_use_stays() {
    let node = node("blue red");
    settings(&node);
    attach(&node, "blue");
    node.sh("ip link add other type veth peer name eth0 netns red; ip link set other master podnet0 up");
    assert_eq!(removed(&detach(&node, "blue")), ["link", "address"]);
    assert!(node.succeeds("ip link show podnet0"));
    assert_eq!(node.podnet("detach --gc").text(), NOTHING, "its port stays");
    node.sh("ip link del other");
    let listed = node.podnet("detach --gc --json").document("detach");
    assert_eq!((removed(&listed), &listed["dry_run"]), (vec!["bridge"], &Value::Bool(true)));
    assert!(node.succeeds("ip link show podnet0"));
    node.podnet("detach --gc --yes --json").document("detach");
    assert!(!node.succeeds("ip link show podnet0"));
}

fn a_pod_that_changes_its_link_cannot_fool_it() {
    let node = node("blue red");
    settings(&node);
    let before = state(&node);
    attach(&node, "blue");
    let red = attach(&node, "red");
    // The pod says that its link is the other pod's, under another name, with the other's address.
    let alias = node.json(&format!("ip -j link show {}", red["host_ifname"].as_str().unwrap()))[0]["ifalias"].clone();
    node.sh(&format!(
        "ip -n blue link set eth0 alias '{}' group 1886348398; ip -n blue addr flush dev eth0
        ip -n blue link set eth0 down; ip -n blue link set eth0 name net9",
        alias.as_str().unwrap()
    ));
    let said = detach(&node, "blue --ifname eth0");
    assert_eq!(removed(&said), ["link", "address"], "by what stands on the host: {said:#}");
    assert_eq!(said["removed"][1]["name"], "10.213.0.2");
    assert!(node.reaches("red", "10.213.0.1"));
    detach(&node, "red");
    same(&before, &state(&node), "after both");
}

fn a_pod_with_a_link_of_its_own_cannot_lead_it_astray() {
    let node = node("blue red");
    settings(&node);
    let before = state(&node);
    let host = attach(&node, "blue")["host_ifname"].as_str().unwrap().to_owned();
    let alias = node.json(&format!("ip -j link show {host}"))[0]["ifalias"].as_str().unwrap().to_owned();
    let id = alias.split_once('/').unwrap().0.to_owned();
    // Nothing of this link is on the host, and what stands beside it the pod has written.
    let says = |store: &str| {
        node.sh(&format!(
            "ip -n blue link add eth0 group 1886348398 type veth peer name eth1
             ip -n blue link set eth0 alias '{id}/eth0 10.0.0.8 10.0.0.9 in {store}'"
        ));
    };
    node.sh(&format!(
        "ip -n blue link del eth0; mkdir /run/evil; mkfifo /run/evil/10.0.0.9; printf {id} >/run/evil/10.0.0.8"
    ));
    for store in ["/run/evil", "/var/lib/cni/networks/../../../../run/evil", "/var/lib/cni/networks/.."] {
        says(store);
        let (ok, text) = node.tries(&format!("timeout -s KILL 10 {PODNET} detach blue --json"));
        let said: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert!(ok && removed(&said) == ["link"], "{said:#}");
        assert!(said["notes"].to_string().contains("--ipam-dir"), "{said:#}");
        assert!(node.succeeds("test -e /run/evil/10.0.0.8"));
    }
    // A directory that was named is where such are looked for.
    node.sh("mkdir /run/named; mv /run/evil /run/named/net");
    says("/run/named/net");
    assert_eq!(removed(&detach(&node, "blue --ipam-dir /run/named")), ["link", "address", "address"]);
    assert_eq!(node.sh("ls /run/named/net"), "10.0.0.9\n");
    // What was taken for it is found by who it was.
    assert_eq!(removed(&detach(&node, "blue")), ["bridge", "address"]);
    same(&before, &state(&node), "after all");
}

fn a_store_with_other_things_in_it() {
    let node = node("blue red");
    settings(&node);
    attach(&node, "blue");
    node.sh(
        "cd /var/lib/cni/networks/podnet0; mkfifo 10.213.0.99; ln -s /dev/zero 10.213.0.98; truncate -s 1T 10.213.0.97
        rm last_reserved_ip.0; mkfifo last_reserved_ip.0; rm 10.213.0.2; mkfifo 10.213.0.2",
    );
    for command in ["detach --gc", "attach red --dry-run", "detach blue", "detach blue"] {
        let (ok, text) = node.tries(&format!("timeout -s KILL 10 {PODNET} {command}"));
        assert!(ok, "{command}: {text}");
    }
    assert_eq!(node.sh("cd /var/lib/cni/networks/podnet0; ls | grep -c 10.213"), "4\n");
}

fn it_returns_when_the_link_is_gone() {
    let node = node("blue");
    settings(&node);
    for _ in 0..20 {
        attach(&node, "blue");
        // At once: the names are free, and nothing is left running that holds podnet's output open.
        node.sh(&format!(
            "out=$({PODNET} detach blue); ! ip -n blue link show eth0 2>/run/err; ! ip link show podnet0 2>>/run/err"
        ));
    }
    attach(&node, "blue");
    // The answer to the request comes some 20 ms after the announcement, and nobody waits for it.
    node.sh(&format!("strace -f -qq -o /run/calls -e trace=read {PODNET} detach blue >/run/out"));
    let calls = node.sh("cat /run/calls");
    assert!(!calls.contains(r#""\0\0\0\0", 4"#), "{calls}");
}

fn leftovers_of_dead_pods() {
    let node = node("blue red green");
    settings(&node);
    let mut before = state(&node);
    before.remove("blue");
    before.remove("green");
    attach(&node, "blue --masquerade --subnet 10.88.0.0/24 --subnet fd00:88::/64");
    attach(&node, "red --masquerade");
    attach(&node, "green --bridge other --subnet 10.77.0.0/24");
    // Somebody else's address is nobody's leftover, and neither is that of a pod that is there.
    node.sh("printf 'cni-1234\\r\\neth0' >/var/lib/cni/networks/podnet0/10.88.0.99");
    // One is gone; of the other only an open file is left, which keeps its link.
    node.sh("ip netns del blue; exec 9</run/netns/green; (exec sleep infinity >/dev/null 2>&1 </dev/null) & ip netns del green");
    let listed = node.podnet("detach --gc --json").document("detach");
    let mut all = removed(&listed);
    all.sort_unstable();
    assert_eq!(all, ["address", "address", "address", "bridge", "link", "rule"], "{listed:#}");
    assert!(listed["removed"].as_array().unwrap().iter().all(|r| r["why"].is_string()));
    let text = node.podnet("detach --gc");
    assert!(text.text().contains("left over  address  10.88.0.2"), "{}", text.text());
    let gone = node.podnet("detach --gc --yes --json").document("detach");
    assert_eq!(removed(&gone).len(), 6, "{gone:#}");
    assert_eq!(node.podnet("detach --gc").text(), NOTHING);
    assert!(node.reaches("red", "10.88.0.1"));
    detach(&node, "red");
    node.sh("rm /var/lib/cni/networks/podnet0/10.88.0.99; kill $(pidof sleep | tr ' ' '\\n' | grep -vx 1)");
    same(&before, &state(&node), "after all");
}

fn what_cannot_be_looked_at_is_not_dead() {
    let node = node("blue");
    settings(&node);
    attach(&node, "blue");
    node.sh("mount -t tmpfs tmpfs /run/netns");
    for more in ["", "--yes"] {
        let error = node.podnet(&format!("detach --gc {more} --json")).refusal();
        assert!(error["message"].as_str().unwrap().contains("cannot be opened"), "{error}");
    }
    node.sh("umount /run/netns");
    assert_eq!(node.podnet("detach --gc --yes").text(), NOTHING);
    // Namespaces could be held where nobody may read what is mounted.
    let pid = node.sh("( exec unshare -m sleep infinity >/dev/null 2>&1 </dev/null ) &
        while [ $(readlink /proc/$!/ns/mnt) = $(readlink /proc/1/ns/mnt) ]; do :; done; echo $!");
    let inject = format!("strace -f -qq -o /run/calls -P /proc/{}/mountinfo -e inject=openat:error=EMFILE", pid.trim());
    let (ok, text) = node.tries(&format!("{inject} {PODNET} detach --gc --yes"));
    assert!(!ok && text.contains("mounts of") && node.succeeds("grep INJECTED /run/calls"), "{text}");
    assert!(node.reaches("blue", "10.213.0.1"));
}

fn what_cannot_be_removed_is_in_nobodys_way() {
    let node = node("blue red");
    settings(&node);
    let before = state(&node);
    attach(&node, "blue --masquerade");
    // What is there beside addresses is nobody's.
    node.sh("cd /var/lib/cni/networks/podnet0; mkdir 10.213.0.77; printf '\\377' >10.213.0.78
        mkdir /run/empty; mount --bind /run/empty /usr/sbin");
    let path = "PATH=/usr/bin:/bin";
    let (ok, text) = node.tries(&format!("{path} {PODNET} detach blue"));
    assert!(!ok && text.contains("nft is in no directory") && text.contains("hint: "), "{text}");
    // Another one's work goes on, and says what is still to do.
    let (ok, text) = node.tries(&format!("{path} {PODNET} attach red && {path} {PODNET} detach red"));
    assert!(ok && text.matches("failed again: nft is in no directory").count() == 2, "{text}");
    node.sh("umount /usr/sbin");
    let said = detach(&node, "blue");
    assert_eq!((said["cleared"].as_array().unwrap().len(), &said["notes"][1]), (1, &Value::Null), "{said:#}");
    node.sh("cd /var/lib/cni/networks/podnet0; rmdir 10.213.0.77; rm 10.213.0.78");
    same(&before, &state(&node), "after all");
}

fn many_links_of_dead_pods_go_at_once() {
    let node = node("");
    settings(&node);
    let before = state(&node);
    const PODS: usize = 40;
    node.sh(&format!(
        "for i in $(seq {PODS}); do ip netns add pod$i; {PODNET} attach pod$i >/run/out; done
         # Open files keep the namespaces, and with them the links.
         mkdir /run/held; for i in $(seq {PODS}); do echo \"exec {{fd}}</run/netns/pod$i\"; done >/run/hold.sh
         echo 'echo ready >/run/ready; exec sleep infinity' >>/run/hold.sh
         bash /run/hold.sh >/dev/null 2>&1 </dev/null &
         while [ ! -e /run/ready ]; do :; done
         for i in $(seq {PODS}); do ip netns del pod$i; done"
    ));
    assert_eq!(node.sh("ip -br link | grep -c veth").trim(), PODS.to_string());
    let requests = "strace -f -qq -o /run/calls -e trace=sendto";
    let (ok, text) = node.tries(&format!("{requests} {PODNET} detach --gc --yes --json"));
    assert!(ok, "{text}");
    // One request, however many there are; the barrier behind each would take 20 ms.
    let deletions = node.sh("grep -cE 'nlmsg_type=(RTM_DELLINK|0x11 )' /run/calls");
    assert_eq!(deletions.trim(), "2", "the links, and then the bridge");
    same(&before, &state(&node), "after all");
}
