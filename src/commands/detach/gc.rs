//! `podnet detach --gc`: what podnet made for namespaces that are dead, or made half.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use super::find::{own_links, rules, unreadable};
use super::{Doomed, empty, remove};
use crate::cli::DetachArgs;
use crate::commands::attach::gather;
use crate::error::{Error, ErrorId, Result};
use crate::kernel::holders::{self, Depth};
use crate::kernel::{Live, ports};
use crate::model::{Attachment, Detached, HolderType, ID_PREFIX, NetnsId, Removed};
use crate::wiring::store;
use crate::wiring::{GROUP, Stop, Turn};

pub(super) fn run(live: &mut Live, args: &DetachArgs) -> Result<Detached> {
    let mut said = empty(None);
    // Without --yes nothing is changed, and an attach that is under way may look half made.
    let mut turn = if args.yes { Some(Turn::take(Duration::from_secs_f64(args.wait))?) } else { None };
    let _stop = Stop::new()?;
    let alive = Alive::look()?;
    let mut listed = Vec::new();
    let doomed = dead(live, args, &alive, &mut listed)?;
    if listed.is_empty() {
        said.notes.push("nothing is left over of dead namespaces".to_owned());
    }
    let Some(turn) = &mut turn else {
        said.dry_run = true;
        said.removed = listed;
        return Ok(said);
    };
    said.cleared.append(&mut turn.cleared);
    said.notes.append(&mut turn.stuck);
    turn.note(doomed.changes().iter())?;
    remove(doomed, false, &mut said.removed)?;
    turn.done();
    for removed in &mut said.removed {
        let known = listed.iter().find(|l| l.what == removed.what && l.name == removed.name && l.at == removed.at);
        removed.why = known.and_then(|known| known.why.clone());
    }
    Ok(said)
}

/// What the ids of namespaces begin with that are not dead.
pub(super) struct Alive {
    /// Those that a process is in or that have a name.
    in_use: HashSet<String>,
}

impl Alive {
    pub(super) fn look() -> Result<Alive> {
        let mut alive = Alive { in_use: HashSet::new() };
        let closed = alive.add()?;
        if closed.is_empty() {
            return Ok(alive);
        }
        // They may have vanished meanwhile, and what was made for them is left over then.
        match alive.add()?.into_iter().find(|(id, _)| closed.contains_key(id)) {
            None => Ok(alive),
            Some((id, cause)) => {
                let message = format!("the namespace net:[{}] cannot be opened", id.ino().unwrap_or(0));
                Err(Error::new(ErrorId::Failed, message).because(cause).hint(
                    "podnet list shows what holds it; while it is there and closed, nobody can tell what is dead",
                ))
            }
        }
    }

    /// Takes in what there is; those that cannot be opened, and why not.
    fn add(&mut self) -> Result<HashMap<NetnsId, io::Error>> {
        let discovery = holders::discover(Depth::Deep);
        if !discovery.hidden.is_empty() {
            let message = format!("the namespaces of {} processes may not be looked at", discovery.hidden.len());
            return Err(Error::new(ErrorId::NoPermission, message)
                .hint("run podnet as root: nobody else can tell which namespaces are dead"));
        }
        if let Some(gap) = discovery.unseen_holders() {
            let message = format!("{} of {} could not be looked at: {}", gap.what, gap.at, gap.why);
            return Err(Error::new(ErrorId::Failed, message)
                .hint("they may hold a namespace, and so nobody can tell which are dead: try again"));
        }
        let mut closed = HashMap::new();
        for found in &discovery.namespaces {
            let keeps = |kind| matches!(kind, HolderType::Process | HolderType::Thread | HolderType::Mount);
            if !found.holders.iter().any(|holder| keeps(holder.holder)) {
                continue;
            }
            match found.open().and_then(|file| file.socket()) {
                Ok(socket) => {
                    self.in_use.insert(gather::stem_by(&socket, found.id)?);
                }
                Err(cause) => {
                    closed.insert(found.id, cause);
                }
            }
        }
        Ok(closed)
    }

    /// The namespace that an id is of is there.
    pub(super) fn has(&self, id: &str) -> bool {
        self.in_use.contains(&stem(id))
    }
}

/// The part of an id that is the namespace's.
fn stem(id: &str) -> String {
    id.splitn(4, '-').take(3).map(|part| format!("{part}-")).collect()
}

fn dead(live: &mut Live, args: &DetachArgs, alive: &Alive, listed: &mut Vec<Removed>) -> Result<Doomed> {
    let mut doomed = Doomed::default();
    let mut list = |what, name: &str, at: &str, why: &str| {
        listed.push(Removed { what, name: name.to_owned(), at: at.to_owned(), why: Some(why.to_owned()) });
    };
    let gone = |id: &str| id.starts_with(ID_PREFIX) && !alive.has(id);
    let (bridges, links): (Vec<_>, Vec<_>) = own_links(live)?.into_iter().partition(|link| link.kind == "bridge");
    for comment in rules()? {
        if gone(&comment) && !doomed.rules.contains(&comment) {
            list("rule", &comment, "inet podnet", "its namespace is gone");
            doomed.rules.push(comment);
        }
    }
    for link in links {
        let attachment = link.alias.as_deref().and_then(|alias| alias.parse::<Attachment>().ok());
        let why = match &attachment {
            _ if link.group != GROUP => "it was about to be deleted",
            None => "it was made half",
            Some(attachment) if gone(&attachment.id) => "no process is in its namespace, and it has no name",
            Some(_) => continue,
        };
        list("link", &link.ifname, "host", why);
        doomed.links.push(link);
    }
    for bridge in bridges {
        let leaving = doomed.links.iter().filter(|link| link.master == Some(bridge.ifindex)).count();
        if ports::count(&bridge.ifname).is_ok_and(|ports| ports == leaving) {
            list("bridge", &bridge.ifname, "host", "it has no port that stays");
            doomed.bridges.push(bridge);
        }
    }
    for dir in store::networks(&args.ipam_dir).map_err(unreadable(args))? {
        for entry in store::entries(&dir).map_err(unreadable(args))?.into_iter().filter(|entry| gone(&entry.id)) {
            let at = super::text(&dir);
            list("address", &entry.addr.to_string(), &at, "its namespace is gone");
            doomed.addresses.push((at, entry));
        }
    }
    Ok(doomed)
}
