//! SIGINT, SIGTERM and SIGHUP while something is being changed: they wait until podnet asks for them, between two steps,
//! so that what is half done can be undone. What is done is reported, whatever came after it.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Error, ErrorId, Result};

/// Signals that ask podnet to stop.
const ASKING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Holds the signals back until podnet ends.
#[derive(Debug)]
pub struct Stop {
    signals: SignalFd,
}

impl Stop {
    /// Holds the signals back from now on.
    pub fn new() -> Result<Stop> {
        let failed =
            |errno: nix::errno::Errno| Error::new(ErrorId::Failed, "signals could not be held back").because(errno);
        let asking: SigSet = ASKING.into_iter().collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&asking), None).map_err(failed)?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Stop { signals: SignalFd::with_flags(&asking, flags).map_err(failed)? })
    }

    /// The signal that has come since it was last asked.
    pub fn asked(&self) -> Option<&'static str> {
        let info = self.signals.read_signal().ok().flatten()?;
        Signal::try_from(info.ssi_signo as i32).ok().map(Signal::as_str)
    }
}
