//! Mount tables (/proc/PID/mountinfo), of which only the mounts of network namespaces are kept.
//!
//! Parsed by hand: the procfs crate gives up on the whole table for one line that it cannot read.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::ns;
use super::process::{NEEDS, forbidden};
use crate::kernel::socket::Refused;
use crate::model::{Gap, Pid};

/// Bytes read of one table, and of all together: a container can mount a hundred thousand things.
const TABLE: u64 = 16 << 20;
const TABLES: u64 = 128 << 20;

/// A mount of a network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NsMount {
    pub(super) inode: u64,
    /// Where it is mounted, seen from the root of the process that was asked.
    pub(super) point: PathBuf,
}

/// Reads tables until there has been too much to read.
pub(super) struct Tables {
    left: u64,
    buffer: Vec<u8>,
}

impl Tables {
    pub(super) fn new() -> Self {
        Tables { left: TABLES, buffer: Vec::new() }
    }

    /// The namespaces mounted in the mount namespace of a process; nothing for a process that is gone.
    pub(super) fn read(&mut self, pid: Pid, gaps: &mut Vec<Gap>) -> Vec<NsMount> {
        let limit = TABLE.min(self.left);
        self.buffer.clear();
        let read =
            File::open(format!("/proc/{pid}/mountinfo")).and_then(|f| f.take(limit).read_to_end(&mut self.buffer));
        let at = || format!("the mount namespace of pid {pid}");
        match read {
            Ok(length) if length as u64 == limit => {
                gaps.push(Gap::new("mounts", at(), format!("too many: only the first {limit} bytes were read")));
            }
            Ok(_) => {}
            Err(error) if gone(&error) => {}
            Err(error) => {
                let refused = Refused::from(error);
                let gap = Gap::new("mounts", at(), refused.to_string());
                gaps.push(if forbidden(refused.errno) { gap.needs(NEEDS) } else { gap });
            }
        }
        self.left -= self.buffer.len() as u64;
        parse(&self.buffer)
    }
}

/// ENOENT where the process is gone before the file was opened, ESRCH or EINVAL where it went afterwards.
fn gone(error: &io::Error) -> bool {
    use nix::libc::{EINVAL, ENOENT, ESRCH};
    matches!(error.raw_os_error(), Some(ENOENT | ESRCH | EINVAL))
}

/// The mounts of network namespaces in a table, in its order and each once: where mounts are shared the kernel lists
/// the same one several times. A line that makes no sense is passed over.
fn parse(table: &[u8]) -> Vec<NsMount> {
    let mut seen = std::collections::HashSet::new();
    let mounts = table.split(|b| *b == b'\n').filter_map(parse_line);
    mounts.filter(|mount| seen.insert(mount.clone())).collect()
}

/// `id parent major:minor root point options [optional ...] - type source options`
fn parse_line(line: &[u8]) -> Option<NsMount> {
    let mut fields = line.split(|b| *b == b' ');
    let inode = ns::inode(fields.nth(3)?)?;
    let point = fields.next()?;
    fields.find(|field| *field == b"-")?;
    (fields.next()? == b"nsfs").then(|| NsMount { inode, point: OsString::from_vec(unescape(point)).into() })
}

/// Undoes the kernel's `\ooo` for space, tab, line break, backslash and `#`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if byte == b'\\' => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn mounts(table: &str) -> Vec<(u64, String)> {
        parse(table.as_bytes()).into_iter().map(|m| (m.inode, m.point.display().to_string())).collect()
    }

    #[test]
    fn namespaces_are_picked_out_of_a_table() {
        let table = "\
24 30 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
26 30 0:24 / /run rw,nosuid,nodev,size=2453068k,mode=755 shared:5 - tmpfs tmpfs rw
300 26 0:24 /netns /run/netns rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,mode=755
301 300 0:4 net:[4026532750] /run/netns/blue rw shared:200 - nsfs nsfs rw
302 26 0:4 net:[4026532750] /run/netns/blue rw shared:200 - nsfs nsfs rw
303 26 0:4 mnt:[4026532751] /run/snapd/ns/lxd.mnt rw - nsfs nsfs rw
304 26 0:4 net:[4026532800] /run/docker/netns/1-ab rw master:3 propagate_from:2 - nsfs nsfs rw
";
        let expected = [(4026532750, "/run/netns/blue".into()), (4026532800, "/run/docker/netns/1-ab".into())];
        assert_eq!(mounts(table), expected);
    }

    #[test]
    fn odd_lines_cost_only_themselves() {
        let table = "\n\
x\n\
1 2 0:4 net:[1]\n\
1 2 0:4 net:[2] /a rw\n\
1 2 0:4 net:[3] /a rw - ext4 /dev/vda rw\n\
1 2 8:1 /net:[4] /a rw - nsfs nsfs rw\n\
1 2 0:4 net:[five] /a rw - nsfs nsfs rw\n\
1 2 0:4 net:[6] /a\\040b\\011c\\134d\\012e\\043f rw - nsfs nsfs rw\n\
1 2 0:4 net:[7] /cut\\04 rw - nsfs";
        assert_eq!(mounts(table), [(6, "/a b\tc\\d\ne#f".into()), (7, "/cut\\04".into())]);
    }

    #[test]
    fn mount_points_may_be_any_bytes() {
        let table = b"1 2 0:4 net:[8] /a\xff\x1b rw - nsfs nsfs rw\n";
        assert_eq!(parse(table)[0].point.as_os_str().as_bytes(), b"/a\xff\x1b");
    }
}
