//! Carries a plan out, one request a step, in order; and takes it back, the newest step first, where one is refused or
//! somebody asks for it.

use std::collections::{BTreeMap, HashMap};
use std::error::Error as StdError;
use std::fs;
use std::io;
use std::os::fd::AsFd;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use nix::errno::Errno;

use super::{message, nat, store};
use crate::error::{Error, ErrorId, Result};
use crate::kernel::netns::NetnsFile;
use crate::kernel::socket::{Refused, Socket};
use crate::kernel::{link, ports};
use crate::model::{Change, IfIndex, NetnsRef, Plan, PlanStep};

/// Why a step was not taken.
type Cause = Box<dyn StdError + Send + Sync>;

/// An open file of every namespace that a plan speaks of.
pub type Opened = BTreeMap<NetnsRef, NetnsFile>;

/// What is open already: whoever gathered the facts was inside.
pub type Sockets = BTreeMap<NetnsRef, Socket>;

/// What was done, and can be taken back.
pub struct Applied<'a> {
    writer: Writer<'a>,
    done: Vec<&'a PlanStep>,
}

/// Takes the steps one after the other. The first that is refused ends it, and those before it are taken back; so does
/// what `stop` says when it is asked before each step.
pub fn apply<'a>(
    plan: &'a Plan,
    netns: &'a Opened,
    sockets: Sockets,
    stop: &mut dyn FnMut() -> Option<&'static str>,
) -> Result<Applied<'a>> {
    let writer = Writer { netns, sockets, indexes: HashMap::new() };
    let mut applied = Applied { writer, done: Vec::new() };
    for step in &plan.steps {
        let failed = match stop() {
            Some(signal) => Error::new(ErrorId::Interrupted, format!("{signal} came before `{step}`")),
            None => match applied.writer.take(&step.netns, &step.change) {
                Ok(()) => {
                    applied.done.push(step);
                    continue;
                }
                Err(cause) => Error::new(ErrorId::Kernel, format!("`{step}` was refused")).because(cause),
            },
        };
        return Err(applied.undo(failed));
    }
    Ok(applied)
}

impl Applied<'_> {
    /// Takes all steps back and adds to a failure what became of that.
    pub fn undo(mut self, failed: Error) -> Error {
        let (mut left, mut link_is_left) = (Vec::new(), false);
        for step in self.done.iter().rev() {
            for ((netns, change), command) in step.undo.iter().zip(step.undo_commands()) {
                match self.writer.take(netns, change) {
                    Err(cause) if !is_gone(&cause) => {
                        link_is_left |= matches!(change, Change::DelLink { .. });
                        left.push(format!("{command}    # {cause}"));
                    }
                    // The port that could not be taken away keeps it; those of others do as well.
                    Ok(()) if link_is_left => {
                        if let Change::DelBridge { ifname } = change
                            && self.writer.ports(netns, ifname).is_ok_and(|ports| ports == 1)
                        {
                            left.push(command);
                        }
                    }
                    _ => {}
                }
            }
        }
        let undoable = self.done.iter().any(|step| !step.undo.is_empty());
        let hint = match (left.is_empty(), undoable, failed.id) {
            (true, true, ErrorId::Kernel) => "every step before it was undone; the command shows what was asked for",
            (true, false, ErrorId::Kernel) => "the command shows what was asked for",
            (true, _, _) => "every step was undone",
            (false, _, _) => "not every step before it could be undone: these commands are left to do",
        };
        failed.hint(hint).candidates(left)
    }
}

/// Makes one change of the host's. What is to go and is not there any more is as good as gone.
pub fn take(change: &Change) -> Result<()> {
    let netns = Opened::new();
    match Writer::new(&netns).take(&NetnsRef::Host, change) {
        Err(cause) if !is_gone(&cause) => {
            let step = PlanStep { netns: NetnsRef::Host, change: change.clone(), undo: Vec::new() };
            let hint = "the command shows what was asked for; podnet detach goes on from here";
            Err(Error::new(ErrorId::Kernel, format!("`{step}` was refused")).because(cause).hint(hint))
        }
        _ => Ok(()),
    }
}

/// Whether the kernel lets podnet change links where the socket is: it says so before it looks at what is asked for.
pub fn allowed(socket: &mut Socket) -> std::result::Result<(), Refused> {
    // Nobody has a link of this index, and nothing is asked of it.
    let nothing = message::link(IfIndex(i32::MAX as u32), Vec::new());
    match socket.acknowledged(RouteNetlinkMessage::SetLink(nothing), 0) {
        Err(refused) if matches!(refused.errno, Errno::EPERM | Errno::EACCES) => Err(refused),
        _ => Ok(()),
    }
}

/// What was to be taken away is not there any more.
pub(super) fn is_gone(cause: &Cause) -> bool {
    let errno = cause.downcast_ref::<Refused>().map(|refused| refused.errno);
    matches!(errno, Some(Errno::ENODEV | Errno::ENOENT | Errno::ESRCH | Errno::EADDRNOTAVAIL))
}

