//! Things that go away while podnet looks: an answer or an error, never a panic and never a wait without end.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::node::{Node, PODNET, Run};
use super::{Test, scene, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(processes_that_end_while_they_are_traced, Tools),
        test!(pods_that_come_and_go_on_the_path, Tools),
        test!(names_that_were_left_behind),
    ]
}

/// Traces again and again while a script runs round and round.
fn while_running(node: &Node, churn: &str, rounds: usize, mut trace: impl FnMut()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let churner = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                node.sh(churn);
            }
        });
        for _ in 0..rounds {
            // A failed assertion must not leave the other thread running.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut trace));
            if done.is_err() || churner.is_finished() {
                over.store(true, Ordering::Relaxed);
                done.unwrap();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// An answer that keeps its contract, or the error that the target is not there any more.
#[track_caller]
fn sound(run: &Run) -> Option<Value> {
    if !run.stdout.is_empty() {
        return Some(run.trace());
    }
    let error = run.refusal();
    let id = error["id"].as_str().unwrap();
    // A name is a plain file before its namespace is mounted there, and after.
    assert!(["gone", "unknown-target", "no-permission", "not-a-netns"].contains(&id), "{error:#}");
    None
}

fn processes_that_end_while_they_are_traced() {
    let node = scene::reference();
    let (mut answers, mut errors) = (0, 0);
    let churn = "for i in 1 2 3 4 5; do
        spawn pod-a sleep infinity; pid=$!; echo $pid >/run/new; mv /run/new /run/victim; kill -9 $pid; wait $pid || true
        ( exec unshare -n sleep infinity >/dev/null 2>&1 ) & echo $! >/run/new; mv /run/new /run/victim; kill -9 $!; wait $! || true
    done";
    node.sh(churn);
    while_running(&node, churn, 60, || {
        let victim = node.sh("cat /run/victim");
        match sound(&node.podnet(&format!("trace {} --json", victim.trim()))) {
            Some(_) => answers += 1,
            None => errors += 1,
        }
        // Whoever is not concerned gets the full answer.
        let trace = node.podnet("trace pod-b --to 172.22.0.1 --json").trace();
        assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered");
    });
    assert_eq!(answers + errors, 60);
}

fn pods_that_come_and_go_on_the_path() {
    let node = scene::reference();
    let churn = "for i in 1 2 3; do
        ip netns add coming
        ip link add vcoming type veth peer name eth0 netns coming
        ip link set vcoming master cni0 up
        ip -n coming addr add 172.22.0.66/24 dev eth0
        ip -n coming link set eth0 up
        ip netns del coming
        while [ -e /sys/class/net/vcoming ]; do :; done
    done";
    while_running(&node, churn, 40, || {
        sound(&node.podnet("trace coming --json"));
        sound(&node.podnet("trace vcoming --json"));
        sound(&node.podnet("trace 172.22.0.66 --json"));
        let trace = node.podnet("trace pod-a --to 172.22.0.66 --json").trace();
        assert_ne!(trace["paths"][0]["verdict"]["action"], "leaves-node");
        // What stays is seen as it is.
        let trace = node.podnet("trace pod-a --to 172.22.0.252 --json").trace();
        assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered", "{trace:#}");
    });
}

fn names_that_were_left_behind() {
    let node = Node::new();
    node.sh("mkdir -p /run/netns; for i in 1 2 3 4 5; do : >/run/netns/dead$i; done");
    let list = node.json(&format!("{PODNET} list --json"));
    let gaps: Vec<&str> = list["gaps"].as_array().unwrap().iter().map(|g| g["what"].as_str().unwrap()).collect();
    assert_eq!(gaps, ["names dead1, dead2, dead3 and 2 more"]);
}
