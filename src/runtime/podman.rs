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

/// Bundle of a running container, and the directory it is in.
pub(super) fn bundle(disk: &Disk, id: &str) -> io::Result<(Spec, String)> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for driver in DRIVERS {
        let dir = format!("{RUN}/{driver}-containers/{id}/userdata");
        match disk.json::<Spec>(&format!("{dir}/config.json")) {
            Ok(spec) => return Ok((spec, dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => failed = error,
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

/// Completes what is known of a container by its bundle.
pub(super) fn apply(mut spec: Spec, record: &mut Record) {
    let said = spec.annotations();
    record.runtime = "podman";
    record.sandbox = said.crio_type.as_deref() == Some("sandbox");
    record.joins = said.crio_sandbox.filter(|sandbox| is_id(sandbox) && *sandbox != record.id);
    if record.sandbox {
        // A pod's host name is its name, unless somebody asked for another one.
        record.group = Some(spec.hostname).filter(|name| !name.is_empty());
    }
}
