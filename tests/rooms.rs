//! The rooms of the house, kept apart: reads the sources and fails where one uses another that it must not know, prints,
//! panics, or has grown too large. The table is that of the design.

use std::fs;
use std::path::{Path, PathBuf};

/// What each room may use of the others; everything else is closed to it. A room that is a file inside another one
/// (`wiring/plan`) is judged by its own line.
const MAY_USE: &[(&str, &[&str])] = &[
    ("cli", &[]),
    ("error", &[]),
    ("model", &[]),
    ("archive", &["error", "model"]),
    ("trace", &["model"]),
    ("recorded", &["error", "model"]),
    ("render", &["error", "model"]),
    ("kernel", &["error", "model"]),
    ("runtime", &["error", "model"]),
    ("wiring/plan", &["model", "wiring"]),
    ("wiring", &["error", "kernel", "model"]),
    ("target", &["error", "kernel", "model", "runtime"]),
    ("demo", &["error", "kernel", "model", "wiring"]),
    (
        "commands",
        &[
            "archive", "cli", "demo", "error", "kernel", "model", "recorded", "render", "runtime", "target", "trace",
            "wiring",
        ],
    ),
    ("main", &["cli", "commands", "error", "render"]),
    ("lib", &[]),
];

/// Paths into other crates and into the system that a room stays away from.
const NEVER: &[(&str, &[&str])] = &[
    ("model", &["std::fs", "std::env", "std::io", "std::time", "std::process", "std::thread", "nix::"]),
    ("trace", &["std::fs", "std::env", "std::io", "std::time", "std::process", "std::thread", "nix::"]),
    ("recorded", &["std::fs", "std::env", "std::io", "std::time", "std::process", "std::thread", "nix::"]),
    ("wiring/plan", &["std::fs", "std::env", "std::io", "std::time", "std::process", "nix::"]),
    ("render", &["std::fs", "std::env", "std::time", "std::process", "stdout", "stderr", "nix::"]),
];

/// Rooms that speak netlink.
const NETLINK: &[&str] = &["kernel", "wiring"];

/// A file of the program without its tests, comments and strings that only talk about code.
struct Source {
    name: String,
    text: String,
    code: Vec<(usize, String)>,
}

fn sources(dir: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut sources, mut dirs) = (Vec::new(), vec![root.join(dir)]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                let code = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim().to_owned()));
                // Tests are the last thing in a file.
                let code =
                    code.take_while(|(_, line)| line != "#[cfg(test)]").filter(|(_, line)| !line.starts_with("//"));
                sources.push(Source { code: code.collect(), name, text });
            }
        }
    }
    assert!(!sources.is_empty());
    sources
}

/// The program's own files; `tests.rs` in a folder are the tests of the file beside it, and what they need says so.
fn program() -> Vec<Source> {
    let own = |s: &Source| !s.name.ends_with("/tests.rs") && !s.code.iter().any(|(_, line)| line == "#![cfg(test)]");
    sources("src").into_iter().filter(own).collect()
}

impl Source {
    /// Names of the rooms that it is in, the smallest first.
    fn rooms(&self) -> Vec<String> {
        let mut parts: Vec<&str> = self.name.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
        let mut rooms = Vec::new();
        while !parts.is_empty() {
            rooms.push(parts.join("/"));
            parts.pop();
        }
        rooms
    }

    fn line<'a, T>(&self, table: &'a [(&str, T)]) -> Option<&'a T> {
        self.rooms().iter().find_map(|room| table.iter().find(|(name, _)| name == room)).map(|(_, line)| line)
    }

    /// The rooms that it uses, each with the line.
    fn uses(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let word =
            |text: &str| -> String { text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect() };
        for (number, line) in &self.code {
            for start in ["crate::", "podnet::"] {
                for (at, _) in line.match_indices(start) {
                    let rest = &line[at + start.len()..];
                    // `use crate::{a::B, c}`
                    let names: Vec<&str> = match rest.strip_prefix('{') {
                        Some(list) => list.split([',', '}']).map(str::trim).collect(),
                        None => vec![rest],
                    };
                    found.extend(names.into_iter().map(word).filter(|w| !w.is_empty()).map(|w| (*number, w)));
                }
            }
        }
        found
    }
}

