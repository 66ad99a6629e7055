//! What libcni remembers of every network that it attached: the only one who still knows the name of a pod whose
//! processes are all gone and whose namespace is only a mount.

use std::collections::HashMap;

use serde::Deserialize;

use super::cgroup::is_id;
use super::disk::Disk;
use super::record::Record;
use crate::model::PodName;

/// Its place today and before libcni 0.8.
const DIRS: [&str; 2] = ["/var/lib/cni/results", "/var/lib/cni/cache/results"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    kind: Option<String>,
    container_id: Option<String>,
    cni_args: Option<Vec<Vec<String>>>,
    result: Option<Outcome>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    interfaces: Option<Vec<Interface>>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    sandbox: Option<String>,
}

/// The owners of all mounted namespaces, by the path of the mount below `/run`.
pub(super) fn by_mount(disk: &Disk) -> HashMap<String, Record> {
    let mut found = HashMap::new();
    for dir in DIRS {
        for name in disk.entries(dir).unwrap_or_default() {
            // The file name is no help: ids and names of networks contain the dash that joins them.
            let Ok(cached) = disk.json::<Cached>(&format!("{dir}/{name}")) else { continue };
            if let Some((mount, record)) = owner(cached) {
                found.entry(mount).or_insert(record);
            }
        }
    }
    found
}

fn owner(cached: Cached) -> Option<(String, Record)> {
    cached.kind.filter(|kind| kind == "cniCacheV1")?;
    let sandbox = cached.result?.interfaces?.into_iter().find_map(|i| i.sandbox.filter(|s| !s.is_empty()))?;
    // What is held by a process only is named by that process.
    let mount = match sandbox.strip_prefix("/var/run/") {
        Some(rest) => format!("/run/{rest}"),
        None => Some(sandbox).filter(|s| !s.starts_with("/proc/"))?,
    };
    let id = cached.container_id?;
    let args = cached.cni_args.unwrap_or_default();
    let arg = |key: &str| args.iter().find(|pair| pair.first().is_some_and(|k| k == key))?.get(1).cloned();
    let uid = arg("K8S_POD_UID").unwrap_or_default();
    let pod = arg("K8S_POD_NAME").zip(arg("K8S_POD_NAMESPACE"));
    let pod = pod.map(|(name, namespace)| PodName { namespace, name, uid: uid.clone() });
    let record = Record {
        // libcni does not say who called it.
        runtime: "cni",
        sandbox: pod.is_some(),
        name: (!is_id(&id)).then(|| id.clone()),
        pod_uid: pod.is_some().then_some(uid),
        pod,
        id,
        in_pod: None,
        joins: None,
        group: None,
        init: None,
        user: None,
    };
    Some((mount, record))
}
