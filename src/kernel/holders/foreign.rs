//! Bind mounts of namespaces in mount namespaces other than podnet's: rootless engines keep theirs there.
//! What is mounted there, and over what, is for a container to choose.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::mountinfo::{NsMount, Tables};
use super::{Census, mount, ns};
use crate::kernel::netns::NetnsFile;
use crate::kernel::socket::Refused;
use crate::model::{Gap, NetnsId, Pid};

/// Mounts looked at in one mount namespace.
const MOUNTS: usize = 4096;
/// How long a path may take to answer: it can lead through a file system of the container's own, which never does.
const PATIENCE: Duration = Duration::from_millis(500);
/// Paths without an answer after which no further one is tried.
const STUCK: usize = 4;

/// The same inode at the same point, and a process in each mount namespace that shows it: they start as copies.
struct Sighting {
    mount: NsMount,
    pids: Vec<Pid>,
}

/// What became of a sighting: the process through whose root the namespace was opened, or the last failure.
type Opened = io::Result<(Pid, NetnsFile)>;

/// Goes over the mount namespaces of these processes; what podnet's own shows at the same point is known already.
pub(super) fn survey(
    census: &mut Census,
    pids: &[Pid],
    own: &HashSet<NsMount>,
    tables: &mut Tables,
    gaps: &mut Vec<Gap>,
) {
    let mut by_mount: HashMap<NsMount, Vec<Pid>> = HashMap::new();
    for pid in pids {
        let mut mounts = tables.read(*pid, gaps);
        if mounts.len() > MOUNTS {
            mounts.truncate(MOUNTS);
            gaps.push(Gap::new(super::MOUNTS, at(*pid), format!("only the first {MOUNTS} were looked at")));
        }
        for mount in mounts.into_iter().filter(|m| !own.contains(m)) {
            by_mount.entry(mount).or_default().push(*pid);
        }
    }
    let mut sightings: Vec<Sighting> = by_mount.into_iter().map(|(mount, pids)| Sighting { mount, pids }).collect();
    sightings.sort_by(|a, b| (&a.pids, &a.mount).cmp(&(&b.pids, &b.mount)));
    let sightings = Arc::new(sightings);
    let mut astray = Vec::new();
    for (index, opened) in open_all(&sightings, census.dev, gaps) {
        let mount = &sightings[index].mount;
        match opened {
            Ok((pid, file)) => {
                mount::hold(census, mount.inode, pid, through_root(pid, mount));
                let found = census.at(mount.inode);
                // Where nothing else leads to the namespace the path is not walked a second time.
                if found.holders.iter().all(|h| h.path.as_deref().is_none_or(mount::is_foreign)) {
                    found.file.get_or_insert(file);
                }
            }
            Err(_) => astray.push(index),
        }
    }
    covered(census, &sightings, &astray, tables, gaps);
}

/// Of the mounts whose path led elsewhere, those that are still in the table hold their namespace all the same.
fn covered(census: &mut Census, sightings: &[Sighting], astray: &[usize], tables: &mut Tables, gaps: &mut Vec<Gap>) {
    let mut again: HashMap<Pid, HashSet<NsMount>> = HashMap::new();
    for sighting in astray.iter().map(|index| &sightings[*index]) {
        for pid in &sighting.pids {
            let table = again.entry(*pid).or_insert_with(|| tables.read(*pid, gaps).into_iter().collect());
            if table.contains(&sighting.mount) {
                mount::hold_covered(census, sighting.mount.inode, *pid);
                break;
            }
        }
    }
}

fn at(pid: Pid) -> String {
    format!("the mount namespace of pid {pid}")
}

/// The way to a mount point in another mount namespace. Not to be resolved: what comes of that is a path in podnet's.
fn through_root(pid: Pid, mount: &NsMount) -> PathBuf {
    let mut path = format!("/proc/{pid}/root").into_bytes();
    path.extend_from_slice(mount.point.as_os_str().as_bytes());
    std::ffi::OsString::from_vec(path).into()
}

/// Opens them all, in a thread that is left behind where a path does not answer.
fn open_all(sightings: &Arc<Vec<Sighting>>, dev: u64, gaps: &mut Vec<Gap>) -> Vec<(usize, Opened)> {
    let mut answers = Vec::with_capacity(sightings.len());
    let mut stuck: HashSet<Pid> = HashSet::new();
    let mut next = 0;
    while next < sightings.len() {
        let (sender, receiver) = mpsc::channel();
        // Which process's root the thread is in at the moment.
        let busy = Arc::new(Mutex::new(Pid(0)));
        let worker = Worker { sightings: sightings.clone(), dev, avoid: stuck.clone(), busy: busy.clone(), sender };
        if let Err(error) = thread::Builder::new().spawn(move || worker.run(next)) {
            gaps.push(Gap::new(super::MOUNTS, "other mount namespaces", Refused::from(error).to_string()));
            break;
        }
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(answer) => {
                    next += 1;
                    answers.push(answer);
                }
                Err(RecvTimeoutError::Disconnected) => return answers,
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        let pid = busy.lock().map_or(Pid(0), |pid| *pid);
        gaps.push(Gap::new(super::MOUNTS, at(pid), "a path does not answer"));
        stuck.insert(pid);
        if stuck.len() == STUCK {
            gaps.push(Gap::new(super::MOUNTS, "other mount namespaces", "too many paths do not answer"));
            break;
        }
    }
    // Held all the same, even if the way there was not tried.
    answers.extend((next..sightings.len()).map(|index| (index, Err(io::ErrorKind::TimedOut.into()))));
    answers
}

struct Worker {
    sightings: Arc<Vec<Sighting>>,
    dev: u64,
    avoid: HashSet<Pid>,
    busy: Arc<Mutex<Pid>>,
    sender: Sender<(usize, Opened)>,
}

impl Worker {
    fn run(self, from: usize) {
        for (index, sighting) in self.sightings.iter().enumerate().skip(from) {
            // Nobody listens any more to a thread that took too long.
            if self.sender.send((index, self.open(sighting))).is_err() {
                return;
            }
        }
    }

    fn open(&self, sighting: &Sighting) -> Opened {
        let id = NetnsId::Inode { dev: self.dev, ino: sighting.mount.inode };
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for pid in sighting.pids.iter().filter(|pid| !self.avoid.contains(pid)) {
            if let Ok(mut busy) = self.busy.lock() {
                *busy = *pid;
            }
            match ns::open_path(&through_root(*pid, &sighting.mount), id) {
                Ok(file) => return Ok((*pid, file)),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}
