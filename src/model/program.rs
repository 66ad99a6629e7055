//! Programs on a link that decide over packets and that podnet cannot read: XDP, tc, tcx, netkit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A program or filter at a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Program {
    /// `xdp`, `tc`, `tcx` or `netkit`.
    #[serde(rename = "type")]
    pub kind: String,
    /// It sees what the link takes in; else what it sends.
    pub ingress: bool,
    /// Its name, or the kind of a tc filter that is no program; none: it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The kernel's number of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
}
