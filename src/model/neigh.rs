//! Neighbour entries: which link-layer address an IP address has on a link.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LlAddr;

/// State of a neighbour entry (`ndm_state`), in the words of `ip neigh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum NeighState {
    /// Resolution is under way and has no answer yet.
    Incomplete,
    /// Confirmed a short time ago.
    Reachable,
    /// Known, to be confirmed at the next use.
    Stale,
    /// In use, waiting for a confirmation from above.
    Delay,
    /// Being asked for right now.
    Probe,
    /// Resolution was tried and nobody answered.
    Failed,
    /// Needs no resolution.
    Noarp,
    /// Set by hand.
    Permanent,
    /// No entry exists: who would answer was found by looking at the segment.
    None,
}

impl NeighState {
    /// The entry has a usable link-layer address (`NUD_VALID`).
    pub fn is_valid(self) -> bool {
        !matches!(self, NeighState::Incomplete | NeighState::Failed | NeighState::None)
    }
}

/// One neighbour entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Neigh {
    /// The address that was asked for (`NDA_DST`).
    pub dst: IpAddr,
    /// Its link-layer address (`NDA_LLADDR`).
    pub lladdr: Option<LlAddr>,
    /// State of the entry.
    pub state: NeighState,
}
