//! Private user, pid, net, mount and uts namespaces for the process that asks, by running it a second time inside.
//! Nothing that is done there reaches the machine, and nothing outlives the process that waits outside.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, getegid, geteuid, getpid};

use super::forbidden::{Forbidden, Sort};
use super::wait::{self, Keyboard};
use crate::error::{Error, ErrorId, Result};
use crate::kernel::netns::NetnsFile;
use crate::model::{Change, NetnsRef, Plan};
use crate::wiring;

/// Pid of the process that waits outside, told to the one inside.
const WAITING: &str = "PODNET_ISOLATED_BY";

/// Where the process finds itself when [`reexec`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where it was: the second run is over and gave this exit code.
    Outside(u8),
    /// In the second run, as pid 1 of the private namespaces.
    Inside,
}

/// Runs the own binary again with the same arguments in private namespaces. Returns twice: inside as soon as all is
/// set up, and outside when the inner process has ended and with it every process and mount that it left.
///
/// Call it before the first thread is started: a process with threads may not make a user namespace.
pub fn reexec(keyboard: Keyboard) -> Result<Side> {
    // Children of the inner process inherit the variable and are no first processes.
    if let Some(waiting) = std::env::var(WAITING).ok().filter(|_| getpid().as_raw() == 1) {
        settle(&waiting)?;
        return Ok(Side::Inside);
    }
    let without = unshare_user()?;
    unshare_one(Sort::Pid).map_err(|error| without.map(|refusal| refusal.error()).unwrap_or(error))?;
    let mut command = Command::new("/proc/self/exe");
    let mut args = std::env::args_os();
    command.arg0(args.next().unwrap_or_else(|| "podnet".into())).args(args);
    command.env(WAITING, std::process::id().to_string());
    wait::run(command, keyboard).map(Side::Outside)
}

/// A command that knows nothing of the private namespaces it runs in.
pub fn forget(command: &mut Command) -> &mut Command {
    command.env_remove(WAITING)
}

/// A new user namespace in which the caller is root and owns all that it makes; or the refusal that root can perhaps do
/// without.
fn unshare_user() -> Result<Option<Forbidden>> {
    let (uid, gid) = (geteuid(), getegid());
    match unshare(CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {}
        Err(errno) if uid.is_root() => return Ok(Some(Forbidden::here(Sort::User, errno))),
        Err(errno) => return Err(Forbidden::here(Sort::User, errno).error()),
    }
    id_maps(uid, gid).iter().try_for_each(|(file, text)| {
        fs::write(format!("/proc/self/{file}"), text).map_err(|e| Forbidden::here(Sort::User, errno_of(&e)).error())
    })?;
    Ok(None)
}

/// What is written below /proc/self to make the caller root inside. Without the first an ordinary user may not write the
/// last.
fn id_maps(uid: Uid, gid: Gid) -> [(&'static str, String); 3] {
    [("setgroups", "deny".to_owned()), ("uid_map", format!("0 {uid} 1")), ("gid_map", format!("0 {gid} 1"))]
}

fn unshare_one(sort: Sort) -> Result<()> {
    unshare(sort.flag()).map_err(|errno| Forbidden::here(sort, errno).error())
}

/// What pid 1 does first: ties its life to the waiting process, takes the other namespaces and makes them habitable.
fn settle(waiting: &str) -> Result<()> {
    let failed = |what: &str, e: io::Error| Error::new(ErrorId::Isolation, what).because(e);
    // When the waiting process ends, by whatever signal, the kernel kills this one and with it the pid namespace.
    set_pdeathsig(Signal::SIGKILL).map_err(|e| failed("the demo could not be tied to its parent", e.into()))?;
    // It may have ended before that; the outer /proc, still mounted here, knows.
    if parent().as_deref() != Some(waiting) {
        return Err(Error::new(ErrorId::Isolation, "the process that waits for the demo is gone"));
    }
    for sort in [Sort::Mount, Sort::Net, Sort::Uts] {
        unshare_one(sort)?;
    }
    mounts()?;
    let own = NetnsFile::own().map_err(|e| failed("the private network namespace could not be opened", e))?;
    let mut plan = Plan::default();
    plan.step(&NetnsRef::Host, Change::SetUp { ifname: "lo".into() });
    wiring::apply(&plan, &[(NetnsRef::Host, own)].into(), wiring::Sockets::new(), &mut || None).map(|_| ())
}

/// Pid of the parent as the mounted /proc counts; getppid() is 0 where the parent is in another pid namespace.
fn parent() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")).map(|pid| pid.trim().to_owned())
}

/// Private /proc, /sys and /run over the machine's own.
fn mounts() -> Result<()> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let over = |path: &str, fs: &str, flags, data: Option<&str>| mount(Some(fs), path, Some(fs), flags, data);
    let failed = |path: &str, errno: Errno| {
        Error::new(ErrorId::Isolation, format!("a private {path} could not be mounted")).because(errno).hint(
            "a container runtime that masks parts of /proc forbids it: run the container with unmasked paths \
             (docker run --security-opt systempaths=unconfined), or podnet demo outside of it",
        )
    };
    // What is mounted from now on stays here.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(|e| failed("mount tree", e))?;
    over("/proc", "proc", quiet, None).map_err(|e| failed("/proc", e))?;
    // The old /sys would show the machine's devices; none is better than wrong ones.
    over("/sys", "sysfs", quiet, None)
        .or_else(|_| over("/sys", "tmpfs", quiet | MsFlags::MS_RDONLY, None))
        .map_err(|e| failed("/sys", e))?;
    let links = symlinks("/run");
    over("/run", "tmpfs", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755")).map_err(|e| failed("/run", e))?;
    for (at, to) in links {
        let _ = symlink(to, at);
    }
    Ok(())
}

/// The symbolic links of a directory: some systems (NixOS, Guix) keep the way to their programs in /run.
fn symlinks(directory: &str) -> Vec<(PathBuf, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.path(), fs::read_link(entry.path()).ok()?))).collect()
}

fn errno_of(e: &io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_becomes_root_and_nobody_else_is_there() {
        let maps = id_maps(Uid::from_raw(1000), Gid::from_raw(100));
        let text: Vec<String> = maps.iter().map(|(file, text)| format!("{file}: {text}")).collect();
        assert_eq!(text, ["setgroups: deny", "uid_map: 0 1000 1", "gid_map: 0 100 1"]);
    }
}
