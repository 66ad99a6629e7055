//! Opening namespaces: the nsfs file, its identity, and a socket inside. A thread enters a namespace only where it is
//! sure that it can come back; where it is not, one of its own enters, and ends there.

use std::fs::{self, File};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc::{CLONE_NEWNET, O_NONBLOCK, ioctl};
use nix::sched::{CloneFlags, setns};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};

use super::socket::Socket;
use crate::model::NetnsId;

/// File system magic of nsfs (`NSFS_MAGIC`).
const NSFS: FsType = FsType(0x6e73_6673);

/// The namespace of pid 1, which is called `host`; none: it may not be looked at.
pub fn host() -> Option<NetnsId> {
    let stat = fs::metadata("/proc/1/ns/net").ok()?;
    Some(NetnsId::Inode { dev: stat.dev(), ino: stat.ino() })
}

/// Lets podnet have as many files open as its hard limit allows.
pub fn allow_more_files() {
    // Where it may not, the files that are too many say so.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// An open namespace file. It keeps the namespace alive: drop it early.
#[derive(Debug)]
pub struct NetnsFile {
    fd: OwnedFd,
    id: NetnsId,
}

impl NetnsFile {
    /// Opens a namespace by a path; `EINVAL` where the path is no network namespace.
    pub fn open(path: impl AsRef<Path>) -> io::Result<NetnsFile> {
        // A FIFO that somebody put in the place of a namespace must not block.
        NetnsFile::from_fd(File::options().read(true).custom_flags(O_NONBLOCK).open(path)?.into())
    }

    /// Takes an open file for a namespace; `EINVAL` where it is no network namespace.
    pub fn from_fd(fd: OwnedFd) -> io::Result<NetnsFile> {
        /// `ioctl` that tells the sort of a namespace (`NS_GET_NSTYPE`).
        const NS_GET_NSTYPE: nix::libc::c_ulong = 0xb703;
        if fstatfs(&fd)?.filesystem_type() != NSFS {
            return Err(Errno::EINVAL.into());
        }
        // SAFETY: NS_GET_NSTYPE takes no argument and changes nothing.
        let sort = unsafe { ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as _) };
        if sort != CLONE_NEWNET {
            return Err(Errno::EINVAL.into());
        }
        let stat = fstat(&fd)?;
        Ok(NetnsFile { id: NetnsId::Inode { dev: stat.st_dev, ino: stat.st_ino }, fd })
    }

    /// The namespace that podnet itself runs in.
    pub fn own() -> io::Result<NetnsFile> {
        NetnsFile::open("/proc/self/ns/net")
    }

    /// The same namespace, open once more.
    pub fn again(&self) -> io::Result<NetnsFile> {
        Ok(NetnsFile { fd: self.fd.try_clone()?, id: self.id })
    }

    /// Which namespace it is.
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// A socket inside, for a thread that reads one namespace after the other and then ends: it stays inside, and what it
    /// reads below /proc/sys/net is of that one. Needs CAP_SYS_ADMIN over the namespace.
    pub fn socket_of_reader(&self, _: &mut Reader) -> io::Result<Socket> {
        setns(&self.fd, CloneFlags::CLONE_NEWNET)?;
        Socket::open()
    }

    /// A socket inside. Needs CAP_SYS_ADMIN over the namespace.
    pub fn socket(&self) -> io::Result<Socket> {
        self.inside(Socket::open)
    }

    /// Does this inside, which is to be short: whoever looks through the machine's processes meanwhile finds podnet in that
    /// namespace. Needs CAP_SYS_ADMIN over the namespace.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        match WayBack::open() {
            Some(_way_back) => {
                setns(&self.fd, CloneFlags::CLONE_NEWNET)?;
                work()
            }
            None => self.thread_inside(work),
        }
    }

    /// Does this inside by a thread of its own, which ends there.
    fn thread_inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let enter = || {
                setns(&self.fd, CloneFlags::CLONE_NEWNET)?;
                work()
            };
            let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, enter)?;
            thread.join().unwrap_or_else(|_| Err(Errno::EFAULT.into()))
        })
    }
}

/// The namespace that a thread came from; dropped, it takes the thread back there. To start a thread costs some fifty
/// times what going there and back does.
struct WayBack(File);

impl WayBack {
    /// None where the thread may not enter its own namespace: it would have to stay in the other.
    fn open() -> Option<WayBack> {
        let own = File::open("/proc/thread-self/ns/net").ok()?;
        // A process in a user namespace of its own may well have rights over a container and none over the host.
        setns(&own, CloneFlags::CLONE_NEWNET).ok()?;
        Some(WayBack(own))
    }
}

impl Drop for WayBack {
    fn drop(&mut self) {
        // It was let in a moment ago, so only a kernel without memory can refuse.
        if setns(&self.0, CloneFlags::CLONE_NEWNET).is_err() {
            // Whatever came next would be done to the wrong namespace.
            std::process::abort();
        }
    }
}

/// Says that the thread that has it was made to go from namespace to namespace, and does nothing else.
#[derive(Debug)]
pub struct Reader {
    // Not for other threads.
    _of_this_thread: PhantomData<*const ()>,
}

/// Runs `work` in new threads of which each may go from namespace to namespace, and waits for what they bring.
pub fn readers<T: Send>(count: usize, work: impl Fn(Reader) -> T + Sync) -> Vec<io::Result<T>> {
    std::thread::scope(|scope| {
        let start =
            |_| std::thread::Builder::new().spawn_scoped(scope, || work(Reader { _of_this_thread: PhantomData }));
        let threads: Vec<_> = (0..count).map(start).collect();
        let join = |thread: io::Result<std::thread::ScopedJoinHandle<'_, T>>| {
            thread?.join().map_err(|_| io::Error::from(Errno::EFAULT))
        };
        threads.into_iter().map(join).collect()
    })
}

impl AsFd for NetnsFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
