//! From what a process says of its container to the container's record: which runtime's state to read, in which order,
//! and what to keep for the next question.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use super::cgroup::{self, Engine, Mark};
use super::chain::{self, Chain};
use super::disk::Disk;
use super::nested::Nested;
use super::record::Record;
use super::state::State;
use super::unread::Unread;
use super::{parent, process};
use crate::model::Gap;

/// Containers inside of others that share a namespace.
pub(super) struct Inner {
    /// The containers around them, the outermost first.
    pub within: String,
    pub records: Vec<Record>,
}

/// Containers of one pod.
const MEMBERS: usize = 256;
/// Generations of processes between one and the first of its container.
const GENERATIONS: usize = 64;

/// Reads state and remembers it.
#[derive(Debug)]
pub(super) struct Lookup {
    disk: Disk,
    state: State,
    nested: Nested,
    chains: HashMap<u32, Chain>,
    records: HashMap<Mark, Option<Record>>,
    /// By what of those that were read a container is known that is only spoken of by its id.
    marks: HashMap<String, Mark>,
    /// Containers that no runtime of this machine has written anything of.
    unheard: HashSet<Mark>,
    unread: Unread,
}

impl Lookup {
    pub(super) fn new(root: &Path) -> Self {
        Lookup::telling(root, Unread::default())
    }

    /// One more for the same machine, with a memory of its own; what it could not read this one tells.
    pub(super) fn another(&self) -> Self {
        Lookup::telling(self.disk.root(), self.unread.clone())
    }

