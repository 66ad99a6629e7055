//! A directory that stands for the root of a machine in a test.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) struct Tree(PathBuf);

impl Tree {
    pub(super) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("podnet-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Tree(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, path: &str, text: &str) {
        let path = self.0.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn link(&self, path: &str, to: &str) {
        let path = self.0.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    /// A process in a cgroup and a network namespace.
    pub(super) fn process(&self, pid: u32, comm: &str, start: u64, cgroup: &str, netns: u32) {
        let rest = "0 0 0 0 0 0 0 0 0 0 0 0 0 20 0 1 0";
        self.file(&format!("proc/{pid}/stat"), &format!("{pid} ({comm}) S 1 {rest} {start} 0 0\n"));
        self.file(&format!("proc/{pid}/status"), "Uid:\t0\t0\t0\t0\n");
        self.file(&format!("proc/{pid}/cgroup"), &format!("0::{cgroup}\n"));
        self.link(&format!("proc/{pid}/ns/net"), &format!("net:[{netns}]"));
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
