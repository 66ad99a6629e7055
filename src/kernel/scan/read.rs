//! Reading one namespace after the other: links, addresses, and the numbers that it has for podnet's own namespace
//! and for the host's, which are where nearly all of its links lead.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::errno::Errno;

use super::{Keep, Space, Whole};
use crate::kernel::addr;
use crate::kernel::holders::{Found, counted};
use crate::kernel::link::{self, Where};
use crate::kernel::netns::{NetnsFile, Reader, readers};
use crate::kernel::nsid;
use crate::kernel::procnet::ProcNet;
use crate::kernel::snapshot;
use crate::kernel::snapshot::sysctl::{LinkConf, Sysctls};
use crate::kernel::socket::{Dump, Refused, Socket};
use crate::model::{Gap, HolderType, IfIndex, Link, NetnsId, Nsid, Owner, Pid, Progress, Whose};

/// What would open a namespace that podnet may not enter.
const ENTER: &str = "CAP_SYS_ADMIN and CAP_SYS_PTRACE: run podnet as root";

/// Threads that read at the same time; the kernel's own locks leave nothing for more.
const THREADS: usize = 4;

/// Times that a namespace is named anew as its processes go; what is left after that holds it in great numbers.
const RENAMED: usize = 3;

/// What the reading of every namespace starts from.
pub(super) struct Around<'a> {
    /// Podnet's own namespace.
    pub(super) own: NetnsFile,
    /// That of pid 1.
    pub(super) host: Option<NetnsId>,
    /// That of pid 1, open, where it is another one than podnet's own.
    host_file: Option<NetnsFile>,
    /// All that is inside is wanted, not the links alone.
    pub(super) whole: Option<&'a Keep<'a>>,
    /// Other end and number of its namespace, of podnet's own links.
    ends: HashMap<IfIndex, (Option<IfIndex>, Option<Nsid>)>,
    whose: Mutex<&'a mut dyn Whose>,
}

impl<'a> Around<'a> {
    pub(super) fn new(
        own: NetnsFile,
        host: Option<NetnsId>,
        links: &[Link],
        whole: Option<&'a Keep<'a>>,
        whose: &'a mut dyn Whose,
    ) -> Self {
        let elsewhere = host.filter(|host| *host != own.id());
        let host_file = elsewhere.and_then(|_| NetnsFile::open("/proc/1/ns/net").ok()).filter(|f| Some(f.id()) == host);
        let ends = links.iter().map(|l| (l.ifindex, (l.link, l.link_netnsid))).collect();
        Around { own, host, host_file, whole, ends, whose: Mutex::new(whose) }
    }

    /// Whom a namespace belongs to; the host's to none of those who are in it.
    pub(super) fn owner(&self, found: &Found) -> Option<Owner> {
        self.whose.lock().ok().and_then(|mut whose| self.owner_by(&mut **whose, found))
    }

    fn owner_by(&self, whose: &mut dyn Whose, found: &Found) -> Option<Owner> {
        if self.host == Some(found.id) { None } else { whose.of_namespace(&found.holders) }
    }

    /// Who knows owners, for a thread of its own.
    fn another(&self) -> io::Result<Box<dyn Whose>> {
        self.whose.lock().map(|whose| whose.another()).map_err(|_| io::Error::other("another thread has panicked"))
    }

    /// The containers among the processes of the host's namespace.
    pub(super) fn tenants(&self, found: &Found) -> Vec<Owner> {
        let inside = found.holders.iter().filter(|h| h.holder == HolderType::Process);
        let pids: Vec<Pid> = inside.map(|h| h.pid).collect();
        self.whose.lock().map(|mut whose| whose.among(&pids)).unwrap_or_default()
    }

    pub(super) fn whose_gaps(&self) -> Vec<Gap> {
        self.whose.lock().map(|mut whose| whose.take_gaps()).unwrap_or_default()
    }

    fn hubs(&self) -> impl Iterator<Item = &NetnsFile> {
        std::iter::once(&self.own).chain(&self.host_file)
    }
}

