//! `podnet list` in a loop while namespaces are born and die by the hundred: no panic, no hang, no wrong pair.
//!
//! Truth does not come from podnet: every link says by its MAC address whose it is. Both ends of a pair bear the same
//! number, and a pod's process bears it, too. Everything happens in private namespaces.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

/// Tells the process inside how many listings to make, and from which network namespace it was started.
const RUNS: &str = "PODNET_CHURN_RUNS";
const OUTSIDE: &str = "PODNET_CHURN_OUTSIDE";

/// Pods alive at a time, for each thread that makes and ends them.
const PODS: usize = 50;
const THREADS: u32 = 3;
/// No listing of a few hundred namespaces takes this long on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn list_is_right_while_namespaces_come_and_go() {
    outside(12);
}

#[test]
#[ignore = "takes minutes"]
fn list_is_right_a_thousand_times() {
    outside(1000);
}

fn netns() -> String {
    fs::read_link("/proc/self/ns/net").unwrap().to_string_lossy().into_owned()
}

/// Runs `inside` in namespaces of its own.
fn outside(runs: u32) {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
        ]);
        command
    };
    let probe = unshare().arg("true").output();
    let why = match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = why {
        assert!(std::env::var_os("CI").is_none(), "no private namespaces to run in: {why}");
        println!("not run: no private namespaces: {why}");
        return;
    }
    let status = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "inside", "--nocapture"])
        .env(RUNS, runs.to_string())
        .env(OUTSIDE, netns())
        .status()
        .unwrap();
    assert!(status.success(), "inside: {status}");
}

#[test]
fn inside() {
    let Ok(runs) = std::env::var(RUNS) else { return };
    assert_ne!(std::env::var(OUTSIDE).unwrap(), netns(), "not in a namespace of its own");
    let run =
        |command: &str| assert!(Command::new("sh").args(["-ec", command]).status().unwrap().success(), "{command}");
    run("mount -t tmpfs tmpfs /run; mkdir -p /run/netns; ip link set lo up");
    run("ip link add cni0 type bridge mcast_snooping 0; ip link set cni0 up");
    let done = AtomicBool::new(false);
    let born = AtomicU32::new(0);
    let deaths = AtomicU32::new(0);
    let result = std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| churn(&done, &born, &deaths));
        }
        let result = scope.spawn(|| listings(runs.parse().unwrap())).join();
        done.store(true, Ordering::Relaxed);
        result
    });
    let seen = result.unwrap();
    println!(
        "{runs} listings; {} pods born, {} gone; {} pairs checked, {} links with no peer found, {} gaps",
        born.into_inner(),
        deaths.into_inner(),
        seen.pairs,
        seen.open,
        seen.gaps
    );
}

/// A process in a network namespace of its own, named after its number; half of them have a name in /run/netns.
struct Pod {
    number: u32,
    process: Child,
}

