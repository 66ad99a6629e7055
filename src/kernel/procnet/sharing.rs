//! Which processes are in one network namespace, for processes whose `ns/net` may not be read.

use std::io;
use std::os::unix::fs::MetadataExt;

use crate::model::Pid;

/// A number that two processes have in common if, and only if, they are in the same network namespace.
///
/// It is the inode of `/proc/PID/net/dev`. Every namespace has an entry of its own behind that name, and the number
/// is the entry's, whichever process or mount of /proc it is seen through; it is not the number of the namespace.
/// It may be given to another namespace once this one is gone.
pub fn netns_mark(pid: Pid) -> io::Result<u64> {
    mark(&pid.to_string())
}

/// Whether the process is in the network namespace of the calling thread; none: it cannot be told.
pub fn shares_netns(pid: Pid) -> Option<bool> {
    Some(netns_mark(pid).ok()? == mark("thread-self").ok()?)
}

fn mark(process: &str) -> io::Result<u64> {
    Ok(std::fs::metadata(format!("/proc/{process}/net/dev"))?.ino())
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn a_process_shares_the_namespace_with_itself() {
        assert_eq!(shares_netns(Pid(std::process::id())), Some(true));
    }

    #[test]
    fn a_process_that_is_not_there_tells_nothing() {
        assert_eq!(shares_netns(Pid(u32::MAX)), None);
    }

    #[test]
    fn another_namespace_is_told_apart() {
        // A thread of its own: it takes the new namespace with it when it ends.
        let elsewhere = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).map(|()| (shares_netns(Pid(std::process::id())), mark("thread-self")))
        });
        match elsewhere.join().unwrap() {
            Ok((shares, mark)) => {
                assert_eq!(shares, Some(false));
                assert_ne!(mark.unwrap(), netns_mark(Pid(std::process::id())).unwrap());
            }
            Err(e) => eprintln!("not run: a network namespace for one thread: {e}"),
        }
    }
}
