//! One node: pid, mount and network namespaces whose pid 1 is the host of everything that a test builds. It ends, with all
//! that is in it, when the test does.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The name that podnet and these tests give to the namespace of pid 1.
pub const HOST: &str = "host";

/// What every script can use: `at NETNS COMMAND...`, `spawn NETNS COMMAND...` for one that stays (its pid is then `$!`),
/// `set_in NETNS SYSCTL=VALUE...`, and `nameless NAME`, which makes a namespace that only a process is in; its name is
/// known to these tests alone.
const PRELUDE: &str = r#"
    enter() {
        ns=$1; shift
        if [ $ns = host ]; then exec "$@"; fi
        if [ -e "/run/netns/$ns" ]; then file=/run/netns/$ns; else file=/run/nameless/$ns; fi
        exec nsenter --net="$file" -- "$@"
    }
    at() { ( enter "$@" ); }
    spawn() {
        ( exec >/dev/null 2>&1 </dev/null; enter "$@" ) &
        shift
        # It is the program, and in its namespace, once it has the program's arguments.
        while [ "$(tr '\0' ' ' </proc/$!/cmdline)" != "$* " ]; do :; done
    }
    set_in() {
        ns=$1; shift
        for setting in "$@"; do
            file=/proc/sys/$(printf %s "${setting%%=*}" | tr . /)
            at $ns sh -c 'printf %s "$2" >"$1"' sh "$file" "${setting#*=}"
        done
    }
    nameless() {
        name=$1
        ( exec unshare -n sleep infinity >/dev/null 2>&1 </dev/null ) &
        while [ "$(cat /proc/$!/comm)" != sleep ]; do :; done
        mkdir -p /run/nameless
        ln -s /proc/$!/ns/net /run/nameless/$name
    }
"#;

/// A node that is alive.
pub struct Node {
    init: Child,
    pid: String,
    /// Traces that were held against a recording already.
    held: Mutex<HashSet<String>>,
}

