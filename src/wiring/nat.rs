//! Masquerading by rules in podnet's own nftables table, told to the `nft` program in the words that a plan shows.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::model::Masquerade;

/// Why there is no `nft`; none: there is.
pub fn missing() -> Option<String> {
    let found = program().is_some();
    (!found).then(|| "nft is in no directory of PATH".to_owned())
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An ordinary user's PATH often lacks the directories of the administrator.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|dir| dir.join("nft")).find(|place| place.is_file())
}

fn nft(args: &[&str]) -> io::Result<String> {
    let program = program().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "nft is in no directory of PATH"))?;
    // What is typed at the terminal is for podnet, which waits for the answer and then undoes what was done.
    let mut command = Command::new(program);
    let child = command
        .args(args)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => String::from_utf8(output.stdout).map_err(io::Error::other),
        false => {
            let words = String::from_utf8_lossy(&output.stderr);
            let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
            Err(io::Error::other(format!("nft: {words}")))
        }
    }
}

pub(super) fn add(rule: &Masquerade) -> io::Result<()> {
    nft(&[&rule.script()]).map(|_| ())
}

/// Comments and handles of podnet's rules; none where it has no table.
fn rules() -> io::Result<Vec<(String, u64)>> {
    let tables: Value = serde_json::from_str(&nft(&["-j", "list", "tables"])?)?;
    let ours = |v: &Value| v["table"]["name"] == "podnet" && v["table"]["family"] == "inet";
    if !tables["nftables"].as_array().is_some_and(|all| all.iter().any(ours)) {
        return Ok(Vec::new());
    }
    let chain: Value = serde_json::from_str(&nft(&["-j", "-a", "list", "table", "inet", "podnet"])?)?;
    let rules = chain["nftables"].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(|v| {
        let rule = v.get("rule")?;
        Some((rule["comment"].as_str().unwrap_or_default().to_owned(), rule["handle"].as_u64()?))
    });
    Ok(rules.collect())
}

/// Comments of all rules in podnet's table; none where there is no `nft` to have made one.
pub fn commented() -> io::Result<Vec<String>> {
    match program() {
        Some(_) => Ok(rules()?.into_iter().map(|(comment, _)| comment).collect()),
        None => Ok(Vec::new()),
    }
}

pub(super) fn remove(comment: &str) -> io::Result<()> {
    let all = rules()?;
    let (ours, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(c, _)| c == comment);
    if ours.is_empty() {
        return Ok(());
    }
    if others.is_empty() {
        return nft(&["delete table inet podnet"]).map(|_| ());
    }
    let script = ours.iter().map(|(_, handle)| format!("delete rule inet podnet postrouting handle {handle}"));
    nft(&[&script.collect::<Vec<_>>().join("; ")]).map(|_| ())
}
