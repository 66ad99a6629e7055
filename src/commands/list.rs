//! `podnet list`: every namespace of the machine, or those that were asked for.

use std::path::Path;

use super::Outcome;
use super::progress::Shown;
use crate::cli::{HolderKind, ListArgs};
use crate::error::{Exit, Result};
use crate::kernel::holders::Depth;
use crate::kernel::scan;
use crate::model::{HolderType, ListedNetns, Listing, NetnsId};
use crate::render::{self, Style};
use crate::runtime::Owners;

pub(super) fn run(args: &ListArgs, style: Style, json: bool) -> Result<Outcome> {
    // Asking for what only a deep look finds asks for the deep look.
    let deep = args.deep || matches!(args.holder, Some(HolderKind::Thread | HolderKind::Fd | HolderKind::Socket));
    let mut listing = match args.snapshot.is_empty() {
        true => scan(
            if deep { Depth::Deep } else { Depth::Shallow },
            &mut Owners::new(Path::new("/")),
            &Shown::of("namespaces read").told(),
        )?,
        false => super::snapshot::recordings(&args.snapshot)?.listing(),
    };
    let text = if json {
        let wanted: Vec<NetnsId> = shown(&listing, args).iter().map(|n| n.netns).collect();
        listing.namespaces.retain(|n| wanted.contains(&n.netns));
        render::json(&listing)
    } else {
        // All of them are needed, to name the other ends.
        render::table::text(&listing, &shown(&listing, args), style, args.wide)
    };
    Ok(Outcome::new(text, Exit::Ok))
}

fn shown<'a>(listing: &'a Listing, args: &ListArgs) -> Vec<&'a ListedNetns> {
    let by_name = |n: &ListedNetns| args.name.as_deref().is_none_or(|pattern| is_called(n, pattern));
    let by_holder = |n: &ListedNetns| args.holder.is_none_or(|kind| is_held_by(n, kind));
    let by_bridge = |n: &ListedNetns| args.bridge.as_deref().is_none_or(|bridge| is_on(n, bridge, listing));
    listing.namespaces.iter().filter(|n| by_name(n) && by_holder(n) && by_bridge(n)).collect()
}

/// The namespace is called so, or one of the containers in it.
fn is_called(netns: &ListedNetns, pattern: &str) -> bool {
    let owners = netns.owner.iter().chain(&netns.tenants);
    let containers = owners.clone().flat_map(|owner| &owner.containers).filter_map(|c| c.name.as_deref());
    let names = [netns.name.as_str()].into_iter().chain(owners.map(|owner| owner.name.as_str())).chain(containers);
    names.into_iter().any(|name| matches_pattern(pattern, name))
}

fn is_held_by(netns: &ListedNetns, kind: HolderKind) -> bool {
    let kind = match kind {
        HolderKind::Process => HolderType::Process,
        HolderKind::Thread => HolderType::Thread,
        HolderKind::Mount => HolderType::Mount,
        HolderKind::Fd => HolderType::Fd,
        HolderKind::Socket => HolderType::Socket,
        HolderKind::None => return netns.holders.is_empty(),
    };
    netns.holders.iter().any(|h| h.holder == kind)
}

/// A link of the namespace is the bridge or a port of it, or its other end is.
fn is_on(netns: &ListedNetns, bridge: &str, listing: &Listing) -> bool {
    let there = |l: &crate::model::ListedLink| l.master.as_deref() == Some(bridge);
    netns.links.iter().any(|link| {
        let is_it = link.ifname == bridge && link.kind == "bridge";
        let far = link.peer.as_ref().and_then(|peer| {
            let netns = listing.namespaces.iter().find(|n| n.netns == peer.netns)?;
            netns.links.iter().find(|l| l.ifindex == peer.ifindex)
        });
        is_it || there(link) || far.is_some_and(there)
    })
}

/// `*` stands for any text, `?` for any one character.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on if the last `*` has to stand for more.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut retry {
                Some((star, from)) => {
                    *from += 1;
                    (p, n) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn patterns_stand_for_whole_names() {
        for (pattern, name) in
            [("signin*", "signin-test-a"), ("*", ""), ("a?c", "abc"), ("*a*b*", "xaxxbx"), ("ä?", "äö")]
        {
            assert!(matches_pattern(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("signin", "signin-test-a"), ("?", ""), ("a*b", "abc"), ("", "a"), ("*a*a*", "xax")] {
            assert!(!matches_pattern(pattern, name), "{pattern} {name}");
        }
        // No pattern takes time without end.
        assert!(!matches_pattern(&"*a".repeat(30), &"a".repeat(29)));
    }
}
