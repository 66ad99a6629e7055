//! Names that a container chooses: links and processes may be called nearly anything, and none of it may reach a terminal.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;

use super::node::{Node, PODNET, Run};
use super::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(no_control_byte_reaches_the_text, Tools),
        test!(json_stays_json, Tools),
        test!(colour_is_the_only_use_of_escape, Tools),
        test!(arguments_with_control_bytes_are_not_echoed, Tools),
        test!(names_of_namespaces_are_not_trusted, Tools),
    ]
}

/// A pod whose every name is meant to harm: the link inside has ESC, BEL and a byte that is no UTF-8, the host's end
/// turns the writing direction and has a C1 control character, the process has a newline and a terminal title.
fn node() -> (Node, u32) {
    let node = Node::with(
        r#"
        ip netns add pod
        ip link add br0 type bridge; ip addr add 10.9.0.1/24 dev br0; ip link set br0 up
        inside=$(printf '\033[31mx\007\377y'); outside=$(printf 'v\342\200\256a\302\233b')
        ip link add "$outside" type veth peer name "$inside" netns pod
        ip link set "$outside" master br0 up
        ip -n pod addr add 10.9.0.2/24 dev "$inside"; ip -n pod link set "$inside" up
        ip -n pod route add default via 10.9.0.1
        mkfifo /run/never
        spawn pod sh -c 'printf "a\n\033]0;evil\007\r" >/proc/self/comm; echo $$ >/run/pid; read -r x </run/never'
        "#,
    );
    super::node::eventually("the process has its name", || node.succeeds("grep -q evil /proc/$(cat /run/pid)/comm"));
    let pid = node.sh("cat /run/pid").trim().parse().unwrap();
    // The kernel took them as they are.
    assert!(node.succeeds("at pod sh -c 'cat /sys/class/net/*/address' || true"));
    (node, pid)
}

/// Nothing but letters for eyes, and newlines.
#[track_caller]
fn harmless(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let bad: Vec<char> = text.chars().filter(|c| (c.is_control() && *c != '\n') || hidden(*c)).collect();
    assert!(bad.is_empty(), "{bad:?} in {text:?}");
}

fn traces(node: &Node, pid: u32, more: &str) -> [Run; 3] {
    [
        node.podnet(&format!("trace {pid} {more}")),
        node.podnet(&format!("trace {pid} --to 10.9.0.1 {more}")),
        node.podnet(&format!("trace host --to 10.9.0.2 {more}")),
    ]
}

fn no_control_byte_reaches_the_text() {
    let (node, pid) = node();
    for more in ["", "--color never", "--ascii"] {
        for run in traces(&node, pid, more) {
            harmless(&run.stdout);
            // Escaped, not left out: a reader must be able to tell two names apart.
            assert!(run.text().contains(r"\x1b[31mx\x07\xffy"), "{}", run.text());
            assert!(run.text().contains(r"v\u{202e}a\u{9b}b"), "{}", run.text());
        }
    }
    assert!(node.podnet(&format!("trace {pid}")).text().contains(r"a\x0a\x1b]0;evil\x07"));
}

fn json_stays_json() {
    let (node, pid) = node();
    let names = |said: &[u8]| serde_json::from_slice::<Value>(said).unwrap().to_string();
    let written = node.sh(&format!("{PODNET} snapshot -o /run/a.json >/run/out; cat /run/a.json")).into_bytes();
    for said in [node.podnet("list --json").stdout, node.podnet("snapshot").stdout, written] {
        harmless(&said);
        assert!(names(&said).contains("v\u{202e}a\u{9b}b"));
    }
    for run in traces(&node, pid, "--json") {
        harmless(&run.stdout);
        let trace = run.trace();
        let hops = trace["paths"][0]["hops"].as_array().unwrap().clone();
        assert!(hops.iter().any(|h| h["ifname"] == "\u{1b}[31mx\u{7}\\xffy"), "{trace:#}");
        assert!(hops.iter().any(|h| h["ifname"] == "v\u{202e}a\u{9b}b"), "{trace:#}");
    }
}

fn colour_is_the_only_use_of_escape() {
    let (node, pid) = node();
    for run in traces(&node, pid, "--color always") {
        let text = run.text();
        let mut parts = text.split('\u{1b}');
        let mut plain = parts.next().unwrap().to_owned();
        for part in parts {
            let (code, rest) = part.split_once('m').unwrap();
            let is_colour = code.strip_prefix('[').is_some_and(|c| c.bytes().all(|b| b.is_ascii_digit() || b == b';'));
            assert!(is_colour, "{code:?} in {text:?}");
            plain.push_str(rest);
        }
        assert!(plain != text, "nothing was coloured");
        harmless(plain.as_bytes());
    }
}

fn arguments_with_control_bytes_are_not_echoed() {
    let node = Node::new();
    for target in ["\u{1b}[31m", "a\nb", "/run/\u{1b}]0;x\u{7}", "link:\u{9b}", "netns:\u{202e}"] {
        let run = node.podnet_os(&["trace", target]);
        assert_eq!(run.code, 3, "{target:?}");
        harmless(run.stderr.as_bytes());
        let run = node.podnet_os(&["trace", target, "--json"]);
        run.refusal();
        harmless(run.stderr.as_bytes());
    }
    // No text at all is a usage error, not a panic.
    let run = node.podnet_os(&[OsStr::new("trace"), OsStr::from_bytes(b"/run/\xff\x1b")]);
    assert_eq!((run.code, run.text()), (2, ""));
}

fn names_of_namespaces_are_not_trusted() {
    let node = Node::with("ip netns add \"$(printf 'e\\033[2Jvil')\"; ip netns add \"$(printf 'no\\377text')\"");
    let run = node.podnet_os(&["trace", "e\u{1b}[2Jvil"]);
    assert_eq!(run.code, 1);
    harmless(&run.stdout);
    // Reached through its inode, as its name is no text that could be typed.
    let inode = node.sh("stat -Lc %i /run/netns/no*");
    let out = node.command(PODNET).args(["trace", &format!("netns:{}", inode.trim())]).output().unwrap();
    harmless(&out.stdout);
    assert!(String::from_utf8_lossy(&out.stdout).contains(r"no\xfftext"), "{out:?}");
}
