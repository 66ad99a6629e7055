//! From an answer to a string: path text, tables, JSON, errors. Pure; `main` prints what is made here.

pub mod attach;
mod beside;
pub mod demo;
mod error;
mod owners;
pub mod path;
pub mod snapshot;
mod style;
pub mod table;
mod wires;

pub use error::{ErrorDocument, error};
pub use style::{Style, escape};

use std::borrow::Cow;

use serde::Serialize;

use crate::model::harmless_json;

/// A value as JSON on one line.
pub fn compact<T: Serialize>(value: &T) -> String {
    ended(serde_json::to_string(value).unwrap_or_default())
}

/// A value as indented JSON with a line break at its end.
pub fn json<T: Serialize>(value: &T) -> String {
    // Serialising the model cannot fail: no map of it has keys that are not strings.
    ended(serde_json::to_string_pretty(value).unwrap_or_default())
}

fn ended(json: String) -> String {
    let other = match harmless_json(&json) {
        Cow::Owned(other) => Some(other),
        Cow::Borrowed(_) => None,
    };
    other.unwrap_or(json) + "\n"
}
