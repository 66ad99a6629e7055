//! Bind mounts of namespaces in podnet's own mount namespace, and the names under the netns directories, of which
//! some are links to a namespace and some lead to none.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::mountinfo::{NsMount, Tables};
use super::process::MountNamespaces;
use super::{Census, NETNS_DIRS, foreign, ns, text};
use crate::kernel::socket::Refused;
use crate::model::{Gap, HolderType, NetnsId, Pid};

/// Goes over the mounts of all mount namespaces, and the names that lead to none.
pub(super) fn survey(census: &mut Census, namespaces: &MountNamespaces, gaps: &mut Vec<Gap>, dead: &mut Vec<Gap>) {
    let mut tables = Tables::new();
    let own = own_mounts(census, namespaces.own(), &mut tables, gaps);
    names(census, &own, gaps, dead);
    foreign::survey(census, &namespaces.foreign(), &own, &mut tables, gaps);
}

/// The mounts that podnet sees itself; those are returned that their path leads to.
fn own_mounts(census: &mut Census, seen_by: Pid, tables: &mut Tables, gaps: &mut Vec<Gap>) -> HashSet<NsMount> {
    // Podnet's table and not that of `seen_by`, whose root may be another.
    let me = Pid(std::process::id());
    let (open, astray): (Vec<_>, Vec<_>) = tables.read(me, gaps).into_iter().partition(|m| leads_there(census, m));
    for mount in &open {
        hold(census, mount.inode, seen_by, mount.point.clone());
    }
    if !astray.is_empty() {
        let still: HashSet<NsMount> = tables.read(me, gaps).into_iter().collect();
        for mount in astray.iter().filter(|m| still.contains(m)) {
            hold_covered(census, mount.inode, seen_by);
        }
    }
    open.into_iter().collect()
}

fn leads_there(census: &Census, mount: &NsMount) -> bool {
    ns::path_leads_to(&mount.point, NetnsId::Inode { dev: census.dev, ino: mount.inode })
}

/// The path leads through the root of a process in another mount namespace.
pub(super) fn is_foreign(path: &str) -> bool {
    let after_pid = path.strip_prefix("/proc/").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    after_pid.is_some_and(|rest| rest.starts_with("/root/"))
}

/// A mount that its path leads to.
pub(super) fn hold(census: &mut Census, inode: u64, pid: Pid, path: PathBuf) {
    let shown = text(path.as_os_str().as_bytes());
    if path.to_str().is_none() {
        census.at(inode).odd_paths.push(path);
    }
    census.hold(inode, HolderType::Mount, pid, None, Some(shown));
}

/// A mount that is there, while its path leads somewhere else: something was mounted over it.
pub(super) fn hold_covered(census: &mut Census, inode: u64, pid: Pid) {
    census.hold(inode, HolderType::Mount, pid, None, None);
}

/// Looks at the entries of the netns directories that are no mounts.
fn names(census: &mut Census, mounts: &HashSet<NsMount>, gaps: &mut Vec<Gap>, dead: &mut Vec<Gap>) {
    let points: HashSet<&Path> = mounts.iter().map(|m| m.point.as_path()).collect();
    for dir in NETNS_DIRS.map(Path::new) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                gaps.push(
                    Gap::new("names of namespaces", dir.display().to_string(), Refused::from(error).to_string())
                        .needs("root"),
                );
                continue;
            }
        };
        let paths = entries.flatten().map(|e| e.path()).filter(|path| !points.contains(path.as_path()));
        let doubtful: Vec<PathBuf> = paths.filter(|path| name(census, path).is_some()).collect();
        if doubtful.is_empty() {
            continue;
        }
        // A name is a file first and a mount a moment later, and the other way round when it goes.
        thread::sleep(Duration::from_millis(1));
        let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in doubtful {
            if let Some(why) = name(census, &path) {
                by_reason.entry(why).or_default().push(text(path.file_name().unwrap_or_default().as_bytes()));
            }
        }
        for (why, called) in by_reason {
            dead.push(Gap::new(listed(called), dir.display().to_string(), why));
        }
    }
}

/// A daemon that was killed leaves a file for each of its containers: the first few stand for all.
fn listed(mut called: Vec<String>) -> String {
    const SHOWN: usize = 3;
    called.sort();
    match called.as_slice() {
        [one] => format!("name {one}"),
        few if few.len() <= SHOWN => format!("names {}", few.join(", ")),
        many => format!("names {} and {} more", many[..SHOWN].join(", "), many.len() - SHOWN),
    }
}

/// Takes a name for what it leads to; why it leads to no namespace, where it is there and does not.
fn name(census: &mut Census, path: &Path) -> Option<String> {
    match ns::at_path(path) {
        // A link to /proc/PID/ns/net, as people make them to use `ip netns` on a container.
        Ok(Some(id)) => {
            if let Some(found) = id.ino().and_then(|inode| census.found.get_mut(&inode)) {
                found.aliases.push(path.to_owned());
            }
            None
        }
        Ok(None) => Some(fs::metadata(path).map_or_else(|e| Refused::from(e).to_string(), |m| sort(m.file_type()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Otherwise it was removed since the directory was read.
            path.is_symlink().then(|| "a link to a namespace that is gone".to_owned())
        }
        Err(error) => Some(Refused::from(error).to_string()),
    }
}

/// What stands in the place of a namespace.
fn sort(is: fs::FileType) -> String {
    let what = match is {
        is if is.is_file() => return "a plain file, not a namespace: its mount is gone".to_owned(),
        is if is.is_dir() => "directory",
        is if is.is_fifo() => "FIFO",
        is if is.is_socket() => "socket",
        _ => "device",
    };
    format!("a {what}, not a namespace")
}
