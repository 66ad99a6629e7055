//! An error in words for a person, or as one JSON object for a script; both for stderr.

use schemars::JsonSchema;
use serde::Serialize;

use super::escape;
use crate::error::Error;
use crate::model::SCHEMA;

/// What `--json` writes to stderr when podnet could not do the work.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorDocument {
    /// Version of this JSON.
    pub schema: u32,
    /// Always `error`.
    pub kind: &'static str,
    /// Stable name of the sort of failure: `unknown-target`, `no-permission`, ...
    pub id: String,
    /// What failed, with its operands.
    pub message: String,
    /// The causes, the nearest first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// What was found instead, where the failure is a choice among several.
    pub candidates: Vec<String>,
    /// The exit code that goes with it.
    pub exit: u8,
}

/// The error as text, or as JSON.
pub fn error(error: &Error, json: bool) -> String {
    if json {
        let id = serde_json::to_value(error.id).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        return super::json(&ErrorDocument {
            schema: SCHEMA,
            kind: "error",
            id,
            message: error.message.clone(),
            causes: error.causes(),
            hint: error.hint.clone(),
            candidates: error.candidates.clone(),
            exit: error.exit() as u8,
        });
    }
    let mut text = format!("podnet: {}", escape(&error.message));
    for cause in error.causes() {
        text.push_str(&format!(": {}", escape(&cause)));
    }
    text.push('\n');
    for candidate in &error.candidates {
        text.push_str(&format!("  {}\n", escape(candidate)));
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("hint: {}\n", escape(hint)));
    }
    text
}
