//! Which ports a bridge has, without a word about each of them: a dump of a thousand takes longer than an attach, and
//! goes over those of all other bridges, too.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use super::text;
use crate::model::IfIndex;

/// A bridge has no more (`BR_MAX_PORTS`, of which the first is nobody's).
pub const MOST: usize = 1023;

/// Number of ports of a bridge in the caller's namespace. Only for bridges: other kinds of links take the request for
/// another.
pub fn count(bridge: &str) -> io::Result<usize> {
    let mut request = empty();
    if bridge.len() >= request.ifr_name.len() {
        return Err(Errno::ENODEV.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bridge.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(indexes(&socket()?, request)?.len())
}

/// Indexes and names of the ports of a bridge in the caller's namespace that have the lowest indexes, at most so many. Only
/// for bridges, too.
pub fn first(bridge: IfIndex, limit: usize) -> io::Result<Vec<(IfIndex, String)>> {
    let socket = socket()?;
    let mut ports = indexes(&socket, named(&socket, bridge.0)?)?;
    ports.sort_unstable();
    // One that goes meanwhile has no name any more.
    let told = |index: u32| Some((IfIndex(index), name(&named(&socket, index).ok()?)));
    Ok(ports.into_iter().filter_map(told).take(limit).collect())
}

/// Indexes of the ports of the bridge that the request names (`BRCTL_GET_PORT_LIST`).
fn indexes(socket: &OwnedFd, mut request: libc::ifreq) -> io::Result<Vec<u32>> {
    const BRCTL_GET_PORT_LIST: libc::c_ulong = 7;
    const SIOCDEVPRIVATE: libc::c_ulong = 0x89f0;
    let mut indexes = [0 as libc::c_int; MOST + 1];
    // Four are a bridge's; what a link of another kind makes of the same request is longer.
    let mut args = [0 as libc::c_ulong; 32];
    args[..3].copy_from_slice(&[BRCTL_GET_PORT_LIST, indexes.as_mut_ptr() as libc::c_ulong, MOST as libc::c_ulong + 1]);
    request.ifr_ifru.ifru_data = args.as_mut_ptr().cast();
    // SAFETY: the request and what its pointers lead to outlive the call, and the length told is that of `indexes`.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCDEVPRIVATE as _, &raw mut request) })?;
    Ok(indexes.into_iter().filter(|index| *index != 0).map(|index| index as u32).collect())
}

/// A request that has the name of the link with this index (`SIOCGIFNAME`).
fn named(socket: &OwnedFd, index: u32) -> io::Result<libc::ifreq> {
    let mut request = empty();
    request.ifr_ifru.ifru_ifindex = index as libc::c_int;
    // SAFETY: the request outlives the call.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFNAME as _, &raw mut request) })?;
    Ok(request)
}

fn name(request: &libc::ifreq) -> String {
    let bytes: Vec<u8> = request.ifr_name.iter().map(|c| *c as u8).take_while(|byte| *byte != 0).collect();
    text(&bytes)
}

fn empty() -> libc::ifreq {
    // SAFETY: all-zero bytes are a valid ifreq.
    unsafe { std::mem::zeroed() }
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is new and nobody else's.
    unsafe {
        let socket = Errno::result(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        Ok(OwnedFd::from_raw_fd(socket))
    }
}
