//! The process that keeps one machine's namespace alive: it bears the machine's name, so that `ps` and podnet show it.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;

use super::forbidden::{Forbidden, Sort};
use crate::error::{Error, ErrorId, Result};

/// Name of the machine, told to the process that is to hold it.
const HOLD: &str = "PODNET_DEMO_HOLD";

/// The machine that this process was started to hold.
pub fn name_to_hold() -> Option<String> {
    std::env::var(HOLD).ok()
}

/// Makes the namespace and keeps it until the one who started the process ends or lets go. Tells with an empty line that
/// it is there, or with the number of the error that the kernel refused it.
pub fn hold(name: &str) -> io::Result<()> {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
        writeln!(io::stdout(), "{}", errno as i32)?;
        return Err(errno.into());
    }
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
            // One failure is the demo's to tell, and it tells it once.
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Holder { child })
    }

    /// Waits until the namespace is there, and opens it.
    pub fn netns(&mut self) -> Result<File> {
        let failed = |e: io::Error| {
            Error::new(ErrorId::Isolation, "a process to hold a namespace of the demo gave no answer").because(e)
        };
        let mut line = String::new();
        if let Some(stdout) = self.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
        }
        if line == "\n" {
            return File::open(self.path()).map_err(failed);
        }
        match line.trim().parse() {
            Ok(errno) => Err(Forbidden::here(Sort::Net, Errno::from_raw(errno)).error()),
            Err(_) => Err(failed(io::Error::other(self.last_words()))),
        }
    }

    /// What the process wrote before it ended.
    fn last_words(&mut self) -> String {
        let mut said = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // Enough for any message of podnet's.
            let _ = stderr.take(4096).read_to_end(&mut said);
        }
        let said = String::from_utf8_lossy(&said);
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.is_empty() { "it ended without a word".to_owned() } else { words }
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
