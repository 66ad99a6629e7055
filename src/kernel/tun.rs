//! The processes that hold the other side of a tun or macvtap device: what is written to the device they read.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc::{SYS_pidfd_getfd, SYS_pidfd_open, ioctl, syscall};

use super::holders::{self, processes};
use super::netns::NetnsFile;
use super::text;
use crate::model::{HeldBy, IfIndex, Link, NetnsId, Pid};

/// Processes that hold the other side of a tun or macvtap device.
pub fn held_by(netns: NetnsId, link: &Link) -> Vec<HeldBy> {
    match link.kind.as_str() {
        "tun" => holders_of_tun(netns, &link.ifname),
        _ => holders_of_tap(link.ifindex),
    }
}

/// Processes that have a tun device of this name open, the surest first.
fn holders_of_tun(netns: NetnsId, ifname: &str) -> Vec<HeldBy> {
    let mut held = Vec::new();
    for (pid, _) in processes() {
        for fd in holders::files(pid).filter(|fd| leads_to(pid, *fd, "/dev/net/tun")) {
            if attached(pid, fd).as_deref() != Some(ifname) {
                continue;
            }
            // The name is one of its own namespace, which need not be that of the process.
            match netns_of(pid, fd) {
                Ok(id) if id != netns => {}
                Ok(_) => held.push(holder(pid, true)),
                Err(_) => held.push(holder(pid, false)),
            }
        }
    }
    finish(held)
}

/// Processes that have the character device of a macvtap open; its number is the link's.
fn holders_of_tap(ifindex: IfIndex) -> Vec<HeldBy> {
    let wanted = format!("/dev/tap{ifindex}");
    let holds = |pid: &Pid| holders::files(*pid).any(|fd| leads_to(*pid, fd, &wanted));
    // Namespaces can have links of the same index, and then nodes of the same name.
    finish(processes().map(|(pid, _)| pid).filter(holds).map(|pid| holder(pid, false)).collect())
}

fn finish(mut held: Vec<HeldBy>) -> Vec<HeldBy> {
    held.sort_by_key(|h| (!h.sure, h.pid));
    held.dedup();
    held
}

fn holder(pid: Pid, sure: bool) -> HeldBy {
    let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    HeldBy { pid, comm: text(comm.trim_ascii_end()), sure }
}

fn leads_to(pid: Pid, fd: u32, path: &str) -> bool {
    fs::read_link(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|target| target.as_os_str() == path)
}

/// Name of the device that an open tun file is attached to.
fn attached(pid: Pid, fd: u32) -> Option<String> {
    let info = fs::read(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
    let line = info.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"iff:"))?;
    Some(text(line.trim_ascii()))
}

/// The namespace of the device that an open tun file is attached to. Asked through a copy of the file that is closed
/// at once.
fn netns_of(pid: Pid, fd: u32) -> io::Result<NetnsId> {
    /// `ioctl` that opens the namespace of the device (`TUNGETDEVNETNS`).
    const TUNGETDEVNETNS: nix::libc::c_ulong = 0x54e3;
    let own = |fd: i64| match i32::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor, and nothing else has it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: neither takes a pointer.
    let process = own(unsafe { syscall(SYS_pidfd_open, pid.0, 0) })?;
    let copy = own(unsafe { syscall(SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })?;
    // SAFETY: TUNGETDEVNETNS takes no argument.
    let netns = own(i64::from(unsafe { ioctl(copy.as_raw_fd(), TUNGETDEVNETNS as _) }))?;
    Ok(NetnsFile::from_fd(netns)?.id())
}