impl Node {
    /// A node with a loopback device and nothing else.
    pub fn new() -> Node {
        // Before the private /proc is mounted, the process can see its pid as the test counts.
        let script = "read -r pid rest </proc/self/stat
            mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t tmpfs tmpfs /run; mkdir /run/netns
            ip link set lo up; echo $pid; exec sleep infinity >/dev/null";
        let mut init = Command::new("unshare")
            .args(["-mnpf", "--kill-child", "sh", "-euc", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(init.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        assert!(!pid.is_empty(), "the node did not start");
        Node { init, pid: pid.trim().to_owned(), held: Mutex::default() }
    }

    /// A node on which a script has been run.
    pub fn with(script: &str) -> Node {
        let node = Node::new();
        node.sh(script);
        node
    }

    /// Its pid 1 as the test counts.
    pub fn init(&self) -> &str {
        &self.pid
    }

    /// A command that will run in the node.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid, "-m", "-n", "-p", "--"]).arg(program);
        command.env_remove("NO_COLOR").stdin(Stdio::null());
        command
    }

    /// Runs a script as the node's root; what it prints. A failure ends the test.
    pub fn sh(&self, script: &str) -> String {
        let out = self.script(script);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{script}\n{text}{}", String::from_utf8_lossy(&out.stderr));
        text
    }

    /// Types what a finding says mends it.
    #[track_caller]
    pub fn mend(&self, finding: &Value) {
        let fix = finding["fix"].as_str().unwrap();
        self.sh(&format!("podnet() {{ {PODNET} \"$@\"; }}; {fix}"));
    }

    /// Whether a script succeeds.
    pub fn succeeds(&self, script: &str) -> bool {
        self.script(script).status.success()
    }

    fn script(&self, script: &str) -> Output {
        let mut command = self.command("timeout");
        command.args(["-s", "KILL", "300", "sh", "-euc", &format!("{PRELUDE}{script}")]).output().unwrap()
    }

    /// What a script prints, whether it succeeds or not, and whether it does.
    pub fn tries(&self, script: &str) -> (bool, String) {
        let out = self.script(script);
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.success(), text)
    }

    /// What a program with JSON output says.
    pub fn json(&self, script: &str) -> Value {
        let text = self.sh(script);
        serde_json::from_str(if text.trim().is_empty() { "[]" } else { &text })
            .unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// Starts a process in a namespace; its pid as the node counts. It lives as long as the node, or until it is killed.
    pub fn process(&self, netns: &str) -> u32 {
        self.sh(&format!("spawn {netns} sleep infinity; echo $!")).trim().parse().unwrap()
    }

    /// The process of a namespace that has no name.
    pub fn pid_of(&self, nameless: &str) -> u32 {
        let link = self.sh(&format!("readlink /run/nameless/{nameless}"));
        link.split('/').nth(2).unwrap().parse().unwrap()
    }

    /// Names of the namespaces by inode number: the host's, those with a name, and those that only tests have one for.
    pub fn inodes(&self) -> BTreeMap<u64, String> {
        let text = self.sh("stat -Lc '%i host' /proc/1/ns/net
            for file in /run/nameless/* /run/netns/*; do [ ! -e $file ] || stat -Lc \"%i ${file##*/}\" $file; done");
        text.lines().map(|line| line.split_once(' ').unwrap()).map(|(i, n)| (i.parse().unwrap(), n.into())).collect()
    }

    /// Inode number of a namespace.
    pub fn inode(&self, netns: &str) -> u64 {
        *self.inodes().iter().find(|(_, name)| *name == netns).unwrap().0
    }

    /// Does a thing in a namespace of the node, on a thread that enters it and ends.
    pub fn inside<T: Send>(&self, netns: &str, thing: impl FnOnce() -> T + Send) -> T {
        let place = match netns {
            HOST => format!("/proc/{}/ns/net", self.pid),
            _ => format!("/proc/{}/root/run/netns/{netns}", self.pid),
        };
        let file = std::fs::File::open(place).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                thing()
            });
            thread.join().unwrap()
        })
    }

    /// Whether an answer comes in the end: links that were just made carry nothing yet.
    pub fn reaches(&self, from: &str, to: &str) -> bool {
        self.succeeds(&format!("at {from} ping -c 1 -w 5 {to} >/dev/null"))
    }

    /// Whether a ping gets an answer.
    pub fn ping(&self, from: &str, to: &str) -> bool {
        self.succeeds(&format!("at {from} ping -c 1 -w 1 {to} >/dev/null"))
    }

    /// Runs podnet on the host; arguments without spaces.
    pub fn podnet(&self, args: &str) -> Run {
        self.podnet_os(&args.split_whitespace().map(OsStr::new).collect::<Vec<_>>())
    }

    /// Runs podnet on the host.
    pub fn podnet_os(&self, args: &[impl AsRef<OsStr>]) -> Run {
        let mut command = self.command("timeout");
        // Whatever takes this long hangs.
        command.args(["-s", "KILL", "120", PODNET]).args(args);
        Run::new(args, command.output().unwrap())
    }

    /// A trace as JSON, with everything checked that holds for every trace.
    pub fn trace(&self, args: &str) -> Value {
        let trace = self.podnet(&format!("trace {args} --json")).trace();
        self.agrees(args, &trace);
        trace
    }

    /// A recording made now gives the same trace, hop by hop.
    fn agrees(&self, args: &str, live: &Value) {
        // What only an open file leads to is called by that file's number.
        if args.contains("/fd/") {
            return;
        }
        // Each time in CI; else the first time, for it costs two more runs.
        let again = !self.held.lock().unwrap().insert(args.to_owned());
        if again && !in_ci() {
            return;
        }
        let recording = self.podnet("snapshot");
        assert_eq!((recording.code, recording.stderr.as_str()), (0, ""), "podnet snapshot");
        let line = format!("trace {args} --json --snapshot -");
        let words: Vec<&str> = line.split_whitespace().collect();
        let recorded = with_stdin(&words, &recording.stdout).trace();
        let whole: Value = serde_json::from_slice(&recording.stdout).unwrap();
        // What the search for namespaces met is a gap of the whole recording, whichever of them are asked about.
        let met = |trace: Value| without_gaps(steady(trace), whole["gaps"].as_array().unwrap());
        let (live, recorded) = (met(live.clone()), met(recorded));
        // What the kernel keeps secret podnet does not claim to know.
        if recorded.to_string().contains("next hops is used is not in a recording") {
            assert!(recorded["paths"].as_array().unwrap().iter().any(|p| p["verdict"]["action"] == "unknown"));
            return;
        }
        assert!(live == recorded, "podnet {line}\nlive: {live:#}\nrecorded: {recorded:#}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Its pid 1: all that is in the node ends with it, and then so does the process that waits for it.
        let init = nix::unistd::Pid::from_raw(self.pid.parse().unwrap());
        let _ = nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL);
        let _ = self.init.wait();
    }
}

