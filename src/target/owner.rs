//! A pod or a container as a target: by name, `namespace/pod`, uid, id or the start of an id.

use super::{Found, HINT, ambiguous, offered, pid, place};
use crate::error::{Error, ErrorId, Result};
use crate::kernel::Live;
use crate::kernel::spaces::Owned;
use crate::model::{Owner, nearest};

/// Letters of an id that are enough where nothing says that it is one: shorter ones are words.
const START_OF_ID: usize = 4;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pod,
    Container,
    Any,
}

/// The namespace of the one that has this name.
pub(super) fn find(live: &mut Live, name: &str, kind: Kind) -> Result<Found> {
    if name.is_empty() {
        return Err(Error::new(ErrorId::Usage, "the name is empty").hint(HINT));
    }
    let found = matching(live, name, kind);
    only(live, name, kind, found)
}

/// Everybody who has this name.
pub(super) fn matching(live: &mut Live, name: &str, kind: Kind) -> Vec<Owned> {
    let all = live.spaces.owned();
    let exact = foremost(all.iter().filter(|o| is_called(o, name, kind)).cloned().collect());
    let is_start = kind == Kind::Container || (kind == Kind::Any && name.len() >= START_OF_ID);
    if !exact.is_empty() || !is_start || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return exact;
    }
    let starts = |owner: &Owner| owner.containers.iter().any(|c| c.id.starts_with(&name.to_lowercase()));
    foremost(all.into_iter().filter(|o| o.owner.as_ref().is_some_and(starts)).collect())
}

/// What this machine's own runtimes made, where there is any: what is inside of a container is called and numbered as
/// that one likes.
fn foremost(mut found: Vec<Owned>) -> Vec<Owned> {
    let is_inside = |o: &Owned| o.owner.as_ref().is_some_and(|owner| owner.within.is_some());
    if !found.iter().all(is_inside) {
        found.retain(|o| !is_inside(o));
    }
    found
}

fn is_called(owned: &Owned, name: &str, kind: Kind) -> bool {
    let Some(owner) = &owned.owner else { return kind == Kind::Any && owned.name == name && !owned.shares_host };
    let is_pod = || {
        let of = |pod: &crate::model::PodName| {
            pod.uid == name || pod.name == name || name.split_once('/') == Some((&pod.namespace, &pod.name))
        };
        owner.pod.as_ref().is_some_and(of)
    };
    let is_container = || owner.containers.iter().any(|c| c.id == name || c.name.as_deref() == Some(name));
    // What a pod of podman is called, or one whose name is hidden; without a runtime the name that a list shows.
    let by_name = || owner.name == name;
    match kind {
        Kind::Pod => is_pod() || (by_name() && owner.containers.iter().any(|c| c.sandbox)),
        Kind::Container => is_container() || (by_name() && owner.pod.is_none() && !owner.is_bare()),
        Kind::Any => is_pod() || is_container() || by_name() || (owned.name == name && !owned.shares_host),
    }
}

/// Goes to the only one of these.
pub(super) fn only(live: &mut Live, name: &str, kind: Kind, found: Vec<Owned>) -> Result<Found> {
    match found.as_slice() {
        [] => Err(unknown(live, name, kind)),
        [one] => {
            let tenant = one.owner.clone().filter(|_| one.shares_host);
            let at = match (one.id, one.pid) {
                _ if one.shares_host => place::host(live)?,
                (Some(id), _) => place::by_inode(live, &id.ino().unwrap_or(0).to_string())?,
                (None, Some(process)) => pid::enter(live, process)?,
                (None, None) => return Err(unknown(live, name, kind)),
            };
            Ok(Found { tenant: tenant.or(at.tenant), ..at })
        }
        several => Err(ambiguous(name, several.iter().map(told).collect())),
    }
}

/// One of several, with what to type for it as the first word.
pub(super) fn told(owned: &Owned) -> String {
    let how = match (owned.id.and_then(|id| id.ino()), owned.pid) {
        _ if owned.shares_host => "host".to_owned(),
        (Some(ino), _) => format!("netns:{ino}"),
        (None, Some(pid)) => format!("pid:{pid}"),
        (None, None) => "?".to_owned(),
    };
    let who = match &owned.owner {
        Some(owner) => {
            let user = owner.user.map(|uid| format!(" of uid {uid}")).unwrap_or_default();
            let shares = if owned.shares_host { ", shares the host's namespace" } else { "" };
            format!("{} {}{user}{shares}", owner.runtime, owner.name)
        }
        None => owned.name.clone(),
    };
    let id = owned.owner.as_ref().and_then(|owner| owner.containers.iter().find(|c| !c.sandbox)).map(|c| &c.id);
    let id = id.filter(|id| id.len() == 64).map(|id| format!(", {}", &id[..12])).unwrap_or_default();
    format!("{how} ({who}{id})")
}

fn unknown(live: &mut Live, name: &str, kind: Kind) -> Error {
    let what = match kind {
        Kind::Pod => "no pod of this machine is",
        Kind::Container => "no container of this machine is",
        Kind::Any => "no pod, no container, no namespace and no link of podnet's own namespace is",
    };
    let mut names = names(live, kind);
    if kind == Kind::Any {
        names.extend(offered::of_files());
        names.extend(offered::of_links(live));
    }
    let near = nearest(name, names.into_iter());
    let error = Error::new(ErrorId::UnknownTarget, format!("{what} {name:?}"));
    match near.is_empty() {
        true => error.hint(HINT),
        false => error.candidates(near).hint("did you mean one of these? podnet list shows what is there"),
    }
}

/// Names of pods and containers, as they are typed.
pub(super) fn names(live: &mut Live, kind: Kind) -> Vec<String> {
    let mut names = Vec::new();
    for owned in live.spaces.owned() {
        let Some(owner) = owned.owner else { continue };
        if kind != Kind::Container || owner.pod.is_none() {
            names.push(owner.name);
        }
        if kind != Kind::Pod {
            names.extend(owner.containers.into_iter().filter(|c| !c.sandbox).filter_map(|c| c.name));
        }
    }
    names
}
