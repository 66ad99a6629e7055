//! Reading recordings: files, folders of them and stdin; plain, gzip or zstd, told by how they begin.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use serde::Deserialize;

use crate::error::{Error, ErrorId, Result};
use crate::model::Snapshot;

/// A node of some thousand pods takes a tenth of this.
const MOST: u64 = 512 << 20;
/// A small file may not become more than this; and none more than this many times its size.
const SMALL: u64 = 64 << 20;
const TIMES: u64 = 200;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Reads the recordings that were named, folders file by file, and hands each on with the name that it had.
pub fn read(paths: &[PathBuf], mut found: impl FnMut(&Path, Snapshot) -> Result<()>) -> Result<()> {
    for path in paths {
        if path.as_os_str() == "-" {
            found(path, parse(path, bytes(path, &mut io::stdin().lock())?)?)?;
            continue;
        }
        let kind = fs::metadata(path).map_err(|e| unreadable(path, e))?.file_type();
        if kind.is_dir() {
            let files = in_folder(path)?;
            if files.is_empty() {
                let message = format!("no snapshot is in the folder {}", path.display());
                return Err(Error::new(ErrorId::Usage, message)
                    .hint("snapshots there end in .json, .json.gz or .json.zst; name any other file itself"));
            }
            for file in files {
                found(&file, one(&file)?)?;
            }
        } else if kind.is_file() || kind.is_fifo() || kind.is_char_device() {
            found(path, one(path)?)?;
        } else {
            let message = format!("{} is no file", path.display());
            return Err(Error::new(ErrorId::Usage, message).hint("name a file that podnet snapshot has written"));
        }
    }
    Ok(())
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_snapshot = |path: &PathBuf| {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        !name.starts_with('.') && [".json", ".json.gz", ".json.zst"].iter().any(|ending| name.ends_with(ending))
    };
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect());
    let mut files: Vec<PathBuf> = entries.map_err(|e| unreadable(folder, e))?;
    files.retain(is_snapshot);
    files.sort();
    Ok(files)
}

fn one(path: &Path) -> Result<Snapshot> {
    let mut file = File::open(path).map_err(|e| unreadable(path, e))?;
    parse(path, bytes(path, &mut file)?)
}

fn unreadable(path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorId::Snapshot, format!("the snapshot {} could not be read", path.display()))
        .because(cause)
        .hint("name a file that podnet snapshot has written")
}

fn broken(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorId::Snapshot, format!("{} is no snapshot, or a broken one", path.display()))
        .because(cause)
        .hint("write it again: podnet snapshot -o FILE")
}

/// All bytes of a recording, unpacked.
fn bytes(path: &Path, from: &mut dyn Read) -> Result<Vec<u8>> {
    let packed = at_most(from, MOST).map_err(|e| unreadable(path, e))?;
    let most = SMALL.max(packed.len() as u64 * TIMES).min(MOST);
    if packed.starts_with(&GZIP) {
        return at_most(&mut MultiGzDecoder::new(&packed[..]), most).map_err(|e| broken(path, e));
    }
    if packed.starts_with(&ZSTD) {
        return zstd(&packed, most).map_err(|e| broken(path, e));
    }
    Ok(packed)
}

fn at_most(from: &mut dyn Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is greater than the {} MiB that podnet reads of one", most >> 20)));
    }
    Ok(bytes)
}

/// Several frames may follow each other.
fn zstd(mut packed: &[u8], most: u64) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while !packed.is_empty() {
        let mut frame = StreamingDecoder::new(&mut packed).map_err(io::Error::other)?;
        all.extend(at_most(&mut frame, most.saturating_sub(all.len() as u64))?);
    }
    Ok(all)
}

/// What every version of a recording has.
#[derive(Deserialize)]
struct Head {
    schema: Option<u64>,
    kind: Option<String>,
}

fn parse(path: &Path, bytes: Vec<u8>) -> Result<Snapshot> {
    let parsed = serde_json::from_slice::<Snapshot>(&bytes);
    if let Ok(snapshot) = &parsed
        && snapshot.kind == Snapshot::KIND
        && snapshot.schema == Snapshot::SCHEMA
    {
        return parsed.map_err(|e| broken(path, e));
    }
    match (serde_json::from_slice::<Head>(&bytes), parsed) {
        (Ok(Head { kind: Some(kind), schema: Some(schema) }), _) if kind == Snapshot::KIND && schema != known() => {
            let message = format!("{} has schema {schema}, and this podnet reads {}", path.display(), known());
            Err(Error::new(ErrorId::Snapshot, message).hint("read it with the podnet that wrote it, or a newer one"))
        }
        (Ok(Head { kind: Some(kind), .. }), _) if kind != Snapshot::KIND => {
            let message = format!("{} is a document of the kind {kind:?}, not a snapshot", path.display());
            Err(Error::new(ErrorId::Snapshot, message).hint("name a file that podnet snapshot has written"))
        }
        (_, Err(flaw)) => Err(broken(path, flaw)),
        (_, Ok(_)) => Err(broken(path, "it does not say what it is")),
    }
}

fn known() -> u64 {
    u64::from(Snapshot::SCHEMA)
}
