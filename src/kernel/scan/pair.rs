//! Which namespace a link's other end is in. A number means something only in the namespace that says it, and an index
//! is in many namespaces: a pair is one only if both ends say so, or if the kernel was asked about the number.

use std::collections::HashMap;

use super::{Space, same, unseen};
use crate::kernel::link::{self, Where};
use crate::kernel::nsid;
use crate::kernel::socket::Socket;
use crate::model::{Gap, IfIndex, Link, NetnsId, Nsid};

/// Candidates asked about for one number, where the far link itself could not be looked at.
const CANDIDATES: usize = 64;

/// `end`, which is in `far`, is the other end of `link`, which is in `space`, and `far` says so itself.
pub(super) fn leads_back(end: &Link, far: &Space, link: &Link, space: &Space, own: NetnsId) -> bool {
    end.link == Some(link.ifindex)
        && match end.link_netnsid {
            None => far.id() == space.id(),
            // Podnet's own namespace does not give an index to a second link as soon as the first one is gone.
            Some(number) => far.numbers.get(&number).map_or(far.id() == own, |id| *id == space.id()),
        }
}

/// Learns numbers from pairs: where a namespace is known to be at one end of a pair, the number at the other end means
/// that namespace.
pub(super) fn numbers(spaces: &mut [Space]) {
    let own = spaces[0].id();
    let at: HashMap<NetnsId, usize> = spaces.iter().enumerate().map(|(at, s)| (s.id(), at)).collect();
    let mut learned: HashMap<(usize, Nsid), Option<NetnsId>> = HashMap::new();
    let mut learn = |at: usize, number: Nsid, id: NetnsId| {
        let known = learned.entry((at, number)).or_insert(Some(id));
        if *known != Some(id) {
            // A number that was given to another namespace in the meantime: better none than the wrong one.
            *known = None;
        }
    };
    for space in spaces.iter() {
        if let Some(number) = space.nsid.filter(|_| space.id() != own) {
            learn(0, number, space.id());
        }
        for link in space.links.iter().filter(|l| l.is_pair()) {
            let Some((far, number)) = link.link.zip(link.link_netnsid) else { continue };
            let Some(far_at) = space.numbers.get(&number).and_then(|id| at.get(id)) else { continue };
            if let Some(end) = spaces[*far_at].link(far)
                && end.link == Some(link.ifindex)
                && let Some(back) = end.link_netnsid
            {
                learn(*far_at, back, space.id());
            }
        }
    }
    for ((at, number), id) in learned {
        if let Some(id) = id {
            spaces[at].numbers.entry(number).or_insert(id);
        }
    }
}

/// Finds out what the numbers mean that are still unknown, by asking in the namespaces that say them.
pub(super) fn search(spaces: &mut Vec<Space>, gaps: &mut Vec<Gap>) {
    let mut by_index: HashMap<IfIndex, Vec<usize>> = HashMap::new();
    for (at, space) in spaces.iter().enumerate() {
        for link in &space.links {
            by_index.entry(link.ifindex).or_default().push(at);
        }
    }
    // Podnet's own numbers have all been asked for.
    for at in 1..spaces.len() {
        let unknown =
            |l: &&Link| l.link.is_some() && l.link_netnsid.is_some_and(|n| !spaces[at].numbers.contains_key(&n));
        let links: Vec<Link> = spaces[at].links.iter().filter(unknown).cloned().collect();
        if links.is_empty() {
            continue;
        }
        let Ok(file) = spaces[at].found.open() else { continue };
        let Ok(mut socket) = file.socket() else { continue };
        for link in links {
            // Another link with the same number may have been first.
            let Some(question) = Question::about(&link, &spaces[at], &mut socket) else { continue };
            let candidates = by_index.get(&question.far).map(Vec::as_slice).unwrap_or_default();
            let known = question.ask(at, candidates, spaces, &mut socket);
            let known = known.or_else(|| {
                // Only what is really there: a link that is gone has no other end any more.
                question.end.as_ref()?;
                unseen::beyond(at, question.number, (&file, &mut socket), spaces, gaps)
            });
            if let Some(id) = known {
                spaces[at].numbers.insert(question.number, id);
            }
        }
    }
    numbers(spaces);
}

/// Finds out what every number means that a link has: also those of tunnels, whose other side is no link that could be
/// looked at.
pub(super) fn all(spaces: &mut [Space]) {
    for at in 0..spaces.len() {
        let unknown = |l: &Link| l.link_netnsid.is_some_and(|n| !spaces[at].numbers.contains_key(&n));
        if !spaces[at].links.iter().any(unknown) {
            continue;
        }
        let Ok(mut socket) = spaces[at].found.open().and_then(|file| file.socket()) else { continue };
        let told = |space: &Space| Some((nsid::of_file(&mut socket, &space.found.open().ok()?).ok()??, space.id()));
        let told: Vec<(Nsid, NetnsId)> = spaces.iter().filter_map(told).collect();
        for (number, id) in told {
            spaces[at].numbers.entry(number).or_insert(id);
        }
    }
}

/// Which namespace does this one mean by the number that it has for the other end of a link?
struct Question<'a> {
    link: &'a Link,
    far: IfIndex,
    number: Nsid,
    /// The other end itself, as the kernel shows it through the number, where it may be looked at.
    end: Option<Link>,
}

impl<'a> Question<'a> {
    fn about(link: &'a Link, space: &Space, socket: &mut Socket) -> Option<Self> {
        let (far, number) = link.link.zip(link.link_netnsid)?;
        if space.numbers.contains_key(&number) {
            return None;
        }
        // The inode may have gone to another namespace since: then this is not the link that was read.
        let now = link::get(socket, link.ifindex, Where::Here).ok()??;
        if !same(&now, link) || now.link_netnsid != link.link_netnsid {
            return None;
        }
        let end = link::get(socket, far, Where::Nsid(number)).ok().flatten();
        Some(Question { link, far, number, end })
    }

    fn fits(&self, candidate: &Space) -> bool {
        candidate.link(self.far).is_some_and(|there| match &self.end {
            Some(end) => same(there, end),
            None => !self.link.is_pair() || there.link == Some(self.link.ifindex),
        })
    }

    /// Asks about those that look like it. `socket` is in `spaces[at]`.
    fn ask(&self, at: usize, candidates: &[usize], spaces: &[Space], socket: &mut Socket) -> Option<NetnsId> {
        let candidates = candidates.iter().filter(|c| **c != at && self.fits(&spaces[**c])).take(CANDIDATES);
        for candidate in candidates.map(|c| &spaces[*c]) {
            // It may have vanished since; the next one may not.
            let Ok(file) = candidate.found.open() else { continue };
            if nsid::of_file(socket, &file).ok().flatten() == Some(self.number) {
                return Some(candidate.id());
            }
        }
        None
    }
}
