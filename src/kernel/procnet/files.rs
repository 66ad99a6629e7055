//! The files under /proc/PID/net: opened through one directory, read line by line, never further than a limit.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::Ipv6Addr;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::NEEDS;
use crate::model::{Gap, Pid};

/// Lines read of a file that the kernel walks once from end to end. A whole internet table would fit into none of the
/// limits here; a namespace that large is read by entering it.
pub(super) const LIMIT: usize = 65_536;

/// Lines read of a file whose walk the kernel starts anew at every page, so that its cost grows with the square of
/// its length (ipv6_route: 0.1 s for 8,192 lines, 36 s for 100,000).
pub(super) const LIMIT_SQUARE: usize = 8_192;

/// The net directory of one process.
#[derive(Debug)]
pub(super) struct Files {
    // Opened once: it stays bound to the process, so that a pid given to another one in the meantime mixes nothing up.
    dir: OwnedFd,
    pid: Pid,
}

/// Whether a file was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    Cut,
    /// The namespace has no such file: the kernel lacks the protocol, or it is switched off.
    Absent,
}

impl Files {
    /// Opens a directory that holds the files of the process's namespace.
    pub(super) fn open(pid: Pid, dir: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Files { dir: open(dir, flags, Mode::empty())?, pid })
    }

    /// Calls `each` with every line of a file, without its end, up to the limit.
    pub(super) fn lines(&self, name: &str, limit: usize, mut each: impl FnMut(&[u8])) -> io::Result<Extent> {
        let mut file = match self.file(name.as_bytes()) {
            Ok(file) => BufReader::new(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                // A process that ended meanwhile has no files either, and that is no answer about its protocols.
                self.file(b"dev")?;
                return Ok(Extent::Absent);
            }
            Err(e) => return Err(e),
        };
        let mut line = Vec::with_capacity(256);
        for _ in 0..limit {
            line.clear();
            if file.read_until(b'\n', &mut line)? == 0 {
                return Ok(Extent::Whole);
            }
            each(line.strip_suffix(b"\n").unwrap_or(&line));
        }
        let at_end = file.fill_buf()?.is_empty();
        Ok(if at_end { Extent::Whole } else { Extent::Cut })
    }

    /// Like `lines`, for a file that the rest can do without: whatever was not read is a gap and the answer is false.
    /// Only the end of the process is an error.
    pub(super) fn whole(
        &self,
        name: &str,
        limit: usize,
        gaps: &mut Vec<Gap>,
        each: impl FnMut(&[u8]),
    ) -> io::Result<bool> {
        let why = match self.lines(name, limit, each) {
            Ok(Extent::Whole | Extent::Absent) => return Ok(true),
            Ok(Extent::Cut) => format!("the file is longer than {limit} lines"),
            Err(e) if gone(&e) => return Err(e),
            Err(e) => e.to_string(),
        };
        gaps.push(self.gap(format!("the rest of /proc/{}/net/{name}", self.pid), why));
        Ok(false)
    }

    /// First line of a small file; the name may be any bytes that a link may be called.
    pub(super) fn first_line(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        BufReader::new(self.file(name)?).read_until(b'\n', &mut line)?;
        Ok(line)
    }

    /// A gap of this process's namespace that root would not have.
    pub(super) fn gap(&self, what: impl Into<String>, why: impl Into<String>) -> Gap {
        Gap::new(what, format!("pid {}", self.pid), why).needs(NEEDS)
    }

    fn file(&self, name: &[u8]) -> io::Result<File> {
        Ok(openat(&self.dir, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }
}

/// The error says that the process has ended: nothing under its directory is left to open.
fn gone(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(nix::libc::ESRCH)
}

/// Fields of a line. The kernel refuses names with white space in them, so that a name is always one field.
pub(super) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|f| !f.is_empty())
}

/// A number in the given base.
pub(super) fn number(field: &[u8], base: u32) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(field).ok()?, base).ok()
}

/// An IPv6 address in the 32 digits that the files write.
pub(super) fn address6(field: &[u8]) -> Option<Ipv6Addr> {
    let digits = std::str::from_utf8(field).ok().filter(|d| d.len() == 32)?;
    u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_cut_and_a_missing_one_is_absent() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/procnet/pod");
        let files = Files::open(Pid(1), &dir).unwrap();
        let mut seen = 0;
        assert_eq!(files.lines("route", 3, |_| seen += 1).unwrap(), Extent::Cut);
        assert_eq!(seen, 3);
        assert_eq!(files.lines("route", LIMIT, |_| ()).unwrap(), Extent::Whole);
        assert_eq!(files.lines("no_such_protocol", LIMIT, |_| ()).unwrap(), Extent::Absent);

        let mut gaps = Vec::new();
        assert!(!files.whole("route", 3, &mut gaps, |_| ()).unwrap());
        assert_eq!(gaps[0].what, "the rest of /proc/1/net/route");
        assert_eq!(gaps[0].needs.as_deref(), Some(NEEDS));
    }

    #[test]
    fn a_file_that_ends_at_the_limit_is_whole() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/procnet/pod");
        let files = Files::open(Pid(1), &dir).unwrap();
        let mut lines = 0;
        files.lines("route", LIMIT, |_| lines += 1).unwrap();
        assert_eq!(files.lines("route", lines, |_| ()).unwrap(), Extent::Whole);
    }

    #[test]
    fn fields_keep_bytes_that_are_no_text() {
        let got: Vec<&[u8]> = fields(b"  1\ta\xff\x1b[1m   : \n").collect();
        assert_eq!(got, [b"1".as_slice(), b"a\xff\x1b[1m", b":"]);
    }
}
