//! How many ports a bridge has, without a word about each of them: a dump of a thousand takes longer than an attach.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

/// A bridge has no more (`BR_MAX_PORTS`, of which the first is nobody's).
pub const MOST: usize = 1023;

/// Number of ports of a bridge in the caller's namespace (`BRCTL_GET_PORT_LIST`).
pub fn count(bridge: &str) -> std::io::Result<usize> {
    const BRCTL_GET_PORT_LIST: libc::c_ulong = 7;
    const SIOCDEVPRIVATE: libc::c_ulong = 0x89f0;
    let mut indexes = [0 as libc::c_int; MOST + 1];
    let mut args: [libc::c_ulong; 4] =
        [BRCTL_GET_PORT_LIST, indexes.as_mut_ptr() as libc::c_ulong, MOST as libc::c_ulong + 1, 0];
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if bridge.len() >= request.ifr_name.len() {
        return Err(Errno::ENODEV.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bridge.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = args.as_mut_ptr().cast();
    // SAFETY: the request and what its pointers lead to outlive the call, and the length told is that of `indexes`.
    unsafe {
        let socket = Errno::result(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let socket = OwnedFd::from_raw_fd(socket);
        Errno::result(libc::ioctl(socket.as_raw_fd(), SIOCDEVPRIVATE as _, &raw mut request))?;
    }
    Ok(indexes.iter().filter(|index| **index != 0).count())
}
