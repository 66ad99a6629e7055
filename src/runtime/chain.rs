//! Which containers a process is in, from the outermost to the innermost, and what says so: its cgroup, else the
//! processes above it, else its mounts.

use super::cgroup::{self, Mark};
use super::disk::Disk;
use super::{mountinfo, parent};

/// What is known of where a process belongs before any state is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// Containers from the outermost to the innermost.
    pub marks: Vec<Mark>,
    /// Hierarchy and directory of the first container's cgroup.
    pub beside: Option<(String, String)>,
    /// Service of systemd.
    pub unit: Option<String>,
    /// First process of the container, where an ancestor named that.
    pub init: Option<u32>,
    /// Only a mount says so, which anybody who may mount can make.
    pub doubtful: bool,
}

/// By the cgroup alone, which costs one file.
pub(super) fn of_cgroup(disk: &Disk, pid: u32) -> Chain {
    let said = disk.proc_at_once(pid, "cgroup").map(|file| cgroup::parse(&file)).unwrap_or_default();
    Chain { marks: said.marks, beside: said.beside, unit: said.unit, ..Chain::default() }
}

/// By the ancestors of a process, else by its mounts.
pub(super) fn of_others(disk: &Disk, pid: u32) -> Option<Chain> {
    if let Some((mark, init)) = parent::container(disk, pid) {
        return Some(Chain { marks: vec![mark], init: Some(init), ..Chain::default() });
    }
    // Who sees the same mounts as pid 1 is in no container that has files of its own.
    if disk.same_mounts(pid, 1) {
        return None;
    }
    let mark = mountinfo::container(&disk.proc(pid, "mountinfo").ok()?)?;
    Some(Chain { marks: vec![mark], doubtful: true, ..Chain::default() })
}
