//! `podnet schema`: the JSON Schema of what `--json` writes, made from the model itself.

use schemars::{Schema, schema_for};

use super::Outcome;
use crate::cli::SchemaArgs;
use crate::error::{Error, ErrorId, Exit, Result};
use crate::model::{Demo, Listing, Trace};
use crate::render;

/// The kinds of documents that podnet writes, each with its schema.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("trace", schema_for!(Trace)),
        ("list", schema_for!(Listing)),
        ("demo", schema_for!(Demo)),
        ("error", schema_for!(render::ErrorDocument)),
    ]
}

pub(super) fn run(args: &SchemaArgs) -> Result<Outcome> {
    let all = schemas();
    let value = match &args.kind {
        None => serde_json::Value::Object(all.into_iter().map(|(kind, s)| (kind.to_owned(), s.to_value())).collect()),
        Some(wanted) => {
            let kinds: Vec<String> = all.iter().map(|(kind, _)| (*kind).to_owned()).collect();
            all.into_iter().find(|(kind, _)| kind == wanted).map(|(_, schema)| schema.to_value()).ok_or_else(|| {
                Error::new(ErrorId::Usage, format!("no document is of the kind {wanted:?}"))
                    .hint("name one of the kinds")
                    .candidates(kinds)
            })?
        }
    };
    Ok(Outcome::new(render::json(&value), Exit::Ok))
}
