//! The whole host at once: every namespace with its links, and where each link is plugged in. Reads them one after
//! the other and lets go of each at once, for an open file or socket keeps a dead namespace's links alive.

mod hidden;
mod pair;
mod read;
mod record;
mod unseen;

use std::any::Any;
use std::collections::HashMap;
use std::io;

use super::holders::{self, Depth, Found};
use super::netns::NetnsFile;
use super::procnet;
use super::snapshot::sysctl::{LinkConf, Sysctls};
use super::socket::Socket;
use crate::error::{Error, ErrorId, Result};
use crate::model::{
    Gap, IfIndex, Link, ListedLink, ListedNetns, Listing, NetnsId, Nsid, Owner, PeerRef, Pid, Progress, RecordedFacts,
    SCHEMA, Whose,
};

use read::Around;

pub use record::record;

/// A namespace as it was read.
#[derive(Debug)]
struct Space {
    /// What holds it, and the way there.
    found: Found,
    /// What a person calls it.
    name: String,
    /// Whom it belongs to.
    owner: Option<Owner>,
    /// Containers that use it, where it is the host's.
    tenants: Vec<Owner>,
    /// Number that podnet's own namespace has for it.
    nsid: Option<Nsid>,
    /// Its links by index.
    links: Vec<Link>,
    /// Podnet was not let in: the links are no more than what the world may read of them.
    outside: bool,
    /// Which namespaces it means by the numbers in its links, as far as that is known.
    numbers: HashMap<Nsid, NetnsId>,
    /// What else was read inside, for a recording.
    whole: Option<Box<Whole>>,
}

/// All that is in a namespace besides its links.
#[derive(Debug)]
struct Whole {
    /// As [`Keep`] keeps them.
    facts: Box<dyn Any + Send>,
    /// Sysctls of the links by index.
    conf: Vec<LinkConf>,
    gaps: Vec<Gap>,
}

/// What becomes of all that was read inside one namespace, at once: of a thousand of them it is much, and a recording is
/// mostly only written.
type Keep<'a> = dyn Fn(RecordedFacts) -> Box<dyn Any + Send> + Sync + 'a;

impl Space {
    fn new(found: Found, name: String) -> Self {
        let (links, tenants, numbers) = (Vec::new(), Vec::new(), HashMap::new());
        Space { found, name, owner: None, tenants, nsid: None, links, outside: false, numbers, whole: None }
    }

    fn id(&self) -> NetnsId {
        self.found.id
    }

    fn link(&self, index: IfIndex) -> Option<&Link> {
        self.links.binary_search_by_key(&index, |l| l.ifindex).ok().map(|at| &self.links[at])
    }
}

/// Reads the links of every namespace of the machine, each named by its owner.
pub fn scan(depth: Depth, whose: &mut dyn Whose, progress: &Progress<'_>) -> Result<Listing> {
    let scanned = spaces(depth, whose, None, progress)?;
    Ok(listing(&scanned.spaces, scanned.host, scanned.gaps))
}

/// Every namespace of the machine, podnet's own first.
struct Scanned {
    spaces: Vec<Space>,
    host: Option<NetnsId>,
    gaps: Vec<Gap>,
}

fn spaces(depth: Depth, whose: &mut dyn Whose, whole: Option<&Keep<'_>>, progress: &Progress<'_>) -> Result<Scanned> {
    let kernel = |e: io::Error| Error::new(ErrorId::Kernel, "podnet's own network namespace").because(e);
    let own_file = NetnsFile::own().map_err(kernel)?;
    let mut socket = Socket::open().map_err(kernel)?;
    let mut gaps = Vec::new();
    // Podnet's own links come first: whatever is at their other ends was there before the search for it began.
    let mut sysctls = Sysctls::default();
    let keep = whole.map(|keep| (keep, &mut sysctls));
    let (links, mut own_whole) = read::inside(&mut socket, own_file.id(), "podnet's own namespace", keep, &mut gaps)
        .map_err(|refused| Error::new(ErrorId::Kernel, "links of podnet's own network namespace").because(refused))?;
    if let Some(own_whole) = &mut own_whole {
        own_whole.gaps.clone_from(&gaps);
    }
    let numbers = unseen::numbers(&mut socket, &mut gaps);

    let mut discovery = holders::discover(depth);
    gaps.append(&mut discovery.gaps);
    gaps.append(&mut discovery.dead);
    let host = discovery.host.or_else(|| (procnet::shares_netns(Pid(1)) == Some(true)).then_some(own_file.id()));
    let around = Around::new(own_file, host, &links, whole, whose);
    let mut found = discovery.namespaces;
    let own = match found.iter().position(|f| f.id == around.own.id()) {
        Some(at) => found.remove(at),
        None => Found::closed(around.own.id(), Vec::new()),
    };
    let name = match own.holders.is_empty() && host != Some(own.id) {
        true => "own".to_owned(),
        false => own.name(host),
    };
    let mut spaces = vec![Space { links, whole: own_whole, ..Space::new(own, name) }];
    read::all(found, &around, &mut spaces, &mut gaps, progress);
    hidden::add(&discovery.hidden, &mut socket, &mut spaces);
    unseen::latecomers(&numbers, &around, depth, &mut socket, &mut spaces, &mut gaps);
    pair::numbers(&mut spaces);
    unseen::add(&numbers, &around, &mut socket, &mut spaces, &mut gaps);
    hidden::wire(&mut spaces, &mut socket);
    pair::numbers(&mut spaces);
    pair::search(&mut spaces, &mut gaps);
    if whole.is_some() {
        pair::all(&mut spaces);
    }
    // Podnet's own, and those that could not be read.
    for space in spaces.iter_mut().filter(|s| s.owner.is_none()) {
        if host == Some(space.id()) {
            space.tenants = around.tenants(&space.found);
        }
        space.owner = around.owner(&space.found);
        if space.owner.is_some() {
            space.name = space.found.name_with(host, space.owner.as_ref());
        }
    }
    gaps.extend(around.whose_gaps());
    Ok(Scanned { spaces, host, gaps: once(gaps) })
}

