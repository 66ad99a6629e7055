//! Engines inside of containers: their state is read beneath the root directory of a process that runs in the outer
//! container, and nothing of it is trusted. A file there can lie on a file system that never answers, so that another
//! thread reads and podnet waits for it no longer than it can afford.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc::{O_DIRECTORY, O_PATH};

use super::cgroup::Mark;
use super::disk::Disk;
use super::process;
use super::record::Record;
use super::state::State;
use super::unread::Unread;
use crate::model::Gap;

/// What one run of podnet waits for all engines inside of containers together.
const PATIENCE: Duration = Duration::from_millis(500);
/// Containers of one namespace that are asked for.
const CONTAINERS: usize = 256;

/// Reads what engines inside of containers have written down.
#[derive(Debug)]
pub(super) struct Nested {
    left: Duration,
    unread: Unread,
}

impl Nested {
    pub(super) fn new(unread: Unread) -> Self {
        Nested { left: PATIENCE, unread }
    }

    /// The records of containers as far as the files that `engine` sees tell of them. `outer`: the container around it.
    pub(super) fn read(&mut self, disk: &Disk, engine: u32, marks: &[Mark], outer: &str) -> Vec<Record> {
        let unknown = || marks.iter().map(Record::of).collect();
        let Some(root) = root(disk, engine) else { return unknown() };
        let (sender, receiver) = mpsc::channel();
        let wanted: Vec<Mark> = marks.iter().take(CONTAINERS).cloned().collect();
        let reader = thread::Builder::new().spawn(move || {
            let mut state = State::new(Disk::beneath(root));
            let told: Vec<Record> = wanted.iter().map(|mark| state.read(mark).record).collect();
            // Nobody may be waiting any more.
            let _ = sender.send(told);
        });
        let begun = Instant::now();
        let told = reader.ok().and_then(|_| receiver.recv_timeout(self.left).ok());
        self.left = self.left.saturating_sub(begun.elapsed());
        told.unwrap_or_else(|| {
            let why = "its files do not answer in time";
            self.unread.add(Gap::new("names of the containers inside", outer, why));
            unknown()
        })
        .into_iter()
        // Pids that are written there are numbers of another pid namespace.
        .map(|record| Record { init: None, ..record })
        .collect()
    }
}

/// Root directory of a process, open; none where it ends meanwhile, or sees the machine's own files.
fn root(disk: &Disk, pid: u32) -> Option<File> {
    let before = process::stat(disk, pid)?.start;
    let mounts = |pid| disk.proc_link(pid, "ns/mnt").ok();
    if mounts(pid)? == mounts(1)? {
        return None;
    }
    let root = File::options().read(true).custom_flags(O_PATH | O_DIRECTORY).open(disk.proc_path(pid, "root")).ok()?;
    (process::stat(disk, pid)?.start == before).then_some(root)
}
