//! What was read of the machine as a recording: the namespaces as a listing has them, with all that was read inside.

use std::collections::HashMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Space, Whole, listing, spaces};
use crate::error::Result;
use crate::kernel::holders::Depth;
use crate::kernel::snapshot::sysctl;
use crate::kernel::sysfs;
use crate::model::{
    Gap, Link, ListedLink, ListedNetns, NetnsId, Progress, RecordedFacts, RecordedLink, RecordedNetns, RecordedPeer,
    Snapshot, Whose,
};

/// Reads everything of every namespace of the machine; what was read inside one goes through `keep` at once.
pub fn record<F: Send + 'static>(
    depth: Depth,
    whose: &mut dyn Whose,
    keep: impl Fn(RecordedFacts) -> F + Sync,
    progress: &Progress<'_>,
) -> Result<Snapshot<F>> {
    let taken_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let scanned = spaces(depth, whose, Some(&|facts| Box::new(keep(facts))), progress)?;
    let own = scanned.spaces.first().map(Space::id);
    let listing = listing(&scanned.spaces, scanned.host, scanned.gaps);
    let at: HashMap<NetnsId, usize> = listing.namespaces.iter().enumerate().map(|(at, n)| (n.netns, at)).collect();
    let mut read: HashMap<NetnsId, Space> = scanned.spaces.into_iter().map(|space| (space.id(), space)).collect();
    let recorded = |listed: ListedNetns| {
        let space = read.remove(&listed.netns)?;
        let is_own = Some(listed.netns) == own;
        Some(netns(listed, space, &at, is_own))
    };
    let place = |id: Option<NetnsId>| id.and_then(|id| at.get(&id).copied());
    let (own, host) = (place(own).unwrap_or(0), place(scanned.host));
    let namespaces = listing.namespaces.into_iter().filter_map(recorded).collect();
    Ok(Snapshot {
        schema: Snapshot::SCHEMA,
        kind: Snapshot::KIND.to_owned(),
        podnet: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: word("hostname"),
        kernel: word("osrelease"),
        boot_id: word("random/boot_id"),
        taken_at,
        own,
        host,
        conf: sysctl::names(),
        namespaces,
        gaps: listing.gaps,
    })
}

/// A word that the kernel says of itself; empty where it does not.
fn word(file: &str) -> String {
    fs::read(format!("/proc/sys/kernel/{file}"))
        .map(|text| crate::kernel::text(text.trim_ascii_end()))
        .unwrap_or_default()
}

fn netns<F: 'static>(
    listed: ListedNetns,
    space: Space,
    at: &HashMap<NetnsId, usize>,
    is_own: bool,
) -> RecordedNetns<F> {
    let Space { found, links, numbers, whole, outside, .. } = space;
    let (facts, conf, gaps) = match whole.map(|whole| *whole) {
        Some(Whole { facts, conf, gaps }) => (facts.downcast::<F>().ok(), conf, gaps),
        None => (None, Vec::new(), Vec::new()),
    };
    let closed = facts.is_none().then(|| closed(&listed, outside));
    let peers: HashMap<_, ListedLink> = listed.links.into_iter().map(|l| (l.ifindex, l)).collect();
    let link = |mut link: Link| {
        if is_own && link.kind == "device" {
            link.driver = sysfs::driver(&link);
        }
        link.pf = link.parent_dev.as_deref().and_then(sysfs::physical_function);
        let conf = conf.binary_search_by_key(&link.ifindex, |c| c.ifindex).ok().map(|at| conf[at].clone());
        let conf = conf.unwrap_or_default();
        let peer = peers.get(&link.ifindex).and_then(|l| l.peer.as_ref());
        let peer =
            peer.map(|peer| RecordedPeer { at: at.get(&peer.netns).copied(), nsid: peer.nsid, ifindex: peer.ifindex });
        RecordedLink { link, inet: conf.inet, inet6: conf.inet6, peer }
    };
    RecordedNetns {
        netns: listed.netns.ino(),
        nsid: listed.nsid,
        name: listed.name,
        owner: listed.owner,
        tenants: listed.tenants,
        pid: found.pid(),
        holders: listed.holders,
        nsids: numbers.into_iter().filter_map(|(nsid, id)| Some((nsid, *at.get(&id)?))).collect(),
        links: links.into_iter().map(link).collect(),
        facts,
        closed,
        gaps,
    }
}

/// Why there is nothing but links of it.
fn closed(listed: &ListedNetns, outside: bool) -> Gap {
    match listed.netns {
        NetnsId::Unopened { .. } if !outside => {
            Gap::new("all but links", &listed.name, "no process and no mount leads into that namespace")
        }
        _ => Gap::new("all but links", &listed.name, "that namespace could not be entered when it was recorded")
            .needs("a snapshot taken as root"),
    }
}