/// The one thing in podnet that changes the machine.
pub(super) struct Writer<'a> {
    netns: &'a Opened,
    sockets: Sockets,
    indexes: HashMap<(NetnsRef, String), IfIndex>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(netns: &'a Opened) -> Self {
        Writer { netns, sockets: BTreeMap::new(), indexes: HashMap::new() }
    }

    pub(super) fn take(&mut self, at: &NetnsRef, change: &Change) -> Result<(), Cause> {
        match change {
            Change::SetSysctl { key, value } => Ok(self.set_sysctl(at, key, value)?),
            Change::Reserve(reservation) => Ok(store::reserve(reservation)?),
            Change::Release { store, addr, id } => Ok(store::release(store, *addr, id)?),
            Change::AddMasquerade(rule) => Ok(nat::add(rule)?),
            Change::DelMasquerade { comment } => Ok(nat::remove(comment)?),
            change => Ok(self.request(at, change)?),
        }
    }

    /// The changes that are a netlink request each.
    fn request(&mut self, at: &NetnsRef, change: &Change) -> Result<(), Refused> {
        use RouteNetlinkMessage::{DelAddress, DelLink, NewAddress, NewLink, NewRoute, SetLink};
        const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;
        let (message, flags) = match change {
            Change::AddBridge(link) => (NewLink(message::bridge(link)), NEW),
            Change::AddVeth { link, master, peer_netns, peer } => {
                let master = master.as_deref().map(|master| self.index(at, master)).transpose()?;
                (NewLink(message::veth(link, master, peer, self.file(peer_netns)?.as_fd())), NEW)
            }
            Change::AddMacvlan { lower, link, link_netns } => {
                let lower = self.index(at, lower)?;
                (NewLink(message::macvlan(link, lower, self.file(link_netns)?.as_fd())), NEW)
            }
            Change::DelLink { ifname } => {
                let index = self.index(at, ifname)?;
                // The next link of this name has another index.
                self.indexes.remove(&(at.clone(), ifname.clone()));
                (DelLink(message::link(index, Vec::new())), 0)
            }
            Change::DelBridge { ifname } => {
                let index = self.index(at, ifname)?;
                // Somebody else's pod may have been plugged in meanwhile.
                if self.ports(at, ifname)? > 0 {
                    return Ok(());
                }
                self.indexes.remove(&(at.clone(), ifname.clone()));
                (DelLink(message::link(index, Vec::new())), 0)
            }
            Change::SetAlias { ifname, alias } => {
                (SetLink(message::link(self.index(at, ifname)?, vec![LinkAttribute::IfAlias(alias.clone())])), 0)
            }
            Change::SetGroup { ifname, group } => {
                (SetLink(message::link(self.index(at, ifname)?, vec![LinkAttribute::Group(*group)])), 0)
            }
            Change::SetPort { ifname, hairpin, isolated } => {
                (NewLink(message::port(self.index(at, ifname)?, *hairpin, *isolated)), 0)
            }
            Change::AddAddr { ifname, addr, nodad, link_scope } => {
                (NewAddress(message::addr(self.index(at, ifname)?, *addr, *nodad, *link_scope)), NEW)
            }
            Change::DelAddr { ifname, addr } => {
                (DelAddress(message::addr(self.index(at, ifname)?, *addr, false, false)), 0)
            }
            Change::SetUp { ifname } => (SetLink(message::up(self.index(at, ifname)?)), 0),
            Change::AddRoute { kind, dst, gateway, dev } => {
                let dev = dev.as_deref().map(|dev| self.index(at, dev)).transpose()?;
                let message = message::route(*kind, *dst, *gateway, dev)
                    .ok_or_else(|| said(Errno::EAFNOSUPPORT, "destination and gateway are of different families"))?;
                (NewRoute(message), NEW)
            }
            other => return Err(said(Errno::EOPNOTSUPP, format!("`{other}` is no request"))),
        };
        self.socket(at)?.acknowledged(message, flags)
    }

    fn set_sysctl(&mut self, at: &NetnsRef, key: &str, value: &str) -> io::Result<()> {
        let (place, value) = (format!("/proc/sys/{key}"), value.to_owned());
        let write = || fs::write(place, value);
        match at {
            NetnsRef::Host => write(),
            // /proc/sys/net shows the namespace of the thread that opens it.
            at => self.file(at)?.inside(write),
        }
    }

    fn file(&self, at: &NetnsRef) -> Result<&'a NetnsFile, Refused> {
        self.netns.get(at).ok_or_else(|| said(Errno::ENOENT, format!("the namespace {at} was not opened")))
    }

    /// The socket in a namespace, made when the first step needs it.
    fn socket(&mut self, at: &NetnsRef) -> Result<&mut Socket, Refused> {
        if !self.sockets.contains_key(at) {
            let socket = match at {
                NetnsRef::Host => Socket::open()?,
                at => self.file(at)?.socket()?,
            };
            self.sockets.insert(at.clone(), socket);
        }
        self.sockets.get_mut(at).ok_or_else(|| said(Errno::ENOENT, "no socket"))
    }

    /// Number of ports of a bridge of the host's.
    fn ports(&mut self, at: &NetnsRef, ifname: &str) -> Result<usize, Refused> {
        let link = link::by_name(self.socket(at)?, ifname)?;
        match link.filter(|link| link.kind == "bridge") {
            Some(_) => Ok(ports::count(ifname)?),
            None => Err(said(Errno::ENODEV, format!("there is no bridge {ifname} in {at}"))),
        }
    }

    fn index(&mut self, at: &NetnsRef, ifname: &str) -> Result<IfIndex, Refused> {
        let key = (at.clone(), ifname.to_owned());
        if let Some(index) = self.indexes.get(&key) {
            return Ok(*index);
        }
        let link = link::by_name(self.socket(at)?, ifname)?;
        let link = link.ok_or_else(|| said(Errno::ENODEV, format!("there is no link {ifname} in {at}")))?;
        self.indexes.insert(key, link.ifindex);
        Ok(link.ifindex)
    }
}

fn said(errno: Errno, words: impl Into<String>) -> Refused {
    Refused { errno, words: Some(words.into()) }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        io::Error::other(refused)
    }
}
