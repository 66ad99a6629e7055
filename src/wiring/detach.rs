//! Deletes links and returns when the kernel announces that they are gone. The request itself takes some 20 ms longer,
//! for a barrier that nobody has to wait for: a child waits for it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use netlink_packet_route::RouteNetlinkMessage::{DelLink, SetLink};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use nix::errno::Errno;
use nix::libc::{self, RTM_DELLINK};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{ForkResult, fork};

use super::{DOOMED, message};
use crate::error::{Error, ErrorId, Result};
use crate::kernel::link;
use crate::kernel::netns::NetnsFile;
use crate::kernel::socket::{Refused, Socket};
use crate::model::IfIndex;

/// Deletes links of a namespace (none: the own one), several with one request: each would have a barrier of its own.
pub fn delete_links(netns: Option<&NetnsFile>, links: &[IfIndex]) -> Result<()> {
    let socket = || match netns {
        None => Socket::open(),
        Some(file) => file.socket(),
    };
    match links {
        [] => Ok(()),
        [one] => announced(socket, links, message::link(*one, Vec::new())),
        several => delete_group(&socket, several),
    }
}

/// Puts links into a group of their own and deletes that.
pub fn delete_group(socket: &impl Fn() -> io::Result<Socket>, links: &[IfIndex]) -> Result<()> {
    let mut marking = socket().map_err(|e| failed(links).because(e))?;
    for link in links {
        match marking.acknowledged(SetLink(message::link(*link, vec![LinkAttribute::Group(DOOMED)])), 0) {
            Err(refused) if refused.errno != Errno::ENODEV => return Err(failed(links).because(refused)),
            _ => {}
        }
    }
    announced(socket, links, message::link(IfIndex(0), vec![LinkAttribute::Group(DOOMED)]))
}

fn failed(links: &[IfIndex]) -> Error {
    let links: Vec<String> = links.iter().map(IfIndex::to_string).collect();
    Error::new(ErrorId::Kernel, format!("deleting the links with the indexes {}", links.join(", ")))
        .hint("ip link shows what is left")
}

/// Longer than any barrier, and than a machine takes that deletes a thousand links.
const PATIENCE: Duration = Duration::from_secs(120);

fn announced(socket: impl Fn() -> io::Result<Socket>, links: &[IfIndex], request: LinkMessage) -> Result<()> {
    let failed = |cause: Refused| failed(links).because(cause);
    let mut watching = socket().map_err(|e| failed(e.into()))?;
    watching.subscribe_links().map_err(|e| failed(e.into()))?;
    let mut asking = socket().map_err(|e| failed(e.into()))?;
    let (said, says) = nix::unistd::pipe().map_err(|e| failed(io::Error::from(e).into()))?;
    // SAFETY: podnet has one thread here; those that enter a namespace have ended.
    match unsafe { fork() }.map_err(|e| failed(io::Error::from(e).into()))? {
        ForkResult::Child => {
            // Whoever waits for the end of podnet's output, or for its lock, must not wait for the barrier.
            close_all_but([asking.as_fd().as_raw_fd(), says.as_raw_fd()]);
            let errno = match asking.acknowledged(DelLink(request), 0) {
                Ok(()) => 0,
                Err(refused) => refused.errno as i32,
            };
            let _ = nix::unistd::write(&says, &errno.to_ne_bytes());
            // SAFETY: ends this process only; nothing of the parent's is flushed or run a second time.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { .. } => {
            drop((says, asking));
            wait(&mut watching, &said, links).map_err(failed)
        }
    }
}

fn close_all_but(mut kept: [RawFd; 2]) {
    kept.sort_unstable();
    let mut first: libc::c_uint = 0;
    for fd in kept.map(|fd| fd as libc::c_uint).into_iter().chain([libc::c_uint::MAX]) {
        if first < fd {
            let last = if fd == libc::c_uint::MAX { fd } else { fd - 1 };
            // SAFETY: this process uses none of these descriptors any more.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
        first = fd.saturating_add(1);
    }
}

/// Until each link has been announced as gone, or the child has its answer.
fn wait(watching: &mut Socket, said: &OwnedFd, links: &[IfIndex]) -> std::result::Result<(), Refused> {
    let mut left: BTreeSet<IfIndex> = links.iter().copied().collect();
    let deadline = Instant::now() + PATIENCE;
    while !left.is_empty() {
        let patience = deadline.saturating_duration_since(Instant::now());
        if patience.is_zero() {
            let words = format!("no announcement within {} s", PATIENCE.as_secs());
            return Err(Refused { errno: Errno::ETIMEDOUT, words: Some(words) });
        }
        let mut waiting =
            [PollFd::new(watching.as_fd(), PollFlags::POLLIN), PollFd::new(said.as_fd(), PollFlags::POLLIN)];
        poll(&mut waiting, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)).map_err(io::Error::from)?;
        let [announced, answered] = waiting.map(|fd| fd.any().unwrap_or(false));
        if answered {
            return answer(said);
        }
        if announced {
            match watching.notices(Duration::ZERO, |kind, payload| {
                // A port that leaves its bridge is announced in the same words, of the bridge's family.
                if kind == RTM_DELLINK
                    && payload.first() == Some(&0)
                    && let Ok(link) = link::decode(payload)
                {
                    left.remove(&link.ifindex);
                }
            }) {
                // So many were announced that some were lost; the child's answer comes after the last one.
                Err(refused) if refused.errno == Errno::ENOBUFS => {}
                other => other.map(|_| ())?,
            }
        }
    }
    Ok(())
}

fn answer(said: &OwnedFd) -> std::result::Result<(), Refused> {
    let mut errno = [0; 4];
    let length = nix::unistd::read(said, &mut errno).map_err(io::Error::from)?;
    match (length, Errno::from_raw(i32::from_ne_bytes(errno))) {
        (4, _) if errno == [0; 4] => Ok(()),
        // Somebody else was faster.
        (4, Errno::ENODEV) => Ok(()),
        (4, errno) => Err(Refused { errno, words: None }),
        _ => Err(Refused { errno: Errno::ECHILD, words: Some("the child that asked has ended".to_owned()) }),
    }
}
