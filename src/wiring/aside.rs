//! Work in a child, for system calls that go on for milliseconds after they have had their effect: what the child says is
//! waited for, its end is not.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{ForkResult, fork, pipe, read, write};

/// Bytes of stack for work that is waited for.
const STACK: usize = 64 * 1024;

/// What a child that shares its parent's memory is to do, and what became of it.
struct Work<F> {
    kept: Vec<RawFd>,
    work: Option<F>,
    outcome: Option<io::Result<()>>,
}

/// Does the work in a child with no open files but `kept`, and waits for it; what files the child leaves open are closed
/// while nobody waits any more.
///
/// Call it where there is one thread. The child has the memory of the caller, who stands still until the child lets go of
/// that: before it closes its files. To copy the memory for it would take longer than most work.
pub(super) fn at_once<F: FnOnce() -> io::Result<()>>(kept: &[RawFd], work: F) -> io::Result<()> {
    extern "C" fn child<F: FnOnce() -> io::Result<()>>(work: *mut c_void) -> c_int {
        // SAFETY: `at_once` passes a pointer to such a value, and touches it only after this has ended.
        let work = unsafe { &mut *work.cast::<Work<F>>() };
        close_all_but(std::mem::take(&mut work.kept));
        work.outcome = work.work.take().map(|work| work());
        // SAFETY: ends this process only; nothing of the parent's is flushed or run a second time.
        unsafe { libc::_exit(0) }
    }
    let mut work = Work { kept: kept.to_vec(), work: Some(work), outcome: None };
    // Aligned as a stack has to be, and grown from its end downwards.
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack and the work outlive the child, which is done with both before this call returns.
    let started =
        unsafe { libc::clone(child::<F>, stack.as_mut_ptr_range().end.cast(), flags, (&raw mut work).cast()) };
    Errno::result(started)?;
    work.outcome.unwrap_or_else(|| Err(ended()))
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the child that did it has ended")
}

/// Starts the work with no open files but `kept`. Its outcome comes by the pipe: [`outcome`] reads it.
///
/// Call it where there is one thread.
pub(super) fn aside(kept: &[RawFd], work: impl FnOnce() -> io::Result<()>) -> io::Result<OwnedFd> {
    let (said, says) = pipe()?;
    // SAFETY: no other thread is there to hold a lock that the child would need.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => Ok(said),
        ForkResult::Child => {
            // Whoever waits for the end of podnet's output, or for its lock, must not wait for this.
            close_all_but(kept.iter().copied().chain([says.as_raw_fd()]).collect());
            let errno = match work() {
                Ok(()) => 0,
                Err(e) => e.raw_os_error().unwrap_or(Errno::EIO as i32),
            };
            let _ = write(&says, &errno.to_ne_bytes());
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
            Ok(_) => return Err(ended()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
