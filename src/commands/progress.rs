//! How far long work is, on stderr: where that is a terminal, after half a second, and gone when the work is done.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work that is done before that needs no company.
const PATIENCE: Duration = Duration::from_millis(500);

/// Shows one piece of work.
pub(super) struct Shown {
    what: &'static str,
    started: Instant,
    bar: OnceLock<ProgressBar>,
}

impl Shown {
    /// Of which so many are read: `namespaces read`.
    pub(super) fn of(what: &'static str) -> Shown {
        Shown { what, started: Instant::now(), bar: OnceLock::new() }
    }

    /// To be told how far it is.
    pub(super) fn told(&self) -> impl Fn(usize, usize) + Sync {
        |done, of| {
            if self.started.elapsed() < PATIENCE {
                return;
            }
            let bar = self.bar.get_or_init(|| {
                let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}");
                let style = style.map(|style| style.progress_chars("##-")).ok();
                // Draws nothing where stderr is no terminal.
                let bar = ProgressBar::new(of as u64).with_message(self.what);
                style.map_or(bar.clone(), |style| bar.with_style(style))
            });
            bar.set_position(done as u64);
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
