//! Whom a namespace belongs to, in the words of the runtime that made it.

use schemars::JsonSchema;
use serde::Serialize;

/// The workload that a namespace was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Owner {
    /// Runtime that made it: `containerd`, `docker`, `podman`, `process` where no runtime is known.
    pub runtime: String,
    /// What a person calls it.
    pub name: String,
    /// The Kubernetes pod, where it is one.
    pub pod: Option<PodName>,
    /// Every container that shares the namespace.
    pub containers: Vec<Container>,
}

/// A Kubernetes pod's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PodName {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Uid of the pod.
    pub uid: String,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Container {
    /// The runtime's id.
    pub id: String,
    /// Name that a person gave it.
    pub name: Option<String>,
}
