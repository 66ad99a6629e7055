//! From what the user typed to a namespace of the recordings, as it would be found on the machine itself. What to look
//! for is decided here; the looking is left to `search`.

use super::search::Whom;
use super::{Recorded, Space};
use crate::error::{Error, ErrorId, Result};
use crate::model::{HolderType, LlAddr, NetnsId, Owner, Pid, Source, nearest};

/// An ambiguous target is shown with this many of its meanings.
const SHOWN: usize = 20;

const HINT: &str = "a target is a pod (namespace/pod), a container, a pid, a network namespace (path, name or \
                    netns:INODE), a link of the recorded host, or an address, with NODE: before it where several \
                    machines are recorded; podnet list --snapshot shows what is there";

/// What a target turned out to be.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) netns: NetnsId,
    /// The process that it was reached through.
    pub(super) pid: Option<Pid>,
    /// The container that was named, where the namespace is the host's.
    pub(super) tenant: Option<Owner>,
}

impl Recorded {
    /// Finds the namespace that the text means.
    pub fn resolve(&mut self, target: &str) -> Result<Source> {
        if target.is_empty() {
            return Err(Error::new(ErrorId::Usage, "the target is empty").hint(HINT));
        }
        self.join();
        // One of several meanings is offered with its name in brackets, and may come back so.
        let target = target.split_once(" (").map_or(target, |(typed, _)| typed);
        let (machines, target) = self.on_node(target);
        let Found { netns, pid, tenant } = self.find(&machines, target)?;
        let by_process = is_number(target.strip_prefix("pid:").unwrap_or(target)) || target.starts_with("/proc/");
        let process = self.space(netns).filter(|_| by_process).and_then(|space| process(space, pid));
        let owner = process.filter(|_| !self.is_host(netns));
        if let Some(owner) = &owner {
            self.called.insert(netns, owner.name.clone());
        }
        let found = self.netns_of(netns);
        let owner = owner.or(found.owner);
        Ok(Source { netns, netns_name: found.name, pid, owner, tenant, holders: Vec::new() })
    }

