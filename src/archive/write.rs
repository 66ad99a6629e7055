//! Writing a recording to a file, compressed where the name says so.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::error::{Error, ErrorId, Result};
use crate::model::{RecordedFacts, Snapshot};

/// What was read inside a namespace as it will be written: a small part of what it is otherwise.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Packed(Option<Box<RawValue>>);

/// What was read inside a namespace, for a recording that is only written.
pub fn packed(facts: RecordedFacts) -> Packed {
    // Serialising the model cannot fail: no map of it has keys that are not strings.
    Packed(to_raw_value(&facts).ok())
}

/// Writes a recording; gzip where the name ends in `.gz`. A file that was there is only replaced by a whole one.
pub fn write<F: Serialize>(snapshot: &Snapshot<F>, path: &Path) -> Result<()> {
    let part = beside(path);
    let written = write_to(snapshot, &part, path).and_then(|()| fs::rename(&part, path));
    written.map_err(|cause| {
        let _ = fs::remove_file(&part);
        Error::new(ErrorId::Failed, format!("the snapshot could not be written to {}", path.display()))
            .because(cause)
            .hint("name a file in a folder that you may write to with -o")
    })
}

fn write_to<F: Serialize>(snapshot: &Snapshot<F>, part: &Path, path: &Path) -> io::Result<()> {
    let file = BufWriter::new(File::create_new(part)?);
    if path.extension().is_some_and(|ending| ending == "gz") {
        // The fastest level makes a twentieth of it already.
        let mut zipped = GzEncoder::new(file, Compression::fast());
        serde_json::to_writer(&mut zipped, snapshot)?;
        return zipped.finish()?.into_inner().map(drop).map_err(|e| e.into_error());
    }
    let mut file = file;
    serde_json::to_writer(&mut file, snapshot)?;
    file.write_all(b"\n")?;
    file.into_inner().map(drop).map_err(|e| e.into_error())
}

/// A name in the same folder that nobody else has.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}
