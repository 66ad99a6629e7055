//! What /proc says of a process itself: its parent, when it started, whose it is, its namespaces.

use super::disk::Disk;
use crate::model::text;

/// The fields of `/proc/PID/stat` that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    pub comm: String,
    pub parent: u32,
    /// Clock ticks since boot.
    pub start: u64,
}

pub(super) fn stat(disk: &Disk, pid: u32) -> Option<Stat> {
    parse_stat(&disk.proc_at_once(pid, "stat").ok()?)
}

fn parse_stat(stat: &[u8]) -> Option<Stat> {
    // The name stands in brackets and may hold any bytes, brackets among them; no later field does.
    let open = stat.iter().position(|b| *b == b'(')?;
    let close = stat.iter().rposition(|b| *b == b')')?;
    let comm = text(stat.get(open + 1..close)?);
    let rest = std::str::from_utf8(&stat[close + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    Some(Stat { comm, parent: fields.nth(1)?.parse().ok()?, start: fields.nth(17)?.parse().ok()? })
}

/// Uid that a process runs as. Not the owner of its directory in /proc: a process can have that shown as root.
pub(super) fn uid(disk: &Disk, pid: u32) -> Option<u32> {
    let status = disk.proc_at_once(pid, "status").ok()?;
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // Real, effective, saved, file system: a setuid program is its caller's as well.
    let mut uids = line.split_ascii_whitespace().map(str::parse::<u32>);
    let real = uids.next()?.ok()?;
    let effective = uids.next()?.ok()?;
    Some(real.max(effective))
}

/// The words of a command line. A process may write anything there.
pub(super) fn command_line(disk: &Disk, pid: u32) -> Vec<String> {
    let bytes = disk.proc(pid, "cmdline").unwrap_or_default();
    let line = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    line.split(|b| *b == 0).take(256).map(text).collect()
}

/// The word after a flag, or behind its `=`.
pub(super) fn flag<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
    words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix(name)? {
        "" => words.get(at + 1).map(String::as_str),
        value => value.strip_prefix('='),
    })
}

/// Two processes are in the same network namespace; none: that cannot be seen.
pub(super) fn share_netns(disk: &Disk, a: u32, b: u32) -> Option<bool> {
    if a == b {
        return Some(true);
    }
    let netns = |pid| disk.proc_link(pid, "ns/net").ok();
    Some(netns(a)? == netns(b)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::tree::Tree;

    #[test]
    fn stat_of_any_name() {
        let tail = "S 17 4711 4711 0 -1 4194560 115 0 0 0 0 0 0 0 20 0 1 0 123456 2752512 290 18446744073709551615";
        for comm in ["sleep", "a b", "a) R 1 2 3", ")", "(", "\n"] {
            let expected = Stat { comm: comm.to_owned(), parent: 17, start: 123456 };
            assert_eq!(parse_stat(format!("4711 ({comm}) {tail}\n").as_bytes()), Some(expected));
        }
        for broken in ["", "4711", "4711 (a", "4711 )a(", "4711 (a) S", "4711 (a) S x y z"] {
            assert_eq!(parse_stat(broken.as_bytes()), None);
        }
    }

    #[test]
    fn flags_are_found_in_both_ways_of_writing() {
        let words: Vec<String> = ["conmon", "-c", "1", "--name=web", "-n"].map(str::to_owned).into();
        assert_eq!(flag(&words, "-c"), Some("1"));
        assert_eq!(flag(&words, "--name"), Some("web"));
        assert_eq!(flag(&words, "-n"), None);
        assert_eq!(flag(&words, "--na"), None);
    }

    #[test]
    fn the_lesser_uid_does_not_count() {
        let tree = Tree::new("uid");
        tree.file("proc/7/status", "Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t0\t0\t0\t0\n");
        tree.file("proc/8/status", "Name:\tx\nUid:\t0\t0\t0\t0\n");
        let disk = Disk::new(tree.path());
        assert_eq!((uid(&disk, 7), uid(&disk, 8), uid(&disk, 9)), (Some(1000), Some(0), None));
    }
}
