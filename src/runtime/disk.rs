//! Files of runtimes, read beneath a root directory that no link leads out of. Some belong to people whom podnet does
//! not trust: only plain files are opened, and only so much of them is read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};
use serde::de::DeserializeOwned;

/// Bytes read of one file; the largest that is honest (a list of a thousand containers) has a tenth of that.
const LIMIT: u64 = 4 << 20;
/// Entries read of one directory.
const ENTRIES: usize = 16_384;

/// What most files are smaller than, so that they are read at once.
const USUAL: usize = 16 << 10;

/// A machine's files, from its root directory on.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    /// The root directory, open; none where it cannot be opened, and then nothing in it.
    top: Option<OwnedFd>,
    /// The files are those of a container, which may have put anything there.
    foreign: bool,
}

impl Disk {
    pub(super) fn new(root: &Path) -> Self {
        let top = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).ok();
        Disk { root: root.to_owned(), top, foreign: false }
    }

    /// Where the files begin.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Path of a file of the machine's own; none where the files are a container's.
    pub(super) fn own(&self, path: &str) -> Option<PathBuf> {
        (!self.foreign).then(|| self.root.join(path))
    }

    /// The files of a container, beneath its open root directory.
    pub(super) fn beneath(root: File) -> Self {
        Disk { root: PathBuf::from("/nonexistent"), top: Some(root.into()), foreign: true }
    }

    /// A plain file.
    pub(super) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if self.foreign {
            // A device is not even opened, as that can have effects; nor a FIFO, which might never answer.
            let named = self.open(path, OFlag::O_PATH)?;
            plain(&named)?;
            return bounded(File::open(format!("/proc/self/fd/{}", named.as_raw_fd()))?);
        }
        // Nobody but root makes files where the machine's own runtimes keep theirs, so that these are opened at once.
        let file = self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
        bounded(file.into())
    }

    /// A plain file of JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, path: &str) -> io::Result<T> {
        let bytes = self.read(path)?;
        serde_json::from_slice(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))
    }

    /// A file that holds a process id.
    pub(super) fn pid(&self, path: &str) -> Option<u32> {
        std::str::from_utf8(&self.read(path).ok()?).ok()?.trim().parse().ok().filter(|pid| *pid > 0)
    }

    /// Names of the entries of a directory, as far as they are text.
    pub(super) fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        let named = self.open(path, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let entries = fs::read_dir(format!("/proc/self/fd/{}", named.as_raw_fd()))?;
        Ok(entries.take(ENTRIES).flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
    }

    /// A file of /proc that the kernel makes in one piece as it is read: `cgroup`, `stat`, `status`.
    pub(super) fn proc_at_once(&self, pid: u32, file: &str) -> io::Result<Vec<u8>> {
        bounded(File::open(self.proc_path(pid, file))?)
    }

    /// A file of /proc.
    pub(super) fn proc(&self, pid: u32, file: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.proc_path(pid, file))?.take(LIMIT).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A link of /proc.
    pub(super) fn proc_link(&self, pid: u32, file: &str) -> io::Result<PathBuf> {
        fs::read_link(self.proc_path(pid, file))
    }

    /// Both processes are in one mount namespace; not where that may not be looked at.
    pub(super) fn same_mounts(&self, pid: u32, other: u32) -> bool {
        let mounts = |pid| self.proc_link(pid, "ns/mnt").ok();
        mounts(pid).is_some_and(|own| mounts(other) == Some(own))
    }

    pub(super) fn proc_path(&self, pid: u32, file: &str) -> PathBuf {
        self.root.join(format!("proc/{pid}/{file}"))
    }

    /// Opens a file that no link leads out of the root for.
    fn open(&self, path: &str, flags: OFlag) -> io::Result<OwnedFd> {
        let top = self.top.as_ref().ok_or(Errno::ENOENT)?;
        let flags = flags | OFlag::O_CLOEXEC;
        let how =
            OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        // EAGAIN: something was renamed on the way, and the kernel cannot say whether that led out.
        let named = (0..3).map(|_| openat2(top, path, how)).find(|named| !matches!(named, Err(Errno::EAGAIN)));
        match named.unwrap_or(Err(Errno::EAGAIN)) {
            // Linux before 5.6 cannot keep links inside of a root: no matter where the root is the machine's own.
            Err(Errno::ENOSYS) if self.root == Path::new("/") => Ok(open(path, flags, Mode::empty())?),
            named => Ok(named?),
        }
    }
}

fn plain(file: &impl AsFd) -> io::Result<()> {
    match SFlag::from_bits_truncate(fstat(file)?.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not a plain file")),
    }
}

/// All of a file that gives as much as it has at once.
fn bounded(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; USUAL];
    let first = file.read(&mut bytes)?;
    bytes.truncate(first);
    match first {
        // What has nothing to give can be something else.
        0 => plain(&file)?,
        USUAL => {
            (&mut file).take(LIMIT + 1 - USUAL as u64).read_to_end(&mut bytes)?;
        }
        _ => {}
    }
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {LIMIT} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::runtime::tree::Tree;

    #[test]
    fn links_stay_inside_of_the_root() {
        let tree = Tree::new("links");
        tree.file("run/here", "inside");
        symlink("/run", tree.path().join("var-run")).unwrap();
        symlink("/etc/passwd", tree.path().join("out")).unwrap();
        symlink("../../../../../../../../etc/passwd", tree.path().join("up")).unwrap();
        symlink("loop", tree.path().join("loop")).unwrap();
        let disk = Disk::new(tree.path());
        assert_eq!(disk.read("/var-run/here").unwrap(), b"inside");
        for path in ["/out", "/up", "/loop", "/../../../../../../etc/passwd", "/run", ""] {
            assert!(disk.read(path).is_err(), "{path}");
        }
    }

    #[test]
    fn only_plain_files_of_bearable_size_are_read() {
        let tree = Tree::new("plain");
        nix::unistd::mkfifo(&tree.path().join("fifo"), Mode::S_IRWXU).unwrap();
        File::create(tree.path().join("huge")).unwrap().set_len(LIMIT + 1).unwrap();
        tree.file("deep", &"[".repeat(1_000_000));
        tree.file("broken", "{\"a\":");
        tree.file("pid", "0\n");
        let disk = Disk::new(tree.path());
        let foreign = Disk::beneath(File::open(tree.path()).unwrap());
        for disk in [disk, foreign] {
            assert!(disk.read("/fifo").is_err());
            assert!(disk.read("/huge").is_err());
            assert!(disk.json::<serde::de::IgnoredAny>("/deep").is_err());
            assert!(disk.json::<serde::de::IgnoredAny>("/broken").is_err());
            assert_eq!(disk.pid("/pid"), None);
            assert_eq!(disk.read("/pid").unwrap(), b"0\n");
        }
    }
}
