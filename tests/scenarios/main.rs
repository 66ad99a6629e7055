//! Recorded machines and what podnet says of them, word for word: no privilege, no namespaces, the same everywhere. Each
//! folder of `tests/scenarios` has recordings and a file `cases` with a command a line; what each says as text and as JSON
//! stands beside them. Recordings of link kinds that the kernel at hand does not have are made by `kinds`.
//! `PODNET_REGENERATE=1 cargo test --test scenarios` makes those and writes the answers anew: read the change.

mod kinds;
mod machine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Folders with a file `cases`.
fn scenarios() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut all: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|dir| dir.join("cases").is_file());
    all.sort();
    all
}

fn say(dir: &Path, words: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podnet"));
    command.args(words).args(["--snapshot", "."]).current_dir(dir).stdin(Stdio::null()).env_remove("NO_COLOR");
    let out = command.output().unwrap();
    assert!(matches!(out.status.code(), Some(0..=3)), "{words:?}: {:?}", out.status);
    [out.stdout, out.stderr].concat()
}

/// Recordings of machines that nobody has at hand are made; those of the others were taken.
fn made_as_ever(regenerate: bool) {
    for (name, machines) in kinds::all() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name);
        for machine in machines {
            let (file, made) = machine.written();
            if regenerate {
                fs::create_dir_all(&dir).unwrap();
                fs::write(dir.join(&file), &made).unwrap();
            }
            let there = fs::read_to_string(dir.join(&file)).unwrap_or_default();
            assert!(there == made, "{name}/{file} is not what tests/scenarios/kinds makes");
        }
    }
}

#[test]
fn recordings_are_answered_as_ever() {
    let regenerate = std::env::var_os("PODNET_REGENERATE").is_some();
    made_as_ever(regenerate);
    let mut seen = 0;
    for dir in scenarios() {
        let cases = fs::read_to_string(dir.join("cases")).unwrap();
        for (number, case) in cases.lines().enumerate() {
            let words: Vec<&str> = case.split_whitespace().collect();
            for (ending, more) in [("text", None), ("json", Some("--json"))] {
                let said = say(&dir, &words.iter().copied().chain(more).collect::<Vec<_>>());
                let file = dir.join("said").join(format!("{}.{ending}", number + 1));
                if regenerate {
                    fs::create_dir_all(dir.join("said")).unwrap();
                    fs::write(&file, &said).unwrap();
                }
                let wanted = fs::read(&file).unwrap_or_default();
                let (said, wanted) = (String::from_utf8(said).unwrap(), String::from_utf8(wanted).unwrap());
                assert!(said == wanted, "{}: podnet {case}\nsays\n{said}\nand not\n{wanted}", file.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "only {seen} answers");
}
