//! Looking for a namespace in the recordings by one of the things that it can be known by.

use std::net::IpAddr;

use super::target::Found;
use super::{Recorded, Space};
use crate::error::{Error, ErrorId, Result};
use crate::model::{HolderType, LinkId, LlAddr, NetnsId, Owner, Pid, Topology};

/// Who is looked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    Pod,
    Container,
    Any,
}

impl Recorded {
    fn among<'a>(&'a self, machines: &'a [usize]) -> impl Iterator<Item = (NetnsId, &'a Space)> {
        // What another recording knows better is found there.
        let known = self.all().filter(|(id, _)| self.best_known(*id) == *id);
        known.filter(
            |(id, _)| matches!(id, NetnsId::Recorded { snapshot, .. } if machines.contains(&(*snapshot as usize))),
        )
    }

    /// The namespaces for which this is so.
    fn those(&self, machines: &[usize], so: impl Fn(&Space) -> bool) -> Vec<Found> {
        let fits = self.among(machines).filter(|(_, space)| so(space));
        fits.map(|(netns, _)| Found { netns, pid: None, tenant: None }).collect()
    }

    pub(super) fn by_pid(&self, machines: &[usize], digits: &str) -> Vec<Found> {
        let pid = digits.parse().ok().map(Pid);
        let inside =
            |space: &Space| space.read.holders.iter().any(|h| h.holder == HolderType::Process && Some(h.pid) == pid);
        let found: Vec<Found> = self.those(machines, inside).into_iter().map(|found| Found { pid, ..found }).collect();
        // A name may be all digits, too, where no process has them.
        if found.is_empty() { self.by_name(machines, digits) } else { found }
    }

    pub(super) fn by_inode(&self, machines: &[usize], digits: &str) -> Vec<Found> {
        let wanted = digits.parse::<u64>().ok();
        let found = self.those(machines, |space| wanted.is_some() && space.read.netns == wanted);
        found.into_iter().map(|found| self.reached(found)).collect()
    }

    /// With the process that it would be entered by.
    fn reached(&self, found: Found) -> Found {
        let pid = self.space(found.netns).and_then(|space| space.read.pid).filter(|_| !self.is_own(found.netns));
        Found { pid, ..found }
    }

    /// Pid 1, where it was seen in the namespace.
    fn first_of(&self, netns: NetnsId) -> Option<Pid> {
        let first = |h: &&crate::model::Holder| h.holder == HolderType::Process && h.pid == Pid(1);
        self.space(netns)?.read.holders.iter().find(first).map(|h| h.pid)
    }

    pub(super) fn by_path(&self, machines: &[usize], path: &str) -> Vec<Found> {
        // The same file as a process sees it.
        let inside = path.strip_prefix("/proc/").and_then(|rest| rest.split_once("/root/")).map(|(_, path)| path);
        let seen = |found: &str| found == path || inside.is_some_and(|inside| found.strip_prefix('/') == Some(inside));
        let of = |(netns, space): (NetnsId, &Space)| {
            let holder = space.read.holders.iter().find(|h| h.path.as_deref().is_some_and(seen))?;
            let pid = (holder.holder == HolderType::Process).then_some(holder.pid);
            Some(Found { netns, pid, tenant: None })
        };
        self.among(machines).filter_map(of).collect()
    }

    /// A name under one of the directories where names of namespaces are kept.
    pub(super) fn by_name(&self, machines: &[usize], name: &str) -> Vec<Found> {
        let ending = format!("/netns/{name}");
        self.those(machines, |space| {
            let mut mounts = space.read.holders.iter().filter(|h| h.holder == HolderType::Mount);
            mounts.any(|h| h.path.as_deref().is_some_and(|p| p.ends_with(&ending))) || space.read.name == name
        })
    }

    pub(super) fn by_ip(&self, machines: &[usize], ip: IpAddr) -> Vec<Found> {
        self.those(machines, |space| space.holds(ip)).into_iter().map(|found| self.reached(found)).collect()
    }

    pub(super) fn by_mac(&self, machines: &[usize], mac: LlAddr) -> Vec<Found> {
        let found = self.those(machines, |space| space.links().any(|l| l.address == Some(mac)));
        found.into_iter().map(|found| self.reached(found)).collect()
    }

    /// A pod or container by what its runtime calls it.
    pub(super) fn by_owner(&self, machines: &[usize], name: &str, whom: Whom) -> Vec<Found> {
        let owned = |space: &Space| space.read.owner.as_ref().is_some_and(|owner| is_called(owner, name, whom));
        let mut found: Vec<Found> = self.those(machines, owned).into_iter().map(|found| self.reached(found)).collect();
        for (netns, space) in self.among(machines) {
            let tenants = space.read.tenants.iter().filter(|owner| is_called(owner, name, whom));
            found.extend(tenants.map(|owner| Found { netns, pid: self.first_of(netns), tenant: Some(owner.clone()) }));
        }
        found
    }

    /// A name without a kind: of a link, a namespace, a pod or a container.
    pub(super) fn by_any_name(&mut self, machines: &[usize], name: &str) -> Result<Found> {
        let mut found = self.by_name(machines, name);
        if name == "host" {
            found.retain(|found| self.is_host(found.netns));
            let found = found.into_iter().map(|found| Found { pid: self.first_of(found.netns), ..found }).collect();
            return self.only(name, found);
        }
        // People give a namespace the name of the container whose it is: no two things then.
        for owned in self.by_owner(machines, name, Whom::Any) {
            match found.iter_mut().find(|known| known.netns == owned.netns) {
                Some(known) => known.tenant = known.tenant.take().or(owned.tenant),
                None => found.push(owned),
            }
        }
        let links = self.own_links(machines, name);
        match (found.as_slice(), links.as_slice()) {
            (_, []) => self.only(name, found),
            ([], _) => self.by_link(machines, name),
            _ => {
                let mut meanings: Vec<String> = found.iter().map(|found| self.told(found)).collect();
                meanings.push(format!("link:{name}"));
                Err(self.ambiguous(name, meanings))
            }
        }
    }

    /// Links of the namespaces that podnet was in when it recorded.
    fn own_links(&self, machines: &[usize], name: &str) -> Vec<LinkId> {
        let of = |at: &usize| {
            let netns = self.id(*at, self.machines.get(*at)?.own);
            let link = self.space(netns)?.link_by_name(name)?;
            Some(LinkId { netns, ifindex: link.ifindex })
        };
        machines.iter().filter_map(of).collect()
    }

    /// The namespace at the other end of a pair.
    pub(super) fn by_link(&mut self, machines: &[usize], name: &str) -> Result<Found> {
        let refused = |id, message: String| Error::new(id, message).hint("podnet list --snapshot shows what is there");
        let links = self.own_links(machines, name);
        let at = match links.as_slice() {
            [] => return Err(self.unknown(name)),
            [one] => *one,
            several => {
                let there = several.iter().map(|l| Found { netns: l.netns, pid: None, tenant: None });
                return Err(self.ambiguous(name, there.map(|found| self.told(&found)).collect()));
            }
        };
        let here = self.netns_of(at.netns).name;
        let Some(link) = self.link(at).ok().flatten() else { return Err(self.unknown(name)) };
        if !link.is_pair() {
            let kind = &link.kind;
            let what = format!("{name} is a {kind} of {here}, not one end of a pair: no container is at its other end");
            return Err(refused(ErrorId::UnknownTarget, what));
        }
        match self.far_end(at, &link) {
            Ok(Some(far)) if far.netns != at.netns => {
                Ok(self.reached(Found { netns: far.netns, pid: None, tenant: None }))
            }
            Ok(_) => Err(refused(ErrorId::UnknownTarget, format!("both ends of {name} are in {here}"))),
            Err(gap) => Err(refused(ErrorId::NoPermission, format!("{} of {name}: {}", gap.what, gap.why))),
        }
    }
}

/// A pod by `namespace/name`, name or uid; a container by name, id or the start of its id.
fn is_called(owner: &Owner, name: &str, whom: Whom) -> bool {
    /// Letters of an id that are enough where nothing says that it is one: shorter ones are words.
    const START_OF_ID: usize = 4;
    let is_start = (whom == Whom::Container || name.len() >= START_OF_ID)
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_hexdigit());
    let is_pod = owner.pod.as_ref().is_some_and(|pod| {
        pod.uid == name || pod.name == name || name.split_once('/') == Some((&pod.namespace, &pod.name))
    });
    let is_container = owner.containers.iter().any(|c| {
        c.id == name || c.name.as_deref() == Some(name) || (is_start && c.id.starts_with(&name.to_lowercase()))
    });
    let by_name = owner.name == name;
    match whom {
        Whom::Pod => is_pod || (by_name && owner.containers.iter().any(|c| c.sandbox)),
        Whom::Container => is_container || (by_name && owner.pod.is_none() && !owner.is_bare()),
        Whom::Any => is_pod || is_container || by_name,
    }
}
