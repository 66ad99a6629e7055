//! What podman and CRI-O share, the containers/storage directories, and podman's own: names are in one list for all
//! containers, pods have theirs only in a database, and as the host name of their infra container.

use std::collections::HashMap;
use std::io;

use serde::Deserialize;

use super::cgroup::is_id;
use super::disk::Disk;
use super::oci::Spec;
use super::record::Record;

/// Where the state of running containers and the list of all are.
const RUN: &str = "/run/containers/storage";
const LIB: &str = "/var/lib/containers/storage";
/// The storage driver is part of the directories' names.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

#[derive(Debug, Deserialize)]
struct Stored {
    id: String,
    names: Option<Vec<String>>,
}

/// Bundle of a running container, and the pid of its first process.
pub(super) fn bundle(disk: &Disk, id: &str) -> io::Result<(Spec, Option<u32>)> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for driver in DRIVERS {
        // CRI-O's copy in the second place says less than that in the first; podman has the second alone.
        for root in [RUN, LIB] {
            match disk.json::<Spec>(&format!("{root}/{driver}-containers/{id}/userdata/config.json")) {
                Ok(spec) => {
                    return Ok((spec, disk.pid(&format!("{RUN}/{driver}-containers/{id}/userdata/pidfile"))));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => failed = error,
            }
        }
    }
    Err(failed)
}

/// Names of all containers by id.
pub(super) fn names(disk: &Disk) -> HashMap<String, String> {
    let lists = ["containers.json", "volatile-containers.json"];
    let paths = DRIVERS.iter().flat_map(|driver| lists.map(|list| format!("{LIB}/{driver}-containers/{list}")));
    let stored = paths.filter_map(|path| disk.json::<Vec<Stored>>(&path).ok()).flatten();
    stored.filter_map(|container| Some((container.id, container.names?.into_iter().next()?))).collect()
}

/// Completes what is known of a container by its bundle. `pod`: the id of its pod.
pub(super) fn apply(spec: &mut Spec, pod: Option<&str>, record: &mut Record) {
    let said = spec.annotations();
    record.runtime = "podman";
    // The infra container of a pod is the one that does not say that it is in a sandbox.
    record.sandbox = pod.is_some() && said.crio_type.as_deref() != Some("container");
    record.joins = said.crio_sandbox.filter(|id| is_id(id) && *id != record.id && Some(id.as_str()) != pod);
    if record.sandbox {
        // A pod's host name is its name, unless somebody asked for another one.
        record.group = spec.hostname.take().filter(|name| !name.is_empty());
    }
}
