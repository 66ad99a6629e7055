//! `podnet detach`: finds what attach made for a namespace, also when that is gone, and removes that and nothing else:
//! rules first, then the link, the bridge after its last port, and the addresses when nobody can use them any more.

mod find;
mod gc;

use std::path::Path;
use std::time::Duration;

use super::Outcome;
use crate::cli::DetachArgs;
use crate::error::{Error, ErrorId, Exit, Result};
use crate::kernel::netns::NetnsFile;
use crate::kernel::{Live, ports};
use crate::model::{Change, Detached, IfIndex, Link, Removed, SCHEMA, Source};
use crate::render::{self, Style};
use crate::target;
use crate::wiring::store::Entry;
use crate::wiring::{self, Stop, Turn};

pub(super) fn run(args: &DetachArgs, style: Style, json: bool) -> Result<Outcome> {
    let mut live = super::live()?;
    let said = match &args.target {
        None => gc::run(&mut live, args)?,
        Some(target) => detach(&mut live, args, target)?,
    };
    let text = if json { render::json(&said) } else { render::attach::detached(&said, style) };
    Ok(Outcome::new(text, Exit::Ok))
}

fn detach(live: &mut Live, args: &DetachArgs, typed: &str) -> Result<Detached> {
    let source = match target::resolve(live, typed) {
        Ok(source) => Some(source),
        // A name that leads nowhere any more is often left of one that is gone.
        Err(error) if matches!(error.id, ErrorId::UnknownTarget | ErrorId::Gone | ErrorId::NotANetns) => None,
        Err(error) => return Err(error),
    };
    if source.as_ref().is_some_and(|source| source.netns == live.spaces.own()) {
        let message = format!("{typed} is the network namespace that podnet itself is in: nothing is attached to it");
        return Err(
            Error::new(ErrorId::Conflict, message).hint("name a container's; podnet list shows which there are")
        );
    }
    let mut turn = Turn::take(Duration::from_secs_f64(args.wait))?;
    // Half of it must not be undone: a signal waits until all of it is.
    let _stop = Stop::new()?;
    let mut found = find::find(live, args, typed, source.as_ref())?;
    let mut said = empty(source);
    said.cleared.append(&mut turn.cleared);
    said.notes.append(&mut turn.stuck);
    said.notes.append(&mut found.notes);
    let left = found.changes();
    turn.note(left.iter())?;
    let done = remove(found, args.keep_bridge, &mut said.removed);
    // Where something failed the next podnet goes on with it.
    if done.is_ok() {
        turn.done();
    }
    done?;
    if said.removed.is_empty() {
        said.notes.push(format!("nothing of podnet's is attached to {typed} as {}", args.ifname));
    }
    Ok(said)
}

fn empty(target: Option<Source>) -> Detached {
    let (removed, cleared, notes) = (Vec::new(), Vec::new(), Vec::new());
    Detached { schema: SCHEMA, kind: "detach", dry_run: false, target, removed, cleared, notes }
}

/// What is to go.
#[derive(Default)]
struct Doomed {
    /// Comments of rules.
    rules: Vec<String>,
    /// Links of the host.
    links: Vec<Link>,
    /// A link of the namespace that has no other end on the host, and its namespace.
    inner: Option<(NetnsFile, Link, String)>,
    /// Bridges that podnet made and that these links leave, or that have no port as it is.
    bridges: Vec<Link>,
    /// Addresses, each with the directory that it is taken in.
    addresses: Vec<(String, Entry)>,
    /// What a person should know of what stays.
    notes: Vec<String>,
}

impl Doomed {
    /// As the steps that another podnet would take if this one were killed.
    fn changes(&self) -> Vec<Change> {
        let rules = self.rules.iter().map(|comment| Change::DelMasquerade { comment: comment.clone() });
        let links = self.links.iter().map(|link| Change::DelLink { ifname: link.ifname.clone() });
        let bridges = self.bridges.iter().map(|link| Change::DelBridge { ifname: link.ifname.clone() });
        let addresses = self.addresses.iter().map(|(store, entry)| Change::Release {
            store: store.clone(),
            addr: entry.addr,
            id: entry.id.clone(),
        });
        rules.chain(links).chain(bridges).chain(addresses).collect()
    }
}

fn remove(doomed: Doomed, keep_bridge: bool, removed: &mut Vec<Removed>) -> Result<()> {
    let mut gone = |what, name: &str, at: &str| {
        removed.push(Removed { what, name: name.to_owned(), at: at.to_owned(), why: None });
    };
    for comment in &doomed.rules {
        wiring::take(&Change::DelMasquerade { comment: comment.clone() })?;
        gone("rule", comment, "inet podnet");
    }
    let indexes: Vec<IfIndex> = doomed.links.iter().map(|link| link.ifindex).collect();
    wiring::delete_links(None, &indexes)?;
    for link in &doomed.links {
        gone("link", &link.ifname, "host");
    }
    if let Some((file, link, name)) = &doomed.inner {
        wiring::delete_links(Some(file), &[link.ifindex])?;
        gone("link", &link.ifname, name);
    }
    for bridge in &doomed.bridges {
        let ifname = bridge.ifname.clone();
        if keep_bridge {
            wiring::take(&Change::SetAlias { ifname: ifname.clone(), alias: String::new() })?;
            wiring::take(&Change::SetGroup { ifname, group: 0 })?;
        } else if ports::count(&ifname).is_ok_and(|ports| ports == 0) {
            wiring::delete_links(None, &[bridge.ifindex])?;
            gone("bridge", &ifname, "host");
        }
    }
    for (store, Entry { addr, id, .. }) in &doomed.addresses {
        wiring::take(&Change::Release { store: store.clone(), addr: *addr, id: id.clone() })?;
        gone("address", &addr.to_string(), store);
    }
    Ok(())
}

/// The directory as it is written beside links.
fn text(dir: &Path) -> String {
    dir.to_string_lossy().into_owned()
}
