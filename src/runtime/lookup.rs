//! From what a process says of its container to the container's record: which runtime's state to read, in which order,
//! and what to keep for the next question.

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::cgroup::{self, Engine, Mark};
use super::chain::{self, Chain};
use super::disk::Disk;
use super::record::Record;
use super::{cni, containerd, crio, docker, kubelet, parent, podman, process};
use crate::model::{Gap, PodName};

/// Files that made no sense are named one by one up to here.
const BROKEN: usize = 10;
/// Containers of one pod.
const MEMBERS: usize = 256;

/// Reads state and remembers it.
#[derive(Debug)]
pub(super) struct Lookup {
    disk: Disk,
    chains: HashMap<u32, Chain>,
    records: HashMap<Mark, Option<Record>>,
    docker_dirs: Option<Vec<String>>,
    podman_names: Option<HashMap<String, String>>,
    containerd_namespaces: Option<Vec<String>>,
    pods: Option<HashMap<String, PodName>>,
    mounts: Option<HashMap<String, Record>>,
    refused: BTreeMap<&'static str, usize>,
    broken: Vec<Gap>,
}

impl Lookup {
    pub(super) fn new(disk: Disk) -> Self {
        Lookup {
            disk,
            chains: HashMap::new(),
            records: HashMap::new(),
            docker_dirs: None,
            podman_names: None,
            containerd_namespaces: None,
            pods: None,
            mounts: None,
            refused: BTreeMap::new(),
            broken: Vec::new(),
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
        self.chains.insert(pid, chain.clone());
        chain
    }

    /// The outermost container that a process is in.
    pub(super) fn record(&mut self, chain: &Chain, pid: u32) -> Option<Record> {
        let record = self.of_mark(chain.marks.first()?, pid)?;
        if chain.doubtful && record.init.is_none_or(|init| process::share_netns(&self.disk, init, pid) != Some(true)) {
            return None;
        }
        Some(Record { init: record.init.or(chain.init), ..record })
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
        let mut init = pid;
        for _ in 0..64 {
            let parent = process::stat(&self.disk, init)?.parent;
            if parent < 2 || chain::of_cgroup(&self.disk, parent).marks.first() != Some(mark) {
                break;
            }
            init = parent;
        }
        Some(init)
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
        self.of_mark(&Mark { pod: by.in_pod.clone(), ..Mark::new(engine, by.joins.as_deref()?) }, 0)
    }

    /// The record of a mounted namespace that no process is in.
    pub(super) fn by_mount(&mut self, path: &str) -> Option<Record> {
        if self.mounts.is_none() {
            let mut mounts = cni::by_mount(&self.disk);
            let dirs = self.docker_dirs();
            for (path, id) in docker::by_mount(&self.disk, &dirs) {
                if let Some(record) = self.of_mark(&Mark::new(Engine::Docker, &id), 0) {
                    mounts.insert(path, record);
                }
            }
            self.mounts = Some(mounts);
        }
        self.mounts.as_ref()?.get(path).cloned()
    }

    fn of_mark(&mut self, mark: &Mark, pid: u32) -> Option<Record> {
        if let Some(known) = self.records.get(mark) {
            return known.clone();
        }
        let record = self.read(mark, pid);
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
        let known = match mark.engine {
            Engine::Lxc => Ok(()),
            Engine::Nspawn if mark.id.is_empty() => {
                let (said, _) = parent::container(&self.disk, pid).filter(|(said, _)| said.engine == Engine::Nspawn)?;
                record = Record::of(&said);
                Ok(())
            }
            Engine::Nspawn => Ok(()),
            Engine::Ctr => containerd::read(&self.disk, mark.pod.as_deref()?, &mut record),
            Engine::Docker => self.docker(&mut record),
            Engine::Podman | Engine::Crio => self.storage(mark.pod.as_deref(), &mut record),
            Engine::Containerd => self.containerd(&mut record),
            // Whichever has state of that id; of the failures the first that is more than an absence.
            Engine::Kube => self
                .containerd(&mut record)
                .or_else(|e| or(self.docker(&mut record), e))
                .or_else(|e| or(self.storage(mark.pod.as_deref(), &mut record), e)),
            Engine::Any => self
                .docker(&mut record)
                .or_else(|e| or(self.storage(mark.pod.as_deref(), &mut record), e))
                .or_else(|e| or(self.containerd(&mut record), e)),
        };
        match known {
            Ok(()) => {}
            // It only looked like a container.
            Err(_) if matches!(mark.engine, Engine::Any | Engine::Ctr) => return None,
            Err(error) => self.note(mark.engine, &error),
        }
        if record.pod.is_none()
            && let Some(uid) = &record.pod_uid
        {
            let disk = &self.disk;
            record.pod = self.pods.get_or_insert_with(|| kubelet::pods(disk)).get(uid).cloned();
        }
        Some(record)
    }

    fn docker_dirs(&mut self) -> Vec<String> {
        let disk = &self.disk;
        self.docker_dirs.get_or_insert_with(|| docker::dirs(disk)).clone()
    }

    fn docker(&mut self, record: &mut Record) -> io::Result<()> {
        let dirs = self.docker_dirs();
        docker::read(&self.disk, &dirs, record)
    }

    fn containerd(&mut self, record: &mut Record) -> io::Result<()> {
        let Err(error) = containerd::read(&self.disk, containerd::KUBE, record) else { return Ok(()) };
        let disk = &self.disk;
        let others = self.containerd_namespaces.get_or_insert_with(|| containerd::namespaces(disk));
        if others.iter().any(|namespace| containerd::read(disk, namespace, record).is_ok()) {
            Ok(())
        } else {
            Err(error)
        }
    }

    fn storage(&mut self, pod: Option<&str>, record: &mut Record) -> io::Result<()> {
        let (spec, init) = match podman::bundle(&self.disk, &record.id) {
            Ok(found) => found,
            Err(error) => {
                // The list of names may be there where the bundle is not.
                record.name = self.podman_name(&record.id).or(record.name.take());
                return if record.name.is_some() { Ok(()) } else { Err(error) };
            }
        };
        record.init = init;
        if spec.is_crio() {
            crio::apply(spec, record);
            return Ok(());
        }
        let joined = init.and_then(|init| spec.joined(&self.disk, init));
        let joined = joined.and_then(|other| chain::of_cgroup(&self.disk, other).marks.into_iter().next());
        podman::apply(spec, pod, record);
        record.joins = record.joins.take().or(joined.map(|mark| mark.id).filter(|id| *id != record.id));
        record.name = self.podman_name(&record.id).or(record.name.take());
        Ok(())
    }

    fn podman_name(&mut self, id: &str) -> Option<String> {
        let disk = &self.disk;
        self.podman_names.get_or_insert_with(|| podman::names(disk)).get(id).cloned()
    }

    /// Keeps why the state of a container was not had.
    fn note(&mut self, engine: Engine, error: &io::Error) {
        let what = match engine {
            Engine::Docker => "state of docker",
            Engine::Podman => "state of podman",
            Engine::Crio => "state of CRI-O",
            Engine::Containerd => "state of containerd",
            _ => "state of the runtime of pods",
        };
        match error.kind() {
            io::ErrorKind::NotFound => {}
            io::ErrorKind::PermissionDenied => *self.refused.entry(what).or_default() += 1,
            _ if self.broken.len() < BROKEN => {
                self.broken.push(Gap::new("names of a container", what, error.to_string()));
            }
            _ => {}
        }
    }

    pub(super) fn take_gaps(&mut self) -> Vec<Gap> {
        let refused = std::mem::take(&mut self.refused).into_iter();
        let gaps = refused.map(|(what, count)| {
            let names =
                if count == 1 { "name of 1 container".to_owned() } else { format!("names of {count} containers") };
            Gap::new(names, what, "Permission denied").needs("CAP_DAC_READ_SEARCH, or root")
        });
        let gaps: Vec<Gap> = gaps.collect();
        gaps.into_iter().chain(std::mem::take(&mut self.broken)).collect()
    }
}

/// An attempt after a failed one: the earlier failure stays unless it was a mere absence.
fn or(next: io::Result<()>, earlier: io::Error) -> io::Result<()> {
    next.map_err(|later| if earlier.kind() == io::ErrorKind::NotFound { later } else { earlier })
}
