//! What scripts and terminals rely on: closed pipes, colour, plain characters, streams.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::stat::Mode;

use super::node::{Node, PODNET, Run};
use super::{Test, scene, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(closed_pipe_is_quiet_success, Tools),
        test!(full_disk_is_a_failure, Tools),
        test!(colour_only_where_it_is_wanted, Tools),
        test!(ascii_means_ascii, Tools),
        test!(long_work_is_shown_on_a_terminal),
        test!(text_and_json_tell_the_same_way, Tools),
        test!(output_is_the_same_twice, Tools),
        test!(exit_codes, Tools),
        test!(works_without_stdin_and_in_any_directory, Tools),
    ]
}

fn closed_pipe_is_quiet_success() {
    let node = scene::reference();
    for args in ["trace pod-a --to 172.22.1.7", "trace pod-a --to 172.22.1.7 --json", "--help", "schema", "list"] {
        // The reader is gone before podnet has written anything.
        let (reader, writer) = nix::unistd::pipe().unwrap();
        drop(reader);
        let mut command = node.command("timeout");
        command.args(["-s", "KILL", "30", PODNET]).args(args.split(' '));
        let out = command.stdout(Stdio::from(writer)).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr).as_ref()), (Some(0), ""), "{args}");
    }
    let head = format!("{PODNET} trace pod-a --to 172.22.1.7 --json | head -c1");
    assert_eq!(node.sh(&head), "{");
}

fn full_disk_is_a_failure() {
    // An answer that was lost on the way must not look like one that was given.
    let node = scene::reference();
    for args in ["trace pod-a --to 172.22.1.7", "schema"] {
        let mut command = node.command(PODNET);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let out = command.args(args.split(' ')).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(out.status.code(), Some(3), "{args}");
        assert!(!out.stderr.is_empty(), "{args}");
    }
}

/// Runs podnet with a terminal as stdout; what it shows there.
fn on_terminal(node: &Node, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = node.command(PODNET);
    command.args(args).envs(env.iter().copied());
    shown(command, Command::stdout)
}

/// What a command shows on a terminal that is one of its streams.
fn shown(mut command: Command, plug: fn(&mut Command, Stdio) -> &mut Command) -> String {
    let pty = nix::pty::openpty(None, None).unwrap();
    plug(&mut command, Stdio::from(pty.slave));
    let mut child = command.spawn().unwrap();
    // The terminal is at its end when nobody has its other side open any more.
    drop(command);
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    let mut master = File::from(pty.master);
    while let Ok(n @ 1..) = master.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..n]);
    }
    child.wait().unwrap();
    String::from_utf8(shown).unwrap()
}

fn long_work_is_shown_on_a_terminal() {
    let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/bond/node.json");
    let folder = Path::new("/run/progress");
    fs::create_dir_all(folder).unwrap();
    let pipe = folder.join("slow.json");
    nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o600)).unwrap();
    // One of the two comes so late.
    let list = |late: Duration, terminal: bool| {
        let fed = pipe.clone();
        let feeding = thread::spawn(move || {
            let mut pipe = File::options().write(true).open(fed).unwrap();
            thread::sleep(late);
            pipe.write_all(&fs::read(recording).unwrap()).unwrap();
        });
        let mut command = Command::new(PODNET);
        command.args(["list", "--snapshot", recording, "--snapshot"]).arg(&pipe).stdout(Stdio::null());
        let said = match terminal {
            true => shown(command, Command::stderr),
            false => String::from_utf8(command.output().unwrap().stderr).unwrap(),
        };
        feeding.join().unwrap();
        said
    };
    let long = Duration::from_millis(900);
    let said = list(long, true);
    assert!(said.contains("2/2 recordings read"), "{said:?}");
    assert!(said.ends_with("\u{1b}[2K"), "what is left on the line: {said:?}");
    assert_eq!(list(Duration::ZERO, true), "", "short work");
    assert_eq!(list(long, false), "", "a pipe");
    fs::remove_dir_all(folder).unwrap();
}

