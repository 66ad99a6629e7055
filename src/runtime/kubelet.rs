//! Directories that the kubelet keeps for the logs of its pods, readable for everybody: the name of a pod by its uid,
//! for those who may not read the state of the runtime.

use std::collections::HashMap;

use super::disk::Disk;
use crate::model::PodName;

const LOGS: &str = "/var/log/pods";

/// All pods by uid.
pub(super) fn pods(disk: &Disk) -> HashMap<String, PodName> {
    let entries = disk.entries(LOGS).unwrap_or_default();
    entries.iter().filter_map(|entry| pod(entry)).map(|pod| (pod.uid.clone(), pod)).collect()
}

/// `NAMESPACE_NAME_UID`: none of the three may contain an underscore.
fn pod(entry: &str) -> Option<PodName> {
    let mut parts = entry.split('_').map(str::to_owned);
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next().is_none() && uid.len() >= 32).then_some(PodName { namespace, name, uid })
}
