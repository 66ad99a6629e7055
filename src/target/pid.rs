//! A process as a target: its namespace, and the container that it belongs to.

use std::fs;
use std::io;

use super::{Found, HINT, denied};
use crate::error::{Error, ErrorId, Result};
use crate::kernel::netns::NetnsFile;
use crate::kernel::{Live, text};
use crate::model::Pid;

/// Digits that the largest pid of any machine has (`PID_MAX_LIMIT`).
pub(super) const DIGITS: usize = 7;

pub(super) fn find(live: &mut Live, digits: &str) -> Result<Found> {
    let pid = match digits.parse::<u32>() {
        Ok(0) => {
            return Err(Error::new(ErrorId::Usage, "0 is no process").hint("podnet trace host shows the host itself"));
        }
        Ok(pid) => Pid(pid),
        Err(e) => {
            return Err(Error::new(ErrorId::Usage, format!("{digits:?} is no process id")).because(e).hint(HINT));
        }
    };
    enter(live, pid)
}

pub(super) fn enter(live: &mut Live, pid: Pid) -> Result<Found> {
    let comm = fs::read(format!("/proc/{pid}/comm")).map(|c| text(c.trim_ascii_end())).ok();
    let name = comm.clone().unwrap_or_else(|| format!("pid {pid}"));
    let netns = match NetnsFile::open(format!("/proc/{pid}/ns/net")) {
        Ok(file) => {
            let id = file.id();
            match live.spaces.enter(file, name.clone(), pid) {
                Ok(netns) => netns,
                // The file may be read and the namespace not entered: a container in a user namespace of its own.
                Err(_) => live.spaces.read_only(pid, name, Some(id))?,
            }
        }
        Err(e) if denied(&e) => live.spaces.read_only(pid, name, None)?,
        Err(e) if comm.is_some() => return Err(ended(pid, e)),
        // No such process, or one that /proc hides.
        Err(_) => live.spaces.read_only(pid, name, None)?,
    };
    let shares_host = Some(netns) == live.spaces.host() || live.spaces.netns(netns).name == "host";
    let tenant = if shares_host { live.spaces.owner_of(pid).filter(|owner| !owner.is_bare()) } else { None };
    Ok(Found { tenant, ..Found::at(netns, Some(pid)) })
}

fn ended(pid: Pid, e: io::Error) -> Error {
    let stat = procfs::process::Process::new(pid.0 as i32).and_then(|process| process.stat());
    let zombie = stat.is_ok_and(|stat| stat.state == 'Z');
    let what = if zombie { "has ended and only waits for its parent (zombie)" } else { "has just ended" };
    Error::new(ErrorId::Gone, format!("process {pid} {what}: it has no network namespace any more"))
        .because(e)
        .hint("podnet list shows what is there now")
}