/// Links of a namespace with their addresses, by index; and all else that is in it, where that is wanted.
pub(super) fn inside(
    socket: &mut Socket,
    netns: NetnsId,
    at: &str,
    whole: Option<(&Keep<'_>, &mut Sysctls)>,
    gaps: &mut Vec<Gap>,
) -> Result<Inside, Refused> {
    let Some((keep, sysctls)) = whole else {
        return Ok((links(socket, Where::Here, at, gaps)?, None));
    };
    let dump = link::dump_with_conf(socket, Where::Here)?;
    let (undecodable, interrupted) = (dump.undecodable, dump.interrupted);
    let (items, conf): (Vec<Link>, Vec<Option<LinkConf>>) = dump.items.into_iter().unzip();
    let mut conf: Vec<LinkConf> = conf.into_iter().flatten().collect();
    conf.sort_by_key(|c| c.ifindex);
    let links = with_addrs(Dump { items, undecodable, interrupted }, socket, Where::Here, at, gaps);
    let facts = keep(snapshot::facts(socket, sysctls, netns, &links, at, gaps));
    Ok((links, Some(Box::new(Whole { facts, conf, gaps: Vec::new() }))))
}

type Inside = (Vec<Link>, Option<Box<Whole>>);

/// Links of a namespace with their addresses, by index.
pub(super) fn links(socket: &mut Socket, place: Where, at: &str, gaps: &mut Vec<Gap>) -> Result<Vec<Link>, Refused> {
    let dump = link::dump(socket, place)?;
    Ok(with_addrs(dump, socket, place, at, gaps))
}

fn with_addrs(dump: Dump<Link>, socket: &mut Socket, place: Where, at: &str, gaps: &mut Vec<Gap>) -> Vec<Link> {
    gaps.extend(dump.flaw().map(|flaw| Gap::new("links", at, flaw)));
    let mut links = dump.items;
    links.sort_by_key(|l| l.ifindex);
    // An interrupted dump can name a link twice.
    links.dedup_by_key(|l| l.ifindex);
    match addr::dump(socket, None, place) {
        Ok(addrs) => {
            gaps.extend(addrs.flaw().map(|flaw| Gap::new("addresses", at, flaw)));
            for (index, addr) in addrs.items {
                if let Ok(at) = links.binary_search_by_key(&index, |l| l.ifindex) {
                    links[at].addrs.push(addr);
                }
            }
        }
        Err(refused) => gaps.push(Gap::new("addresses", at, refused.to_string())),
    }
    links
}

/// What came of one namespace.
struct Reading {
    /// None: it has vanished.
    space: Option<Space>,
    /// Why podnet was not let in.
    closed: Option<Refused>,
    /// Links of podnet's own namespace that are newer than what was read of it.
    fresh: Vec<Link>,
    gaps: Vec<Gap>,
}

/// Reads these namespaces and adds them; the first of `spaces` is podnet's own and gets to know what is new there.
pub(super) fn all(
    found: Vec<Found>,
    around: &Around<'_>,
    spaces: &mut Vec<Space>,
    gaps: &mut Vec<Gap>,
    progress: &Progress<'_>,
) {
    let (count, done) = (found.len(), AtomicUsize::new(0));
    let queue = Mutex::new(found.into_iter());
    let results = readers(thread::available_parallelism().map_or(1, |n| n.get().min(THREADS)), |mut reader| {
        let mut own = Socket::open()?;
        let mut whose = around.another()?;
        let mut sysctls = Sysctls::default();
        let next = || queue.lock().ok().and_then(|mut queue| queue.next());
        io::Result::Ok(
            std::iter::from_fn(next)
                .map(|found| one(found, around, &mut *whose, &mut own, (&mut reader, &mut sysctls)))
                .inspect(|_| progress(done.fetch_add(1, Ordering::Relaxed) + 1, count))
                .collect::<Vec<_>>(),
        )
    });
    let mut vanished = 0;
    let mut closed: Vec<(String, Refused)> = Vec::new();
    for result in results {
        match result.and_then(|readings| readings) {
            Ok(readings) => {
                for reading in readings {
                    gaps.extend(reading.gaps);
                    reading.fresh.into_iter().for_each(|link| renew(&mut spaces[0], link));
                    match reading.space {
                        Some(space) => {
                            closed.extend(reading.closed.map(|refused| (space.name.clone(), refused)));
                            spaces.push(space);
                        }
                        None => vanished += 1,
                    }
                }
            }
            Err(error) => gaps.push(Gap::new("namespaces", "this machine", Refused::from(error).to_string())),
        }
    }
    if let Some((name, refused)) = closed.first() {
        let whose = if closed.len() == 1 { name.clone() } else { format!("{} namespaces", closed.len()) };
        let gap = Gap::new("kinds and wiring of links", whose, refused.to_string());
        let forbidden = matches!(refused.errno, Errno::EACCES | Errno::EPERM);
        gaps.push(if forbidden { gap.needs(ENTER) } else { gap });
    }
    if vanished > 0 {
        gaps.push(Gap::new("links", counted(vanished, "namespace"), "vanished while podnet was reading"));
    }
}

/// A newer state of one of the namespace's links.
fn renew(own: &mut Space, link: Link) {
    match own.links.binary_search_by_key(&link.ifindex, |l| l.ifindex) {
        Ok(at) => own.links[at] = Link { addrs: std::mem::take(&mut own.links[at].addrs), ..link },
        Err(at) => own.links.insert(at, link),
    }
}

/// Reads one namespace. `own` is a socket in podnet's.
fn one(
    found: Found,
    around: &Around<'_>,
    whose: &mut dyn Whose,
    own: &mut Socket,
    (reader, sysctls): (&mut Reader, &mut Sysctls),
) -> Reading {
    let file = match found.open() {
        Ok(file) => file,
        Err(error) => return unopened(found, error, around),
    };
    let mut reading = Reading { space: None, closed: None, fresh: Vec::new(), gaps: Vec::new() };
    let Some(mut space) = named(found, &file, around, whose) else { return reading };
    match file.socket_of_reader(reader) {
        Ok(mut inside) => {
            fill(&mut space, &mut inside, around, sysctls, &mut reading.gaps);
            drop(inside);
            claims(&mut space, around, own, &mut reading.fresh);
        }
        Err(error) => {
            reading.closed = Some(error.into());
            space.outside = true;
            space.links = outside(&space.found);
        }
    }
    if space.nsid.is_none() {
        space.nsid = nsid::of_file(own, &file).ok().flatten();
    }
    reading.space = Some(space);
    reading
}

/// What is left to say of a namespace that could not be opened.
fn unopened(found: Found, error: io::Error, around: &Around<'_>) -> Reading {
    let mut reading = Reading { space: None, closed: None, fresh: Vec::new(), gaps: Vec::new() };
    // Held by something that no path leads to, or by somebody else's.
    let hidden = found.holders.iter().any(|h| h.path.is_none()) || !gone(&error);
    if hidden {
        let name = found.name(around.host);
        match error.kind() {
            io::ErrorKind::NotFound => reading.gaps.push(Gap::new("links", &name, "no path leads there")),
            _ => reading.closed = Some(error.into()),
        }
        reading.space = Some(Space::new(found, name));
    }
    reading
}

/// The namespace of the open file with its owner and name; none: nobody holds it any more.
fn named(mut found: Found, file: &NetnsFile, around: &Around<'_>, whose: &mut dyn Whose) -> Option<Space> {
    let mut owner = around.owner_by(whose, &found);
    // It was named by its processes: where one of them has gone, its pid can have been another process's already.
    for _ in 0..RENAMED {
        let holders = found.holders.len();
        found.confirm(file);
        if found.holders.is_empty() {
            return None;
        }
        if found.holders.len() == holders {
            break;
        }
        owner = around.owner_by(whose, &found);
    }
    let name = found.name_with(around.host, owner.as_ref());
    Some(Space { owner, ..Space::new(found, name) })
}

/// Reads all that is wanted of a namespace through a socket in it.
fn fill(space: &mut Space, inside: &mut Socket, around: &Around<'_>, sysctls: &mut Sysctls, all_gaps: &mut Vec<Gap>) {
    let mut gaps = Vec::new();
    let whole = around.whole.map(|keep| (keep, sysctls));
    match self::inside(inside, space.id(), &space.name, whole, &mut gaps) {
        Ok((links, whole)) => {
            (space.links, space.whole) = (links, whole);
            if let Some(whole) = &mut space.whole {
                whole.gaps.clone_from(&gaps);
            }
        }
        Err(refused) => {
            all_gaps.push(Gap::new("links", &space.name, refused.to_string()));
            space.outside = true;
        }
    }
    all_gaps.append(&mut gaps);
    if space.links.iter().any(|l| l.link_netnsid.is_some()) {
        let id = space.id();
        for hub in around.hubs().filter(|hub| hub.id() != id) {
            if let Ok(Some(number)) = nsid::of_file(inside, hub) {
                space.numbers.insert(number, hub.id());
            }
        }
    }
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// Holds the pairs that the namespace says it has with podnet's own against what that says; where this is older than
/// the pair, it is asked again, now that the other end is sure to be there.
fn claims(space: &mut Space, around: &Around<'_>, own: &mut Socket, fresh: &mut Vec<Link>) {
    let own_id = around.own.id();
    let leads_to_own = |l: &Link| l.is_pair() && l.link_netnsid.is_some_and(|n| space.numbers.get(&n) == Some(&own_id));
    let mut numbers = Vec::new();
    for link in space.links.iter().filter(|l| leads_to_own(l)) {
        let Some(far) = link.link else { continue };
        match around.ends.get(&far) {
            Some((Some(back), Some(number))) if *back == link.ifindex => numbers.push(*number),
            _ => {
                if let Ok(Some(end)) = link::get(own, far, Where::Here) {
                    numbers.extend(end.link_netnsid.filter(|_| end.link == Some(link.ifindex)));
                    fresh.push(end);
                }
            }
        }
    }
    numbers.dedup();
    // More than one: something moved in the meantime, and the kernel is asked directly.
    space.nsid = match numbers.as_slice() {
        [number] => Some(*number),
        _ => None,
    };
}

/// What the world may read of a namespace through a process inside.
pub(super) fn outside(found: &Found) -> Vec<Link> {
    let inside = found.holders.iter().filter(|h| h.holder == HolderType::Process);
    inside.take(3).find_map(|h| ProcNet::read(h.pid).ok()).map(|proc| proc.links).unwrap_or_default()
}
