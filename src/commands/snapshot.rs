//! `podnet snapshot`: everything seen, as one file; and reading such files in the place of the machine.

use std::hash::RandomState;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Outcome;
use super::progress::Shown;
use crate::archive;
use crate::cli::SnapshotArgs;
use crate::error::{Error, ErrorId, Exit, Result};
use crate::kernel::holders::Depth;
use crate::kernel::record;
use crate::model::Snapshot;
use crate::recorded::{Recorded, Whole, anonymise};
use crate::render;
use crate::runtime::Owners;

pub(super) fn run(args: &SnapshotArgs, json: bool) -> Result<Outcome> {
    let depth = if args.deep { Depth::Deep } else { Depth::Shallow };
    let mut owners = Owners::new(Path::new("/"));
    let shown = Shown::of("namespaces read");
    if args.anonymise {
        // The key of the hash goes with the process.
        let snapshot = anonymise(record(depth, &mut owners, |facts| facts, &shown.told())?, &RandomState::new());
        return told(&snapshot, args, json);
    }
    told(&record(depth, &mut owners, archive::packed, &shown.told())?, args, json)
}

fn told<F: Serialize>(snapshot: &Snapshot<F>, args: &SnapshotArgs, json: bool) -> Result<Outcome> {
    let text = match &args.output {
        Some(path) if path.as_os_str() != "-" => {
            archive::write(snapshot, path)?;
            if json { String::new() } else { render::snapshot::written(snapshot, path) }
        }
        _ => render::compact(snapshot),
    };
    Ok(Outcome::new(text, Exit::Ok))
}

/// The recordings in these files, to be asked in the place of the machine.
pub(super) fn recordings(paths: &[PathBuf]) -> Result<Recorded> {
    let mut recorded = Recorded::default();
    for mut stored in archive::read(paths, &Shown::of("recordings read").told())? {
        let whole = stored.whole().map(|bring| Whole(Box::new(bring)));
        let archive::Stored { path, snapshot, .. } = stored;
        recorded.add_outline(snapshot, whole).map_err(|flaw| {
            Error::new(ErrorId::Snapshot, format!("{} does not fit together: {flaw}", path.display()))
                .hint("write it again: podnet snapshot -o FILE")
        })?;
    }
    Ok(recorded)
}