    fn telling(root: &Path, unread: Unread) -> Self {
        Lookup {
            disk: Disk::new(root),
            state: State::new(Disk::new(root)),
            nested: Nested::new(unread.clone()),
            chains: HashMap::new(),
            records: HashMap::new(),
            marks: HashMap::new(),
            unheard: HashSet::new(),
            unread,
        }
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Forgets which containers processes were in: a pid can be another process's by the next question.
    pub(super) fn forget_processes(&mut self) {
        self.chains.clear();
    }

    /// The containers that a process is in.
    pub(super) fn chain(&mut self, pid: u32) -> Chain {
        if let Some(chain) = self.chains.get(&pid) {
            return chain.clone();
        }
        let mut chain = chain::of_cgroup(&self.disk, pid);
        // What looks like containerd's `ctr` mostly is something else.
        if chain.marks.first().is_some_and(|mark| matches!(mark.engine, Engine::Ctr | Engine::Any))
            && self.of_mark(&chain.marks[0], pid).is_none()
        {
            chain.marks.clear();
        }
        if chain.marks.is_empty()
            && let Some(other) = chain::of_others(&self.disk, pid)
        {
            chain = Chain { unit: chain.unit, ..other };
        }
        if let Some(mark) = chain.marks.first().filter(|_| chain.marks.len() == 1 && chain.beside.is_some()).cloned()
            && self.of_mark(&mark, pid).is_some()
            && self.unheard.contains(&mark)
            && let Some(around) = self.around(&mark, pid)
        {
            chain.marks = around.marks.into_iter().chain([mark]).collect();
            chain.beside = around.beside;
        }
        self.chains.insert(pid, chain.clone());
        chain
    }

    /// The container around one that nobody on this machine has heard of: an engine inside that may write to the
    /// machine's own cgroups puts its containers beside its own.
    fn around(&mut self, mark: &Mark, pid: u32) -> Option<Chain> {
        self.ancestors(pid).into_iter().find_map(|above| {
            let chain = chain::of_cgroup(&self.disk, above);
            let outer = chain.marks.first().filter(|outer| outer.id != mark.id)?;
            (self.of_mark(outer, above).is_some() && !self.unheard.contains(outer)).then_some(chain)
        })
    }

    /// The outermost container that a process is in.
    pub(super) fn record(&mut self, chain: &Chain, pid: u32) -> Option<Record> {
        let record = self.of_mark(chain.marks.first()?, pid)?;
        if chain.doubtful && record.init.is_none_or(|init| process::share_netns(&self.disk, init, pid) != Some(true)) {
            return None;
        }
        if self.is_elsewhere(&record, chain, pid) {
            return None;
        }
        Some(Record { init: record.init.or(chain.init), ..record })
    }

    /// The cgroup only bears the name of the container's: the container itself, or the sandbox of its pod, is in another
    /// place. Whoever may make cgroups somewhere can call one as they like.
    fn is_elsewhere(&mut self, record: &Record, chain: &Chain, pid: u32) -> bool {
        let of_sandbox = |lookup: &mut Self| record.pod.as_ref().and_then(|_| lookup.joined(record)?.init);
        let Some(init) = record.init.or_else(|| of_sandbox(self)).filter(|init| *init != pid) else { return false };
        let home = self.chains.get(&init).cloned().unwrap_or_else(|| chain::of_cgroup(&self.disk, init));
        let place = |chain: &Chain| chain.beside.as_ref().map(|(_, dir)| dir.clone());
        let is_its = |mark: &Mark| mark.id == record.id || Some(&mark.id) == record.joins.as_ref();
        chain.beside.is_some() && home.marks.first().is_some_and(is_its) && place(&home) != place(chain)
    }

    /// The container that a process is in has its first process in another network namespace.
    pub(super) fn is_away(&self, chain: &Chain, record: &Record, pid: u32) -> bool {
        let Some(init) = record.init.or_else(|| self.init(chain, pid)) else { return false };
        // State can be older than the process that has that pid now.
        let same = |init| {
            chain::of_cgroup(&self.disk, init).marks.first().map(|m| m.id.clone())
                == chain.marks.first().map(|m| m.id.clone())
        };
        init != pid
            && (chain.beside.is_none() || same(init))
            && process::share_netns(&self.disk, pid, init) == Some(false)
    }

    /// The first process of a container whose runtime does not write that down: the last of its ancestors that is in it.
    fn init(&self, chain: &Chain, pid: u32) -> Option<u32> {
        let mark = chain.marks.first().filter(|_| chain.beside.is_some())?;
        let is_in = |pid: &u32| chain::of_cgroup(&self.disk, *pid).marks.first() == Some(mark);
        Some(self.ancestors(pid).into_iter().rfind(is_in).unwrap_or(pid))
    }

    /// The other containers of a pod, as far as its cgroup shows them.
    pub(super) fn members(&mut self, chain: &Chain, record: &Record) -> Vec<Record> {
        let Some((hierarchy, dir)) =
            chain.beside.as_ref().filter(|_| chain.marks.first().is_some_and(|m| m.pod.is_some() && m.user.is_none()))
        else {
            return Vec::new();
        };
        let places = match hierarchy.as_str() {
            "" => vec![format!("/sys/fs/cgroup{dir}"), format!("/sys/fs/cgroup/unified{dir}")],
            name => vec![format!("/sys/fs/cgroup/{name}{dir}")],
        };
        let entries = places.iter().find_map(|place| self.disk.entries(place).ok()).unwrap_or_default();
        let mut found = Vec::new();
        for entry in entries {
            let marks = cgroup::parse(format!("0::{dir}/{entry}").as_bytes()).marks;
            let [mark] = marks.as_slice() else { continue };
            if mark.id != record.id && mark.engine != Engine::Ctr && found.len() < MEMBERS {
                found.extend(self.of_mark(mark, 0).filter(|other| other.key() == record.key()));
            }
        }
        found
    }

    /// A container that another one shares the namespace of.
    pub(super) fn joined(&mut self, by: &Record) -> Option<Record> {
        let engine = match by.runtime {
            "containerd" => Engine::Containerd,
            "cri-o" => Engine::Crio,
            "docker" => Engine::Docker,
            _ => Engine::Podman,
        };
        let id = by.joins.as_deref()?;
        let known = self.marks.get(id).cloned();
        self.of_mark(&known.unwrap_or_else(|| Mark { pod: by.in_pod.clone(), ..Mark::new(engine, id) }), 0)
    }

    /// The record of a mounted namespace that no process is in.
    pub(super) fn by_mount(&mut self, path: &str) -> Option<Record> {
        self.state.by_mount(path)
    }

    /// The containers inside of others that these processes of one namespace are in, each as the engine around it tells.
    /// `outer`: what the outermost is called.
    pub(super) fn inner(&mut self, pids: &[u32], outer: &str) -> Option<Inner> {
        let chains: Vec<(u32, Vec<Mark>)> = pids.iter().map(|pid| (*pid, self.chain(*pid).marks)).collect();
        let (_, first) = chains.iter().find(|(_, marks)| marks.len() > 1)?;
        let (around, depth) = (first[..first.len() - 1].to_vec(), first.len());
        let beside = chains.iter().filter(|(_, marks)| marks.len() == depth && marks[..depth - 1] == around);
        let mut marks: Vec<(u32, Mark)> = beside.map(|(pid, marks)| (*pid, marks[depth - 1].clone())).collect();
        marks.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        marks.dedup_by(|(_, a), (_, b)| a.id == b.id);
        let pid = marks.first()?.0;
        let mut within = outer.to_owned();
        for level in 1..depth - 1 {
            let told = self.told_inside(pid, &around[..level], &around[level..=level], &within);
            within = format!("{within}/{}", told.first().map(Record::called).unwrap_or_default());
        }
        let marks: Vec<Mark> = marks.into_iter().map(|(_, mark)| mark).collect();
        let records = self.told_inside(pid, &around, &marks, &within);
        Some(Inner { within, records })
    }

    /// What an engine inside of the containers `around` says of those that it made, one of which `pid` is in.
    fn told_inside(&mut self, pid: u32, around: &[Mark], marks: &[Mark], within: &str) -> Vec<Record> {
        let mut ancestors = self.ancestors(pid).into_iter();
        // The one that waits for the container is the last that sees the files of the engine.
        let is_engine = |lookup: &mut Lookup, pid: u32| {
            let own = lookup.chain(pid).marks;
            own.len() == around.len() && own.iter().zip(around).all(|(a, b)| a.id == b.id)
        };
        match ancestors.find(|pid| is_engine(self, *pid)) {
            Some(engine) => self.nested.read(&self.disk, engine, marks, within),
            None => marks.iter().map(Record::of).collect(),
        }
    }

    /// The processes above one, the nearest first.
    fn ancestors(&self, pid: u32) -> Vec<u32> {
        let mut above = Vec::new();
        let mut next = process::stat(&self.disk, pid).map_or(0, |stat| stat.parent);
        while next > 1 && above.len() < GENERATIONS && !above.contains(&next) {
            above.push(next);
            next = process::stat(&self.disk, next).map_or(0, |stat| stat.parent);
        }
        above
    }

    fn of_mark(&mut self, mark: &Mark, pid: u32) -> Option<Record> {
        if let Some(known) = self.records.get(mark) {
            return known.clone();
        }
        let record = self.read(mark, pid);
        if record.is_some() && mark.user.is_none() {
            self.marks.insert(mark.id.clone(), mark.clone());
        }
        self.records.insert(mark.clone(), record.clone());
        record
    }

    fn read(&mut self, mark: &Mark, pid: u32) -> Option<Record> {
        let mut record = Record::of(mark);
        if mark.user.is_some() {
            // The state of a user's own runtime is the user's to write; root's must not be read for an id from there.
            if record.name.is_none() {
                let said =
                    parent::container(&self.disk, pid).filter(|(said, _)| said.id == mark.id && said.user == mark.user);
                record.name = said.and_then(|(said, _)| said.name);
            }
            return Some(record);
        }
        let machine = match mark.engine {
            Engine::Nspawn if mark.id.is_empty() => {
                let (said, _) = parent::container(&self.disk, pid).filter(|(said, _)| said.engine == Engine::Nspawn)?;
                Some(said)
            }
            _ => None,
        };
        let told = self.state.read(machine.as_ref().unwrap_or(mark));
        record = told.record;
        match told.failed {
            None => {}
            // It only looked like a container.
            Some(_) if matches!(mark.engine, Engine::Any | Engine::Ctr) => return None,
            Some(error) => {
                if error.kind() == io::ErrorKind::NotFound && record.pod.is_none() {
                    self.unheard.insert(mark.clone());
                }
                self.unread.note(mark.engine, &error);
            }
        }
        if let (Some(bundle), Some(init), None) = (told.bundle, record.init, &record.joins) {
            let other = bundle.joined(&self.disk, init);
            let other = other.and_then(|pid| chain::of_cgroup(&self.disk, pid).marks.into_iter().next());
            record.joins = other.map(|mark| mark.id).filter(|id| *id != record.id);
        }
        Some(record)
    }

    pub(super) fn take_gaps(&mut self) -> Vec<Gap> {
        self.unread.take_gaps()
    }
}