/// What failed for the same reason at every step is said once.
fn once(gaps: Vec<Gap>) -> Vec<Gap> {
    let mut said: Vec<Gap> = Vec::with_capacity(gaps.len());
    for gap in gaps {
        if !said.contains(&gap) {
            said.push(gap);
        }
    }
    said
}

fn listing(spaces: &[Space], host: Option<NetnsId>, gaps: Vec<Gap>) -> Listing {
    let by_id: HashMap<NetnsId, &Space> = spaces.iter().map(|s| (s.id(), s)).collect();
    let own = spaces[0].id();
    let mut namespaces: Vec<ListedNetns> = spaces.iter().map(|space| listed(space, &by_id, own)).collect();
    namespaces.sort_by(|a, b| {
        let key = |n: &ListedNetns| (Some(n.netns) != host, n.name.clone(), n.netns);
        key(a).cmp(&key(b))
    });
    Listing { schema: SCHEMA, kind: "list", namespaces, gaps }
}

fn listed(space: &Space, by_id: &HashMap<NetnsId, &Space>, own: NetnsId) -> ListedNetns {
    let links = space.links.iter().map(|link| ListedLink {
        ifname: link.ifname.clone(),
        ifindex: link.ifindex,
        kind: link.kind.clone(),
        address: link.address,
        mtu: link.mtu,
        operstate: link.operstate.clone(),
        addrs: link.addrs.clone(),
        peer: peer(space, link, by_id, own),
        master: link.master.and_then(|index| space.link(index)).map(|master| master.ifname.clone()),
    });
    ListedNetns {
        netns: space.id(),
        nsid: space.nsid,
        name: space.name.clone(),
        owner: space.owner.clone(),
        tenants: space.tenants.clone(),
        node: None,
        holders: space.found.holders.clone(),
        links: links.collect(),
    }
}

/// The other end of a link, if all that was read agrees about it.
fn peer(space: &Space, link: &Link, by_id: &HashMap<NetnsId, &Space>, own: NetnsId) -> Option<PeerRef> {
    let ifindex = link.link?;
    let said_by = match space.id() {
        NetnsId::Inode { ino, .. } => ino,
        NetnsId::Unopened { from, .. } => from,
        NetnsId::Recorded { .. } | NetnsId::OfPid(_) => 0,
    };
    let unknown = |nsid| NetnsId::Unopened { from: said_by, nsid };
    let netns = match link.link_netnsid {
        None => space.id(),
        Some(nsid) => space.numbers.get(&nsid).copied().unwrap_or_else(|| unknown(nsid)),
    };
    let far = by_id.get(&netns);
    let end = far.and_then(|far| far.link(ifindex));
    let agreed = match (far, end) {
        (Some(far), Some(end)) => !link.is_pair() || pair::leads_back(end, far, link, space, own),
        (Some(far), None) => far.outside,
        (None, _) => true,
    };
    if !agreed {
        // One of the two was read before the pair was made, moved or ended, the other one after.
        return None;
    }
    let ifname = end.map(|end| end.ifname.clone());
    // What was not read inside has no number of its own, only that of whoever was asked.
    let nsid = link.link_netnsid.filter(|n| *n != hidden::UNTOLD && space.id().ino().is_some());
    Some(PeerRef { netns, nsid, ifname, ifindex })
}

/// The same link, by what does not change while it is in one place.
fn same(a: &Link, b: &Link) -> bool {
    (a.ifindex, &a.ifname, a.address, a.link) == (b.ifindex, &b.ifname, b.address, b.link)
}
