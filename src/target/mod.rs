//! From what the user typed to a namespace, one kind of target a file. What fits nothing or several things is an error
//! that says what was tried, what was found, or what comes near.

mod addr;
mod destination;
mod link;
mod offered;
mod owner;
mod pid;
mod place;

use std::io;
use std::net::IpAddr;
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Error, ErrorId, Result};
use crate::kernel::Live;
use crate::kernel::netns::NetnsFile;
use crate::model::{NetnsId, Owner, Pid, Source, Topology};

pub use destination::{address, address_in, destination};
pub use offered::offered;

const ROOT: &str = "run podnet as root";

const HINT: &str = "a target is a pod (namespace/pod), a container, a pid, a network namespace (path, name or \
                    netns:INODE), a host link, or an address; podnet list shows what is there";

/// What a target turned out to be.
struct Found {
    netns: NetnsId,
    /// The process that it was reached through.
    pid: Option<Pid>,
    /// The container that was named, where the namespace is the host's.
    tenant: Option<Owner>,
}

impl Found {
    fn at(netns: NetnsId, pid: Option<Pid>) -> Self {
        Found { netns, pid, tenant: None }
    }
}

/// Finds the namespace that the text means.
pub fn resolve(live: &mut Live, target: &str) -> Result<Source> {
    let found = find(live, target)?;
    let netns = live.netns(found.netns);
    Ok(Source {
        netns: found.netns,
        netns_name: netns.name,
        pid: found.pid.or(netns.pid),
        owner: netns.owner,
        tenant: found.tenant,
        holders: Vec::new(),
    })
}

fn find(live: &mut Live, target: &str) -> Result<Found> {
    if target.is_empty() {
        return Err(Error::new(ErrorId::Usage, "the target is empty").hint(HINT));
    }
    let target = choice(target);
    match target.split_once(':') {
        Some(("pid", rest)) => return pid::find(live, rest),
        Some(("link", rest)) => return link::find(live, rest),
        Some(("ip", rest)) => return addr::by_ip(live, addr::ip(rest)?),
        Some(("mac", rest)) => return addr::by_mac(live, addr::mac(rest)?),
        Some(("pod", rest)) => return owner::find(live, rest, owner::Kind::Pod),
        Some(("ctr", rest)) => return owner::find(live, rest, owner::Kind::Container),
        Some(("netns", rest)) if is_number(rest) => return place::by_inode(live, rest),
        Some(("netns", rest)) => return place::by_name(live, rest)?.ok_or_else(|| place::unknown(rest)),
        _ => {}
    }
    // `dev/web` is a pod also where a directory happens to have that name.
    if target.starts_with(['/', '.']) || (target.contains('/') && NetnsFile::open(target).is_ok()) {
        return place::by_path(live, Path::new(target), target);
    }
    // A name may be all digits, too, where no process has them.
    if is_number(target) && !place::is_only_a_name(target) {
        // Longer than any pid: perhaps the start of a container's id that happens to have no letter in it.
        let long = target.len() > pid::DIGITS;
        let started = if long { owner::matching(live, target, owner::Kind::Container) } else { Vec::new() };
        return match started.is_empty() {
            true => pid::find(live, target),
            false => owner::only(live, target, owner::Kind::Container, started),
        };
    }
    if let Ok(ip) = target.parse::<IpAddr>() {
        return addr::by_ip(live, ip);
    }
    match addr::mac(target) {
        Ok(mac) => addr::by_mac(live, mac),
        Err(_) => by_any_name(live, target),
    }
}

/// One of the things that an ambiguous target means is offered with who that is in brackets, and may come back so.
fn choice(target: &str) -> &str {
    let (typed, who) = target.split_once(" (").unwrap_or((target, ""));
    let number = typed.strip_prefix("netns:").or_else(|| typed.strip_prefix("pid:"));
    if who.ends_with(')') && (typed == "host" || number.is_some_and(is_number)) { typed } else { target }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A name without a kind: of a link, a namespace, a pod or a container.
fn by_any_name(live: &mut Live, name: &str) -> Result<Found> {
    let is_link = link::own(live, name)?.is_some();
    let mut found: Vec<String> = place::named(name).iter().map(|p| p.to_string_lossy().into_owned()).collect();
    if is_link {
        found.push(format!("link:{name}"));
    }
    if name == "host" {
        if found.is_empty() {
            return place::host(live);
        }
        found.push("/proc/1/ns/net".to_owned());
        return Err(ambiguous(name, found));
    }
    let mut owners = owner::matching(live, name, owner::Kind::Any);
    if !found.is_empty() {
        // Those without a runtime are only called by the name of a file, or of a process.
        owners.retain(|owned| owned.owner.as_ref().is_some_and(|owner| !owner.is_bare()));
    }
    let by_name = match found.as_slice() {
        [] => return owner::only(live, name, owner::Kind::Any, owners),
        [_] if is_link => Some(link::find(live, name)),
        [_] => Some(place::by_name(live, name).and_then(|found| found.ok_or_else(|| place::unknown(name)))),
        _ => None,
    };
    // People give a namespace the name of the container whose it is: no two things then.
    match by_name {
        Some(Ok(one)) if owners.iter().all(|owned| owned.id == Some(one.netns)) => Ok(one),
        Some(Err(error)) if owners.is_empty() => Err(error),
        _ => {
            found.extend(owners.iter().map(owner::told));
            Err(ambiguous(name, found))
        }
    }
}

fn ambiguous(name: &str, found: Vec<String>) -> Error {
    Error::new(ErrorId::AmbiguousTarget, format!("{name:?} means several things"))
        .candidates(found)
        .hint("type what one of these lines begins with instead")
}

fn denied(e: &io::Error) -> bool {
    matches!(e.raw_os_error().map(Errno::from_raw), Some(Errno::EACCES | Errno::EPERM))
}
