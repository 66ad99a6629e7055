//! Reading recordings: files, folders of them and stdin; plain, gzip or zstd, told by how they begin.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use ruzstd::decoding::StreamingDecoder;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{Error, ErrorId, Result};
use crate::model::{Progress, Snapshot};

/// A node of some thousand pods takes a tenth of this.
const MOST: u64 = 512 << 20;
/// A small file may not become more than this; and none more than this many times its size.
const SMALL: u64 = 64 << 20;
const TIMES: u64 = 200;

/// Files that are read at the same time.
const THREADS: usize = 4;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A recording as it was read.
pub struct Stored {
    /// Where from.
    pub path: PathBuf,
    /// The recording; of one among several only the outline.
    pub snapshot: Snapshot,
    /// Its bytes as they are in the file, where this is the outline.
    packed: Option<Vec<u8>>,
}

impl Stored {
    /// What reads the whole of it once more, where this is the outline.
    pub fn whole(&mut self) -> Option<impl Fn() -> Option<Snapshot> + Send + Sync + use<>> {
        let (packed, path) = (self.packed.take()?, self.path.clone());
        Some(move || parse(&path, &unpacked(&path, &packed).ok()?).ok())
    }
}

/// Reads the recordings that were named, folders file by file. Of many the outlines are enough at first: a packet
/// crosses few machines, and thousands may be there.
pub fn read(paths: &[PathBuf], progress: &Progress<'_>) -> Result<Vec<Stored>> {
    let files = files(paths)?;
    let outline = files.len() > 1;
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let mut read = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = files.get(at) else { return read };
            read.push((at, one(path, outline)));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, files.len());
        }
    };
    let threads = thread::available_parallelism().map_or(1, |n| n.get()).min(THREADS).min(files.len());
    let mut all: Vec<(usize, Result<Stored>)> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, stored)| stored).collect()
}

/// The files that are meant, folders opened.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            all.push(path.clone());
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
            all.extend(files);
        } else if kind.is_file() || kind.is_fifo() || kind.is_char_device() {
            all.push(path.clone());
        } else {
            let message = format!("{} is no file", path.display());
            return Err(Error::new(ErrorId::Usage, message).hint("name a file that podnet snapshot has written"));
        }
    }
    Ok(all)
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

fn one(path: &Path, outline: bool) -> Result<Stored> {
    let packed = if path.as_os_str() == "-" {
        at_most(&mut io::stdin().lock(), MOST)
    } else {
        File::open(path).and_then(|mut file| at_most(&mut file, MOST))
    };
    let packed = packed.map_err(|e| unreadable(path, e))?;
    let bytes = unpacked(path, &packed)?;
    if !outline {
        return Ok(Stored { path: path.to_owned(), snapshot: parse(path, &bytes)?, packed: None });
    }
    let snapshot = parse::<IgnoredAny>(path, &bytes)?.outline();
    // What was not packed is packed now, or thousands of them would not have room.
    let is_packed = packed.starts_with(&GZIP) || packed.starts_with(&ZSTD);
    let packed = if is_packed { packed } else { pack(&packed).unwrap_or(packed) };
    Ok(Stored { path: path.to_owned(), snapshot, packed: Some(packed) })
}

fn pack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes)?;
    packed.finish()
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
fn unpacked<'a>(path: &Path, packed: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let most = SMALL.max(packed.len() as u64 * TIMES).min(MOST);
    if packed.starts_with(&GZIP) {
        return at_most(&mut MultiGzDecoder::new(packed), most).map(Cow::Owned).map_err(|e| broken(path, e));
    }
    if packed.starts_with(&ZSTD) {
        return zstd(packed, most).map(Cow::Owned).map_err(|e| broken(path, e));
    }
    Ok(Cow::Borrowed(packed))
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

fn parse<F: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Snapshot<F>> {
    let parsed = match serde_json::from_slice::<Snapshot<F>>(bytes) {
        Ok(snapshot) if snapshot.kind == Snapshot::KIND && snapshot.schema == Snapshot::SCHEMA => return Ok(snapshot),
        parsed => parsed.map(drop),
    };
    match (serde_json::from_slice::<Head>(bytes), parsed) {
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