    /// Which recordings are meant: those of the machine that is named before a colon, or all.
    fn on_node<'t>(&self, target: &'t str) -> (Vec<usize>, &'t str) {
        let named = |name: &str| -> Vec<usize> {
            (0..self.machines.len()).filter(|at| self.machines[*at].hostname == name).collect()
        };
        if let Some((node, rest)) = target.split_once(':')
            && !named(node).is_empty()
        {
            return (named(node), if rest.is_empty() { "host" } else { rest });
        }
        ((0..self.machines.len()).collect(), target)
    }

    fn find(&mut self, machines: &[usize], target: &str) -> Result<Found> {
        let wrong = |text: &str, what: &str| Error::new(ErrorId::Usage, format!("{text:?} is no {what}")).hint(HINT);
        let found = match target.split_once(':') {
            Some(("pid", rest)) if is_number(rest) => self.by_pid(machines, rest),
            Some(("pid", rest)) => return Err(wrong(rest, "process id")),
            Some(("netns", rest)) if is_number(rest) => self.by_inode(machines, rest),
            Some(("netns", rest)) => self.by_name(machines, rest),
            Some(("pod", rest)) => self.by_owner(machines, rest, Whom::Pod),
            Some(("ctr", rest)) => self.by_owner(machines, rest, Whom::Container),
            Some(("mac", rest)) => self.by_mac(machines, rest.parse().map_err(|_| wrong(rest, "link-layer address"))?),
            Some(("ip", rest)) => self.by_ip(machines, rest.parse().map_err(|_| wrong(rest, "address"))?),
            Some(("link", rest)) => return self.by_link(machines, rest),
            _ if target.starts_with(['/', '.']) => self.by_path(machines, target),
            _ if is_number(target) => self.by_pid(machines, target),
            _ => match (target.parse(), target.parse::<LlAddr>()) {
                (Ok(ip), _) => self.by_ip(machines, ip),
                (_, Ok(mac)) if mac.bytes().len() == 6 => self.by_mac(machines, mac),
                _ => return self.by_any_name(machines, target),
            },
        };
        self.only(target, found)
    }

    pub(super) fn only(&self, target: &str, found: Vec<Found>) -> Result<Found> {
        match found.as_slice() {
            [] => Err(self.unknown(target)),
            [one] => Ok(one.clone()),
            several => Err(self.ambiguous(target, several.iter().map(|found| self.told(found)).collect())),
        }
    }

    pub(super) fn unknown(&self, target: &str) -> Error {
        let what = if self.machines.len() == 1 { "the recording" } else { "the recordings" };
        let error = Error::new(ErrorId::UnknownTarget, format!("nothing in {what} is {target:?}"));
        let near = nearest(named(target), self.names().into_iter());
        match near.is_empty() {
            true => error.hint(HINT),
            false => {
                error.candidates(near).hint("did you mean one of these? podnet list --snapshot shows what is there")
            }
        }
    }

    /// Names of pods, containers, namespaces, and links of the recorded hosts, as they are typed.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (netns, space) in self.all() {
            let owners = space.read.owner.iter().chain(&space.read.tenants);
            for owner in owners {
                names.push(owner.name.clone());
                names.extend(owner.containers.iter().filter(|c| !c.sandbox).filter_map(|c| c.name.clone()));
            }
            if space.read.netns.is_some() {
                names.push(space.read.name.clone());
            }
            if self.is_own(netns) {
                names.extend(space.links().map(|link| link.ifname.clone()));
            }
        }
        names
    }

    pub(super) fn ambiguous(&self, target: &str, mut meanings: Vec<String>) -> Error {
        meanings.truncate(SHOWN);
        Error::new(ErrorId::AmbiguousTarget, format!("{target:?} means several things"))
            .candidates(meanings)
            .hint("type what one of these lines begins with instead")
    }

    /// What to type for a namespace, and what it is called.
    pub(super) fn told(&self, found: &Found) -> String {
        let NetnsId::Recorded { snapshot, ino, .. } = found.netns else { return String::new() };
        let node = match self.machines.get(snapshot as usize) {
            Some(machine) if self.machines.len() > 1 => format!("{}:", machine.hostname),
            _ => String::new(),
        };
        let name = found.tenant.as_ref().map_or_else(|| self.netns_of(found.netns).name, |owner| owner.name.clone());
        format!("{node}netns:{} ({name})", ino.unwrap_or(0))
    }

    /// The namespace is the one that its machine was recorded from.
    pub(super) fn is_own(&self, id: NetnsId) -> bool {
        let NetnsId::Recorded { snapshot, at, .. } = id else { return false };
        self.machines.get(snapshot as usize).is_some_and(|m| m.own == at as usize)
    }

    /// The namespace is that of pid 1 of its machine.
    pub(super) fn is_host(&self, id: NetnsId) -> bool {
        let NetnsId::Recorded { snapshot, at, .. } = id else { return false };
        self.machines.get(snapshot as usize).is_some_and(|m| m.host.unwrap_or(m.own) == at as usize)
    }
}

/// What was typed without the kind before it; empty for what is no name.
fn named(target: &str) -> &str {
    let name = match target.split_once(':') {
        Some(("pod" | "ctr" | "netns" | "link", name)) => name,
        Some(("pid" | "ip" | "mac", _)) => "",
        _ => target,
    };
    let is_name = !is_number(name) && !name.starts_with(['/', '.']) && name.parse::<std::net::IpAddr>().is_err();
    let is_mac = name.parse::<LlAddr>().is_ok_and(|mac| mac.bytes().len() == 6);
    if is_name && !is_mac { name } else { "" }
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Who was named by a process that belongs to no container is called after that process.
fn process(space: &Space, pid: Option<Pid>) -> Option<Owner> {
    let known = space.read.owner.as_ref().is_some_and(|o| !o.is_bare() || o.runtime == "systemd");
    let holder = space.read.holders.iter().find(|h| h.holder == HolderType::Process && Some(h.pid) == pid)?;
    let name = holder.comm.clone().filter(|_| !known)?;
    Some(Owner { runtime: "process".to_owned(), name, pod: None, containers: Vec::new(), user: None, within: None })
}
