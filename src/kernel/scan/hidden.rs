//! Namespaces of processes that podnet may not look at: the kernel still tells the number that podnet's own namespace
//! has for each, and /proc what the world may read.

use std::collections::HashMap;
use std::fs;

use super::{Space, read};
use crate::kernel::holders::Found;
use crate::kernel::procnet::shares_netns;
use crate::kernel::socket::Socket;
use crate::kernel::{nsid, text};
use crate::model::{Holder, HolderType, Link, NetnsId, Nsid, Pid};

/// Stands for a number that podnet was not told: the kernel's own word for one that was not given.
pub(super) const UNTOLD: Nsid = Nsid(-1);

/// Adds the namespaces of these processes; those that share podnet's own become its holders.
pub(super) fn add(hidden: &[Pid], socket: &mut Socket, spaces: &mut Vec<Space>) {
    let from = spaces[0].id().ino().unwrap_or(0);
    let mut at: HashMap<Nsid, usize> =
        spaces.iter().enumerate().filter_map(|(at, space)| Some((space.nsid?, at))).collect();
    for pid in hidden {
        let place = match nsid::of_pid(socket, *pid) {
            Ok(Some(nsid)) => *at.entry(nsid).or_insert_with(|| {
                let found = Found::closed(NetnsId::Unopened { from, nsid }, Vec::new());
                spaces.push(Space { nsid: Some(nsid), ..Space::new(found, String::new()) });
                spaces.len() - 1
            }),
            // No number: podnet's own, or one without a link to it.
            Ok(None) if shares_netns(*pid) == Some(true) => 0,
            _ => continue,
        };
        let comm = fs::read(format!("/proc/{pid}/comm")).ok().map(|c| text(c.strip_suffix(b"\n").unwrap_or(&c)));
        spaces[place].found.holders.push(Holder { holder: HolderType::Process, pid: *pid, comm, path: None });
    }
    for space in spaces.iter_mut() {
        space.found.holders.sort_by_key(|h| (h.holder, h.pid));
        if space.name.is_empty() {
            space.name = space.found.name(None);
        }
        // Also one that may be opened by its name and not entered, now that a process in it is known.
        if space.links.is_empty() {
            space.links = read::outside(&space.found);
        }
    }
    wire(spaces);
}

/// Tells links that were only read from outside what podnet's own links say of them.
fn wire(spaces: &mut [Space]) {
    let Some((own, others)) = spaces.split_first_mut() else { return };
    let mut ends: HashMap<Nsid, Vec<&Link>> = HashMap::new();
    for link in own.links.iter().filter(|l| l.is_pair()) {
        if let Some(nsid) = link.link_netnsid {
            ends.entry(nsid).or_default().push(link);
        }
    }
    for space in others {
        for end in space.nsid.and_then(|nsid| ends.get(&nsid)).into_iter().flatten() {
            let link = space.links.iter_mut().find(|l| Some(l.ifindex) == end.link && l.kind == "unknown");
            if let Some(link) = link {
                link.kind.clone_from(&end.kind);
                link.link = Some(end.ifindex);
                link.link_netnsid = Some(UNTOLD);
                space.numbers.insert(UNTOLD, own.found.id);
            }
        }
    }
}
