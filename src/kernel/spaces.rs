//! The namespaces that one run of podnet has reached: how each was opened, what it is called, and which namespace
//! another one means by an nsid.

mod numbers;
mod owned;

use std::collections::HashMap;
use std::{io, mem};

use nix::errno::Errno;

use super::holders::{self, Depth, Found};
use super::link::{self, Where};
use super::netns::{self, NetnsFile};
use super::nsid;
use super::procnet::{self, ProcNet};
use super::socket::Socket;
use crate::error::{Error, ErrorId, Result};
use crate::model::{Gap, Holder, HolderType, Link, Netns, NetnsId, Nsid, Owner, Pid, Whose};

pub use owned::Owned;

/// Each namespace takes two open files: after so many the limit is looked at.
const MANY: usize = 64;

/// How the facts of a namespace are had.
#[derive(Debug)]
pub enum Access {
    /// By a socket inside.
    Inside {
        /// The namespace, open.
        file: NetnsFile,
        /// The socket.
        socket: Box<Socket>,
    },
    /// Links and addresses only, asked of another namespace that has a number for it.
    ByNsid {
        /// The namespace to ask.
        via: NetnsId,
        /// Its number for this one.
        nsid: Nsid,
    },
    /// From outside: the world-readable files of a process inside, and the links here that lead there.
    Outside(Box<Facts>),
}

/// What can be known of a namespace that may not be entered.
#[derive(Debug)]
pub struct Facts {
    /// Its links; `link` of one is the index of its other end in podnet's own namespace.
    pub links: Vec<Link>,
    /// The rest; none: /proc hides the process.
    pub proc: Option<ProcNet>,
}

impl Facts {
    /// Notes that a link of podnet's own namespace is the other end of one of these.
    fn connect(&mut self, here: Link) {
        let Some(ifindex) = here.link else { return };
        if !self.links.iter().any(|l| l.ifindex == ifindex) {
            // Its index is all that is known of it.
            let unnamed = Link { ifindex, ifname: format!("if{}", ifindex), ..Link::default() };
            self.links.push(Link { up: true, operstate: "UNKNOWN".to_owned(), ..unnamed });
        }
        for link in self.links.iter_mut().filter(|l| l.ifindex == ifindex) {
            link.kind.clone_from(&here.kind);
            link.link = Some(here.ifindex);
        }
    }
}

#[derive(Debug)]
struct Space {
    netns: Netns,
    access: Access,
}

/// All namespaces reached so far.
#[derive(Debug)]
pub struct Spaces {
    own: NetnsId,
    host: Option<NetnsId>,
    spaces: HashMap<NetnsId, Space>,
    nsids: HashMap<(NetnsId, Nsid), NetnsId>,
    /// Those that were entered, in that order.
    entered: Vec<NetnsId>,
    asked: HashMap<NetnsId, numbers::Asked>,
    found: Option<Vec<Found>>,
    hidden: Vec<Pid>,
    whose: Option<Box<dyn Whose>>,
    gaps: Vec<Gap>,
}

impl Spaces {
    /// Starts with the namespace that podnet itself is in.
    pub fn new() -> Result<Spaces> {
        let kernel = |e: io::Error| {
            Error::new(ErrorId::Kernel, "podnet's own network namespace").because(e).hint("is /proc mounted?")
        };
        let file = NetnsFile::own().map_err(kernel)?;
        let socket = Box::new(Socket::open().map_err(kernel)?);
        let own = file.id();
        let host = netns::host();
        let is_host = host.map_or_else(|| procnet::shares_netns(Pid(1)) == Some(true), |host| host == own);
        let name = if is_host { "host" } else { "own" }.to_owned();
        let netns = Netns { id: own, nsid: None, name, node: None, owner: None, pid: None };
        let spaces = HashMap::from([(own, Space { netns, access: Access::Inside { file, socket } })]);
        Ok(Spaces {
            own,
            host,
            spaces,
            nsids: HashMap::new(),
            entered: vec![own],
            asked: HashMap::new(),
            found: None,
            hidden: Vec::new(),
            whose: None,
            gaps: Vec::new(),
        })
    }

    /// Has namespaces named by their owners.
    pub fn named_by(mut self, whose: Box<dyn Whose>) -> Spaces {
        self.whose = Some(whose);
        self
    }

    /// The namespace that podnet itself is in.
    pub fn own(&self) -> NetnsId {
        self.own
    }

