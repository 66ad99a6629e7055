//! Whose namespace is it: from the cgroup of a process, what its ancestors and mounts say, and the state that runtimes
//! leave on disk, to the names that a person knows. Asks no daemon, so it knows as much when they are all down.

mod api;
mod cgroup;
mod chain;
mod cni;
mod containerd;
mod crio;
mod disk;
mod docker;
mod kubelet;
mod lookup;
mod mountinfo;
mod nested;
mod oci;
mod parent;
mod podman;
mod process;
mod record;
mod state;
#[cfg(test)]
mod tests;
mod tree;
mod unread;
mod untrusted;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::model::{Gap, Holder, HolderType, Owner, Pid, Whose};
use cgroup::Mark;
use chain::Chain;
use lookup::Lookup;
use record::Record;

/// Processes of one namespace that are asked for their container.
const PROCESSES: usize = 4096;

/// Knows the owners of the namespaces of one machine. It remembers the state of containers that it read, so make a new
/// one for a later look.
#[derive(Debug)]
pub struct Owners {
    lookup: Lookup,
}

/// Containers of one namespace that belong together.
#[derive(Default)]
struct Group {
    records: Vec<Record>,
    pids: Vec<u32>,
    chain: Option<Chain>,
}

impl Group {
    /// The first process of one of them is among these processes.
    fn is_at_home(&self) -> bool {
        self.records.iter().any(|r| r.init.is_some_and(|init| self.pids.contains(&init)))
    }
}

impl Owners {
    /// For the machine whose files begin at this directory.
    pub fn new(root: &Path) -> Self {
        Owners { lookup: Lookup::new(root) }
    }

    /// The owner by a process of the namespace; none: it is in no container.
    fn by_process(&mut self, pid: u32) -> Option<Owner> {
        let chain = self.lookup.chain(pid);
        let record = self.lookup.record(&chain, pid)?;
        if self.lookup.is_away(&chain, &record, pid) {
            return Some(self.inside(&record, &[pid]));
        }
        let mut records = self.lookup.members(&chain, &record);
        records.push(record);
        self.together(records)
    }

    /// The owner that these containers of one namespace make, with those that they joined.
    fn together(&mut self, mut records: Vec<Record>) -> Option<Owner> {
        let known: HashSet<String> = records.iter().map(|r| r.id.clone()).collect();
        let of_others = |r: &&Record| r.joins.as_ref().is_some_and(|id| !known.contains(id));
        let joined: Vec<Record> = records.iter().filter(of_others).filter_map(|r| self.lookup.joined(r)).collect();
        records.extend(joined);
        record::owner(records)
    }

    /// The owner of a namespace that is not the container's own: somebody in the container made it.
    fn inside(&mut self, outer: &Record, pids: &[u32]) -> Owner {
        let called = record::owner(vec![outer.clone()]).map_or_else(|| outer.called(), |owner| owner.name);
        if let Some(inner) = self.lookup.inner(pids, &called)
            && let Some(owner) = record::inside(inner.within, inner.records)
        {
            return Owner { user: outer.user, ..owner };
        }
        let oldest = self.by_oldest(pids.iter().copied());
        let name = oldest.map_or_else(|| called.clone(), |oldest| format!("{called}/{}", oldest.name));
        Owner { user: outer.user, within: Some(called), ..record::bare(outer.runtime, name) }
    }

    /// A runtime puts a container's first process into the cgroup before it has namespaces of its own. It sees the mounts
    /// of pid 1 until then, which no container does; a pid 1 that is in the container itself says nothing.
    fn is_in_the_making(&self, group: &Group) -> bool {
        let disk = self.lookup.disk();
        let mark = group.chain.as_ref().and_then(|chain| chain.marks.first());
        group.pids.iter().all(|pid| disk.same_mounts(*pid, 1)) && chain::of_cgroup(disk, 1).marks.first() != mark
    }

    /// The containers that processes of one namespace belong to.
    fn groups(&mut self, pids: &[u32]) -> Vec<Group> {
        let mut by_mark: HashMap<Mark, (Chain, Vec<u32>)> = HashMap::new();
        for pid in pids {
            let chain = self.lookup.chain(*pid);
            if let Some(mark) = chain.marks.first().cloned() {
                by_mark.entry(mark).or_insert_with(|| (chain, Vec::new())).1.push(*pid);
            }
        }
        let mut groups: HashMap<String, Group> = HashMap::new();
        for (chain, pids) in by_mark.into_values() {
            let Some(record) = pids.first().and_then(|pid| self.lookup.record(&chain, *pid)) else { continue };
            let group = groups.entry(record.key().to_owned()).or_default();
            group.records.push(record);
            group.pids.extend(pids);
            group.chain.get_or_insert(chain);
        }
        groups.into_values().collect()
    }

