//! A place as a target: the path of a namespace, a name under one of the netns directories, an inode.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{Found, HINT, ROOT, ambiguous, denied};
use crate::error::{Error, ErrorId, Result};
use crate::kernel::Live;
use crate::kernel::holders::NETNS_DIRS;
use crate::kernel::netns::NetnsFile;
use crate::model::{Pid, Topology};

pub(super) fn unknown(name: &str) -> Error {
    Error::new(ErrorId::UnknownTarget, format!("no namespace has the name {name:?} under a netns directory")).hint(HINT)
}

pub(super) fn by_path(live: &mut Live, path: &Path, typed: &str) -> Result<Found> {
    let file = NetnsFile::open(path).map_err(|e| match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ESRCH) => {
            Error::new(ErrorId::UnknownTarget, format!("there is no {typed}")).because(e).hint(HINT)
        }
        Some(Errno::EINVAL | Errno::ENXIO | Errno::EISDIR) => {
            let error = Error::new(ErrorId::NotANetns, format!("{typed} is no network namespace"));
            match NETNS_DIRS.iter().any(|dir| path.parent() == Some(Path::new(dir))) {
                true => error
                    .hint("it is a plain file: the namespace behind it was unmounted, or is mounted elsewhere only"),
                false => error.hint("name a file like /run/netns/blue or /proc/4711/ns/net"),
            }
        }
        _ if denied(&e) => {
            Error::new(ErrorId::NoPermission, format!("{typed} may not be opened")).because(e).hint(ROOT)
        }
        _ => Error::new(ErrorId::Failed, format!("opening {typed}")).because(e).hint(HINT),
    })?;
    let closed = |e| {
        Error::new(ErrorId::NoPermission, format!("the namespace {typed} may not be entered")).because(e).hint(ROOT)
    };
    let last = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let pid = pid_in(path);
    let netns = match pid {
        Some(pid) => {
            let comm = fs::read(format!("/proc/{pid}/comm")).map(|c| crate::kernel::text(c.trim_ascii_end()));
            live.spaces.enter(file, comm.unwrap_or(last), pid)
        }
        None => live.spaces.enter_mounted(file, &path.to_string_lossy(), last),
    };
    Ok(Found::at(netns.map_err(closed)?, pid))
}

/// The process in `/proc/<pid>/ns/net`.
fn pid_in(path: &Path) -> Option<Pid> {
    let rest = path.strip_prefix("/proc").ok()?;
    rest.ends_with("ns/net").then_some(())?;
    rest.iter().next()?.to_str()?.parse().ok().map(Pid)
}

pub(super) fn by_inode(live: &mut Live, digits: &str) -> Result<Found> {
    let wanted: u64 = digits
        .parse()
        .map_err(|e| Error::new(ErrorId::Usage, format!("netns:{digits} is no inode number")).because(e).hint(HINT))?;
    let own = live.spaces.own();
    if own.ino() == Some(wanted) {
        return Ok(Found::at(own, None));
    }
    let unknown = || {
        let tried = format!("no process and no mount on this machine holds the namespace net:[{wanted}]");
        Error::new(ErrorId::UnknownTarget, tried)
            .hint("podnet list --deep also looks at threads, open files and sockets")
    };
    let id = live.spaces.found().iter().find(|f| f.id.ino() == Some(wanted)).map(|f| f.id).ok_or_else(unknown)?;
    let entered = live.spaces.try_found(id).ok_or_else(unknown)?;
    let netns = entered.map_err(|e| {
        Error::new(ErrorId::NoPermission, format!("the namespace net:[{wanted}] may not be entered"))
            .because(e)
            .hint(ROOT)
    })?;
    Ok(Found::at(netns, None))
}

/// A name under one of the directories where names of namespaces are kept.
pub(super) fn by_name(live: &mut Live, name: &str) -> Result<Option<Found>> {
    let places = named(name);
    match places.as_slice() {
        [] => Ok(None),
        [place] => by_path(live, place, &place.to_string_lossy()).map(Some),
        several => Err(ambiguous(name, several.iter().map(|p| p.to_string_lossy().into_owned()).collect())),
    }
}

pub(super) fn named(name: &str) -> Vec<PathBuf> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let new = |path: &PathBuf| match fs::metadata(path) {
        // One directory is often a link to another, so that `ip netns` shows Docker's, too.
        Ok(stat) => seen.insert((stat.dev(), stat.ino())),
        // A name that leads nowhere is still what was meant, and opening it says why it leads nowhere.
        Err(_) => fs::symlink_metadata(path).is_ok(),
    };
    NETNS_DIRS.iter().map(|dir| Path::new(dir).join(name)).filter(new).collect()
}

pub(super) fn is_only_a_name(digits: &str) -> bool {
    !named(digits).is_empty() && fs::symlink_metadata(format!("/proc/{digits}")).is_err()
}

/// The namespace of pid 1.
pub(super) fn host(live: &mut Live) -> Result<Found> {
    by_path(live, Path::new("/proc/1/ns/net"), "/proc/1/ns/net").or_else(|e| {
        // An ordinary user may not open pid 1's, and mostly is in it.
        let own = live.spaces.own();
        if live.netns(own).name == "host" { Ok(Found::at(own, None)) } else { Err(e) }
    })
}