    /// The namespace of pid 1, which is called `host`; none: it may not be looked at.
    pub fn host(&self) -> Option<NetnsId> {
        self.host
    }

    /// What is known of a namespace.
    pub fn netns(&self, id: NetnsId) -> Netns {
        self.spaces.get(&id).map_or_else(
            || Netns { id, nsid: None, name: "unseen".to_owned(), node: None, owner: None, pid: None },
            |space| space.netns.clone(),
        )
    }

    /// How the facts of a namespace are had.
    pub fn access(&self, id: NetnsId) -> Option<&Access> {
        self.spaces.get(&id).map(|space| &space.access)
    }

    /// The open file of a namespace that podnet is let into.
    pub fn file(&self, id: NetnsId) -> Option<&NetnsFile> {
        match self.access(id)? {
            Access::Inside { file, .. } => Some(file),
            _ => None,
        }
    }

    /// A socket that can be asked about a namespace, and how to ask.
    pub fn socket(&mut self, id: NetnsId) -> Option<(&mut Socket, Where)> {
        let (at, place) = match self.spaces.get(&id)?.access {
            Access::Inside { .. } => (id, Where::Here),
            Access::ByNsid { via, nsid } => (via, Where::Nsid(nsid)),
            Access::Outside(_) => return None,
        };
        match &mut self.spaces.get_mut(&at)?.access {
            Access::Inside { socket, .. } => Some((socket, place)),
            _ => None,
        }
    }

    /// Does something short inside of a namespace; none: podnet may not enter it.
    pub fn inside<T: Send>(&self, id: NetnsId, work: impl FnOnce() -> io::Result<T> + Send) -> Option<io::Result<T>> {
        match self.access(id)? {
            Access::Inside { .. } if id == self.own => Some(work()),
            Access::Inside { file, .. } => Some(file.inside(work)),
            _ => None,
        }
    }

    /// Enters the open namespace of a process.
    pub fn enter(&mut self, file: NetnsFile, name: String, pid: Pid) -> io::Result<NetnsId> {
        let known = self.spaces.contains_key(&file.id()) || Some(file.id()) == self.host;
        let owner = if known { None } else { self.owner_of(pid) };
        let name = owner.as_ref().map_or(name, holders::called);
        self.enter_owned(file, name, Some(pid), owner)
    }

    /// Enters a namespace that is mounted here.
    pub fn enter_mounted(&mut self, file: NetnsFile, path: &str, name: String) -> io::Result<NetnsId> {
        let holder = Holder { holder: HolderType::Mount, pid: Pid(1), comm: None, path: Some(path.to_owned()) };
        let known = self.spaces.contains_key(&file.id()) || Some(file.id()) == self.host;
        let owner = self.whose.as_mut().filter(|_| !known).and_then(|whose| whose.of_namespace(&[holder]));
        let name = owner.as_ref().map_or(name, holders::called);
        self.enter_owned(file, name, None, owner)
    }

    /// Who a process belongs to.
    pub fn owner_of(&mut self, pid: Pid) -> Option<Owner> {
        self.whose.as_mut().and_then(|whose| whose.of_process(pid))
    }

    fn enter_owned(
        &mut self,
        file: NetnsFile,
        name: String,
        pid: Option<Pid>,
        owner: Option<Owner>,
    ) -> io::Result<NetnsId> {
        let id = file.id();
        if let Some(space) = self.spaces.get_mut(&id) {
            space.netns.pid = space.netns.pid.or(pid);
            return Ok(id);
        }
        if self.entered.len().is_multiple_of(MANY) {
            netns::allow_more_files();
        }
        let socket = Box::new(file.socket()?);
        let name = if Some(id) == self.host { "host".to_owned() } else { name };
        let netns = Netns { id, nsid: None, name, node: None, owner, pid };
        self.spaces.insert(id, Space { netns, access: Access::Inside { file, socket } });
        self.entered.push(id);
        Ok(id)
    }

