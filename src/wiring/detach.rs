//! Deletes links and returns when the kernel announces that they are gone. The request itself takes some 20 ms longer,
//! for a barrier that nobody has to wait for: a child waits for it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use netlink_packet_route::RouteNetlinkMessage::{DelLink, SetLink};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use nix::errno::Errno;
use nix::libc::RTM_DELLINK;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::aside::{aside, outcome};
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
    let fd = asking.as_fd().as_raw_fd();
    let request = || asking.acknowledged(DelLink(request), 0).map_err(|refused| io::Error::from(refused.errno));
    let said = aside(&[fd], request, drop).map_err(|e| failed(e.into()))?;
    wait(&mut watching, &said, links).map_err(failed)
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
            return match outcome(said) {
                // Somebody else was faster.
                Err(e) if e.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(()),
                other => Ok(other?),
            };
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
