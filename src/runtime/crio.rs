//! CRI-O: pods whose sandbox has no process by default; all names are annotations of the bundle, which lies where
//! podman's do.

use super::oci::Spec;
use super::record::Record;
use crate::model::PodName;

/// Completes what is known of a container by its bundle's annotations.
pub(super) fn apply(mut spec: Spec, record: &mut Record) {
    let said = spec.annotations();
    record.runtime = "cri-o";
    record.sandbox = said.crio_type.as_deref() == Some("sandbox");
    record.joins = said.crio_sandbox.filter(|sandbox| *sandbox != record.id);
    record.name = said.container.filter(|_| !record.sandbox);
    if let (Some(name), Some(namespace), Some(uid)) = (said.pod, said.namespace, said.uid) {
        record.pod_uid = Some(uid.clone());
        record.pod = Some(PodName { namespace, name, uid });
    }
}
