//! Namespaces that nothing podnet found leads into: known by the number that another namespace has for them, and by
//! what the kernel tells of them there.

use std::collections::{HashMap, HashSet};

use nix::errno::Errno;

use super::read::{self, Around};
use super::{Space, same};
use crate::kernel::holders::{self, Depth, Found};
use crate::kernel::link::Where;
use crate::kernel::netns::NetnsFile;
use crate::kernel::nsid;
use crate::kernel::socket::Socket;
use crate::model::{Gap, Link, NetnsId, Nsid};

/// What podnet's own namespace is called in a gap.
const OWN: &str = "podnet's own namespace";

/// All numbers that the socket's namespace has given.
pub(super) fn numbers(socket: &mut Socket, gaps: &mut Vec<Gap>) -> HashSet<Nsid> {
    match nsid::dump(socket) {
        Ok(dump) => {
            gaps.extend(dump.flaw().map(|flaw| Gap::new("nsids", OWN, flaw)));
            dump.items.into_iter().collect()
        }
        Err(refused) => {
            gaps.push(Gap::new("nsids", OWN, refused.to_string()));
            HashSet::new()
        }
    }
}

/// The numbers that there were before the search for namespaces and still are, and that none of those found has.
fn left_over(before: &HashSet<Nsid>, around: &Around, socket: &mut Socket, spaces: &[Space]) -> Vec<Nsid> {
    let mut known: HashSet<Nsid> = spaces.iter().filter_map(|s| s.nsid).collect();
    // A namespace can have a number for itself.
    known.extend(nsid::of_file(socket, &around.own).ok().flatten());
    if before.is_subset(&known) {
        return Vec::new();
    }
    let now = numbers(socket, &mut Vec::new());
    let mut left: Vec<Nsid> = before.difference(&known).filter(|n| now.contains(n)).copied().collect();
    left.sort();
    left
}

/// Looks once more for what holds a number that is left over: it may have been given to a namespace that came up in
/// the place of another one while podnet was looking.
pub(super) fn latecomers(
    before: &HashSet<Nsid>,
    around: &Around,
    depth: Depth,
    socket: &mut Socket,
    spaces: &mut Vec<Space>,
    gaps: &mut Vec<Gap>,
) {
    if left_over(before, around, socket, spaces).is_empty() {
        return;
    }
    let known: HashSet<NetnsId> = spaces.iter().map(Space::id).collect();
    let mut found = holders::discover(depth).namespaces;
    found.retain(|f| !known.contains(&f.id));
    read::all(found, around, spaces, gaps);
}

/// Adds a namespace for every number that is still left over.
pub(super) fn add(
    before: &HashSet<Nsid>,
    around: &Around,
    socket: &mut Socket,
    spaces: &mut Vec<Space>,
    gaps: &mut Vec<Gap>,
) {
    let left = left_over(before, around, socket, spaces);
    let from = spaces[0].id().ino().unwrap_or(0);
    // What is asked through podnet's own namespace is answered in that one's numbers.
    let mut numbers = spaces[0].numbers.clone();
    numbers.extend(left.iter().map(|nsid| (*nsid, NetnsId::Unopened { from, nsid: *nsid })));
    let mut closed = 0;
    let mut added = Vec::new();
    for nsid in left {
        let found = Found::closed(NetnsId::Unopened { from, nsid }, Vec::new());
        let mut space = Space { nsid: Some(nsid), ..Space::new(found, format!("nsid {nsid}")) };
        match read::links(socket, Where::Nsid(nsid), &space.name, gaps) {
            Ok(links) => space.links = links,
            Err(refused) if matches!(refused.errno, Errno::EACCES | Errno::EPERM) => closed += 1,
            // The number has been taken back.
            Err(_) => continue,
        }
        added.push(space);
    }
    // Only now: looking through a number can make the kernel give one to podnet's own namespace, too.
    if let Ok(Some(number)) = nsid::of_file(socket, &around.own) {
        numbers.insert(number, around.own.id());
    }
    added.iter_mut().for_each(|space| space.numbers.clone_from(&numbers));
    spaces.append(&mut added);
    if closed > 0 {
        let whose = format!("{closed} namespaces known by their nsid only");
        gaps.push(Gap::new("links", whose, "Permission denied").needs("CAP_NET_ADMIN over them: run podnet as root"));
    }
}

/// The namespace that `spaces[at]` has a number for and nothing else leads to.
pub(super) fn beyond(
    at: usize,
    number: Nsid,
    inside: (&NetnsFile, &mut Socket),
    spaces: &mut Vec<Space>,
    gaps: &mut Vec<Gap>,
) -> Option<NetnsId> {
    let (file, socket) = inside;
    let name = format!("nsid {number} of {}", spaces[at].name);
    let links = read::links(socket, Where::Nsid(number), &name, gaps).ok()?;
    // Another namespace with a link into it may have led here already.
    if let Some(known) = spaces.iter().find(|s| s.id().ino().is_none() && same_links(&s.links, &links)) {
        return Some(known.id());
    }
    let id = NetnsId::Unopened { from: spaces[at].id().ino()?, nsid: number };
    let mut numbers: HashMap<Nsid, NetnsId> = spaces[at].numbers.clone();
    numbers.extend(nsid::of_file(socket, file).ok().flatten().map(|own| (own, spaces[at].id())));
    spaces.push(Space { links, numbers, ..Space::new(Found::closed(id, Vec::new()), name) });
    Some(id)
}

/// Link-layer addresses are given at random: two namespaces with the same ones at the same links are one.
fn same_links(a: &[Link], b: &[Link]) -> bool {
    let told = a.iter().any(|l| l.address.is_some_and(|address| !address.is_zero()));
    told && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}
