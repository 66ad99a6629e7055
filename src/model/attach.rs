//! What attach and detach have to say: what was asked for, what was done, what it changed.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::{IfIndex, Source};

/// One step of a plan, as the command that does the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StepText {
    /// Namespace that it changes: `host`, a name, or a file that leads there.
    pub netns: String,
    /// The command.
    pub command: String,
    /// The commands that take it back; none where it goes with what an earlier step made.
    pub undo: Vec<String>,
}

/// A setting of the host that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SysctlChange {
    /// Its name: `net.ipv4.ip_forward`.
    pub name: String,
    /// What it was.
    pub before: String,
    /// What it is now.
    pub after: String,
}

/// The answer of `podnet attach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Attached {
    /// Version of this JSON.
    pub schema: u32,
    /// Always `attach`.
    pub kind: &'static str,
    /// Nothing was changed: this is what would be done.
    pub dry_run: bool,
    /// The namespace.
    pub target: Source,
    /// Name of the new link there.
    pub ifname: String,
    /// Its index there; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<IfIndex>,
    /// Name of its other end on the host; absent for a macvlan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_ifname: Option<String>,
    /// Bridge that the other end is a port of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Link of the host that a macvlan is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower: Option<String>,
    /// The bridge was made for it.
    pub bridge_made: bool,
    /// Addresses of the new link.
    pub addrs: Vec<String>,
    /// Whom everything else goes to.
    pub gateways: Vec<IpAddr>,
    /// Directory that the addresses were taken in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// What was done, in order.
    pub steps: Vec<StepText>,
    /// Settings of the host that changed.
    pub sysctls: Vec<SysctlChange>,
    /// What was found to work afterwards, in words; empty in a dry run.
    pub verified: Vec<String>,
    /// What a podnet that was killed had left, and what was done about it.
    pub cleared: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Something that detach removes, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Removed {
    /// `link`, `bridge`, `address` or `rule`.
    pub what: &'static str,
    /// Its name: that of a link, an address, the comment of a rule.
    pub name: String,
    /// Where: the namespace of a link, the directory of an address, the table of a rule.
    pub at: String,
    /// Why it may go, where nobody named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The answer of `podnet detach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Detached {
    /// Version of this JSON.
    pub schema: u32,
    /// Always `detach`.
    pub kind: &'static str,
    /// Nothing was changed: this is what would be removed.
    pub dry_run: bool,
    /// The namespace; null where it is gone, or where leftovers of all were looked for.
    pub target: Option<Source>,
    /// What was removed, in order; empty where there was nothing.
    pub removed: Vec<Removed>,
    /// What a podnet that was killed had left, and what was done about it.
    pub cleared: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}
