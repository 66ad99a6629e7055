//! What could not be seen. A gap is data like any other fact: it is printed, it is in the JSON, it is never an error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that podnet would have looked at and could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// What was not seen: "routes", "ns/net of pid 812", "links".
    pub what: String,
    /// Where: the namespace's name, or the place on disk.
    pub at: String,
    /// Why not, with the kernel's own error where there was one.
    pub why: String,
    /// What would show it: the missing capability, or the thing to run podnet as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
}

impl Gap {
    /// A gap with what, where and why.
    pub fn new(what: impl Into<String>, at: impl Into<String>, why: impl Into<String>) -> Self {
        Gap { what: what.into(), at: at.into(), why: why.into(), needs: None }
    }

    /// Adds what would show it.
    pub fn needs(mut self, needs: impl Into<String>) -> Self {
        self.needs = Some(needs.into());
        self
    }
}
