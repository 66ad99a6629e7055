//! A judgement on something that was seen.

use schemars::JsonSchema;
use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Works now, or for most packets; will bite.
    Warning,
    /// Some traffic on this path does not arrive.
    Critical,
    /// Nothing on this path arrives.
    Fatal,
}

/// A judgement that hangs on a hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Stable name of the sort of finding, for scripts: `forwarding-off`, `mtu-shrinks`.
    pub id: String,
    /// Index of the path in `paths`.
    pub path: usize,
    /// Index of the hop in that path's `hops`.
    pub hop: usize,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The fact that shows it, as the kernel said it.
    pub evidence: String,
    /// What to do about it; a command where one command does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}