/// The binary.
pub const PODNET: &str = env!("CARGO_BIN_EXE_podnet");

/// What podnet said.
pub struct Run {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
    what: String,
}

impl Run {
    pub fn new(args: &[impl AsRef<OsStr>], out: Output) -> Run {
        let what: Vec<OsString> = args.iter().map(|a| a.as_ref().to_owned()).collect();
        let what = format!("podnet {what:?}");
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{what}: {stderr}");
        let code = out.status.code().unwrap_or(-1);
        assert!((0..=3).contains(&code), "{what} ended with {:?}: {stderr}", out.status);
        Run { code, stdout: out.stdout, stderr, what }
    }

    /// The text on stdout.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The trace on stdout: valid by the schema, and the exit code and stderr are what goes with it.
    pub fn trace(&self) -> Value {
        assert_eq!(self.stderr, "", "{}", self.what);
        let trace: Value = serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("{}: {e}", self.what));
        valid("trace", &trace);
        let all = || trace["paths"].as_array().unwrap().iter().map(|p| p["verdict"]["action"].as_str().unwrap());
        let code = if all().any(|a| a == "dropped") {
            1
        } else if all().any(|a| a == "unknown") {
            3
        } else {
            0
        };
        assert_eq!(self.code, code, "{}: exit code for {:?}", self.what, all().collect::<Vec<_>>());
        trace
    }

    /// The document of this kind on stdout: valid by its schema, after a success.
    pub fn document(&self, kind: &str) -> Value {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{}", self.what);
        let document: Value = serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("{}: {e}", self.what));
        valid(kind, &document);
        document
    }

    /// The error that podnet could not do its work for: with its id and exit code, one JSON object on stderr and
    /// nothing on stdout.
    pub fn refusal(&self) -> Value {
        assert_eq!(String::from_utf8_lossy(&self.stdout), "", "{}", self.what);
        let error =
            serde_json::from_str(&self.stderr).unwrap_or_else(|e| panic!("{}: {e}: {}", self.what, self.stderr));
        valid("error", &error);
        assert_eq!(error["exit"], self.code, "{}", self.what);
        error
    }
}

/// Runs podnet outside of every node, with this on stdin.
pub fn with_stdin(args: &[&str], input: &[u8]) -> Run {
    let mut command = Command::new(PODNET);
    command.args(args).env_remove("NO_COLOR");
    let mut podnet = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = podnet.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A run that refuses its input has not read all of it.
        scope.spawn(move || stdin.write_all(input));
        Run::new(args, podnet.wait_with_output().unwrap())
    })
}

fn without_gaps(mut trace: Value, gaps: &[Value]) -> Value {
    trace["gaps"].as_array_mut().unwrap().retain(|gap| !gaps.contains(gap));
    trace
}

/// A trace without what time alone changes: an entry that is confirmed grows old by itself.
fn steady(mut trace: Value) -> Value {
    // Whom a process belongs to, and what leads to a file, is asked of the machine itself.
    let source = trace["source"].as_object_mut().unwrap();
    source.remove("tenant");
    source.remove("owner");
    for hop in trace["paths"].as_array_mut().unwrap().iter_mut().flat_map(|p| p["hops"].as_array_mut().unwrap()) {
        let state = &mut hop["neigh"]["state"];
        if ["REACHABLE", "STALE", "DELAY", "PROBE"].iter().any(|known| state == known) {
            *state = "known".into();
        }
    }
    trace
}

/// Holds a document against its schema.
fn valid(kind: &str, document: &Value) {
    static KNOWN: Mutex<BTreeMap<String, Arc<jsonschema::Validator>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap();
    let validator = known.entry(kind.to_owned()).or_insert_with(|| {
        let path = format!("{}/schema/{kind}.schema.json", env!("CARGO_MANIFEST_DIR"));
        let schema = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        Arc::new(jsonschema::validator_for(&schema).unwrap())
    });
    let validator = Arc::clone(validator);
    drop(known);
    let flaws: Vec<String> = validator.iter_errors(document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(flaws.is_empty(), "{flaws:#?}\n{document:#}");
}

/// A change is tested: whatever is missing is a failure, and what is dear is done.
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|ci| ci == "true")
}

/// Asks again and again until it is so; it is an error that it never is.
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::yield_now();
    }
}
