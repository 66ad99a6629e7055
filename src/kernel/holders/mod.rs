//! Every network namespace that something holds, and what holds it: processes, bind mounts in all mount namespaces
//! and, where asked for, threads, open files and sockets. Reads /proc only; the wiring is read elsewhere.

mod deep;
mod foreign;
mod mount;
mod mountinfo;
mod name;
mod ns;
mod process;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::netns::NetnsFile;
use super::socket::Refused;
use super::text;
use crate::model::{Gap, Holder, HolderType, NetnsId, Pid};

pub use name::called;
pub use process::{files, processes};

/// Where runtimes and `ip netns` keep names of namespaces.
pub const NETNS_DIRS: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// What a gap is called where mounts were not looked at that may be of namespaces.
const MOUNTS: &str = "mounts of namespaces";

/// How hard to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Processes and bind mounts: what holds nearly every namespace.
    Shallow,
    /// Also threads, open files and sockets: one read a thread and one to four a file descriptor.
    Deep,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Every namespace once, by inode; podnet's own is always among them.
    pub namespaces: Vec<Found>,
    /// Namespace of pid 1, which is what a person calls the host; none where it may not be read.
    pub host: Option<NetnsId>,
    /// Namespace that podnet itself is in; none only without a working /proc.
    pub own: Option<NetnsId>,
    /// Processes whose namespace may not be read.
    pub hidden: Vec<Pid>,
    /// What could not be seen.
    pub gaps: Vec<Gap>,
    /// Names that lead to no namespace: of interest to whom wants to know of all that is there.
    pub dead: Vec<Gap>,
}

impl Discovery {
    /// A gap behind which a process or a mount could be that holds a namespace; none: all of those were seen.
    pub fn unseen_holders(&self) -> Option<&Gap> {
        let hides = |gap: &&Gap| ["network namespaces", "processes", "mounts", MOUNTS].contains(&gap.what.as_str());
        self.gaps.iter().find(hides)
    }
}

/// One namespace and what holds it.
#[derive(Debug)]
pub struct Found {
    /// Its identity.
    pub id: NetnsId,
    /// What holds it: processes first, each sort by pid.
    pub holders: Vec<Holder>,
    /// The namespace itself, where no path of podnet's own mount namespace is sure to lead there: one that only a
    /// socket or a mount in a foreign mount namespace holds, and podnet's own.
    file: Option<NetnsFile>,
    /// Mount points that are no UTF-8 and so cannot be had back from their holder's `path`.
    odd_paths: Vec<PathBuf>,
    /// Names under the netns directories that are links to a holder and hold nothing themselves.
    aliases: Vec<PathBuf>,
}

impl Found {
    fn new(id: NetnsId) -> Self {
        Found { id, holders: Vec::new(), file: None, odd_paths: Vec::new(), aliases: Vec::new() }
    }

    /// A namespace that podnet cannot open, and what is known to be in it.
    pub fn closed(id: NetnsId, holders: Vec<Holder>) -> Self {
        Found { holders, ..Found::new(id) }
    }

    /// Opens the namespace, trying what holds it in turn. What was opened is checked: since the discovery a pid may
    /// have gone to another process and a mount may have been covered.
    ///
    /// The kernel hands the inode number of a dead namespace to the next new one, so this can be another namespace
    /// than the holders were found for: [`Found::confirm`] tells.
    pub fn open(&self) -> io::Result<NetnsFile> {
        if let Some(file) = &self.file {
            return ns::again(file);
        }
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for holder in &self.holders {
            let opened = match (&holder.path, holder.holder) {
                (None, _) => continue,
                (Some(path), HolderType::Process | HolderType::Thread) => ns::open_link(path.as_ref(), self.id),
                (Some(path), _) => ns::open_path(path.as_ref(), self.id),
            };
            match opened {
                Ok(file) => return Ok(file),
                Err(error) => failed = error,
            }
        }
        for path in &self.odd_paths {
            match ns::open_path(path, self.id) {
                Ok(file) => return Ok(file),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Drops the holders that do not lead to the namespace any more. While it is open its inode number
    /// cannot go to another, so what is left after this holds the very namespace that is open.
    pub fn confirm(&mut self, _open: &NetnsFile) {
        let id = self.id;
        // A socket or a foreign mount was followed to the namespace itself, and that has been open since.
        let pinned = self.file.is_some();
        self.odd_paths.retain(|path| ns::path_leads_to(path, id));
        // The path of a holder is text: what it was made of is known where it was no UTF-8.
        let odd: HashSet<String> = self.odd_paths.iter().map(|path| text(path.as_os_str().as_bytes())).collect();
        self.holders.retain(|holder| match (&holder.path, holder.holder) {
            (Some(path), HolderType::Process | HolderType::Thread) => ns::link_leads_to(path, id),
            (Some(path), HolderType::Fd) => ns::link_leads_to(path, id) || ns::fd_leads_to(path, id),
            (Some(path), HolderType::Mount) if !mount::is_foreign(path) => {
                ns::path_leads_to(path.as_ref(), id) || odd.contains(path)
            }
            (_, HolderType::Mount) => true,
            _ => pinned,
        });
        self.aliases.retain(|path| ns::path_leads_to(path, id));
    }

    /// A process that is in the namespace.
    pub fn pid(&self) -> Option<Pid> {
        self.holders.iter().find(|h| h.holder == HolderType::Process).map(|h| h.pid)
    }
}

/// How many there are of something that takes an `s`.
pub(in crate::kernel) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The namespaces as they come up, by inode number.
struct Census {
    dev: u64,
    found: HashMap<u64, Found>,
}

impl Census {
    fn at(&mut self, ino: u64) -> &mut Found {
        let dev = self.dev;
        self.found.entry(ino).or_insert_with(|| Found::new(NetnsId::Inode { dev, ino }))
    }

    fn hold(&mut self, ino: u64, holder: HolderType, pid: Pid, comm: Option<String>, path: Option<String>) {
        self.at(ino).holders.push(Holder { holder, pid, comm, path });
    }
}

/// Finds every network namespace and what holds it.
pub fn discover(depth: Depth) -> Discovery {
    let mut gaps = Vec::new();
    let own_file = match NetnsFile::own() {
        Ok(own_file) => own_file,
        Err(error) => {
            gaps.push(
                Gap::new("network namespaces", "/proc", Refused::from(error).to_string())
                    .needs("/proc of this pid namespace"),
            );
            return Discovery { gaps, ..Discovery::default() };
        }
    };
    let own = own_file.id();
    let NetnsId::Inode { dev, ino: own_ino } = own else {
        return Discovery { gaps, ..Discovery::default() };
    };
    let mut census = Census { dev, found: HashMap::new() };
    census.at(own_ino).file = Some(own_file);
    let seen = process::survey(&mut census, depth, &mut gaps);
    let mut dead = Vec::new();
    mount::survey(&mut census, &seen.mount_namespaces, &mut gaps, &mut dead);
    let mut namespaces: Vec<Found> = census.found.into_values().collect();
    namespaces.sort_by_key(|f| f.id);
    for found in &mut namespaces {
        found.holders.sort_by(|a, b| (a.holder, a.pid, &a.path).cmp(&(b.holder, b.pid, &b.path)));
    }
    let host = seen.host.map(|ino| NetnsId::Inode { dev, ino });
    Discovery { namespaces, host, own: Some(own), hidden: seen.hidden, gaps, dead }
}
