//! Whom a namespace belongs to, in the words of the runtime that made it.

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Gap, Holder, Pid};

/// The workload that a namespace was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Owner {
    /// What made it: `containerd`, `cri-o`, `docker`, `podman`, `lxc`, `nspawn`, `cni` (known from CNI alone);
    /// where no runtime is known `systemd` (a service), `netns` (a name under a netns directory) or `process`.
    pub runtime: String,
    /// What a person calls it: `namespace/pod`, or the name of a container, a machine, a service, a process.
    pub name: String,
    /// The Kubernetes pod, where it is one.
    pub pod: Option<PodName>,
    /// Every container that shares the namespace, as far as that was looked for; the sandbox first.
    pub containers: Vec<Container>,
    /// Uid of the user whose own (rootless) runtime made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// Name of the container that it was made inside of: every name here is then that one's word, and begins with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

impl Owner {
    /// No runtime made it; the name is that of a process, a service, or a file.
    pub fn is_bare(&self) -> bool {
        matches!(self.runtime.as_str(), "process" | "systemd" | "netns")
    }
}

/// A Kubernetes pod's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodName {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Uid of the pod.
    pub uid: String,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Container {
    /// The runtime's id.
    pub id: String,
    /// Name that a person gave it.
    pub name: Option<String>,
    /// It is there to hold the namespace of a pod (pause, infra) and does no work.
    pub sandbox: bool,
}

/// Who can say whom a namespace belongs to. What is not known is none, never a guess.
pub trait Whose: Debug + Send {
    /// The owner of the namespace that a process is in.
    fn of_process(&mut self, pid: Pid) -> Option<Owner>;

    /// The owner of a namespace, by everything that holds it.
    fn of_namespace(&mut self, holders: &[Holder]) -> Option<Owner>;

    /// The containers among these processes, as they are grouped; for a namespace that belongs to none of them.
    fn among(&mut self, pids: &[Pid]) -> Vec<Owner>;

    /// One more that knows the same machine, for another thread; what it could not see this one tells.
    fn another(&self) -> Box<dyn Whose>;

    /// What could not be seen on the way, by this one and its others.
    fn take_gaps(&mut self) -> Vec<Gap>;
}
