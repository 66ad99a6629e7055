//! containerd's bundles: pods (CRI), `ctr`, nerdctl. The bundle's annotations name a pod; names else are in a database
//! that only containerd reads.

use std::io;

use super::cgroup::is_name;
use super::disk::Disk;
use super::oci::Spec;
use super::record::Record;
use crate::model::PodName;

/// State directories: containerd's own, those of distributions that bring theirs, Docker's.
const DIRS: [&str; 5] = [
    "/run/containerd",
    "/run/k3s/containerd",
    "/run/k0s/containerd",
    "/var/snap/microk8s/common/run/containerd",
    "/run/docker/containerd/daemon",
];

/// Where pods are.
pub(super) const KUBE: &str = "k8s.io";

/// Completes what is known of a container of one of containerd's namespaces; `NotFound`: it has none of that id.
pub(super) fn read(disk: &Disk, namespace: &str, record: &mut Record) -> io::Result<()> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for dir in DIRS {
        let bundle = format!("{dir}/io.containerd.runtime.v2.task/{namespace}/{}", record.id);
        match disk.json::<Spec>(&format!("{bundle}/config.json")) {
            Ok(spec) => {
                apply(spec, record);
                // Who is in a pod is told from others by the pod's sandbox, which is one file less for each container.
                if record.pod.is_none() || record.joins.is_none() {
                    record.init = disk.pid(&format!("{bundle}/init.pid"));
                }
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// containerd's namespaces, but for those of pods and of Docker.
pub(super) fn namespaces(disk: &Disk) -> Vec<String> {
    let listed = DIRS.iter().flat_map(|dir| disk.entries(&format!("{dir}/io.containerd.runtime.v2.task")));
    let mut names: Vec<String> = listed.flatten().filter(|n| is_name(n) && n != KUBE && n != "moby").collect();
    names.sort();
    names.dedup();
    names
}

fn apply(mut spec: Spec, record: &mut Record) {
    let said = spec.annotations();
    record.runtime = "containerd";
    record.sandbox = said.cri_type.as_deref() == Some("sandbox");
    record.joins = said.cri_sandbox.filter(|sandbox| *sandbox != record.id);
    record.name = said.cri_container.or(said.nerdctl_name).or(record.name.take());
    record.pod_uid = said.cri_uid.or(record.pod_uid.take());
    if let (Some(name), Some(namespace)) = (said.cri_pod, said.cri_namespace) {
        let uid = record.pod_uid.clone().unwrap_or_default();
        record.pod = Some(PodName { namespace, name, uid });
    }
}
