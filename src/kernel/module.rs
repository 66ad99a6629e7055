//! Which parts the running kernel has loaded. Asking some of them would load them, and podnet changes nothing.

use std::fs;

/// The part of this name is there, built in or loaded.
pub fn is_there(name: &str) -> bool {
    // What is loaded has a folder, too, which is one look where the list of all is long.
    if fs::metadata(format!("/sys/module/{name}")).is_ok() {
        return true;
    }
    // A kernel without modules has all that it will ever have.
    let Ok(loaded) = fs::read_to_string("/proc/modules") else { return true };
    loaded.lines().any(|line| line.split(' ').next() == Some(name)) || is_built_in(name)
}

fn is_built_in(name: &str) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let list = fs::read_to_string(format!("/lib/modules/{}/modules.builtin", release.trim())).unwrap_or_default();
    let file = format!("/{name}.ko");
    list.lines().any(|line| line.ends_with(&file))
}
