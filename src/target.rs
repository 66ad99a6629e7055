//! From what the user typed to a namespace: a pid, a path, a name, an inode, a link of the host, an address. What fits
//! nothing or several things is an error that says what was tried or found.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::{Error, ErrorId, Result};
use crate::kernel::holders::NETNS_DIRS;
use crate::kernel::link::{self, Where};
use crate::kernel::netns::{self, NetnsFile};
use crate::kernel::{Live, addr, text};
use crate::model::{LinkId, NetnsId, Pid, Source, Topology};

/// An ambiguous address is shown with this many of its holders.
const SHOWN: usize = 20;

const ROOT: &str = "run podnet as root";

/// Finds the namespace that the text means.
pub fn resolve(live: &mut Live, target: &str) -> Result<Source> {
    if target.is_empty() {
        return Err(Error::new(ErrorId::Usage, "the target is empty").hint(HINT));
    }
    let (netns, pid) = match target.split_once(':') {
        Some(("pid", rest)) => by_pid(live, rest)?,
        Some(("link", rest)) => by_link(live, rest)?,
        Some(("ip", rest)) => by_ip(live, ip(rest)?)?,
        Some(("netns", rest)) if rest.bytes().all(|b| b.is_ascii_digit()) && !rest.is_empty() => by_inode(live, rest)?,
        Some(("netns", rest)) => by_name(live, rest)?.ok_or_else(|| unknown(rest))?,
        _ if target.contains('/') => by_path(live, Path::new(target), target)?,
        // A name may be all digits, too, where no process has them.
        _ if target.bytes().all(|b| b.is_ascii_digit()) && !is_only_a_name(target) => by_pid(live, target)?,
        _ => match target.parse::<IpAddr>() {
            Ok(ip) => by_ip(live, ip)?,
            Err(_) => by_any_name(live, target)?,
        },
    };
    let found = live.netns(netns);
    Ok(Source { netns, netns_name: found.name, pid: pid.or(found.pid), owner: found.owner, holders: Vec::new() })
}

const HINT: &str = "a target is a pid, a namespace (path, name or netns:INODE), a host link, or an address; \
                    podnet list shows what is there";

type Found = (NetnsId, Option<Pid>);

fn unknown(name: &str) -> Error {
    let tried = format!("no namespace name, and no link of podnet's own namespace, is {name:?}");
    Error::new(ErrorId::UnknownTarget, tried).hint(HINT)
}

fn ip(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|e| Error::new(ErrorId::Usage, format!("{text:?} is no address")).because(e).hint(HINT))
}

fn by_pid(live: &mut Live, digits: &str) -> Result<Found> {
    let pid = match digits.parse::<u32>() {
        Ok(0) => {
            return Err(Error::new(ErrorId::Usage, "0 is no process").hint("podnet trace host shows the host itself"));
        }
        Ok(pid) => Pid(pid),
        Err(e) => {
            return Err(Error::new(ErrorId::Usage, format!("{digits:?} is no process id")).because(e).hint(HINT));
        }
    };
    let comm = fs::read(format!("/proc/{pid}/comm")).map(|c| text(c.trim_ascii_end())).ok();
    let name = comm.clone().unwrap_or_else(|| format!("pid {pid}"));
    let netns = match NetnsFile::open(format!("/proc/{pid}/ns/net")) {
        Ok(file) => {
            let id = file.id();
            match live.spaces.enter(file, name.clone(), Some(pid)) {
                Ok(netns) => netns,
                // The file may be read and the namespace not entered: a container in a user namespace of its own.
                Err(_) => live.spaces.read_only(pid, name, Some(id))?,
            }
        }
        Err(e) if denied(&e) => live.spaces.read_only(pid, name, None)?,
        Err(e) if comm.is_some() => return Err(ended(pid, e)),
        // No such process, or one that /proc hides.
        Err(_) => live.spaces.read_only(pid, name, None)?,
    };
    Ok((netns, Some(pid)))
}

fn ended(pid: Pid, e: io::Error) -> Error {
    let stat = procfs::process::Process::new(pid.0 as i32).and_then(|process| process.stat());
    let zombie = stat.is_ok_and(|stat| stat.state == 'Z');
    let what = if zombie { "has ended and only waits for its parent (zombie)" } else { "has just ended" };
    Error::new(ErrorId::Gone, format!("process {pid} {what}: it has no network namespace any more"))
        .because(e)
        .hint("podnet list shows what is there now")
}

fn denied(e: &io::Error) -> bool {
    matches!(e.raw_os_error().map(Errno::from_raw), Some(Errno::EACCES | Errno::EPERM))
}

