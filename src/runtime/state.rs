//! What the runtimes of one root directory have written down: which one's files to read for a container, in which
//! order, and what of them to keep for the next question. Knows nothing of processes.

use std::collections::HashMap;
use std::io;

use super::api::{self, Running};
use super::cgroup::{Engine, Mark};
use super::disk::Disk;
use super::oci::Spec;
use super::record::Record;
use super::{cni, containerd, crio, docker, kubelet, podman};
use crate::model::PodName;

/// The state below one root.
#[derive(Debug)]
pub(super) struct State {
    disk: Disk,
    docker_dirs: Option<Vec<String>>,
    docker_running: Option<io::Result<HashMap<String, Running>>>,
    podman_names: Option<HashMap<String, String>>,
    containerd_namespaces: Option<Vec<String>>,
    pods: Option<HashMap<String, PodName>>,
    mounts: Option<HashMap<String, Record>>,
}

/// A container as its runtime tells of it, or why not.
pub(super) struct Told {
    pub record: Record,
    /// Bundle of a container of podman, which says whose namespace it joined in terms of processes.
    pub bundle: Option<Spec>,
    /// Why the state was not had.
    pub failed: Option<io::Error>,
}

impl State {
    pub(super) fn new(disk: Disk) -> Self {
        State {
            disk,
            docker_dirs: None,
            docker_running: None,
            podman_names: None,
            containerd_namespaces: None,
            pods: None,
            mounts: None,
        }
    }

    /// Everything that is written down of a container.
    pub(super) fn read(&mut self, mark: &Mark) -> Told {
        let mut record = Record::of(mark);
        let pod = mark.pod.as_deref();
        let known = match mark.engine {
            Engine::Lxc | Engine::Nspawn => Ok(None),
            Engine::Ctr => containerd::read(&self.disk, pod.unwrap_or_default(), &mut record).map(|()| None),
            Engine::Docker => self.docker(&mut record).or_else(|error| self.docker_or_ask(&mut record, error)),
            Engine::Podman | Engine::Crio => self.storage(pod, &mut record),
            Engine::Containerd => self.containerd(&mut record),
            // Whichever has state of that id; of the failures the first that is more than an absence.
            Engine::Kube => {
                let found = self.containerd(&mut record);
                let found = found.or_else(|e| or(self.docker(&mut record), e));
                found.or_else(|e| or(self.storage(pod, &mut record), e))
            }
            Engine::Any => {
                let found = self.docker(&mut record);
                let found = found.or_else(|e| or(self.storage(pod, &mut record), e));
                found.or_else(|e| or(self.containerd(&mut record), e))
            }
        };
        if record.pod.is_none()
            && let Some(uid) = &record.pod_uid
        {
            let disk = &self.disk;
            record.pod = self.pods.get_or_insert_with(|| kubelet::pods(disk)).get(uid).cloned();
        }
        match known {
            Ok(bundle) => Told { record, bundle, failed: None },
            Err(error) => Told { record, bundle: None, failed: Some(error) },
        }
    }

    /// The record of a mounted namespace that no process is in.
    pub(super) fn by_mount(&mut self, path: &str) -> Option<Record> {
        if self.mounts.is_none() {
            let mut mounts = cni::by_mount(&self.disk);
            let dirs = self.docker_dirs();
            for (path, id) in docker::by_mount(&self.disk, &dirs) {
                let told = self.read(&Mark::new(Engine::Docker, &id));
                mounts.insert(path, told.record);
            }
            self.mounts = Some(mounts);
        }
        self.mounts.as_ref()?.get(path).cloned()
    }

    fn docker_dirs(&mut self) -> Vec<String> {
        let disk = &self.disk;
        self.docker_dirs.get_or_insert_with(|| docker::dirs(disk)).clone()
    }

    fn docker(&mut self, record: &mut Record) -> io::Result<Option<Spec>> {
        let dirs = self.docker_dirs();
        docker::read(&self.disk, &dirs, record).map(|()| None)
    }

    /// A container that Docker's files did not tell of, for this reason.
    fn docker_or_ask(&mut self, record: &mut Record, error: io::Error) -> io::Result<Option<Spec>> {
        let dirs = self.docker_dirs();
        let mut lists = dirs.iter().map(|dir| self.disk.entries(&format!("{dir}/containers")));
        // Where its files can be read, and none is of this container, it is none of Docker's.
        if error.kind() == io::ErrorKind::NotFound && lists.any(|list| list.is_ok()) {
            return Err(error);
        }
        match self.ask_docker(record) {
            Ok(()) => Ok(None),
            Err(asked) if matches!(asked.kind(), io::ErrorKind::TimedOut | io::ErrorKind::InvalidData) => Err(asked),
            // That it may not be asked, or is not there, is no more than was known.
            Err(_) => Err(error),
        }
    }

    /// What Docker itself says of a container that its files did not tell of; asked once, and never inside of another.
    fn ask_docker(&mut self, record: &mut Record) -> io::Result<()> {
        let socket = self.disk.own("run/docker.sock").ok_or(io::ErrorKind::NotFound)?;
        let asked = self.docker_running.get_or_insert_with(|| api::containers(&socket));
        match asked {
            Ok(running) => {
                running.get(&record.id).map(|r| docker::told(r, record)).ok_or(io::ErrorKind::NotFound.into())
            }
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }

    fn containerd(&mut self, record: &mut Record) -> io::Result<Option<Spec>> {
        let Err(error) = containerd::read(&self.disk, containerd::KUBE, record) else { return Ok(None) };
        let disk = &self.disk;
        let others = self.containerd_namespaces.get_or_insert_with(|| containerd::namespaces(disk));
        if others.iter().any(|namespace| containerd::read(disk, namespace, record).is_ok()) {
            Ok(None)
        } else {
            Err(error)
        }
    }

    fn storage(&mut self, pod: Option<&str>, record: &mut Record) -> io::Result<Option<Spec>> {
        let (mut spec, init) = match podman::bundle(&self.disk, &record.id) {
            Ok(found) => found,
            Err(error) => {
                // The list of names may be there where the bundle is not.
                record.name = self.podman_name(&record.id).or(record.name.take());
                return if record.name.is_some() { Ok(None) } else { Err(error) };
            }
        };
        record.init = init;
        if spec.is_crio() {
            crio::apply(spec, record);
            return Ok(None);
        }
        podman::apply(&mut spec, pod, record);
        record.name = self.podman_name(&record.id).or(record.name.take());
        Ok(Some(spec))
    }

    fn podman_name(&mut self, id: &str) -> Option<String> {
        let disk = &self.disk;
        self.podman_names.get_or_insert_with(|| podman::names(disk)).get(id).cloned()
    }
}

/// An attempt after a failed one: the earlier failure stays unless it was a mere absence.
fn or<T>(next: io::Result<T>, earlier: io::Error) -> io::Result<T> {
    next.map_err(|later| if earlier.kind() == io::ErrorKind::NotFound { later } else { earlier })
}
