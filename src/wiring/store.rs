//! Addresses on disk, as the CNI host-local plugin keeps them: `<network>/<address>` holds the id and, on a second line,
//! the name of the link; `last_reserved_ip.<range>` where to go on; `lock` whose turn it is.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg};
use nix::libc;
use nix::unistd::linkat;

use crate::error::{Error, ErrorId, Result};
use crate::model::Reservation;

/// The plugin's own place, and so the one where others look.
pub const DIR: &str = "/var/lib/cni/networks";

/// A file that is written before it gets an address for a name.
const UNFINISHED: &str = ".podnet";

/// Between the two lines of a file.
const LINE_BREAK: &str = "\r\n";

/// One network's addresses; the plugins wait while it is there.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    _lock: Flock<File>,
}

/// Who has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The address.
    pub addr: IpAddr,
    /// First line.
    pub id: String,
    /// Second line.
    pub ifname: String,
}

impl Store {
    /// Makes the directory where it is missing, and waits for its lock.
    pub fn open(dir: &Path, patience: Duration) -> Result<Store> {
        let failed = |what: &str, e: io::Error| {
            let hint = match e.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOSPC | Errno::EDQUOT) => "the file system is full: make room, or name another --ipam-dir",
                Some(Errno::EROFS) => "the file system is read-only: name another place with --ipam-dir",
                Some(Errno::EACCES | Errno::EPERM) => "run podnet as root, or name another place with --ipam-dir",
                _ => "name another place with --ipam-dir",
            };
            Error::new(ErrorId::Failed, format!("{what} {}", dir.display())).because(e).hint(hint)
        };
        fs::create_dir_all(dir).map_err(|e| failed("making the address store", e))?;
        let lock =
            File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join("lock"));
        let lock = lock.map_err(|e| failed("opening the lock of the address store", e))?;
        match locked(lock, patience, dir, Duration::from_millis(1)) {
            Ok(lock) => Ok(Store { dir: dir.to_owned(), _lock: lock }),
            Err(e) => Err(failed("waiting for the lock of the address store", e)
                .hint("fuser shows which process keeps the file named lock there")),
        }
    }

    /// The addresses that are taken, by whomever.
    pub fn taken(&self) -> io::Result<Vec<IpAddr>> {
        taken(&self.dir)
    }

    /// The address that a range gave away last.
    pub fn last(&self, range: usize) -> Option<IpAddr> {
        last(&self.dir, range)
    }
}

/// The addresses that are taken in a network's directory; none where it is missing.
pub fn taken(dir: &Path) -> io::Result<Vec<IpAddr>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| entry.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()?;
    Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
}

/// The address that a range gave away last.
pub fn last(dir: &Path, range: usize) -> Option<IpAddr> {
    read(&dir.join(format!("last_reserved_ip.{range}"))).ok()?.trim().parse().ok()
}

/// What a file of a store says. Others may put there what leads elsewhere, never ends, or is waited for in vain.
fn read(place: &Path) -> io::Result<String> {
    /// Many times what podnet and the plugins write.
    const MOST: u64 = 4096;
    let no_file = || io::Error::new(ErrorKind::InvalidData, "no plain file");
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(place);
    let file = file.map_err(|e| match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP | Errno::ENXIO) => no_file(),
        _ => e,
    })?;
    if !file.metadata()?.is_file() {
        return Err(no_file());
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// Who has which address of a network.
pub fn entries(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for addr in taken(dir)? {
        match read(&dir.join(addr.to_string())) {
            Ok(text) => found.push(entry(addr, &text)),
            // Given back since, or nothing that podnet or the plugins write.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

fn entry(addr: IpAddr, text: &str) -> Entry {
    let (id, ifname) = text.trim().split_once(LINE_BREAK).unwrap_or((text.trim(), ""));
    Entry { addr, id: id.to_owned(), ifname: ifname.to_owned() }
}

/// The networks below a directory.
pub fn networks(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = entries.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    found.retain(|path| path.is_dir());
    found.sort();
    Ok(found)
}

/// Waits for a lock for as long as it changes hands: a crowd has to wait, and a holder that does nothing for the whole of
/// `patience` ends it. That something is done shows in the time at which `traces` was last changed.
pub(super) fn locked(mut file: File, patience: Duration, traces: &Path, pause: Duration) -> io::Result<Flock<File>> {
    let changed = || fs::metadata(traces).and_then(|stat| stat.modified()).ok();
    let (start, mut seen, mut moved) = (Instant::now(), changed(), Instant::now());
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((again, Errno::EWOULDBLOCK)) => file = again,
            Err((_, errno)) => return Err(errno.into()),
        }
        let now = changed();
        if now != seen {
            (seen, moved) = (now, Instant::now());
        } else if moved.elapsed() >= patience {
            let words = format!("whoever has it has done nothing for {} s", patience.as_secs_f64());
            return Err(io::Error::new(ErrorKind::TimedOut, words));
        }
        // A waiting flock cannot be given up. Who has waited long is one of many, and they must not wear the machine out.
        std::thread::sleep((start.elapsed() / 8).clamp(Duration::from_micros(300), pause));
    }
}

/// Takes an address. The caller has the lock.
pub(super) fn reserve(reservation: &Reservation) -> io::Result<()> {
    let Reservation { store, addr, id, ifname, range } = reservation;
    let place = Path::new(store).join(addr.to_string());
    create(&place, &format!("{id}{LINE_BREAK}{ifname}"))?;
    let Some(range) = range else { return Ok(()) };
    let last = Path::new(store).join(format!("last_reserved_ip.{range}"));
    write_private(&last, addr.to_string()).inspect_err(|_| {
        let _ = fs::remove_file(&place);
    })
}

/// Makes the file with all its text or not at all: an address with nobody's name on it would stay taken for ever.
fn create(place: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).mode(0o600);
    match options.clone().custom_flags(libc::O_TMPFILE).open(place.parent().unwrap_or(place)) {
        Ok(mut file) => {
            file.write_all(text.as_bytes())?;
            let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
            Ok(linkat(AT_FDCWD, unnamed.as_str(), AT_FDCWD, place, AtFlags::AT_SYMLINK_FOLLOW)?)
        }
        // Not every file system has files without a name. Who has the lock is alone with this one.
        Err(e) if matches!(e.raw_os_error().map(Errno::from_raw), Some(Errno::EOPNOTSUPP | Errno::EISDIR)) => {
            if fs::symlink_metadata(place).is_ok() {
                return Err(Errno::EEXIST.into());
            }
            let unfinished = place.with_file_name(UNFINISHED);
            let written = write_private(&unfinished, text.to_owned()).and_then(|()| fs::rename(&unfinished, place));
            written.inspect_err(|_| drop(fs::remove_file(&unfinished)))
        }
        Err(e) => Err(e),
    }
}

fn write_private(place: &Path, text: String) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(place)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}

/// Gives an address back, if it is still the one's who says so.
pub(super) fn release(store: &str, addr: IpAddr, id: &str) -> io::Result<()> {
    let place = Path::new(store).join(addr.to_string());
    match read(&place) {
        Ok(text) if entry(addr, &text).id == id => match fs::remove_file(&place) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // Killed before it had its name
            let _ = fs::remove_file(place.with_file_name(UNFINISHED));
            Ok(())
        }
        // Nobody's, or another one's.
        Err(e) if e.kind() == ErrorKind::InvalidData => Ok(()),
        Err(e) => Err(e),
        Ok(_) => Ok(()),
    }
}
