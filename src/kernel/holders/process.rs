//! One pass over /proc: which namespace each process is in, and one process for every mount namespace.
//!
//! Read by hand and not with the procfs crate: that stats all ten namespaces of a process where two links are wanted,
//! and on a node this pass is most of the time that the discovery takes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;

use super::{Census, Depth, deep, ns, text};
use crate::kernel::socket::Refused;
use crate::model::{Gap, HolderType, NetnsId, Pid};

/// What shows the processes of others.
pub(super) const NEEDS: &str = "CAP_SYS_PTRACE over them: run podnet as root";

/// The processes that podnet may look at and the inode of the namespace that each is in, as they come in /proc.
/// Cheaper than a discovery: no names, no mounts.
pub fn processes() -> impl Iterator<Item = (Pid, u64)> {
    pids().filter_map(|pid| {
        let link = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
        Some((pid, ns::inode(link.as_os_str().as_bytes())?))
    })
}

/// Open files of a process, by their numbers.
pub fn files(pid: Pid) -> impl Iterator<Item = u32> + use<> {
    numbers(&format!("/proc/{pid}/fd"))
}

fn pids() -> impl Iterator<Item = Pid> {
    // /proc opened a moment ago, or discovery would not have come this far.
    numbers("/proc").map(Pid)
}

/// The entries of a directory that are numbers: processes, threads, file descriptors.
pub(super) fn numbers(dir: &str) -> impl Iterator<Item = u32> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| u32::try_from(ns::number(e.file_name().as_bytes())?).ok())
}

/// A process, held by its directory: once the process is gone nothing can be read through that, so no fact of a
/// later process with the same pid gets in.
pub(super) struct Process {
    pub(super) pid: Pid,
    dir: OwnedFd,
}

impl Process {
    fn open(pid: Pid) -> nix::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(format!("/proc/{pid}").as_str(), flags, Mode::empty())?;
        Ok(Process { pid, dir })
    }

    pub(super) fn link(&self, path: &str) -> nix::Result<Vec<u8>> {
        Ok(readlinkat(&self.dir, path)?.into_encoded_bytes())
    }

    /// Identity of an open file of the process.
    pub(super) fn file(&self, fd: u32) -> std::io::Result<NetnsId> {
        ns::at_fd(Some(self.dir.as_fd()), &format!("fd/{fd}"))
    }

    fn netns(&self) -> nix::Result<u64> {
        ns::inode(&self.link("ns/net")?).ok_or(nix::Error::EINVAL)
    }

    /// A thread of the kernel: it is in the first namespace there was. Says which one is the host's where pid 1 is
    /// protected even from root.
    fn is_of_the_kernel(&self) -> bool {
        const PF_KTHREAD: u64 = 0x0020_0000;
        let stat = fs::read(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat_field(&stat, 9).is_some_and(|flags| flags & PF_KTHREAD != 0)
    }

    /// Name of the process; a process may choose any bytes.
    pub(super) fn comm(&self) -> Option<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&self.dir, "comm", flags, Mode::empty()).ok()?);
        // 16 bytes for a process, up to 64 for a worker thread of the kernel.
        let mut bytes = [0; 128];
        let len = file.read(&mut bytes).ok()?;
        let comm = &bytes[..len];
        Some(text(comm.strip_suffix(b"\n").unwrap_or(comm)))
    }
}

/// What the pass over /proc found besides the holders.
pub(super) struct Seen {
    /// Inode of the namespace of pid 1.
    pub(super) host: Option<u64>,
    pub(super) mount_namespaces: MountNamespaces,
    /// Processes whose namespace may not be read.
    pub(super) hidden: Vec<Pid>,
}

/// One process for every mount namespace.
pub(super) struct MountNamespaces {
    own: Option<u64>,
    by_inode: HashMap<u64, Member>,
}

struct Member {
    pid: Pid,
    /// Its root is not that of the mount namespace, so its mountinfo leaves out what is beyond.
    chrooted: bool,
}

impl MountNamespaces {
    fn add(&mut self, process: &Process) {
        let Some(inode) = process.link("ns/mnt").ok().and_then(|link| mount_inode(&link)) else { return };
        if self.by_inode.get(&inode).is_some_and(|member| !member.chrooted) {
            return;
        }
        let chrooted = process.link("root").ok().as_deref() != Some(b"/");
        let member = self.by_inode.entry(inode).or_insert(Member { pid: process.pid, chrooted });
        if member.chrooted && !chrooted {
            *member = Member { pid: process.pid, chrooted };
        }
    }

    /// A process in podnet's own mount namespace; podnet itself only where there is no other.
    pub(super) fn own(&self) -> Pid {
        let member = self.own.and_then(|inode| self.by_inode.get(&inode));
        member.map_or(Pid(std::process::id()), |m| m.pid)
    }

    /// A process in every other mount namespace, by pid.
    pub(super) fn foreign(&self) -> Vec<Pid> {
        let others = self.by_inode.iter().filter(|(inode, _)| Some(**inode) != self.own);
        let mut pids: Vec<Pid> = others.map(|(_, member)| member.pid).collect();
        pids.sort();
        pids
    }
}

fn mount_inode(link: &[u8]) -> Option<u64> {
    ns::number(link.strip_prefix(b"mnt:[")?.strip_suffix(b"]")?)
}

