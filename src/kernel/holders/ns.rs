//! The nsfs file behind a namespace: its identity, and opening one so that nothing else can be opened by mistake.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use crate::kernel::netns::NetnsFile;
use crate::model::NetnsId;

/// Identity of the namespace that an open file is; also where it is open only by name, and cannot be asked more.
fn identity(fd: impl AsFd) -> io::Result<NetnsId> {
    if fstatfs(&fd)?.filesystem_type() != NSFS_MAGIC {
        return Err(Errno::EINVAL.into());
    }
    let stat = fstat(&fd)?;
    Ok(NetnsId::Inode { dev: stat.st_dev, ino: stat.st_ino })
}

fn expect(found: NetnsId, id: NetnsId) -> io::Result<()> {
    if found == id { Ok(()) } else { Err(io::Error::new(io::ErrorKind::NotFound, "leads to another namespace by now")) }
}

/// One more file of the same namespace.
pub(super) fn again(file: &NetnsFile) -> io::Result<NetnsFile> {
    NetnsFile::from_fd(file.as_fd().try_clone_to_owned()?)
}

/// Opens a link below /proc/PID/ns, which can lead to nothing but a namespace.
pub(super) fn open_link(path: &Path, id: NetnsId) -> io::Result<NetnsFile> {
    let file = NetnsFile::open(path)?;
    expect(file.id(), id)?;
    Ok(file)
}

/// Opens a path that somebody else may have put something else at. Opening a device can have effects, so the file
/// is looked at first, by a descriptor that only names it, and that same file is opened then.
pub(super) fn open_path(path: &Path, id: NetnsId) -> io::Result<NetnsFile> {
    let named = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    expect(identity(&named)?, id)?;
    open_link(format!("/proc/self/fd/{}", named.as_raw_fd()).as_ref(), id)
}

/// A link below /proc still leads to this namespace.
pub(super) fn link_leads_to(path: &str, id: NetnsId) -> bool {
    fs::read_link(path).is_ok_and(|to| id.ino().is_some() && inode(to.as_os_str().as_bytes()) == id.ino())
}

/// A link below /proc/PID/fd still leads to this namespace.
pub(super) fn fd_leads_to(path: &str, id: NetnsId) -> bool {
    at_fd(None, path).is_ok_and(|found| found == id)
}

/// Identity of the file that a link below /proc/PID/fd leads to, relative to a directory where there is one.
///
/// The file may be on a file system of a container's own that never answers: the kernel is asked for nothing but what
/// it knows itself.
pub(super) fn at_fd(dir: Option<BorrowedFd>, path: &str) -> io::Result<NetnsId> {
    let path = CString::new(path)?;
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let dir = dir.map_or(libc::AT_FDCWD, |dir| dir.as_raw_fd());
    // SAFETY: the path ends with a zero and the kernel writes one struct statx, for which there is room.
    let answer = unsafe { libc::statx(dir, path.as_ptr(), libc::AT_STATX_DONT_SYNC, 0, found.as_mut_ptr()) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed before, and a struct of numbers.
    let found = unsafe { found.assume_init() };
    Ok(NetnsId::Inode { dev: libc::makedev(found.stx_dev_major, found.stx_dev_minor), ino: found.stx_ino })
}

/// A path still leads to this namespace.
pub(super) fn path_leads_to(path: &Path, id: NetnsId) -> bool {
    fs::metadata(path).is_ok_and(|stat| id == NetnsId::Inode { dev: stat.dev(), ino: stat.ino() })
}

/// The namespace that a path leads to; none where it leads to another sort of file.
pub(super) fn at_path(path: &Path) -> io::Result<Option<NetnsId>> {
    let named = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    match identity(&named) {
        Ok(id) => Ok(Some(id)),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}

/// The inode number in what a link to a network namespace reads as: `net:[4026531840]`.
pub(super) fn inode(link: &[u8]) -> Option<u64> {
    number(link.strip_prefix(b"net:[")?.strip_suffix(b"]")?)
}

/// A decimal number, and nothing else.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_namespaces_have_an_inode_here() {
        assert_eq!(inode(b"net:[4026531840]"), Some(4026531840));
        for other in [&b"mnt:[4026531840]"[..], b"net:[]", b"net:[+1]", b"net:[1", b"/net:[1]", b"net:[1]x", b""] {
            assert_eq!(inode(other), None);
        }
        assert_eq!(inode(b"net:[99999999999999999999999]"), None);
    }

    #[test]
    fn a_plain_file_is_no_namespace() {
        let id = NetnsId::Inode { dev: 1, ino: 1 };
        assert!(open_path("/dev/null".as_ref(), id).is_err());
        assert!(open_link("/dev/null".as_ref(), id).is_err());
    }

    #[test]
    fn own_namespace_opens_by_every_way() {
        let id = NetnsFile::own().unwrap().id();
        assert!(open_link("/proc/self/ns/net".as_ref(), id).is_ok());
        assert!(open_path("/proc/self/ns/net".as_ref(), id).is_ok());
        assert!(link_leads_to("/proc/self/ns/net", id));
        assert!(path_leads_to("/proc/self/ns/net".as_ref(), id));
        assert!(!link_leads_to("/proc/self/ns/mnt", id));
        assert!(fd_leads_to("/proc/self/ns/net", id));
        assert!(!fd_leads_to("/proc/self/ns/mnt", id));
        assert!(!fd_leads_to("/dev/null", id));
    }
}
