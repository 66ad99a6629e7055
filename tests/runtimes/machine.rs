//! A machine of its own for container runtimes: network, mount, pid, ipc, uts and cgroup namespaces with state directories
//! that nobody else sees. It ends with the test, and with it every daemon and container that was started in it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::node::{Run, eventually};

/// The binary under test, where nothing hides it that a machine has in the place of this one's directories.
pub const PODNET: &str = "/run/tested/podnet";

/// Runs as pid 1 once it is in its namespaces.
const INIT: &str = r#"
    read -r pid rest </proc/self/stat
    mount -t proc proc /proc; mount -t sysfs sysfs /sys
    mount -t tmpfs tmpfs /run
    mkdir /run/tested; touch /run/tested/podnet; mount --bind "$TESTED" /run/tested/podnet
    for dir in /tmp /var/lib /var/log /var/cache /opt /root /etc/cni /etc/docker /etc/containers /etc/lxc /etc/containerd; do
        [ ! -d $dir ] || mount -t tmpfs tmpfs $dir
    done
    if [ "$1" = v2 ]; then
        mount -t cgroup2 cgroup /sys/fs/cgroup; mkdir /sys/fs/cgroup/init; echo 1 >/sys/fs/cgroup/init/cgroup.procs
    else
        mount -t tmpfs tmpfs /sys/fs/cgroup
        shift
        for dir; do
            mkdir /sys/fs/cgroup/$dir
            case $dir in
                unified) mount -t cgroup2 cgroup /sys/fs/cgroup/$dir;;
                systemd) mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/$dir;;
                *) mount -t cgroup -o $dir cgroup /sys/fs/cgroup/$dir;;
            esac
        done
    fi
    mkdir -p /run/netns /run/lock /run/image/bin /run/home
    cp "$(command -v busybox)" /run/image/bin/busybox
    for name in sh sleep ip ls cat ping nc; do ln -s busybox /run/image/bin/$name; done
    ip link set lo up
    echo $pid
    exec sleep infinity >/dev/null
"#;

/// Joins the machine's cgroups, so that what runs here is where its own processes are.
const JOIN: &str = r#"
    if [ -d /sys/fs/cgroup/init ]; then echo $$ >/sys/fs/cgroup/init/cgroup.procs
    else for dir in /sys/fs/cgroup/*; do echo $$ >$dir/cgroup.procs; done; fi
    cd /; exec "$@"
"#;

/// A machine that is alive.
pub struct Machine {
    init: Child,
    pid: String,
    cgroups: Vec<PathBuf>,
}

impl Machine {
    /// A machine with a loopback device, no daemon, and the tree of a busybox image in `/run/image`.
    pub fn new() -> Machine {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("podnet-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let top = Path::new("/sys/fs/cgroup");
        let (kinds, parents) = if top.join("cgroup.controllers").exists() {
            (vec!["v2".to_owned()], vec![top.to_owned()])
        } else {
            let mut kinds: Vec<String> =
                fs::read_dir(top).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            // Links like `cpu` to `cpu,cpuacct` are the same hierarchy.
            kinds.retain(|kind| !top.join(kind).is_symlink());
            let parents = kinds.iter().map(|kind| top.join(kind)).collect();
            (["v1".to_owned()].into_iter().chain(kinds).collect(), parents)
        };
        let cgroups: Vec<PathBuf> = parents.iter().map(|parent| parent.join(&name)).collect();
        for (parent, cgroup) in parents.iter().zip(&cgroups) {
            fs::create_dir(cgroup).unwrap();
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if parent.ends_with("cpuset") {
                    fs::write(cgroup.join(file), fs::read(parent.join(file)).unwrap()).unwrap();
                }
            }
            if parent.ends_with("cpuset") {
                fs::write(cgroup.join("cgroup.clone_children"), "1").unwrap();
            }
        }
        let enter = r#"while [ "$1" != -- ]; do echo $$ >$1/cgroup.procs; shift; done; shift; exec "$@""#;
        let mut init = Command::new("sh")
            .args(["-euc", enter, "sh"])
            .args(&cgroups)
            .args(["--", "unshare", "-mnpCuif", "--kill-child", "--propagation", "private", "sh", "-euc", INIT, "sh"])
            .args(&kinds)
            .env("TESTED", crate::node::PODNET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(init.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        assert!(!pid.is_empty(), "the machine did not start");
        Machine { init, pid: pid.trim().to_owned(), cgroups }
    }

    /// A command that will run on the machine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid, "-m", "-n", "-p", "-C", "-u", "-i", "--", "sh", "-euc", JOIN, "sh"]);
        // A program that somebody put in place of the distribution's would be another one than is tested for.
        command.arg(program).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/run/home");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a script; what it prints. A failure ends the test.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        let out = self.script(script);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{script}\n{text}{}", String::from_utf8_lossy(&out.stderr));
        text
    }

    pub fn succeeds(&self, script: &str) -> bool {
        self.script(script).status.success()
    }

    fn script(&self, script: &str) -> Output {
        self.command("timeout").args(["-s", "KILL", "60", "sh", "-euc", script]).output().unwrap()
    }

    #[track_caller]
    pub fn json(&self, script: &str) -> Value {
        let text = self.sh(script);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// Starts a daemon and waits until a script says that it answers.
    #[track_caller]
    pub fn daemon(&self, line: &str, answers: &str) -> u32 {
        let script = format!("( exec {line} >>/run/daemons.log 2>&1 </dev/null ) & echo $!");
        let pid = self.sh(&script).trim().parse().unwrap();
        let log = || self.sh("tail -n 20 /run/daemons.log");
        eventually(&format!("{line} answers"), || {
            assert!(self.succeeds(&format!("kill -0 {pid}")), "{line} has ended:\n{}", log());
            self.succeeds(answers)
        });
        pid
    }

    /// Writes a file.
    pub fn file(&self, path: &str, text: &str) {
        let place = format!("/proc/{}/root{path}", self.pid);
        fs::create_dir_all(Path::new(&place).parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    /// Runs podnet; arguments without spaces.
    pub fn podnet(&self, args: &str) -> Run {
        let args: Vec<&str> = args.split_whitespace().collect();
        let out = self.command("timeout").args(["-s", "KILL", "30", PODNET]).args(&args).output().unwrap();
        Run::new(&args, out)
    }

    /// Inode of the network namespace of a process, as the kernel tells it.
    pub fn netns(&self, pid: u64) -> u64 {
        self.sh(&format!("stat -Lc %i /proc/{pid}/ns/net")).trim().parse().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let init = nix::unistd::Pid::from_raw(self.pid.parse().unwrap());
        let _ = nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL);
        let _ = self.init.wait();
        for cgroup in &self.cgroups {
            remove(cgroup);
        }
    }
}

/// A cgroup and those in it; the processes in them are about to be gone.
fn remove(cgroup: &Path) {
    let inner = fs::read_dir(cgroup).into_iter().flatten().flatten().map(|e| e.path());
    inner.filter(|path| path.is_dir()).for_each(|path| remove(&path));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while fs::remove_dir(cgroup).is_err() && cgroup.exists() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
}