    /// The namespace of a process that may not be entered: what the world may read of it, and what the links here tell
    /// of it. `id` is its identity, where that much could be had.
    pub fn read_only(&mut self, pid: Pid, name: String, id: Option<NetnsId>) -> Result<NetnsId> {
        if procnet::shares_netns(pid) == Some(true) {
            return Ok(self.own);
        }
        let own = self.own;
        let number = match self.socket(own).map(|(socket, _)| nsid::of_pid(socket, pid)) {
            Some(Err(refused)) if refused.errno == Errno::ESRCH => {
                return Err(Error::new(ErrorId::UnknownTarget, format!("there is no process {pid}"))
                    .hint("podnet list shows what is there now"));
            }
            Some(Ok(number)) => number,
            _ => None,
        };
        let ends = number.map(|nsid| self.ends_here(nsid)).unwrap_or_default();
        let mut facts = match ProcNet::read(pid) {
            Ok(proc) => Facts { links: proc.links.clone(), proc: Some(proc) },
            // /proc is closed (hidepid): the links here still tell which of them lead there.
            Err(_) if !ends.is_empty() => Facts { links: Vec::new(), proc: None },
            Err(e) => {
                let message = format!("the network namespace of process {pid} is closed to you");
                return Err(Error::new(ErrorId::NoPermission, message).because(e).hint("run podnet as root"));
            }
        };
        for end in ends {
            facts.connect(end);
        }
        let id = id.unwrap_or(match number {
            Some(nsid) => NetnsId::Unopened { from: own.ino().unwrap_or(0), nsid },
            None => NetnsId::OfPid(pid),
        });
        self.nsids.extend(number.map(|nsid| ((own, nsid), id)));
        let owner = self.owner_of(pid);
        let name = owner.as_ref().map_or(name, holders::called);
        let netns = Netns { id, nsid: number, name, node: None, owner, pid: Some(pid) };
        if let Some(proc) = &mut facts.proc {
            self.gaps.append(&mut proc.gaps);
        } else {
            let why = "that namespace may not be entered, and /proc hides the process";
            self.gaps.push(
                Gap::new("names, addresses and routes", &netns.name, why).needs("root, or /proc without hidepid"),
            );
        }
        self.spaces.insert(id, Space { netns, access: Access::Outside(Box::new(facts)) });
        Ok(id)
    }

    /// Links of podnet's own namespace whose other end is in the one that has this number.
    fn ends_here(&mut self, nsid: Nsid) -> Vec<Link> {
        let own = self.own;
        let links = self.socket(own).and_then(|(socket, _)| link::dump(socket, Where::Here).ok());
        let links = links.map(|dump| dump.items).unwrap_or_default();
        links.into_iter().filter(|l| l.is_pair() && l.link_netnsid == Some(nsid)).collect()
    }

    /// Enters a namespace that was found on this machine; false where it is closed or gone.
    pub fn enter_found(&mut self, id: NetnsId) -> bool {
        match self.try_found(id) {
            Some(Err(error)) => {
                self.note_limit(&error);
                false
            }
            entered => entered.is_some(),
        }
    }

    /// That podnet may not open more files is no word about what it would have opened.
    fn note_limit(&mut self, error: &io::Error) {
        if matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE)) {
            let gap = Gap::new("namespaces", "this machine", error.to_string());
            let gap = gap.needs("a higher limit of open files (ulimit -n)");
            if !self.gaps.contains(&gap) {
                self.gaps.push(gap);
            }
        }
    }

    /// Enters a namespace that was found on this machine; none: it was not.
    pub fn try_found(&mut self, id: NetnsId) -> Option<io::Result<NetnsId>> {
        let found = mem::take(self.found());
        let entered = found.iter().find(|f| f.id == id).map(|found| {
            let file = found.open()?;
            let known = self.spaces.contains_key(&id) || Some(id) == self.host;
            let owner = self.whose.as_mut().filter(|_| !known).and_then(|whose| whose.of_namespace(&found.holders));
            let name = found.name_with(self.host, owner.as_ref());
            self.enter_owned(file, name, found.pid(), owner)
        });
        *self.found() = found;
        entered
    }

    /// Every namespace that something on this machine holds; looked for once.
    pub fn found(&mut self) -> &mut Vec<Found> {
        if self.found.is_none() {
            let discovery = holders::discover(Depth::Shallow);
            self.gaps.extend(discovery.gaps);
            self.hidden = discovery.hidden;
            self.found = Some(discovery.namespaces);
        }
        self.found.get_or_insert_default()
    }

    /// Gaps that came up on the way.
    pub fn take_gaps(&mut self) -> Vec<Gap> {
        self.gaps.extend(self.whose.as_mut().map(|whose| whose.take_gaps()).unwrap_or_default());
        mem::take(&mut self.gaps)
    }
}
