//! `podnet schema`: the JSON Schema of what `--json` writes, made from the model itself.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use super::Outcome;
use crate::cli::SchemaArgs;
use crate::error::{Error, ErrorId, Exit, Result};
use crate::model::{Attached, Demo, Detached, Listing, Snapshot, Trace};
use crate::render;

/// The kinds of documents that podnet writes, each with its schema.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("trace", schema::<Trace>()),
        ("list", schema::<Listing>()),
        ("snapshot", schema::<Snapshot>()),
        ("demo", schema::<Demo>()),
        ("attach", schema::<Attached>()),
        ("detach", schema::<Detached>()),
        ("error", schema::<render::ErrorDocument>()),
    ]
}

/// The schema of what is written: a key that is left out where it has nothing to say is not required.
fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
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
