//! What a person may type to name a namespace, and every way in which that can fail: error, exit code, nothing on stdout.

use serde_json::json;

use super::node::{HOST, Node};
use super::truth::hops;
use super::{Test, scene, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_way_to_name_a_pod_leads_to_it, Tools),
        test!(host_is_the_namespace_of_pid_1, Tools),
        test!(nothing_answers_to_it, Tools),
        test!(makes_no_sense, Tools),
        test!(name_of_a_namespace_and_of_a_link, Tools),
        test!(name_in_two_directories, Tools),
        test!(address_in_several_namespaces, Tools),
        test!(address_in_one_namespace_among_many, Tools),
        test!(process_that_has_ended, Tools),
        test!(files_that_are_no_network_namespace, Tools),
        test!(fifo_in_the_place_of_a_namespace, Tools),
        test!(name_without_a_namespace_behind_it, Tools),
        test!(links_without_a_pod_at_the_other_end, Tools),
        test!(namespace_that_only_an_open_file_holds, Tools),
        test!(errors_are_text_without_json, Tools),
    ]
}

#[track_caller]
fn refused(node: &Node, target: &str, id: &str, exit: i32) -> serde_json::Value {
    let error = node.podnet_os(&["trace", target, "--json"]).refusal();
    assert_eq!((&error["id"], &error["exit"]), (&json!(id), &json!(exit)), "{target}: {error:#}");
    assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "what to do about it: {error:#}");
    error
}

fn every_way_to_name_a_pod_leads_to_it() {
    let node = scene::reference();
    let (pid, inode) = (node.process("pod-a"), node.inode("pod-a"));
    let targets = [
        format!("{pid}"),
        format!("pid:{pid}"),
        "pod-a".into(),
        "netns:pod-a".into(),
        format!("netns:{inode}"),
        "/run/netns/pod-a".into(),
        format!("/proc/{pid}/ns/net"),
        format!("/proc/{pid}/root/run/netns/pod-a"),
        "vetha".into(),
        "link:vetha".into(),
        "172.22.0.253".into(),
        "ip:172.22.0.253".into(),
        "fd00:22::253".into(),
        "ip:fd00:22::253".into(),
        "FD00:22:0:0::00:253".into(),
    ];
    for target in targets {
        let trace = node.trace(&format!("{target} --to 172.22.0.1"));
        assert_eq!(trace["source"]["netns"], inode, "{target}");
        let wanted = ["pod-a/eth0 route", "host/vetha peer", "host/cni0 master"];
        assert_eq!(hops(&node, &trace["paths"][0]), wanted, "{target}");
        let with_pid = target.contains(&pid.to_string()) && !target.contains("root");
        if with_pid {
            assert_eq!(trace["source"]["pid"], pid, "{target}");
        }
    }
}

fn host_is_the_namespace_of_pid_1() {
    let node = scene::reference();
    let from_host = node.trace("host --to 172.22.0.253");
    assert_eq!(from_host["source"]["netns"], node.inode(HOST));
    // Also for a podnet that is in another namespace itself; links are then those of that one.
    let inside = |args: &str| {
        let script = format!("at pod-b {} trace {args} --to 172.22.0.253 --json", super::node::PODNET);
        node.json(&script)
    };
    for target in ["host", "1", "pid:1", "/proc/1/ns/net"] {
        let trace = inside(target);
        assert_eq!(trace["source"]["netns"], node.inode(HOST), "{target}");
        assert_eq!(hops(&node, &trace["paths"][0]), hops(&node, &from_host["paths"][0]), "{target}");
        assert_eq!(trace["paths"][0]["hops"][0]["netns_name"], "host");
    }
    assert_eq!(inside("eth0")["source"]["netns"], node.inode(HOST), "the other end of pod-b's eth0");
}

fn nothing_answers_to_it() {
    let node = scene::reference();
    for target in
        ["nothing", "netns:nothing", "link:nothing", "netns:1", "netns:4026539999", "192.0.2.99", "ip:2001:db8::9"]
    {
        refused(&node, target, "unknown-target", 3);
    }
    // The greatest pid that the kernel gives, the first that it does not, and the greatest number of the type.
    for target in ["4194304", "4194305", "2147483647", "pid:4194303"] {
        refused(&node, target, "unknown-target", 3);
    }
    for target in ["/run/netns/nothing", "/nothing/at/all", "/etc/passwd/x", "/proc/4194303/ns/net", "./nothing"] {
        refused(&node, target, "unknown-target", 3);
    }
}

