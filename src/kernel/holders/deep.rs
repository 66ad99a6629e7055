//! Holders that take long to look for: threads in another namespace than their process, open files of a namespace,
//! and sockets, which stay in the namespace that they were made in.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc;

use super::process::{Missed, Process, numbers};
use super::{Census, counted, ns};
use crate::kernel::netns::NetnsFile;
use crate::model::{Gap, HolderType, NetnsId, Pid};

/// File descriptors looked at in one process; a container can open a million to keep podnet busy.
const FDS: usize = 65_536;

/// The namespaces of the threads of a process that differ from the process's own, each once.
pub(super) fn threads(census: &mut Census, process: &Process, of_process: Option<u64>) {
    let pid = process.pid;
    let mut seen: HashSet<u64> = of_process.into_iter().collect();
    for tid in numbers(&format!("/proc/{pid}/task")).filter(|tid| *tid != pid.0) {
        let Some(inode) = process.link(&format!("task/{tid}/ns/net")).ok().and_then(|link| ns::inode(&link)) else {
            continue;
        };
        if seen.insert(inode) {
            let path = Some(format!("/proc/{pid}/task/{tid}/ns/net"));
            census.hold(inode, HolderType::Thread, pid, process.comm(), path);
        }
    }
}

/// What is remembered from process to process.
#[derive(Default)]
pub(super) struct Deep {
    /// Namespaces of the sockets asked so far: processes that fork share their sockets.
    sockets: HashMap<u64, Option<u64>>,
    unreadable: Missed,
    refused: usize,
    cut: Vec<Pid>,
}

impl Deep {
    /// Looks at the threads and file descriptors of one process.
    pub(super) fn survey(&mut self, census: &mut Census, process: &Process, of_process: Option<u64>) {
        // Without a namespace of its own the threads have been looked at for that reason.
        if of_process.is_some() {
            threads(census, process, of_process);
        }
        let pid = process.pid;
        let dir = format!("/proc/{pid}/fd");
        if let Err(error) = std::fs::read_dir(&dir) {
            match nix::Error::try_from(error) {
                Ok(nix::Error::ENOENT | nix::Error::ESRCH) | Err(_) => {}
                Ok(error) => self.unreadable.add(error),
            }
            return;
        }
        // What the process itself is in needs no second holder of the same pid.
        let mut files: HashSet<u64> = of_process.into_iter().collect();
        let mut sockets = files.clone();
        let mut pidfd = None;
        for (count, fd) in numbers(&dir).enumerate() {
            if count == FDS {
                self.cut.push(pid);
                break;
            }
            let Ok(link) = process.link(&format!("fd/{fd}")) else { continue };
            if let Some(inode) = ns::inode(&link) {
                if files.insert(inode) {
                    let path = Some(format!("{dir}/{fd}"));
                    census.hold(inode, HolderType::Fd, pid, process.comm(), path);
                }
            } else if link.starts_with(b"/") {
                // Opened through a mount it reads as the path, which has become `/` if the mount is gone.
                if let Some(inode) = behind_mount(census.dev, process, fd)
                    && files.insert(inode)
                {
                    let path = Some(format!("{dir}/{fd}"));
                    census.hold(inode, HolderType::Fd, pid, process.comm(), path);
                }
            } else if let Some(socket) = socket_inode(&link) {
                if pidfd.is_none() {
                    pidfd = Some(open_pidfd(process));
                }
                let Some(Ok(pidfd)) = &pidfd else { continue };
                if let Some(inode) = self.netns_of(census, socket, pidfd, fd)
                    && sockets.insert(inode)
                {
                    census.hold(inode, HolderType::Socket, pid, process.comm(), None);
                }
            }
        }
    }

    fn netns_of(&mut self, census: &mut Census, socket: u64, pidfd: &OwnedFd, fd: u32) -> Option<u64> {
        if let Some(known) = self.sockets.get(&socket) {
            return *known;
        }
        let netns = match netns_of_socket(pidfd, fd) {
            Ok(netns) => netns,
            Err(error) => {
                // Closed since: nothing was missed.
                self.refused += usize::from(error.raw_os_error() != Some(libc::EBADF));
                self.sockets.insert(socket, None);
                return None;
            }
        };
        let inode = netns.id().ino();
        if let Some(inode) = inode {
            // No path leads to the namespace of a socket: what was had from it is kept.
            census.at(inode).file.get_or_insert(netns);
        }
        self.sockets.insert(socket, inode);
        inode
    }

    pub(super) fn report(self, gaps: &mut Vec<Gap>) {
        let why = "Permission denied";
        self.unreadable.report("open files", gaps);
        if self.refused > 0 {
            let whose = counted(self.refused, "socket");
            let needs = "CAP_SYS_PTRACE and CAP_NET_ADMIN: run podnet as root";
            gaps.push(Gap::new("namespaces", whose, why).needs(needs));
        }
        for pid in self.cut {
            gaps.push(Gap::new(
                "open files",
                format!("pid {pid}"),
                format!("more than {FDS}; the rest was not looked at"),
            ));
        }
    }
}

/// The network namespace that an open file is, where it does not say so in its link.
fn behind_mount(dev: u64, process: &Process, fd: u32) -> Option<u64> {
    let id = process.file(fd).ok()?;
    // Most files are elsewhere: only one of the file system of namespaces is opened, to learn of which sort it is.
    let NetnsId::Inode { dev: on, ino } = id else { return None };
    if on != dev {
        return None;
    }
    let path = format!("/proc/{}/fd/{fd}", process.pid);
    ns::open_path(path.as_ref(), id).is_ok().then_some(ino)
}

/// The inode number in what a link to a socket reads as: `socket:[12345]`.
fn socket_inode(link: &[u8]) -> Option<u64> {
    ns::number(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

fn open_pidfd(process: &Process) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let pidfd = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid.0, 0) })?;
    // Still there: then the pid has not gone to another process, and this is the one that was meant.
    process.link("ns/pid_for_children")?;
    Ok(pidfd)
}

/// The namespace of a socket that another process has open; the copy of the socket is closed again at once.
fn netns_of_socket(pidfd: &OwnedFd, fd: u32) -> io::Result<NetnsFile> {
    const SIOCGSKNS: libc::c_ulong = 0x894C;
    // SAFETY: takes three numbers.
    let socket = owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })?;
    // SAFETY: SIOCGSKNS takes no argument and changes nothing.
    NetnsFile::from_fd(owned(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS as _) }.into())?)
}

/// The new file descriptor that a system call answered with, or its error.
fn owned(answer: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(answer) {
        // SAFETY: the kernel just gave the number out, so nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_told_from_other_files() {
        assert_eq!(socket_inode(b"socket:[31337]"), Some(31337));
        for other in [&b"pipe:[31337]"[..], b"socket:[]", b"/tmp/socket:[1]", b"socket:[1] (deleted)"] {
            assert_eq!(socket_inode(other), None);
        }
    }
}
