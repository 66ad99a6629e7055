//! Docker's own record of a container: `config.v2.json`, which outlives the daemon; its bundle at containerd bears no
//! name. Also where a kubelet runs its pods in Docker, by the labels that it puts there.

use std::collections::HashMap;
use std::io;

use serde::Deserialize;

use super::api::Running;
use super::cgroup::is_id;
use super::disk::Disk;
use super::record::Record;
use crate::model::PodName;

/// Data directories: the usual one, and that of the snap.
const DIRS: [&str; 2] = ["/var/lib/docker", "/var/snap/docker/common/var-lib-docker"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    name: Option<String>,
    state: Option<State>,
    config: Option<Inner>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(default)]
    running: bool,
    #[serde(default)]
    pid: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inner {
    labels: Option<Labels>,
}

/// What a kubelet writes on its containers.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Labels {
    #[serde(rename = "io.kubernetes.pod.name")]
    pod: Option<String>,
    #[serde(rename = "io.kubernetes.pod.namespace")]
    namespace: Option<String>,
    #[serde(rename = "io.kubernetes.pod.uid")]
    uid: Option<String>,
    #[serde(rename = "io.kubernetes.container.name")]
    container: Option<String>,
    #[serde(rename = "io.kubernetes.docker.type")]
    kind: Option<String>,
    #[serde(rename = "io.kubernetes.sandbox.id")]
    sandbox: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(default)]
    sandbox_key: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    network_mode: String,
}

#[derive(Debug, Deserialize)]
struct Daemon {
    #[serde(rename = "data-root")]
    data_root: Option<String>,
    // Its name before Docker 17.05.
    graph: Option<String>,
    #[serde(rename = "userns-remap")]
    remap: Option<String>,
}

/// Data directories of this machine, the likeliest first.
pub(super) fn dirs(disk: &Disk) -> Vec<String> {
    let daemon: Option<Daemon> = disk.json("/etc/docker/daemon.json").ok();
    let set = daemon.as_ref().and_then(|d| d.data_root.clone().or(d.graph.clone())).filter(|dir| dir.starts_with('/'));
    let mut dirs: Vec<String> = set.into_iter().chain(DIRS.map(str::to_owned)).collect();
    // With user namespaces each mapping has a directory of its own: `/var/lib/docker/100000.100000`.
    if daemon.is_some_and(|d| d.remap.is_some_and(|r| !r.is_empty())) {
        let mapped =
            |name: &String| name.split('.').count() == 2 && name.bytes().all(|b| b == b'.' || b.is_ascii_digit());
        let below = |dir: &String| {
            disk.entries(dir)
                .unwrap_or_default()
                .into_iter()
                .filter(mapped)
                .map(|n| format!("{dir}/{n}"))
                .collect::<Vec<_>>()
        };
        let more: Vec<String> = dirs.iter().flat_map(below).collect();
        dirs.extend(more);
    }
    dirs
}

/// Completes what is known of a container; `NotFound`: Docker has none of that id.
pub(super) fn read(disk: &Disk, dirs: &[String], record: &mut Record) -> io::Result<()> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for dir in dirs {
        let dir = format!("{dir}/containers/{}", record.id);
        match disk.json::<Config>(&format!("{dir}/config.v2.json")) {
            Ok(config) => {
                let own = config.network_settings.as_ref().is_some_and(|n| !n.sandbox_key.is_empty());
                apply(config, record);
                // Without a namespace of its own it may have been put into that of another one.
                if !own && record.joins.is_none() {
                    let host: Option<HostConfig> = disk.json(&format!("{dir}/hostconfig.json")).ok();
                    let mode = host.map(|h| h.network_mode).unwrap_or_default();
                    record.joins = mode.strip_prefix("container:").filter(|id| is_id(id)).map(str::to_owned);
                }
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Completes what is known of a container by what Docker's API tells of it.
pub(super) fn told(running: &Running, record: &mut Record) {
    let name = running.names.iter().flatten().next().cloned();
    named(name, running.labels.clone().unwrap_or_default(), record);
    let mode = running.host_config.as_ref().and_then(|host| host.network_mode.strip_prefix("container:"));
    record.joins = record.joins.take().or(mode.filter(|id| is_id(id)).map(str::to_owned));
}

fn apply(config: Config, record: &mut Record) {
    record.init = config.state.filter(|s| s.running && s.pid > 0).map(|s| s.pid);
    named(config.name, config.config.and_then(|c| c.labels).unwrap_or_default(), record);
}

fn named(name: Option<String>, labels: Labels, record: &mut Record) {
    record.runtime = "docker";
    record.name = name.map(|name| name.trim_start_matches('/').to_owned()).filter(|name| !name.is_empty());
    record.sandbox = labels.kind.as_deref() == Some("podsandbox");
    record.joins = labels.sandbox.filter(|sandbox| *sandbox != record.id);
    if let (Some(name), Some(namespace), Some(uid)) = (labels.pod, labels.namespace, labels.uid) {
        record.name = labels.container.filter(|_| !record.sandbox).or(record.name.take());
        record.pod_uid = Some(uid.clone());
        record.pod = Some(PodName { namespace, name, uid });
    }
}

/// All containers by where their namespace is mounted: for mounts without any process.
pub(super) fn by_mount(disk: &Disk, dirs: &[String]) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for dir in dirs {
        for id in disk.entries(&format!("{dir}/containers")).unwrap_or_default().into_iter().filter(|id| is_id(id)) {
            let Ok(config) = disk.json::<Config>(&format!("{dir}/containers/{id}/config.v2.json")) else { continue };
            let key = config.network_settings.map(|n| n.sandbox_key).unwrap_or_default();
            if let Some(key) = key.strip_prefix("/var/run/") {
                found.insert(format!("/run/{key}"), id);
            } else if !key.is_empty() {
                found.insert(key, id);
            }
        }
    }
    found
}
