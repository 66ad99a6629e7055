//! Attach and detach that are refused, interrupted or killed in the middle, at every system call that matters: all is
//! undone, or the next podnet does it. strace does the damage, so the program has no part in it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::attach::{attach, detach, node, same, state};
use super::node::{Node, PODNET, in_ci};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(each_request_that_is_refused_is_undone, Tools, Strace),
        test!(each_write_that_is_refused_is_undone, Tools, Strace),
        test!(what_cannot_be_undone_is_told, Tools, Strace),
        test!(killed_at_any_request_the_next_one_succeeds, Tools, Strace),
        test!(killed_at_any_write_the_next_one_succeeds, Tools, Strace),
        test!(a_killed_detach_is_brought_to_its_end, Tools, Strace),
        test!(signals_undo, Tools, Strace),
    ]
}

const ATTACH: &str = "attach blue --subnet 10.88.0.0/24 --subnet fd00:88::/64 --json";

/// The system calls to damage: a machine that tests changes takes all of them, a person has less patience.
fn each() -> impl Iterator<Item = usize> {
    let step = if in_ci() { 1 } else { 12 };
    // Otherwise others each time.
    let start = if step == 1 { 1 } else { 1 + std::process::id() as usize % step };
    (start..).step_by(step)
}

/// Settings stay after a success, and a killed podnet puts none back.
fn ready() -> Node {
    let node = node("blue");
    node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    node
}

/// Runs podnet with damage to the `nth` of the system calls of these names; none: it made fewer of them.
fn damaged(node: &Node, args: &str, calls: &str, damage: &str, nth: usize) -> Option<(bool, String)> {
    let (ok, text) = node.tries(&format!(
        "strace -f -qq -o /run/calls -e trace={calls} -e signal=none -e inject={calls}:{damage}:when={nth} {PODNET} {args}"
    ));
    // Each process and thread counts for itself.
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for line in node.sh("grep -v resumed /run/calls || true").lines().filter(|line| line.contains('(')) {
        *made.entry(line.split_whitespace().next().unwrap().to_owned()).or_default() += 1;
    }
    made.values().any(|count| *count >= nth).then_some((ok, text))
}

/// The error on stderr.
fn error(text: &str) -> Value {
    let start = text.find('{').unwrap_or_else(|| panic!("no error: {text}"));
    serde_json::from_str(&text[start..]).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Every refusal leaves what was there before; one that podnet can do without is no refusal.
fn refused_one_by_one(calls: &str, damage: &str) {
    let node = ready();
    let before = state(&node);
    let mut failed = 0;
    for nth in each() {
        let Some((ok, text)) = damaged(&node, ATTACH, calls, damage, nth) else {
            detach(&node, "blue");
            break;
        };
        if ok {
            assert!(node.reaches("blue", "10.88.0.1"), "{calls} {nth}: {text}");
            detach(&node, "blue");
        } else if text.contains("could not be written") {
            // All was done, and only the answer went nowhere.
            detach(&node, "blue");
        } else {
            failed += 1;
            let error = error(&text);
            assert!(error["candidates"] == serde_json::json!([]), "left undone: {error}");
        }
        same(&before, &state(&node), &format!("{calls} number {nth} refused: {text}"));
    }
    assert!(failed >= 1, "nothing failed");
}

fn each_request_that_is_refused_is_undone() {
    refused_one_by_one("sendto", "error=ENOBUFS");
}

fn each_write_that_is_refused_is_undone() {
    refused_one_by_one("write", "error=ENOSPC");
}

fn what_cannot_be_undone_is_told() {
    let node = ready();
    // From the request for the address of the pod on the kernel refuses everything.
    let all = damaged(&node, ATTACH, "sendto", "error=EPERM", 1).unwrap().1;
    assert!(error(&all)["exit"] == 3, "{all}");
    let mut told = 0;
    for nth in each() {
        let inject = format!("sendto:error=EPERM:when={nth}+");
        let script = format!("strace -f -qq -o /run/calls -e trace=sendto -e inject={inject} {PODNET} {ATTACH}");
        let (ok, text) = node.tries(&script);
        if ok {
            detach(&node, "blue");
            break;
        }
        let error = error(&text);
        // What is said to be left is left, and the commands take it away.
        let left = error["candidates"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
        for command in left {
            told += 1;
            assert!(error["hint"].as_str().unwrap().contains("left to do"), "{error}");
            node.sh(command);
        }
        let links = node.sh("ip -br link");
        assert_eq!(links.lines().count(), 1, "{nth}: {links} {text}");
    }
    assert!(told >= 1, "{told}");
}

/// Kills podnet at each system call of a sort; then the same attach succeeds, or, in turn, a detach leaves nothing.
fn killed_one_by_one(calls: &str, each: impl Iterator<Item = usize>) {
    let node = ready();
    let before = state(&node);
    let mut killed = 0;
    for (turn, nth) in each.enumerate() {
        if damaged(&node, ATTACH, calls, "signal=SIGKILL", nth).is_none() {
            detach(&node, "blue");
            break;
        }
        killed += 1;
        let what = format!("killed at {calls} number {nth}");
        // It may have been killed when all was done: at its very last words, or while it verified.
        if turn % 2 == 0 && !node.sh("ip -n blue -br link").contains("eth0") {
            let again = attach(&node, "blue --subnet 10.88.0.0/24 --subnet fd00:88::/64");
            assert!(node.reaches("blue", "10.88.0.1"), "{what}: {again:#}");
        } else if turn % 2 == 0 {
            // The next one clears up, whoever it is for.
            let run = node.podnet(&ATTACH.replace("--json", ""));
            assert!(run.code == 0 || run.stderr.contains("eth0 already"), "{what}: {}", run.stderr);
        }
        detach(&node, "blue");
        same(&before, &state(&node), &what);
    }
    assert!(killed >= 2, "only {killed}");
}

fn killed_at_any_request_the_next_one_succeeds() {
    killed_one_by_one("sendto", each());
}

fn killed_at_any_write_the_next_one_succeeds() {
    // They are few.
    killed_one_by_one("write,linkat,ftruncate,flock", 1..);
}

fn a_killed_detach_is_brought_to_its_end() {
    for calls in ["sendto", "unlink", "write", "ftruncate"] {
        let node = ready();
        let before = state(&node);
        for nth in each() {
            attach(&node, "blue --subnet 10.88.0.0/24 --subnet fd00:88::/64");
            let done = damaged(&node, "detach blue --json", calls, "signal=SIGKILL", nth).is_none();
            let again = detach(&node, "blue");
            same(&before, &state(&node), &format!("killed at {calls} number {nth}: {again:#}"));
            if done {
                break;
            }
        }
    }
}

fn signals_undo() {
    let node = ready();
    let before: BTreeMap<String, String> = state(&node);
    for signal in ["SIGINT", "SIGTERM", "SIGHUP"] {
        let mut undone = 0;
        for nth in each() {
            let Some((ok, text)) = damaged(&node, ATTACH, "sendto", &format!("signal={signal}"), nth) else { break };
            if ok {
                // It came before podnet held signals back, or when all was done.
                detach(&node, "blue");
            } else if text.contains(signal) && text.contains("undone") {
                undone += 1;
                assert_eq!(error(&text)["id"], "interrupted");
            }
            same(&before, &state(&node), &format!("{signal} at request {nth}: {text}"));
        }
        detach(&node, "blue");
        assert!(undone >= 1, "{signal}: {undone}");
    }
}