fn by_path(live: &mut Live, path: &Path, typed: &str) -> Result<Found> {
    let file = NetnsFile::open(path).map_err(|e| match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ESRCH) => {
            Error::new(ErrorId::UnknownTarget, format!("there is no {typed}")).because(e).hint(HINT)
        }
        Some(Errno::EINVAL | Errno::ENXIO | Errno::EISDIR) => {
            let error = Error::new(ErrorId::NotANetns, format!("{typed} is no network namespace"));
            match NETNS_DIRS.iter().any(|dir| path.parent() == Some(Path::new(dir))) {
                true => error
                    .hint("it is a plain file: the namespace behind it was unmounted, or is mounted elsewhere only"),
                false => error.hint("name a file like /run/netns/blue or /proc/4711/ns/net"),
            }
        }
        _ if denied(&e) => {
            Error::new(ErrorId::NoPermission, format!("{typed} may not be opened")).because(e).hint(ROOT)
        }
        _ => Error::new(ErrorId::Failed, format!("opening {typed}")).because(e).hint(HINT),
    })?;
    let last = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let pid = pid_in(path);
    let name = match pid {
        Some(pid) => fs::read(format!("/proc/{pid}/comm")).map(|c| text(c.trim_ascii_end())).unwrap_or(last),
        None => last,
    };
    let netns = live.spaces.enter(file, name, pid).map_err(|e| {
        Error::new(ErrorId::NoPermission, format!("the namespace {typed} may not be entered")).because(e).hint(ROOT)
    })?;
    Ok((netns, pid))
}

/// The process in `/proc/<pid>/ns/net`.
fn pid_in(path: &Path) -> Option<Pid> {
    let rest = path.strip_prefix("/proc").ok()?;
    rest.ends_with("ns/net").then_some(())?;
    rest.iter().next()?.to_str()?.parse().ok().map(Pid)
}

fn by_inode(live: &mut Live, digits: &str) -> Result<Found> {
    let wanted: u64 = digits
        .parse()
        .map_err(|e| Error::new(ErrorId::Usage, format!("netns:{digits} is no inode number")).because(e).hint(HINT))?;
    let own = live.spaces.own();
    if own.ino() == Some(wanted) {
        return Ok((own, None));
    }
    let unknown = || {
        let tried = format!("no process and no mount on this machine holds the namespace net:[{wanted}]");
        Error::new(ErrorId::UnknownTarget, tried)
            .hint("podnet list --deep also looks at threads, open files and sockets")
    };
    let found = live.spaces.found().iter().find(|f| f.id.ino() == Some(wanted)).ok_or_else(unknown)?;
    let (file, name, pid) = (found.open(), found.name(netns::host()), found.pid());
    let entered = file.and_then(|file| live.spaces.enter(file, name, pid));
    let netns = entered.map_err(|e| {
        Error::new(ErrorId::NoPermission, format!("the namespace net:[{wanted}] may not be entered"))
            .because(e)
            .hint(ROOT)
    })?;
    Ok((netns, pid))
}

/// A name under one of the directories where names of namespaces are kept.
fn by_name(live: &mut Live, name: &str) -> Result<Option<Found>> {
    let places = named(name);
    match places.as_slice() {
        [] => Ok(None),
        [place] => by_path(live, place, &place.to_string_lossy()).map(Some),
        several => Err(ambiguous(name, several.iter().map(|p| p.to_string_lossy().into_owned()).collect())),
    }
}

