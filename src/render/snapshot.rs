//! What is said of a recording that was written: how much of it there is, and what is missing.

use std::path::Path;

use super::escape;
use crate::model::Snapshot;

/// Gaps that are shown one by one.
const SHOWN: usize = 10;

/// One line on the recording, and one for each thing that it lacks.
pub fn written<F>(snapshot: &Snapshot<F>, path: &Path) -> String {
    let count = snapshot.namespaces.len();
    let links: usize = snapshot.namespaces.iter().map(|n| n.links.len()).sum();
    let path = path.to_string_lossy();
    let (path, host) = (escape(&path), escape(&snapshot.hostname));
    let mut text = format!("{path}: {count} namespaces of {host} with {links} links\n");
    for gap in snapshot.gaps.iter().take(SHOWN) {
        let needs = gap.needs.as_ref().map(|needs| format!(" (needs {needs})")).unwrap_or_default();
        let line = format!("not seen: {} of {}: {}{needs}", gap.what, gap.at, gap.why);
        text.push_str(&format!("  {}\n", escape(&line)));
    }
    if let Some(more) = snapshot.gaps.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("  and {more} more\n"));
    }
    text
}
