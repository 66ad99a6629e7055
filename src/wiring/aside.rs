//! Work in a child, for system calls that go on for milliseconds after they have had their effect: what the child says is
//! waited for, its end is not.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{ForkResult, fork, pipe, read, write};

/// Starts the work with no open files but `kept`. Its outcome comes by the pipe: [`outcome`] reads it. What is to be done
/// with what came of it is done after that.
pub(super) fn aside<T>(
    kept: &[RawFd],
    work: impl FnOnce() -> io::Result<T>,
    then: impl FnOnce(T),
) -> io::Result<OwnedFd> {
    let (said, says) = pipe()?;
    // SAFETY: what the child calls takes no locks but those of the C library's memory, of which its fork takes care.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => Ok(said),
        ForkResult::Child => {
            // Whoever waits for the end of podnet's output, or for its lock, must not wait for this.
            close_all_but(kept.iter().copied().chain([says.as_raw_fd()]).collect());
            let done = work();
            let errno = done.as_ref().map_or_else(|e| e.raw_os_error().unwrap_or(Errno::EIO as i32), |_| 0);
            let _ = write(&says, &errno.to_ne_bytes());
            let _ = done.map(then);
            // SAFETY: ends this process only; nothing of the parent's is flushed or run a second time.
            unsafe { libc::_exit(0) }
        }
    }
}

fn close_all_but(mut kept: Vec<RawFd>) {
    kept.sort_unstable();
    let mut first: libc::c_uint = 0;
    for fd in kept.into_iter().map(|fd| fd as libc::c_uint).chain([libc::c_uint::MAX]) {
        if first < fd {
            let last = if fd == libc::c_uint::MAX { fd } else { fd - 1 };
            // SAFETY: this process uses none of these descriptors any more.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
        first = fd.saturating_add(1);
    }
}

/// What became of the work, as soon as the child says it.
pub(super) fn outcome(said: &OwnedFd) -> io::Result<()> {
    let mut errno = [0; 4];
    loop {
        match read(said, &mut errno) {
            Ok(4) if errno == [0; 4] => return Ok(()),
            Ok(4) => return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the child that did it has ended")),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
