//! A network namespace and what keeps it alive.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetnsId, Nsid, Owner, Pid};

/// What holds a namespace open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HolderType {
    /// A process whose main thread is in the namespace (`/proc/<pid>/ns/net`).
    Process,
    /// A thread that is in another namespace than its process (`/proc/<pid>/task/<tid>/ns/net`).
    Thread,
    /// A bind mount of the namespace's nsfs file (`/proc/<pid>/mountinfo`).
    Mount,
    /// An open file descriptor of the namespace's nsfs file (`/proc/<pid>/fd`).
    Fd,
    /// A socket that was made in the namespace (`SIOCGSKNS`).
    Socket,
}

/// One thing that holds a namespace open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// What sort of holder.
    #[serde(rename = "type")]
    pub holder: HolderType,
    /// The process; for a mount, a process that sees the mount.
    pub pid: Pid,
    /// Name of the process (`/proc/<pid>/comm`); absent for a mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// Where the namespace can be opened from podnet's own mount namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A network namespace as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns {
    /// Its identity.
    pub id: NetnsId,
    /// Number that podnet's own namespace has for it.
    pub nsid: Option<Nsid>,
    /// What a person calls it: `host`, a name under the netns directory, the oldest process.
    pub name: String,
    /// Machine that it is on, where recordings of several are asked.
    pub node: Option<String>,
    /// Whom it belongs to.
    pub owner: Option<Owner>,
    /// The process that podnet reached it through.
    pub pid: Option<Pid>,
}