/// Goes over all processes but podnet itself, which opens namespaces only to look at them.
pub(super) fn survey(census: &mut Census, depth: Depth, gaps: &mut Vec<Gap>) -> Seen {
    let me = Pid(std::process::id());
    let own = fs::read_link("/proc/self/ns/mnt").ok().and_then(|link| mount_inode(link.as_os_str().as_bytes()));
    let mut mount_namespaces = MountNamespaces { own, by_inode: HashMap::new() };
    let mut host = None;
    let mut saw_init = false;
    let mut hidden = Hidden::default();
    let mut deep = (depth == Depth::Deep).then(deep::Deep::default);
    let mut unopened = Missed::default();
    // Said where it fails, because an empty list would pass for one that hides processes.
    if let Err(error) = fs::read_dir("/proc") {
        gaps.push(Gap::new("processes", "/proc", Refused::from(error).to_string()));
        saw_init = true;
    }
    for pid in pids() {
        saw_init |= pid == Pid(1);
        let process = match Process::open(pid) {
            Ok(process) => process,
            Err(nix::Error::ENOENT | nix::Error::ESRCH) => continue,
            Err(error) => {
                unopened.add(error);
                continue;
            }
        };
        let netns = process.netns();
        if pid == Pid(1) || (pid == Pid(2) && host.is_none() && process.is_of_the_kernel()) {
            host = netns.ok();
        }
        if pid == me {
            continue;
        }
        match netns {
            Ok(inode) => {
                let path = Some(format!("/proc/{pid}/ns/net"));
                census.hold(inode, HolderType::Process, pid, process.comm(), path);
                mount_namespaces.add(&process);
            }
            // Gone, or a zombie, which holds nothing; unless it is the first thread of a process that goes on.
            Err(nix::Error::ENOENT | nix::Error::ESRCH) => deep::threads(census, &process, None),
            Err(error) => {
                hidden.add(pid, error);
                continue;
            }
        }
        if let Some(deep) = &mut deep {
            deep.survey(census, &process, netns.ok());
        }
    }
    unopened.report("processes", gaps);
    hidden.missed.report("ns/net", gaps);
    // Pid 1 is there as long as podnet is.
    if !saw_init {
        gaps.push(Gap::new("processes", "other users", "/proc is mounted with hidepid").needs(NEEDS));
    }
    if let Some(deep) = deep {
        deep.report(gaps);
    }
    Seen { host, mount_namespaces, hidden: hidden.pids }
}

/// Processes of which the same was not seen: one gap for all, with the first reason.
#[derive(Default)]
pub(super) struct Missed {
    count: usize,
    error: Option<nix::Error>,
}

impl Missed {
    pub(super) fn add(&mut self, error: nix::Error) {
        self.count += 1;
        self.error.get_or_insert(error);
    }

    pub(super) fn report(&self, what: &str, gaps: &mut Vec<Gap>) {
        let Some(error) = self.error else { return };
        let gap = Gap::new(what, counted_processes(self.count), error.desc());
        gaps.push(if forbidden(error) { gap.needs(NEEDS) } else { gap });
    }
}

/// Refused for want of rights, which more rights would mend.
pub(super) fn forbidden(error: nix::Error) -> bool {
    matches!(error, nix::Error::EACCES | nix::Error::EPERM)
}

fn counted_processes(count: usize) -> String {
    if count == 1 { "1 process".to_owned() } else { format!("{count} processes") }
}

/// Processes whose namespace podnet may not see.
#[derive(Default)]
struct Hidden {
    pids: Vec<Pid>,
    missed: Missed,
}

impl Hidden {
    fn add(&mut self, pid: Pid, error: nix::Error) {
        self.pids.push(pid);
        self.missed.add(error);
    }
}

/// When a process started, in clock ticks since boot: field 22 of /proc/PID/stat.
pub(super) fn start_time(pid: Pid) -> Option<u64> {
    stat_field(&fs::read(format!("/proc/{pid}/stat")).ok()?, 22)
}

/// A field behind the name, as proc(5) counts them from 1.
fn stat_field(stat: &[u8], field: usize) -> Option<u64> {
    // The name stands in parentheses and may hold any of them and spaces itself; no later field does.
    let after_name = stat.iter().rposition(|b| *b == b')')?;
    ns::number(stat[after_name + 1..].split(|b| *b == b' ').filter(|f| !f.is_empty()).nth(field.checked_sub(3)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_any_name() {
        let tail = "S 1 4711 4711 0 -1 4194560 115 0 0 0 0 0 0 0 20 0 1 0 123456 2752512 290 18446744073709551615 1 1";
        for comm in ["(sleep)", "(a b)", "(a) R 1 2 3)", "())", "(\n)"] {
            assert_eq!(stat_field(format!("4711 {comm} {tail}\n").as_bytes(), 22), Some(123456));
        }
        assert_eq!(stat_field(b"", 22), None);
        assert_eq!(stat_field(b"4711 (sleep) S 1", 22), None);
    }

    #[test]
    fn own_process_is_in_its_namespace() {
        let own = crate::kernel::netns::NetnsFile::own().unwrap().id();
        let me = Pid(std::process::id());
        assert_eq!(processes().find(|(pid, _)| *pid == me).map(|(_, inode)| inode), own.ino());
        assert!(start_time(me).is_some());
    }
}