#[track_caller]
fn none(flaws: Vec<String>) {
    assert!(flaws.is_empty(), "\n{}\n", flaws.join("\n"));
}

#[test]
fn every_room_is_in_the_table() {
    let without = program().into_iter().filter(|s| s.line(MAY_USE).is_none());
    none(without.map(|s| format!("{}: say in this test which rooms it may use", s.name)).collect());
}

#[test]
fn rooms_use_only_what_they_may() {
    let mut flaws = Vec::new();
    for source in program() {
        let Some(may) = source.line(MAY_USE) else { continue };
        let rooms = source.rooms();
        for (line, used) in source.uses() {
            // Items at the root of the crate are in no room.
            let is_room = MAY_USE.iter().any(|(room, _)| *room == used);
            if is_room && !rooms.contains(&used) && !may.contains(&used.as_str()) {
                flaws.push(format!("{}:{line}: uses {used}", source.name));
            }
        }
    }
    none(flaws);
}

#[test]
fn no_room_is_entered_by_the_back_door() {
    // `super` until the root of the crate would hide from the test above.
    let mut flaws = Vec::new();
    for source in program() {
        let depth = source.name.matches('/').count() - usize::from(source.name.ends_with("/mod.rs"));
        let outside = "super::".repeat(depth.max(1));
        for (line, code) in source.code.iter().filter(|(_, code)| code.contains(&outside)) {
            flaws.push(format!("{}:{line}: {code}", source.name));
        }
    }
    none(flaws);
}

#[test]
fn rooms_stay_away_from_what_is_not_theirs() {
    let mut flaws = Vec::new();
    for source in program() {
        let mut never: Vec<&str> = source.line(NEVER).map(|l| l.to_vec()).unwrap_or_default();
        if !NETLINK.contains(&source.rooms().last().unwrap().as_str()) {
            never.extend(["netlink_sys", "netlink_packet", "AF_NETLINK", "NETLINK_ROUTE"]);
        }
        for (line, code) in &source.code {
            flaws.extend(never.iter().filter(|n| code.contains(**n)).map(|n| format!("{}:{line}: {n}", source.name)));
        }
    }
    none(flaws);
}

#[test]
fn only_main_prints_and_exits() {
    let mut flaws = Vec::new();
    // What a demo's machine says to the one that started it goes through a pipe of theirs.
    let may = ["src/main.rs", "src/demo/hold.rs"];
    for source in program().iter().filter(|s| !may.contains(&s.name.as_str())) {
        for (line, code) in &source.code {
            let prints = ["println!", "print!(", "eprint", "dbg!(", "process::exit", "stdout().lock", "stdout().write"];
            flaws.extend(prints.iter().filter(|p| code.contains(**p)).map(|p| format!("{}:{line}: {p}", source.name)));
        }
    }
    none(flaws);
}

#[test]
fn nothing_panics() {
    let mut flaws = Vec::new();
    for source in program() {
        for (line, code) in &source.code {
            let panics = [
                ".unwrap()",
                ".expect(",
                "panic!(",
                "todo!(",
                "unimplemented!(",
                "unreachable!(",
                ".unwrap_unchecked(",
            ];
            flaws.extend(panics.iter().filter(|p| code.contains(**p)).map(|p| format!("{}:{line}: {p}", source.name)));
        }
    }
    none(flaws);
}

#[test]
fn every_file_says_what_it_owns_and_stays_small() {
    let mut flaws = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        if !source.text.starts_with("//! ") {
            flaws.push(format!("{}: does not open with //!", source.name));
        }
        let lines = source.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
        if source.name.starts_with("src/") && lines > 400 {
            flaws.push(format!("{}: {lines} lines, split it by topic", source.name));
        }
    }
    none(flaws);
}

#[test]
fn one_netlink_stack() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = ["tree", "--offline", "--duplicates", "--edges", "normal", "--prefix", "none", "--depth", "0"];
    let out = std::process::Command::new(cargo).args(tree).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let twice = text.lines().filter(|line| line.starts_with("netlink"));
    none(twice.map(str::to_owned).collect());
}