impl Pod {
    fn start(number: u32) -> Pod {
        let script = format!("printf pod{number} >/proc/$$/comm; read end");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped());
        // SAFETY: unshare is a bare system call.
        unsafe { command.pre_exec(|| unshare(CloneFlags::CLONE_NEWNET).map_err(Into::into)) };
        let pod = Pod { number, process: command.spawn().unwrap() };
        if number.is_multiple_of(2) {
            let path = pod.path();
            fs::write(&path, "").unwrap();
            let flags = nix::mount::MsFlags::MS_BIND;
            let netns = format!("/proc/{}/ns/net", pod.process.id());
            nix::mount::mount(Some(netns.as_str()), path.as_str(), None::<&str>, flags, None::<&str>).unwrap();
        }
        pod
    }

    fn path(&self) -> String {
        format!("/run/netns/pod{}", self.number)
    }

    fn end(mut self) {
        if self.number.is_multiple_of(2) {
            nix::mount::umount2(self.path().as_str(), nix::mount::MntFlags::MNT_DETACH).unwrap();
            fs::remove_file(self.path()).unwrap();
        }
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The MAC address that says whose link it is: 0x0a for a pair with the host, 0x0e for one between two pods.
fn mac(sort: u8, end: u8, number: u32) -> String {
    let [a, b, c, d] = number.to_be_bytes();
    format!("{sort:02x}:{end:02x}:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn churn(done: &AtomicBool, born: &AtomicU32, deaths: &AtomicU32) {
    let mut ip = Command::new("ip")
        .args(["-force", "-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input: ChildStdin = ip.stdin.take().unwrap();
    let mut pods: std::collections::VecDeque<Pod> = Default::default();
    while !done.load(Ordering::Relaxed) {
        let number = born.fetch_add(1, Ordering::Relaxed);
        let pod = Pod::start(number);
        let pid = pod.process.id();
        let (host, inner) = (mac(0x0a, 1, number), mac(0x0a, 2, number));
        writeln!(
            input,
            "link add v{number} address {host} type veth peer name eth0 index 2 address {inner} netns {pid}"
        )
        .unwrap();
        writeln!(input, "link set v{number} master cni0 up").unwrap();
        // Pairs between pods all have the same two indexes, so that only the number of the namespace tells them apart.
        if let Some(other) = pods.back().filter(|_| number.is_multiple_of(3)) {
            let (one, two) = (mac(0x0e, 1, number), mac(0x0e, 2, number));
            let other = other.process.id();
            writeln!(
                input,
                "link add eth1 index {} address {one} netns {pid} type veth peer name eth1 index 4 address {two} netns {other}",
                if number.is_multiple_of(2) { 3 } else { 4 },
            )
            .unwrap();
        }
        pods.push_back(pod);
        if pods.len() > PODS {
            // Neither the first nor the last, so that the order of deaths is not that of births.
            let at = number as usize % (pods.len() - 1);
            pods.remove(at).unwrap().end();
            deaths.fetch_add(1, Ordering::Relaxed);
        }
    }
    drop(input);
    ip.wait().unwrap();
    pods.into_iter().for_each(Pod::end);
}

#[derive(Default)]
struct Seen {
    pairs: usize,
    open: usize,
    gaps: usize,
}

fn listings(runs: u32) -> Seen {
    let mut seen = Seen::default();
    let longest = Mutex::new(Duration::ZERO);
    for run in 0..runs {
        let started = Instant::now();
        let listing = list(run % 4 != 3);
        let mut longest = longest.lock().unwrap();
        *longest = longest.max(started.elapsed());
        let listing: Value = serde_json::from_str(&listing).unwrap_or_else(|e| panic!("run {run}: {e}: {listing}"));
        if let Err(wrong) = check(&listing, &mut seen) {
            let path = std::env::temp_dir().join("podnet-churn.json");
            let _ = fs::write(&path, listing.to_string());
            panic!("run {run}: {wrong}; the listing is in {}", path.display());
        }
        if run % 100 == 99 {
            println!("{} listings, the longest took {longest:?}", run + 1);
        }
    }
    seen
}

fn list(privileged: bool) -> String {
    let binary = std::env::var("PODNET").unwrap_or_else(|_| env!("CARGO_BIN_EXE_podnet").to_owned());
    let mut command = match privileged {
        true => Command::new(binary),
        false => {
            // Without a capability it may neither look at the pods' processes nor enter their namespaces.
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(binary);
            command
        }
    };
    let mut child = command.args(["list", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("podnet list hangs");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let mut complaint = String::new();
    err.read_to_string(&mut complaint).unwrap();
    assert!(status.success(), "{status}: {complaint}");
    reader.join().unwrap().unwrap()
}

/// Whose link it is: sort and number from its MAC address, without which end it is.
fn owner(link: &Value) -> Option<(u8, u32)> {
    let bytes: Vec<u8> =
        link["address"].as_str()?.split(':').map(|b| u8::from_str_radix(b, 16)).collect::<Result<_, _>>().ok()?;
    match bytes.as_slice() {
        [sort @ (0x0a | 0x0e), _, number @ ..] => Some((*sort, u32::from_be_bytes(number.try_into().ok()?))),
        _ => None,
    }
}

/// What the namespace and those in it are called.
fn names(namespace: &Value) -> impl Iterator<Item = &str> {
    let holders = namespace["holders"].as_array().into_iter().flatten();
    let names = holders.flat_map(|h| [h["comm"].as_str(), h["path"].as_str()]).chain([namespace["name"].as_str()]);
    names.flatten().map(|name| name.rsplit('/').next().unwrap_or(name))
}

/// The namespace is the one that the host's link leads to, by inode, or else by the host's number for it.
fn same_netns(namespace: &Value, peer: &Value) -> bool {
    namespace["netns"] == peer["netns"] && (!namespace["netns"].is_null() || namespace["nsid"] == peer["nsid"])
}

fn check(listing: &Value, seen: &mut Seen) -> Result<(), String> {
    let namespaces = listing["namespaces"].as_array().ok_or("no namespaces")?;
    let mut links: HashMap<(u64, u64), &Value> = HashMap::new();
    let mut twice = HashSet::new();
    for namespace in namespaces {
        let Some(netns) = namespace["netns"].as_u64() else { continue };
        if !twice.insert(netns) {
            return Err(format!("net:[{netns}] is there twice"));
        }
        for link in namespace["links"].as_array().into_iter().flatten() {
            links.insert((netns, link["ifindex"].as_u64().unwrap_or(0)), link);
        }
    }
    for namespace in namespaces {
        let name = namespace["name"].as_str().unwrap_or("");
        for link in namespace["links"].as_array().into_iter().flatten() {
            let Some(code) = owner(link) else { continue };
            if name != "host" && code.0 == 0x0a {
                let wrong: Vec<&str> =
                    names(namespace).filter(|n| n.starts_with("pod") && *n != format!("pod{}", code.1)).collect();
                if !wrong.is_empty() {
                    return Err(format!("{name} has the link of pod{}: {wrong:?}", code.1));
                }
            }
            let peer = &link["peer"];
            // What was not entered shows no MAC address: it must then bear the number in its name.
            if code.0 == 0x0a && name == "host" {
                let there = namespaces.iter().filter(|n| !peer.is_null() && same_netns(n, peer));
                let wrong = there.flat_map(names).find(|n| n.starts_with("pod") && *n != format!("pod{}", code.1));
                if let Some(wrong) = wrong {
                    return Err(format!("{} of the host is paired with {wrong}", link["ifname"]));
                }
            }
            let far = peer["netns"].as_u64().zip(peer["ifindex"].as_u64()).and_then(|key| links.get(&key));
            match far {
                Some(far) if !far["address"].is_null() && owner(far) != Some(code) => {
                    return Err(format!(
                        "{} of {name} {code:x?} is paired with {far} {:x?}",
                        link["ifname"],
                        owner(far)
                    ));
                }
                Some(far) if !peer["ifname"].is_null() && peer["ifname"] != far["ifname"] => {
                    return Err(format!("{} of {name} has a peer by another name: {peer} {far}", link["ifname"]));
                }
                Some(_) => seen.pairs += 1,
                None => seen.open += 1,
            }
        }
    }
    seen.gaps += listing["gaps"].as_array().map_or(0, Vec::len);
    Ok(())
}