fn makes_no_sense() {
    let node = Node::new();
    let huge = "9".repeat(40);
    let netns = format!("netns:{huge}");
    let pid = format!("pid:{huge}");
    for target in
        ["", "0", "pid:0", "pid:", "pid:x", "pid:-1", "ip:", "ip:x", "ip:1.2.3", &huge, "4294967296", &netns, &pid]
    {
        refused(&node, target, "usage", 2);
    }
    for args in ["trace", "trace 1 2", "trace 1 -4 -6", "trace 1 --nonsense", "nonsense", ""] {
        let run = node.podnet(args);
        assert_eq!(run.code, 2, "{args}");
        assert_eq!(run.text(), "", "{args}");
        assert!(!run.stderr.is_empty(), "{args}");
    }
    assert_eq!(node.podnet("trace 1 --to nonsense --json").refusal()["id"], "unknown-target");
    // The family of --to is the one that was left out.
    assert_eq!(node.podnet("trace 1 --to 10.0.0.1 -6 --json").refusal()["exit"], 2);
    assert_eq!(node.podnet("trace 1 --to ::1 -4 --json").refusal()["exit"], 2);
}

fn name_of_a_namespace_and_of_a_link() {
    let node = scene::reference();
    node.sh("ip netns add vethb");
    let error = refused(&node, "vethb", "ambiguous-target", 3);
    let candidates = error["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 2, "{error:#}");
    // Each of what was offered is unambiguous.
    let mut meant = Vec::new();
    for candidate in candidates {
        let trace = node.podnet_os(&["trace", candidate.as_str().unwrap(), "--json"]).trace();
        meant.push(trace["source"]["netns"].as_u64().unwrap());
    }
    meant.sort();
    let mut wanted = vec![node.inode("vethb"), node.inode("pod-b")];
    wanted.sort();
    assert_eq!(meant, wanted);
    assert_eq!(node.trace("netns:vethb")["source"]["netns"], node.inode("vethb"));
    assert_eq!(node.trace("link:vethb")["source"]["netns"], node.inode("pod-b"));
}

fn name_in_two_directories() {
    let node = Node::with(
        "ip netns add red; ip netns add other; mkdir -p /run/docker/netns; touch /run/docker/netns/red
         mount --bind /run/netns/other /run/docker/netns/red",
    );
    let error = refused(&node, "red", "ambiguous-target", 3);
    let mut candidates: Vec<_> = error["candidates"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    candidates.sort();
    assert_eq!(candidates, ["/run/docker/netns/red", "/run/netns/red"]);
    // One directory is the other, so that `ip netns` shows Docker's, too: then every name is there twice.
    node.sh("umount /run/docker/netns/red; rm -r /run/docker/netns; ln -s /run/netns /run/docker/netns");
    assert_eq!(node.trace("red")["source"]["netns"], node.inode("red"));
}

fn address_in_several_namespaces() {
    let node = scene::reference();
    let error = refused(&node, "127.0.0.1", "ambiguous-target", 3);
    let candidates = error["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), node.inodes().len(), "{error:#}");
    for inode in node.inodes().keys() {
        let names_it = |c: &serde_json::Value| c.as_str().unwrap().contains(&inode.to_string());
        assert_eq!(candidates.iter().filter(|c| names_it(c)).count(), 1, "{inode} in {error:#}");
    }
    // Both nodes call their bridge the same, but they have different addresses.
    node.sh("ip -n web-b addr add 172.22.0.252/32 dev lo");
    assert_eq!(refused(&node, "172.22.0.252", "ambiguous-target", 3)["candidates"].as_array().unwrap().len(), 2);
}

fn address_in_one_namespace_among_many() {
    let node = scene::reference();
    for (address, netns) in [("172.22.1.1", "node-b"), ("10.30.180.254", "router"), ("10.30.180.56", HOST)] {
        let trace = node.trace(&format!("{address} --to 172.22.1.1"));
        assert_eq!(trace["source"]["netns"], node.inode(netns), "{address}");
    }
}

fn process_that_has_ended() {
    // The shell becomes a program that never asks how its child ended; one that ends before that, the shell itself asks.
    let node = Node::with(
        "sh -c 'parent=$$; until grep -q sleep /proc/$parent/comm; do sleep 0.01; done & echo $! >/run/zombie
            exec sleep infinity' >/dev/null 2>&1 </dev/null &",
    );
    super::node::eventually("a zombie", || {
        node.succeeds("[ -s /run/zombie ] && grep -q '^State:.Z' /proc/$(cat /run/zombie)/status")
    });
    let zombie = node.sh("cat /run/zombie");
    let error = refused(&node, zombie.trim(), "gone", 3);
    assert!(error["message"].as_str().unwrap().contains("zombie"), "{error:#}");
    refused(&node, &format!("pid:{}", zombie.trim()), "gone", 3);
    let path = format!("/proc/{}/ns/net", zombie.trim());
    refused(&node, &path, "unknown-target", 3);
}

fn files_that_are_no_network_namespace() {
    let node = Node::with("touch /run/plain; ln -s loop /run/loop");
    for target in ["/run/plain", "/run", "/run/", "/dev/null", "/proc/self/ns/mnt", "/proc/1/ns/pid", "/proc/1/status"]
    {
        refused(&node, target, "not-a-netns", 3);
    }
    refused(&node, "/run/loop", "failed", 3);
}

fn fifo_in_the_place_of_a_namespace() {
    // Without a reader or writer an ordinary open would wait for ever.
    let node = Node::with("mkfifo /run/netns/pipe /run/pipe; ip netns add red");
    for target in ["pipe", "/run/netns/pipe", "/run/pipe", "netns:pipe"] {
        refused(&node, target, "not-a-netns", 3);
    }
    // Nor may it stop a look-up that goes through all names.
    refused(&node, "192.0.2.1", "unknown-target", 3);
    assert_eq!(node.trace(&format!("netns:{}", node.inode("red")))["source"]["netns"], node.inode("red"));
}

fn name_without_a_namespace_behind_it() {
    // As it is seen from a mount namespace that the mount did not propagate to; and what `ip netns del` leaves behind
    // when it is killed.
    let node = Node::with("ip netns add gone; umount /run/netns/gone; ln -s /run/nothing /run/netns/dangling");
    let error = refused(&node, "gone", "not-a-netns", 3);
    assert!(error["hint"].as_str().unwrap().contains("mount"), "{error:#}");
    refused(&node, "dangling", "unknown-target", 3);
    // Nothing that a trace of another is about.
    node.sh("ip netns add blue; ip link add v0 type veth peer name eth0 netns blue; ip link set v0 up
        ip -n blue addr add 10.5.0.2/24 dev eth0; ip -n blue link set eth0 up; ip addr add 10.5.0.1/24 dev v0");
    assert_eq!(node.trace("v0 --to 10.5.0.1")["gaps"], json!([]));
    assert_eq!(node.trace("blue --to 10.5.0.1")["gaps"], json!([]));
    node.sh("rm /run/netns/gone");
    refused(&node, "gone", "unknown-target", 3);
}

fn links_without_a_pod_at_the_other_end() {
    let node = scene::reference();
    node.sh("ip link add va type veth peer name vb");
    for target in ["cni0", "lo", "link:lo", "va"] {
        refused(&node, target, "unknown-target", 3);
    }
}

fn namespace_that_only_an_open_file_holds() {
    let node =
        Node::with("ip netns add ghost; exec 9</run/netns/ghost; spawn host sleep infinity; echo $! >/run/holder");
    let inode = node.inode("ghost");
    node.sh("ip netns del ghost");
    // Its inode alone is not enough: nothing that is cheap to look at leads there. The file itself does.
    let error = refused(&node, &format!("netns:{inode}"), "unknown-target", 3);
    assert!(error["hint"].as_str().unwrap().contains("--deep"), "{error:#}");
    let holder = node.sh("cat /run/holder");
    let trace = node.trace(&format!("/proc/{}/fd/9", holder.trim()));
    assert_eq!(trace["source"]["netns"], inode);
}

fn errors_are_text_without_json() {
    let node = Node::new();
    let run = node.podnet("trace nothing");
    assert_eq!((run.code, run.text()), (3, ""));
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines[0].starts_with("podnet: ") && lines[0].contains("nothing"), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("hint: "), "{lines:?}");
}
