//! Namespaces that nothing podnet found leads into: known by the number that another namespace has for them, and by
//! what the kernel tells of them there.

use std::collections::{HashMap, HashSet};

use nix::errno::Errno;

use super::read::{self, Around};
use super::{Space, same};
use crate::kernel::holders::{self, Depth, Found, counted};
use crate::kernel::link::{self, Where};
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
fn left_over(before: &HashSet<Nsid>, around: &Around<'_>, socket: &mut Socket, spaces: &[Space]) -> Vec<Nsid> {
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
    around: &Around<'_>,
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
    read::all(found, around, spaces, gaps, &|_, _| {});
}

/// Adds a namespace for every number that is still left over.
pub(super) fn add(
    before: &HashSet<Nsid>,
    around: &Around<'_>,
    socket: &mut Socket,
    spaces: &mut Vec<Space>,
    gaps: &mut Vec<Gap>,
) {
    let from = spaces[0].id().ino().unwrap_or(0);
    let first = spaces.len();
    let mut closed = 0;
    for nsid in left_over(before, around, socket, spaces) {
        let id = NetnsId::Unopened { from, nsid };
        let mut space = Space { nsid: Some(nsid), ..Space::new(Found::closed(id, Vec::new()), format!("nsid {nsid}")) };
        match read::links(socket, Where::Nsid(nsid), &space.name, gaps) {
            Ok(links) => space.links = links,
            Err(refused) if matches!(refused.errno, Errno::EACCES | Errno::EPERM) => {
                space.outside = true;
                closed += 1;
            }
            // The number has been taken back.
            Err(_) => continue,
        }
        spaces[0].numbers.insert(nsid, id);
        spaces.push(space);
    }
    for at in first..spaces.len() {
        if let Some(nsid) = spaces[at].nsid {
            spaces[at].numbers = confirmed(0, nsid, &spaces[at].links, (&around.own, socket), spaces);
        }
    }
    if closed > 0 {
        let whose = format!("{} known by their nsid only", counted(closed, "namespace"));
        gaps.push(Gap::new("links", whose, "Permission denied").needs("CAP_NET_ADMIN over them: run podnet as root"));
    }
}

/// The namespace that `spaces[at]` has a number for and nothing else leads to. `inside` is that of `spaces[at]`.
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
    let numbers = confirmed(at, number, &links, (file, socket), spaces);
    spaces.push(Space { links, numbers, ..Space::new(Found::closed(id, Vec::new()), name) });
    Some(id)
}

/// What is asked through the number that `spaces[at]` has for a namespace is answered in the numbers of `spaces[at]`.
/// These may have been given away again since they were learned: a number counts only where the far end, asked now,
/// is the link that was read, and leads back.
fn confirmed(
    at: usize,
    number: Nsid,
    links: &[Link],
    (file, socket): (&NetnsFile, &mut Socket),
    spaces: &[Space],
) -> HashMap<Nsid, NetnsId> {
    let asked = &spaces[at];
    // Looking through a number can make the kernel give one to the namespace that asks, too.
    let own_number = nsid::of_file(socket, file).ok().flatten();
    let mut numbers = HashMap::new();
    for link in links {
        let Some((far, said)) = link.link.zip(link.link_netnsid) else { continue };
        if numbers.contains_key(&said) {
            continue;
        }
        let own = own_number == Some(said);
        let id = if own { Some(asked.id()) } else { asked.numbers.get(&said).copied() };
        let Some(there) = id.and_then(|id| spaces.iter().find(|s| s.id() == id)) else { continue };
        let place = if own { Where::Here } else { Where::Nsid(said) };
        let Ok(Some(end)) = link::get(socket, far, place) else { continue };
        let leads_back = end.link == Some(link.ifindex) && end.link_netnsid == Some(number);
        if there.link(far).is_some_and(|read| same(read, &end)) && (leads_back || !link.is_pair()) {
            numbers.insert(said, there.id());
        }
    }
    numbers
}

/// Link-layer addresses are given at random: two namespaces with the same ones at the same links are one.
fn same_links(a: &[Link], b: &[Link]) -> bool {
    let told = a.iter().any(|l| l.address.is_some_and(|address| !address.is_zero()));
    told && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}
