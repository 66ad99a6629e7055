//! Namespaces of processes that podnet may not look at: the kernel still tells the number that podnet's own namespace
//! has for each, and /proc what the world may read.

use std::collections::HashMap;
use std::fs;

use super::{Space, read, same};
use crate::kernel::holders::Found;
use crate::kernel::link::{self, Where};
use crate::kernel::procnet::shares_netns;
use crate::kernel::socket::Socket;
use crate::kernel::{nsid, text};
use crate::model::{Holder, HolderType, NetnsId, Nsid, Pid};

/// Stands for a number that podnet was not told: the kernel's own word for one that was not given.
pub(super) const UNTOLD: Nsid = Nsid(-1);

/// Adds the namespaces of these processes; those that share podnet's own become its holders.
pub(super) fn add(hidden: &[Pid], socket: &mut Socket, spaces: &mut Vec<Space>) {
    let from = spaces[0].id().ino().unwrap_or(0);
    let mut at: HashMap<Nsid, usize> =
        spaces.iter().enumerate().filter_map(|(at, space)| Some((space.nsid?, at))).collect();
    let found_before = spaces.len();
    for (pid, nsid) in numbers(hidden, socket) {
        let place = match nsid {
            Some(nsid) => *at.entry(nsid).or_insert_with(|| {
                let found = Found::closed(NetnsId::Unopened { from, nsid }, Vec::new());
                spaces.push(Space { nsid: Some(nsid), outside: true, ..Space::new(found, String::new()) });
                spaces.len() - 1
            }),
            // No number: podnet's own, or one without a link to it.
            None if shares_netns(pid) == Some(true) => 0,
            None => continue,
        };
        let comm = fs::read(format!("/proc/{pid}/comm")).ok().map(|c| text(c.strip_suffix(b"\n").unwrap_or(&c)));
        spaces[place].found.holders.push(Holder { holder: HolderType::Process, pid, comm, path: None });
    }
    for (at, space) in spaces.iter_mut().enumerate() {
        if (1..found_before).contains(&at) && !still_has_its_number(space, socket) {
            space.found.holders.retain(|h| h.path.is_some() || h.holder != HolderType::Process);
        }
        space.found.holders.sort_by_key(|h| (h.holder, h.pid));
        if space.name.is_empty() {
            space.name = space.found.name(None);
        }
        // Also one that may be opened by its name and not entered, now that a process in it is known.
        if space.outside && space.links.is_empty() {
            space.links = read::outside(&space.found);
        }
    }
}

/// The numbers that podnet's own namespace has for those of the processes. A number may go to another namespace as
/// soon as the one that had it is dead: only a process that gives the same answer twice was there in between.
fn numbers(pids: &[Pid], socket: &mut Socket) -> Vec<(Pid, Option<Nsid>)> {
    let mut asked: Vec<_> = pids.iter().filter_map(|pid| Some((*pid, nsid::of_pid(socket, *pid).ok()?))).collect();
    asked.retain(|(pid, nsid)| nsid::of_pid(socket, *pid).ok() == Some(*nsid));
    asked
}

/// The namespace has the number that it had when it was read; so it had it when the processes were asked.
fn still_has_its_number(space: &Space, socket: &mut Socket) -> bool {
    let asked_of_it = space.found.holders.iter().any(|h| h.path.is_none() && h.holder == HolderType::Process);
    !asked_of_it || space.found.open().is_ok_and(|file| nsid::of_file(socket, &file).ok().flatten() == space.nsid)
}

/// Tells links that were only read from outside what podnet's own links say of them. These were read before the
/// namespaces, and so are asked again: a link that is the same still has led to the same namespace all the time.
pub(super) fn wire(spaces: &mut [Space], socket: &mut Socket) {
    let Some((own, others)) = spaces.split_first_mut() else { return };
    let mut outside: HashMap<Nsid, &mut Space> =
        others.iter_mut().filter(|space| space.outside).filter_map(|space| Some((space.nsid?, space))).collect();
    for end in own.links.iter_mut().filter(|l| l.is_pair()) {
        let Some(space) = end.link_netnsid.and_then(|nsid| outside.get_mut(&nsid)) else { continue };
        let now = link::get(socket, end.ifindex, Where::Here).ok().flatten();
        if !now.is_some_and(|now| same(&now, end) && now.link_netnsid == end.link_netnsid) {
            end.link = None;
            continue;
        }
        let link = space.links.iter_mut().find(|l| Some(l.ifindex) == end.link && l.kind == "unknown");
        if let Some(link) = link {
            link.kind.clone_from(&end.kind);
            link.link = Some(end.ifindex);
            link.link_netnsid = Some(UNTOLD);
            space.numbers.insert(UNTOLD, own.found.id);
        }
    }
}