fn colour_only_where_it_is_wanted() {
    let node = scene::reference();
    let trace = ["trace", "pod-a", "--to", "172.22.1.7"];
    let with = |more: &[&'static str]| [&trace[..], more].concat();
    let coloured = |text: &str| text.contains('\u{1b}');
    assert!(coloured(&on_terminal(&node, &trace, &[])), "a terminal gets colour");
    assert!(!coloured(&on_terminal(&node, &trace, &[("NO_COLOR", "1")])), "NO_COLOR");
    assert!(coloured(&on_terminal(&node, &trace, &[("NO_COLOR", "")])), "an empty NO_COLOR means nothing");
    assert!(!coloured(&on_terminal(&node, &with(&["--color", "never"]), &[])), "never");
    assert!(coloured(&on_terminal(&node, &with(&["--color=always"]), &[("NO_COLOR", "1")])), "the flag beats NO_COLOR");
    assert!(!coloured(&on_terminal(&node, &with(&["--json"]), &[])), "JSON");
    assert!(!coloured(&on_terminal(&node, &with(&["--json", "--color", "always"]), &[])), "JSON");
    assert!(!coloured(node.podnet("trace pod-a --to 172.22.1.7").text()), "a pipe gets none");
    assert!(coloured(node.podnet("trace pod-a --to 172.22.1.7 --color always").text()), "always");
    assert!(coloured(node.podnet("--color always trace pod-a --to 172.22.1.7").text()), "flags go before, too");
}

fn ascii_means_ascii() {
    let node = scene::reference();
    node.sh("ip link set vetha mtu 1400; ip -n pod-b link set eth0 down");
    for args in
        ["pod-a --to 172.22.1.7", "pod-a", "pod-b", "pod-a --to 172.22.0.252", "pod-c --to 172.22.0.77", "node-b"]
    {
        let plain = node.podnet(&format!("trace {args} --ascii"));
        assert!(plain.text().is_ascii(), "{args}: {}", plain.text());
        // Only the drawing differs.
        let drawn = node.podnet(&format!("trace {args}"));
        let words = |run: &Run| -> Vec<String> {
            run.text().split_whitespace().filter(|w| w.len() > 3).map(str::to_owned).collect()
        };
        assert_eq!(
            words(&plain).iter().filter(|w| w.is_ascii()).count(),
            words(&drawn).iter().filter(|w| w.is_ascii()).count()
        );
        assert!(!drawn.text().is_ascii(), "{args}");
    }
}

fn text_and_json_tell_the_same_way() {
    let node = scene::reference();
    for args in
        ["pod-a --to 172.22.1.7", "pod-a --to 172.22.0.251", "pod-a --to 172.22.0.99", "pod-a --to fd00:22:1::7"]
    {
        let json = node.trace(args);
        let run = node.podnet(&format!("trace {args}"));
        let text = run.text();
        let mut rest = text;
        for hop in json["paths"][0]["hops"].as_array().unwrap() {
            // Each device in its turn.
            let name = hop["ifname"].as_str().unwrap();
            let line =
                rest.lines().find(|l| l.contains('●') && l.contains(name)).unwrap_or_else(|| panic!("{name}: {text}"));
            rest = &rest[rest.find(line).unwrap() + line.len()..];
        }
        let reason = json["paths"][0]["verdict"]["reason"].as_str().unwrap();
        assert!(rest.split_whitespace().collect::<Vec<_>>().join(" ").contains(reason), "{reason}: {text}");
        let as_json = node.podnet(&format!("trace {args} --json")).code;
        assert_eq!(run.code, as_json);
    }
}

fn output_is_the_same_twice() {
    let node = scene::reference();
    assert!(node.reaches("pod-a", "172.22.0.251"));
    node.sh("ip -n pod-a neigh replace $(ip -n pod-a neigh show to 172.22.0.251 | cut -d' ' -f1-5) nud permanent");
    for args in ["trace pod-a --to 172.22.0.251", "trace pod-a --to 172.22.0.251 --json", "trace host --json"] {
        assert_eq!(node.podnet(args).text(), node.podnet(args).text(), "{args}");
    }
}

fn exit_codes() {
    let node = scene::reference();
    node.sh("ip link add wan type veth peer name cable; ip netns add alone");
    let code = |args: &str| node.podnet(args).code;
    assert_eq!(code("trace pod-a --to 172.22.1.7"), 0, "it holds");
    assert_eq!(code("trace pod-a --to 172.22.0.99"), 1, "it is broken");
    assert_eq!(code("trace alone"), 1, "a namespace without any link");
    assert_eq!(code("trace pod-a --to 239.1.1.1"), 3, "it cannot be told");
    assert_eq!(code("trace nothing"), 3, "there is no such thing");
    assert_eq!(code("trace"), 2, "it makes no sense");
    assert_eq!(code("--help"), 0);
    assert_eq!(code("--version"), 0);
}

fn works_without_stdin_and_in_any_directory() {
    let node = scene::reference();
    node.sh(&format!("cd /proc/self/fd; {PODNET} trace pod-a --to 172.22.1.7 <&- >/run/out"));
    node.sh(&format!("mkdir /run/gone; cd /run/gone; rmdir /run/gone; {PODNET} trace pod-a --to 172.22.1.7 >/run/out"));
    // Nor does it need its environment.
    node.sh(&format!("env -i {PODNET} trace pod-a --to 172.22.1.7 >/run/out"));
}
