//! One change at a time on a machine, and a note of what is under way: whoever comes after a podnet that was killed in
//! the middle takes back, or brings to its end, what that one left.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::Flock;

use super::GROUP;
use super::apply::{Opened, Writer};
use super::store::locked;
use crate::error::{Error, ErrorId, Result};
use crate::kernel::link;
use crate::kernel::socket::Socket;
use crate::model::{Change, NetnsRef};

/// Lost when the machine starts anew, as are the links that it speaks of.
const DIR: &str = "/run/podnet";

/// The right to change the machine, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    lock: Flock<File>,
    /// What was left by a podnet that was killed, and is cleared away now.
    pub cleared: Vec<String>,
}

impl Turn {
    /// Waits for the right, and clears away what the one before left half done.
    pub fn take(patience: Duration) -> Result<Turn> {
        let failed = |what: &str, e: io::Error| {
            Error::new(ErrorId::Failed, format!("{what} {DIR}/lock"))
                .because(e)
                .hint("podnet needs a place to note what is under way: is /run writable, and are you root?")
        };
        DirBuilder::new().recursive(true).mode(0o700).create(DIR).map_err(|e| failed("making the directory of", e))?;
        let place = Path::new(DIR).join("lock");
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&place);
        let file = file.map_err(|e| failed("opening", e))?;
        let lock = locked(file, patience, &place, Duration::from_millis(20)).map_err(|e| {
            failed("waiting for", e).hint("another podnet changes something; fuser /run/podnet/lock shows which")
        })?;
        let mut turn = Turn { lock, cleared: Vec::new() };
        let text = fs::read_to_string(&place).map_err(|e| failed("reading", e))?;
        if !text.is_empty() {
            turn.clear_away(&text)?;
        }
        Ok(turn)
    }

    /// Notes what is left to do, in this order, if podnet should be killed.
    pub fn note<'a>(&mut self, left: impl Iterator<Item = &'a Change>) -> Result<()> {
        let failed = |e: io::Error| {
            Error::new(ErrorId::Failed, format!("noting in {DIR}/lock what is under way"))
                .because(e)
                .hint("is /run full or read-only?")
        };
        let text = serde_json::to_string(&left.collect::<Vec<_>>()).map_err(|e| failed(e.into()))?;
        self.lock.write_all(text.as_bytes()).map_err(failed)
    }

    /// Nothing is under way any more.
    pub fn done(&mut self) {
        // Where it cannot be emptied the next one finds nothing left to clear away.
        let _ = self.lock.set_len(0);
        let _ = self.lock.seek(SeekFrom::Start(0));
    }

    fn clear_away(&mut self, text: &str) -> Result<()> {
        // Half a note: it was killed before it changed anything.
        let left: Vec<Change> = serde_json::from_str(text).unwrap_or_default();
        let netns = Opened::new();
        let mut writer = Writer::new(&netns);
        for change in left.iter().filter(|change| may_be_taken_up(change)) {
            let taken = writer.take(&NetnsRef::Host, change);
            if taken.is_ok() || taken.as_ref().is_err_and(super::apply::is_gone) {
                self.cleared.push(change.to_string());
                continue;
            }
            let error = Error::new(ErrorId::Failed, format!("`{change}`, left by a podnet that was killed, failed"));
            return Err(match taken {
                Err(cause) => error.because(cause),
                Ok(()) => error,
            }
            .hint("do it by hand, then empty /run/podnet/lock"));
        }
        self.done();
        Ok(())
    }
}

/// A link of that name that is not podnet's may have been made since, and a setting may be somebody else's by now.
fn may_be_taken_up(change: &Change) -> bool {
    match change {
        Change::DelLink { ifname } | Change::DelBridge { ifname } => {
            let link = Socket::open().ok().and_then(|mut socket| link::by_name(&mut socket, ifname).ok().flatten());
            link.is_some_and(|link| link.group == GROUP)
        }
        Change::SetSysctl { .. } => false,
        _ => true,
    }
}
