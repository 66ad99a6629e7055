//! Private user, pid, mount and network namespaces for the whole test run, by running the test binary once more inside.
//! Nothing that a test does reaches the machine, and nothing outlives the run.
//!
//! Not `podnet::demo`'s: that one knows a single user, and some tests need two.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{getegid, geteuid, getpid};

/// Inode of the network namespace that the run was started in, told to the process inside.
const OUTSIDE: &str = "PODNET_TESTS_OUTSIDE";

/// Where the process is.
pub enum Side {
    /// Where it was started: the run inside is over, with this exit code.
    Outside(ExitCode),
    /// In the private namespaces.
    Inside,
}

/// Runs the binary again in private namespaces; the error is why that cannot be.
pub fn enter() -> Result<Side, String> {
    let net = || fs::metadata("/proc/self/ns/net").map(|m| m.ino().to_string()).map_err(|e| e.to_string());
    if let Some(outside) = std::env::var(OUTSIDE).ok().filter(|_| getpid().as_raw() == 1) {
        return match settle() {
            Err(why) => Err(why),
            // Better no test than one that touches the machine.
            Ok(()) if net()? == outside => Err("this still is the network namespace of the machine".into()),
            Ok(()) => Ok(Side::Inside),
        };
    }
    unshare_user().map_err(|e| format!("no user namespace: {e}"))?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(|e| format!("no pid namespace: {e}"))?;
    let mut inside = Command::new("/proc/self/exe");
    inside.args(std::env::args_os().skip(1)).env(OUTSIDE, net()?);
    // SAFETY: only system calls between fork and exec.
    unsafe {
        inside.pre_exec(|| {
            set_pdeathsig(Signal::SIGKILL)?;
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
            Ok(())
        });
    }
    let status = inside.status().map_err(|e| format!("no mount or network namespace: {e}"))?;
    Ok(Side::Outside(ExitCode::from(status.code().unwrap_or(101) as u8)))
}

/// A user namespace in which the caller is root: for root with all users that there are, else with one.
fn unshare_user() -> io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    if !uid.is_root() {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        return fs::write("/proc/self/gid_map", format!("0 {gid} 1"));
    }
    // Only a process that stays outside may map more than one user.
    let script = "read -r go; for map in uid_map gid_map; do
                      while read -r id _ count; do echo $id $id $count; done </proc/self/$map >/proc/$PPID/$map
                  done";
    let mut mapper = Command::new("sh").args(["-euc", script]).stdin(Stdio::piped()).spawn()?;
    let done = unshare(CloneFlags::CLONE_NEWUSER);
    if let Some(mut stdin) = mapper.stdin.take() {
        stdin.write_all(b"go\n")?;
    }
    done?;
    match mapper.wait()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("users could not be mapped")),
    }
}

/// Private /proc, /sys, /run and /tmp for the process inside; the rest of the machine's files can only be read.
fn settle() -> Result<(), String> {
    let none = None::<&str>;
    let private = mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none);
    private.map_err(|e| format!("no private mounts: {e}"))?;
    let mounts = [("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run"), ("tmpfs", "/tmp")];
    // A checkout below /tmp has the binary under test there, or what it is held against.
    let needed = |path: &str| [super::node::PODNET, env!("CARGO_MANIFEST_DIR")].iter().any(|own| own.starts_with(path));
    for (fs, path) in mounts.into_iter().filter(|(_, path)| !needed(path)) {
        mount(Some(fs), path, Some(fs), MsFlags::empty(), none).map_err(|e| format!("no private {path}: {e}"))?;
    }
    // A user namespace may not clear what the mount forbids already.
    let now = statvfs("/").map_or(FsFlags::empty(), |fs| fs.flags());
    let kept = [(FsFlags::ST_NOSUID, MsFlags::MS_NOSUID), (FsFlags::ST_NODEV, MsFlags::MS_NODEV)];
    let kept = kept.iter().filter(|(is, _)| now.contains(*is)).fold(MsFlags::empty(), |all, (_, flag)| all | *flag);
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(none, "/", none, read_only | kept, none).map_err(|e| format!("files could not be protected: {e}"))?;
    Ok(())
}
