//! Writing a recording to a file, compressed where the name says so.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use serde_json::value::{RawValue, to_raw_value};

use crate::error::{Error, ErrorId, Result};
use crate::model::{RecordedFacts, Snapshot, harmless_json};

/// What was read inside a namespace as it will be written: a small part of what it is otherwise.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Packed(Option<Box<RawValue>>);

/// What was read inside a namespace, for a recording that is only written.
pub fn packed(facts: RecordedFacts) -> Packed {
    // Serialising the model cannot fail: no map of it has keys that are not strings.
    Packed(to_raw_value(&facts).ok())
}

/// Writes a recording; gzip where the name ends in `.gz`. A file that was there is only replaced by a whole one and keeps
/// its mode; what is no plain file is written to as it is.
pub fn write<F: Serialize>(snapshot: &Snapshot<F>, path: &Path) -> Result<()> {
    put(snapshot, path).map_err(|cause| {
        Error::new(ErrorId::Failed, format!("the snapshot could not be written to {}", path.display()))
            .because(cause)
            .hint("name a file in a folder that you may write to with -o")
    })
}

fn put<F: Serialize>(snapshot: &Snapshot<F>, path: &Path) -> io::Result<()> {
    let zip = path.extension().is_some_and(|ending| ending == "gz");
    let there = match fs::metadata(path) {
        Ok(there) if !there.is_file() => return write_to(snapshot, File::options().write(true).open(path)?, zip),
        Ok(there) => Some(there),
        // A link to nowhere is no place for a file of its own.
        Err(e) if e.kind() == ErrorKind::NotFound && !path.is_symlink() => None,
        Err(e) => return Err(e),
    };
    let place = there.as_ref().map_or_else(|| Ok(path.to_owned()), |_| fs::canonicalize(path))?;
    let part = beside(&place);
    // A map of the network is not for everybody.
    let file = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
    let ready = there.map_or(Ok(()), |there| file.set_permissions(there.permissions()));
    let written = ready.and_then(|()| write_to(snapshot, file, zip)).and_then(|()| fs::rename(&part, &place));
    written.inspect_err(|_| drop(fs::remove_file(&part)))
}

fn write_to<F: Serialize>(snapshot: &Snapshot<F>, file: File, zip: bool) -> io::Result<()> {
    let file = BufWriter::new(file);
    if zip {
        // The fastest level makes a twentieth of it already.
        let mut zipped = GzEncoder::new(file, Compression::fast());
        snapshot.serialize(&mut Serializer::with_formatter(&mut zipped, Harmless))?;
        return zipped.finish()?.into_inner().map(drop).map_err(|e| e.into_error());
    }
    let mut file = file;
    snapshot.serialize(&mut Serializer::with_formatter(&mut file, Harmless))?;
    file.write_all(b"\n")?;
    file.into_inner().map(drop).map_err(|e| e.into_error())
}

/// People look into recordings, and then their names reach a terminal.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        to.write_all(harmless_json(fragment).as_bytes())
    }

    fn write_raw_fragment<W: ?Sized + Write>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        to.write_all(harmless_json(fragment).as_bytes())
    }
}

/// A name in the same folder that nobody else has.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}
