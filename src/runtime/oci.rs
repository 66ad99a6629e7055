//! The bundle that every runtime but LXC and nspawn makes: `config.json` of the OCI runtime specification, of which
//! only what names a container is read.

use serde::Deserialize;

use super::disk::Disk;
use super::process;

/// What is wanted of a `config.json`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Spec {
    pub hostname: Option<String>,
    annotations: Option<Annotations>,
    linux: Option<Linux>,
}

#[derive(Debug, Default, Deserialize)]
struct Linux {
    namespaces: Option<Vec<Namespace>>,
}

#[derive(Debug, Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

/// The keys under which runtimes write names.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Annotations {
    /// `sandbox` or `container` (containerd).
    #[serde(rename = "io.kubernetes.cri.container-type")]
    pub cri_type: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-id")]
    pub cri_sandbox: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-name")]
    pub cri_pod: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-namespace")]
    pub cri_namespace: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-uid")]
    pub cri_uid: Option<String>,
    #[serde(rename = "io.kubernetes.cri.container-name")]
    pub cri_container: Option<String>,
    #[serde(rename = "nerdctl/name")]
    pub nerdctl_name: Option<String>,
    /// `cri-o` or `libpod`: podman writes some of CRI-O's keys, too.
    #[serde(rename = "io.container.manager")]
    pub manager: Option<String>,
    #[serde(rename = "io.kubernetes.cri-o.ContainerType")]
    pub crio_type: Option<String>,
    #[serde(rename = "io.kubernetes.cri-o.SandboxID")]
    pub crio_sandbox: Option<String>,
    #[serde(rename = "io.kubernetes.pod.name")]
    pub pod: Option<String>,
    #[serde(rename = "io.kubernetes.pod.namespace")]
    pub namespace: Option<String>,
    #[serde(rename = "io.kubernetes.pod.uid")]
    pub uid: Option<String>,
    #[serde(rename = "io.kubernetes.container.name")]
    pub container: Option<String>,
}

impl Spec {
    pub(super) fn annotations(&mut self) -> Annotations {
        self.annotations.take().unwrap_or_default()
    }

    /// CRI-O made it, and not podman, which writes some of the same keys.
    pub(super) fn is_crio(&self) -> bool {
        self.annotations.as_ref().is_some_and(|said| said.manager.as_deref() == Some("cri-o"))
    }

    /// The process whose network namespace the container was put into, if it is still there: its own then, or that of
    /// somebody who shares it with `pid`.
    pub(super) fn joined(&self, disk: &Disk, pid: u32) -> Option<u32> {
        let namespaces = self.linux.as_ref()?.namespaces.as_ref()?;
        let path = &namespaces.iter().find(|n| n.kind == "network")?.path;
        let other = path.strip_prefix("/proc/")?.strip_suffix("/ns/net")?.parse().ok()?;
        (process::share_netns(disk, pid, other) == Some(true)).then_some(other)
    }
}
