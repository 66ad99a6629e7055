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
    /// What of it cannot be cleared away, and why. It stays noted for the next one.
    pub stuck: Vec<String>,
    stuck_changes: Vec<Change>,
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
        let mut turn = Turn { lock, cleared: Vec::new(), stuck: Vec::new(), stuck_changes: Vec::new() };
        let text = fs::read_to_string(&place).map_err(|e| failed("reading", e))?;
        if !text.is_empty() {
            turn.clear_away(&text);
        }
        Ok(turn)
    }

    /// Notes what is left to do, in this order, if podnet should be killed.
    pub fn note<'a>(&mut self, left: impl Iterator<Item = &'a Change>) -> Result<()> {
        self.write(left).map_err(|e| {
            Error::new(ErrorId::Failed, format!("noting in {DIR}/lock what is under way"))
                .because(e)
                .hint("is /run full or read-only?")
        })
    }

    /// Nothing is under way any more.
    pub fn done(&mut self) {
        // Where it cannot be written the next one finds nothing left to clear away.
        let _ = self.write(std::iter::empty());
    }

    fn write<'a>(&mut self, left: impl Iterator<Item = &'a Change>) -> io::Result<()> {
        self.lock.set_len(0)?;
        self.lock.seek(SeekFrom::Start(0))?;
        let left: Vec<&Change> = left.collect();
        let all = [left, self.stuck_changes.iter().collect()].concat();
        match all.is_empty() {
            true => Ok(()),
            false => self.lock.write_all(serde_json::to_string(&all)?.as_bytes()),
        }
    }

    fn clear_away(&mut self, text: &str) {
        // Half a note: it was killed before it changed anything.
        let left: Vec<Change> = serde_json::from_str(text).unwrap_or_default();
        let netns = Opened::new();
        let mut writer = Writer::new(&netns);
        for change in left.into_iter().filter(may_be_taken_up) {
            match writer.take(&NetnsRef::Host, &change) {
                Err(cause) if !super::apply::is_gone(&cause) => {
                    let words = format!("`{change}`, left by an earlier podnet, failed again: {cause}");
                    self.stuck.push(words);
                    self.stuck_changes.push(change);
                }
                _ => self.cleared.push(change.to_string()),
            }
        }
        self.done();
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
