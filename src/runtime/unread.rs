//! State that could not be read, kept for all threads that look owners up, and told as gaps.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::cgroup::Engine;
use crate::model::Gap;

/// Files that made no sense are named one by one up to here.
const BROKEN: usize = 10;

/// What was not read so far, by all who share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    refused: BTreeMap<&'static str, usize>,
    broken: Vec<Gap>,
}

impl Unread {
    /// Keeps why the state of a container was not had.
    pub(super) fn note(&self, engine: Engine, error: &io::Error) {
        let what = match engine {
            Engine::Docker => "state of docker",
            Engine::Podman => "state of podman",
            Engine::Crio => "state of CRI-O",
            Engine::Containerd => "state of containerd",
            _ => "state of the runtime of pods",
        };
        match error.kind() {
            io::ErrorKind::NotFound => {}
            io::ErrorKind::PermissionDenied => {
                if let Ok(mut told) = self.0.lock() {
                    *told.refused.entry(what).or_default() += 1;
                }
            }
            io::ErrorKind::TimedOut => self.add(Gap::new("names of containers", "docker.sock", error.to_string())),
            _ => self.add(Gap::new("names of a container", what, error.to_string())),
        }
    }

    /// Keeps one more gap.
    pub(super) fn add(&self, gap: Gap) {
        if let Ok(mut told) = self.0.lock()
            && told.broken.len() < BROKEN
            && !told.broken.contains(&gap)
        {
            told.broken.push(gap);
        }
    }

    pub(super) fn take_gaps(&self) -> Vec<Gap> {
        let Ok(mut told) = self.0.lock() else { return Vec::new() };
        let refused = std::mem::take(&mut told.refused).into_iter();
        let refused = refused.map(|(what, count)| {
            let names =
                if count == 1 { "name of 1 container".to_owned() } else { format!("names of {count} containers") };
            Gap::new(names, what, "Permission denied").needs("CAP_DAC_READ_SEARCH, or root")
        });
        let mut gaps: Vec<Gap> = refused.collect();
        gaps.append(&mut told.broken);
        gaps
    }
}