    fn by_processes(&mut self, pids: &[u32]) -> Option<Owner> {
        let mut groups = self.groups(pids);
        if groups.len() > 1 {
            // A process can enter the namespace of another container. Those whose first process is there are at home;
            // of several the oldest.
            let disk = self.lookup.disk();
            let start = |pid: &u32| process::stat(disk, *pid).map_or(u64::MAX, |stat| stat.start);
            groups.sort_by_cached_key(|g| (!g.is_at_home(), g.pids.iter().map(start).min()));
        }
        let is_at_home = groups.first().is_some_and(Group::is_at_home);
        let mut groups = groups.into_iter();
        let group = groups.next()?;
        let (pid, chain) = (*group.pids.iter().min()?, group.chain?);
        let [first, ..] = group.records.as_slice() else { return None };
        if !is_at_home && self.lookup.is_away(&chain, first, pid) {
            return Some(self.inside(&first.clone(), &group.pids));
        }
        let mut owner = self.together(group.records)?;
        // Others that were started in it, though nothing says that they joined it.
        let others = groups.filter(Group::is_at_home).filter_map(|group| record::owner(group.records));
        owner.containers.extend(others.flat_map(|other| other.containers));
        Some(owner)
    }

    /// Without a container: a service of systemd, or the process that has been there longest.
    fn by_oldest(&mut self, pids: impl Iterator<Item = u32>) -> Option<Owner> {
        let disk = self.lookup.disk();
        let (pid, stat) = pids
            .filter_map(|pid| Some((pid, process::stat(disk, pid)?)))
            .min_by_key(|(pid, stat)| (stat.start, *pid))?;
        let unit = (stat.parent == 1).then(|| self.lookup.chain(pid).unit).flatten();
        Some(match unit {
            Some(unit) => record::bare("systemd", unit),
            None => record::bare("process", stat.comm),
        })
    }
}

impl Whose for Owners {
    fn of_process(&mut self, pid: Pid) -> Option<Owner> {
        self.lookup.forget_processes();
        self.by_process(pid.0).or_else(|| self.by_oldest([pid.0].into_iter()))
    }

    fn of_namespace(&mut self, holders: &[Holder]) -> Option<Owner> {
        self.lookup.forget_processes();
        let of = |kind| holders.iter().filter(move |h| h.holder == kind).map(|h| h.pid.0);
        let pids: Vec<u32> = of(HolderType::Process).take(PROCESSES).collect();
        if let Some(owner) = self.by_processes(&pids) {
            return Some(owner);
        }
        let mounts: Vec<&str> = holders
            .iter()
            .filter(|h| h.holder == HolderType::Mount)
            .filter_map(|h| h.path.as_deref())
            .map(|path| path.strip_prefix("/var").filter(|rest| rest.starts_with("/run/")).unwrap_or(path))
            .collect();
        if let Some(owner) = mounts.iter().find_map(|mount| record::owner(vec![self.lookup.by_mount(mount)?])) {
            return Some(owner);
        }
        if let Some(name) = mounts.iter().filter_map(|mount| mount.strip_prefix("/run/netns/")).min() {
            return Some(record::bare("netns", name.to_owned()));
        }
        self.by_oldest(pids.into_iter().chain(of(HolderType::Thread)))
    }

    fn among(&mut self, pids: &[Pid]) -> Vec<Owner> {
        self.lookup.forget_processes();
        let pids: Vec<u32> = pids.iter().map(|pid| pid.0).collect();
        let mut owners = Vec::new();
        for group in self.groups(&pids) {
            let (Some(first), Some(chain), Some(pid)) = (group.records.first(), &group.chain, group.pids.first())
            else {
                continue;
            };
            // A process that only entered this namespace, as those do that look after a node, brings no container.
            let elsewhere =
                || first.init.is_some() || self.lookup.is_away(chain, first, *pid) || self.is_in_the_making(&group);
            if !group.is_at_home() && elsewhere() {
                continue;
            }
            owners.extend(self.together(group.records));
        }
        owners.sort_by(|a, b| (&a.name, &a.runtime, a.user).cmp(&(&b.name, &b.runtime, b.user)));
        owners
    }

    fn another(&self) -> Box<dyn Whose> {
        Box::new(Owners { lookup: self.lookup.another() })
    }

    fn take_gaps(&mut self) -> Vec<Gap> {
        self.lookup.take_gaps()
    }
}
