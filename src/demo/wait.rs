//! Waiting for what runs inside: whom the keyboard's signals are for, what ends everything, and who has the terminal
//! afterwards.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, raise, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, setpgid, tcgetpgrp, tcsetpgrp};

use crate::error::{Error, ErrorId, Result};

/// Whom Ctrl-C and Ctrl-\ are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyboard {
    /// They end everything.
    EndsAll,
    /// They are for the command that runs inside, which decides what they mean; it got them too.
    BelongsToCommand,
}

/// Signals that end everything, at least where another process sent them.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP];

/// Runs the first process of the private namespaces and waits for it. Its exit code, 128 and more for a signal.
pub fn run(mut command: Command, keyboard: Keyboard) -> Result<u8> {
    let failed =
        |e: io::Error| Error::new(ErrorId::Isolation, "the demo's first process could not be started").because(e);
    // Where the parent ignored SIGCHLD so would this process, and its children would vanish unseen.
    // SAFETY: the default disposition is no handler that could run.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map_err(|e| failed(e.into()))?;
    let terminal = Terminal::ours();
    let mut child = command.spawn().map_err(failed)?;
    let ended = wait(&mut child, keyboard).inspect_err(|_| {
        let _ = child.kill();
    });
    if let Some(terminal) = terminal {
        // What ran inside cannot give it back: it has no number for this process's group.
        terminal.take();
    }
    ended.map_err(failed)
}

fn wait(child: &mut Child, keyboard: Keyboard) -> io::Result<u8> {
    // Blocked only now, because a child inherits what is blocked.
    let mut watched: SigSet = ENDING.into_iter().collect();
    watched.add(Signal::SIGCHLD);
    watched.thread_block()?;
    let signals = SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC)?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(exit_code(status));
        }
        let Some(info) = signals.read_signal()? else { continue };
        let Ok(signal) = Signal::try_from(info.ssi_signo as i32) else { continue };
        // What the terminal sends went to the whole process group; what a process sends was meant for this one.
        let typed = info.ssi_code == libc::SI_KERNEL && matches!(signal, Signal::SIGINT | Signal::SIGQUIT);
        let spared = typed && keyboard == Keyboard::BelongsToCommand;
        if ENDING.contains(&signal) && !spared {
            return end_by(signal, child);
        }
    }
}

/// Ends what runs inside, then this process in the way that the signal asked for, so that a shell sees why.
fn end_by(signal: Signal, child: &mut Child) -> io::Result<u8> {
    child.kill()?;
    child.wait()?;
    ENDING.into_iter().collect::<SigSet>().thread_unblock()?;
    raise(signal)?;
    // Reached by the first process of a container, which a signal does not end.
    Ok(128 + signal as u8)
}

fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, signal) => 128 + signal.unwrap_or(0) as u8,
    }
}

/// What becomes of a child that is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfStopped {
    /// It stays so: the shell outside stopped the waiting process too, and goes on with both.
    Wait,
    /// It goes on at once: nobody outside knows that it stopped.
    Resume,
}

/// Waits for a child of pid 1, and takes in the orphans that the kernel gives to pid 1 meanwhile.
pub fn reap(child: &Child, if_stopped: IfStopped) -> io::Result<u8> {
    let wanted = Pid::from_raw(child.id() as i32);
    loop {
        match waitpid(None, Some(WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == wanted => return Ok(code as u8),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == wanted => return Ok(128 + signal as u8),
            Ok(WaitStatus::Stopped(pid, _)) if pid == wanted && if_stopped == IfStopped::Resume => {
                kill(pid, Signal::SIGCONT)?;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Gives pid 1 a process group of its own and the terminal, if the waiting process has it: a shell wants to know the
/// group that it takes the terminal from, and the one outside has no number here.
pub fn lead() {
    if let Some(terminal) = Terminal::ours()
        && setpgid(Pid::from_raw(0), Pid::from_raw(0)).is_ok()
    {
        terminal.take();
    }
}

/// The terminal, where this process is in its foreground.
struct Terminal(File);

impl Terminal {
    fn ours() -> Option<Terminal> {
        let tty = File::open("/dev/tty").ok()?;
        (tcgetpgrp(&tty) == Ok(getpgrp())).then_some(Terminal(tty))
    }

    /// Puts this process's group in the foreground, from wherever it is now.
    fn take(self) {
        let mut stop = SigSet::empty();
        stop.add(Signal::SIGTTOU);
        if stop.thread_block().is_ok() {
            let _ = tcsetpgrp(&self.0, getpgrp());
            let _ = stop.thread_unblock();
        }
    }
}
