//! `exec` runs programs of the machine in the network of a namespace, as `ip netns exec` does, and gets out of the way.

use super::attach::node;
use super::node::{PODNET, eventually};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_program_sees_the_namespace, Tools),
        test!(files_of_the_namespace_stand_in, Tools),
        test!(a_container_has_no_say_over_etc, Tools),
        test!(exit_codes_and_signals_are_the_programs, Tools),
    ]
}

fn a_program_sees_the_namespace() {
    let node = node("blue red");
    node.sh("ip -n blue link add inside type bridge");
    let pid = node.process("blue");
    for target in ["blue".to_owned(), pid.to_string(), format!("/proc/{pid}/ns/net")] {
        let run = |what: &str| node.sh(&format!("{PODNET} exec {target} -- {what}"));
        assert_eq!(run("ip -br link"), node.sh("ip -n blue -br link"), "{target}");
        assert_eq!(run("ls /sys/class/net"), node.sh("ip netns exec blue ls /sys/class/net"), "{target}");
        assert_eq!(run("readlink /proc/self/ns/net"), node.sh("ip netns exec blue readlink /proc/self/ns/net"));
        // The rest is the machine's.
        assert_eq!(run("cat /proc/1/comm"), node.sh("cat /proc/1/comm"));
    }
    // What is mounted for the program is mounted for nobody else.
    assert!(!node.sh("ls /sys/class/net").contains("inside"));
    let text = node.sh(&format!(
        "{PODNET} exec red -- sh -c 'mount -t tmpfs t /tmp; echo mine >/tmp/mine; cat /tmp/mine'; ls /tmp"
    ));
    assert!(text.starts_with("mine\n") && !text[5..].contains("mine"), "{text}");
}

fn files_of_the_namespace_stand_in() {
    let node = node("blue red");
    node.sh("mount -t tmpfs tmpfs /etc; mkdir -p /etc/netns/blue; echo the host >/etc/resolv.conf; echo x >/etc/other
        echo blue >/etc/netns/blue/resolv.conf; echo lost >/etc/netns/blue/not-there");
    let read = |netns: &str, file: &str| node.tries(&format!("{PODNET} exec {netns} -- cat /etc/{file}")).1;
    assert_eq!(read("blue", "resolv.conf"), "blue\n");
    assert_eq!(read("blue", "other"), "x\n");
    assert_eq!(read("red", "resolv.conf"), "the host\n");
    assert_eq!(node.sh("cat /etc/resolv.conf"), "the host\n");
    node.sh("ln -s /nowhere /etc/netns/blue/other");
    assert!(read("blue", "other").contains("putting /etc/netns/blue/other in the place of /etc/other"));
}

fn a_container_has_no_say_over_etc() {
    let node = node("");
    // What a process calls itself is no name of a directory that a program of the machine's root would read.
    node.sh("mkdir /run/evil; echo evil >/run/evil/resolv.conf; mkfifo /run/end
        ( exec unshare -n sh -c 'printf /run/evil >/proc/self/comm; echo $$ >/run/pid; read -r end </run/end' >/dev/null 2>&1 ) &
        while [ ! -s /run/pid ]; do :; done");
    let pid = node.sh("cat /run/pid");
    assert_eq!(node.sh(&format!("cat /proc/{}/comm", pid.trim())), "/run/evil\n");
    let read = node.tries(&format!("touch /run/etc; {PODNET} exec {} -- cat /etc/resolv.conf", pid.trim())).1;
    assert!(!read.contains("evil"), "{read}");
}

fn exit_codes_and_signals_are_the_programs() {
    let node = node("blue");
    let code = |what: &str| node.sh(&format!("{PODNET} exec blue -- {what} || echo $?")).trim().to_owned();
    assert_eq!(code("sh -c 'exit 42'"), "42");
    assert_eq!(code("sh -c 'kill -TERM $$'"), "143");
    assert_eq!(code("sh -c 'yes | head -1'"), "y", "a closed pipe ends a program as ever");
    let none = node.podnet("exec blue --json -- /nowhere/at/all").refusal();
    assert!(none["message"].as_str().unwrap().contains("could not be run"), "{none}");
    assert_eq!(node.podnet("exec nowhere --json -- true").refusal()["id"], "unknown-target");
    assert_eq!(node.podnet("exec blue --json").refusal()["id"], "usage");
    // The program is the process that was started: a signal to that is one to the program.
    let out = node.sh(&format!(
        "{PODNET} exec blue -- sh -c 'trap \"echo got it >/run/got; exit 7\" USR1; echo ready >/run/ready; while :; do sleep 0.01; done' &
         pid=$!; while [ ! -e /run/ready ]; do :; done; kill -USR1 $pid; wait $pid || echo $?"
    ));
    assert_eq!(out.trim(), "7");
    eventually("the signal arrived", || node.succeeds("grep -q 'got it' /run/got"));
}
