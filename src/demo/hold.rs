//! The process that keeps one machine's namespace alive: it bears the machine's name, so that `ps` and podnet show it.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;

/// Name of the machine, told to the process that is to hold it.
const HOLD: &str = "PODNET_DEMO_HOLD";

/// The machine that this process was started to hold.
pub fn name_to_hold() -> Option<String> {
    std::env::var(HOLD).ok()
}

/// Makes the namespace and keeps it until the one who started the process ends or lets go.
pub fn hold(name: &str) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    prctl::set_name(&CString::new(name)?)?;
    io::stdout().write_all(b"\n")?;
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A started holder; its namespace goes when this is dropped.
#[derive(Debug)]
pub struct Holder {
    child: Child,
}

impl Holder {
    /// Starts the process. It is not ready yet, so that several can start at the same time.
    pub fn start(name: &str) -> io::Result<Holder> {
        let child = Command::new("/proc/self/exe")
            .arg0(name)
            .arg("demo")
            .env(HOLD, name)
            // What is typed at the terminal is not for it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Holder { child })
    }

    /// Waits until the namespace is there, and opens it.
    pub fn netns(&mut self) -> io::Result<File> {
        let mut ready = [0];
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_exact(&mut ready)?;
        }
        File::open(self.path())
    }

    /// The namespace's file.
    pub fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.child.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // With its stdin closed it ends by itself.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