fn named(name: &str) -> Vec<PathBuf> {
    if name.is_empty() || name == "." || name == ".." {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let new = |path: &PathBuf| match fs::metadata(path) {
        // One directory is often a link to another, so that `ip netns` shows Docker's, too.
        Ok(stat) => seen.insert((stat.dev(), stat.ino())),
        // A name that leads nowhere is still what was meant, and opening it says why it leads nowhere.
        Err(_) => fs::symlink_metadata(path).is_ok(),
    };
    NETNS_DIRS.iter().map(|dir| Path::new(dir).join(name)).filter(new).collect()
}

fn is_only_a_name(digits: &str) -> bool {
    !named(digits).is_empty() && fs::symlink_metadata(format!("/proc/{digits}")).is_err()
}

fn ambiguous(name: &str, found: Vec<String>) -> Error {
    Error::new(ErrorId::AmbiguousTarget, format!("{name:?} means several things"))
        .candidates(found)
        .hint("type what one of these lines begins with instead")
}

fn by_any_name(live: &mut Live, name: &str) -> Result<Found> {
    let is_link = own_link(live, name)?.is_some();
    let names = named(name);
    let is_host = name == "host";
    match (names.len() + usize::from(is_link), is_link) {
        (0, _) if is_host => by_path(live, Path::new("/proc/1/ns/net"), "/proc/1/ns/net").or_else(|e| {
            // An ordinary user may not open pid 1's, and mostly is in it.
            let own = live.spaces.own();
            if live.netns(own).name == "host" { Ok((own, None)) } else { Err(e) }
        }),
        (0, _) => Err(unknown(name)),
        (1, true) if !is_host => by_link(live, name),
        (1, false) if !is_host => by_name(live, name)?.ok_or_else(|| unknown(name)),
        _ => {
            let mut found: Vec<String> = names.iter().map(|p| p.to_string_lossy().into_owned()).collect();
            if is_link {
                found.push(format!("link:{name}"));
            }
            if is_host {
                found.push("/proc/1/ns/net".to_owned());
            }
            Err(ambiguous(name, found))
        }
    }
}

fn own_link(live: &mut Live, name: &str) -> Result<Option<crate::model::Link>> {
    let own = live.spaces.own();
    let Some((socket, _)) = live.spaces.socket(own) else { return Ok(None) };
    link::by_name(socket, name)
        .map_err(|refused| Error::new(ErrorId::Kernel, format!("looking for a link {name:?}")).because(refused))
}

/// The namespace at the other end of a pair.
fn by_link(live: &mut Live, name: &str) -> Result<Found> {
    let own = live.spaces.own();
    let here = live.netns(own).name;
    let Some(link) = own_link(live, name)? else {
        return Err(Error::new(ErrorId::UnknownTarget, format!("there is no link {name:?} in {here}")).hint(HINT));
    };
    if !link.is_pair() {
        let message =
            format!("{name} is a {} of {here}, not one end of a pair: no container is at its other end", link.kind);
        return Err(Error::new(ErrorId::UnknownTarget, message).hint(format!(
            "podnet trace {here} shows {here} itself; podnet list --bridge {name} a bridge's containers"
        )));
    }
    let far = live
        .far_end(LinkId { netns: own, ifindex: link.ifindex }, &link)
        .map_err(|gap| Error::new(ErrorId::NoPermission, format!("{} of {name}: {}", gap.what, gap.why)).hint(ROOT))?;
    match far {
        Some(far) if far.netns != own => Ok((far.netns, None)),
        _ => Err(Error::new(ErrorId::UnknownTarget, format!("both ends of {name} are in {here}"))
            .hint(format!("podnet trace {here} shows {here} itself"))),
    }
}

/// The namespace that holds an address.
fn by_ip(live: &mut Live, ip: IpAddr) -> Result<Found> {
    let own = live.spaces.own();
    let mut holders: Vec<(Option<usize>, String)> = Vec::new();
    let mut closed = 0;
    if let Some((socket, _)) = live.spaces.socket(own)
        && holds(socket, ip)
    {
        holders.push((None, format!("netns:{} ({})", own.ino().unwrap_or(0), live.netns(own).name)));
    }
    let found = live.spaces.found();
    for (index, candidate) in found.iter().enumerate().filter(|(_, f)| f.id != own) {
        match candidate.open().and_then(|file| file.socket()).map(|mut socket| holds(&mut socket, ip)) {
            Ok(true) => {
                let (ino, name) = (candidate.id.ino().unwrap_or(0), candidate.name(netns::host()));
                holders.push((Some(index), format!("netns:{ino} ({name})")));
            }
            Ok(false) => {}
            Err(e) if denied(&e) => closed += 1,
            // It has vanished, and its addresses with it.
            Err(_) => {}
        }
    }
    match holders.as_slice() {
        [(None, _)] => Ok((own, None)),
        [(Some(index), _)] => {
            let ino = live.spaces.found().get(*index).and_then(|f| f.id.ino()).unwrap_or(0);
            by_inode(live, &ino.to_string())
        }
        [] => {
            let error =
                Error::new(ErrorId::UnknownTarget, format!("no namespace that podnet can look into holds {ip}"));
            Err(match closed {
                0 => error.hint("podnet list shows all addresses; an address on another machine can only be a --to"),
                n => error.hint(format!("{n} namespaces are closed to you: {ROOT}")),
            })
        }
        several => Err(ambiguous(&ip.to_string(), several.iter().take(SHOWN).map(|(_, t)| t.clone()).collect())),
    }
}

fn holds(socket: &mut crate::kernel::socket::Socket, ip: IpAddr) -> bool {
    addr::dump(socket, None, Where::Here).is_ok_and(|d| d.items.iter().any(|(_, a)| a.local == ip))
}
