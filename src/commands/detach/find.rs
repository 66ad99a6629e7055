//! What podnet made for one namespace: read off the link itself, or, where that or the whole namespace is gone, off the
//! host's links, the address store and the rules.

use std::path::Path;

use super::Doomed;
use super::gc::Alive;
use crate::cli::DetachArgs;
use crate::commands::attach::gather;
use crate::error::{Error, ErrorId, Result};
use crate::kernel::link::{self, Where};
use crate::kernel::socket::Refused;
use crate::kernel::{Live, ports};
use crate::model::{Attachment, Link, LinkId, Source, Topology, label};
use crate::wiring::store::{self, Entry};
use crate::wiring::{self, GROUP};

pub(super) fn find(live: &mut Live, args: &DetachArgs, typed: &str, source: Option<&Source>) -> Result<Doomed> {
    let Some(source) = source else {
        return of_the_gone(live, args, typed);
    };
    let stem = gather::stem(live, source.netns)?;
    let found = match live.spaces.socket(source.netns) {
        Some((socket, Where::Here)) => link::by_name(socket, &args.ifname).map_err(kernel(&args.ifname))?,
        _ => {
            let message = format!("the namespace of {typed} may not be entered");
            return Err(Error::new(ErrorId::NoPermission, message).hint("run podnet as root"));
        }
    };
    let Some(found) = found else { return left_over(live, args, |id| id.starts_with(&stem)) };
    let far = host_end(live, source, &found)?;
    let marked = far.as_ref().unwrap_or(&found);
    let attachment = marked.alias.as_deref().and_then(|alias| alias.parse::<Attachment>().ok());
    let ours = marked.group == GROUP && attachment.as_ref().is_none_or(|a| a.id.starts_with(&stem));
    if !ours && !args.force {
        let message = format!("podnet did not make {} in {typed}", args.ifname);
        return Err(Error::new(ErrorId::Conflict, message)
            .hint("give --force to delete it all the same; what its maker keeps about it stays"));
    }
    let mut doomed = Doomed::default();
    match attachment.filter(|_| ours) {
        // What stands beside a link inside, whoever is in there may have written.
        Some(mut attachment) if far.is_none() => {
            let astray = attachment.store.take_if(|store| !is_known(store, args));
            doomed.notes.extend(astray.map(|store| {
                format!("addresses in {store} stay: only {} says so; name the store with --ipam-dir", args.ifname)
            }));
            attached(&mut doomed, &attachment);
        }
        Some(attachment) => attached(&mut doomed, &attachment),
        // Half made: what was taken for it is on disk.
        None if ours => doomed = left_over(live, args, |id| id.starts_with(&stem))?,
        None => {}
    }
    doomed.bridges.clear();
    match far {
        Some(link) => {
            doomed.bridges.extend(own_bridge(live, &link)?);
            doomed.links = vec![link];
        }
        None => {
            doomed.inner = Some((gather::open_again(live, source.netns)?, found, source.netns_name.clone()));
        }
    }
    Ok(doomed)
}

/// Its name is all there is. Ids end with what was typed, which may be the same for several: those that are there have
/// ways of their own to be named.
fn of_the_gone(live: &mut Live, args: &DetachArgs, typed: &str) -> Result<Doomed> {
    let label = label(typed);
    let is_called = |id: &str| id.splitn(4, '-').nth(3) == Some(&label);
    let alive = Alive::look()?;
    let mut doomed = left_over(live, args, |id| is_called(id) && !alive.has(id))?;
    for link in own_links(live)? {
        let attachment = link.alias.as_deref().and_then(|alias| alias.parse::<Attachment>().ok());
        if attachment.is_some_and(|a| is_called(&a.id) && alive.has(&a.id)) {
            doomed.notes.push(format!(
                "{} belongs to another namespace called {label}, which is there: podnet trace {0} shows it",
                link.ifname
            ));
        }
    }
    Ok(doomed)
}

/// What is written beside a link is what there is to remove with it.
fn attached(doomed: &mut Doomed, attachment: &Attachment) {
    let Attachment { id, ifname, addrs, store, masquerade } = attachment;
    doomed.rules.extend(masquerade.then(|| attachment.comment()));
    if let Some(store) = store {
        let entries = addrs.iter().map(|addr| Entry { addr: *addr, id: id.clone(), ifname: ifname.clone() });
        doomed.addresses.extend(entries.map(|entry| (store.clone(), entry)));
    }
}

/// A network of the store where all look, or of the one that was named.
fn is_known(network: &str, args: &DetachArgs) -> bool {
    let network = Path::new(network);
    let of = |store: &Path| network.parent() == Some(store) && network.file_name().is_some();
    of(Path::new(store::DIR)) || of(&args.ipam_dir)
}

/// The other end, where it is on the host.
fn host_end(live: &mut Live, source: &Source, found: &Link) -> Result<Option<Link>> {
    if !found.is_pair() {
        return Ok(None);
    }
    let own = live.spaces.own();
    let id = LinkId { netns: source.netns, ifindex: found.ifindex };
    let far = live.far_end(id, found).map_err(|gap| {
        Error::new(ErrorId::Kernel, format!("finding the other end of {}: {}", found.ifname, gap.why))
    })?;
    match far.filter(|far| far.netns == own) {
        Some(far) => host_link(live, far),
        None => Ok(None),
    }
}

fn host_link(live: &mut Live, id: LinkId) -> Result<Option<Link>> {
    let Some((socket, _)) = live.spaces.socket(id.netns) else { return Ok(None) };
    link::get(socket, id.ifindex, Where::Here).map_err(kernel("the host's end"))
}

/// The bridge that a link is a port of, if podnet made it.
fn own_bridge(live: &mut Live, port: &Link) -> Result<Option<Link>> {
    let own = live.spaces.own();
    let Some(ifindex) = port.master else { return Ok(None) };
    let bridge = host_link(live, LinkId { netns: own, ifindex })?;
    Ok(bridge.filter(|bridge| bridge.group == GROUP && bridge.kind == "bridge"))
}

/// Links of the host that podnet made.
pub(super) fn own_links(live: &mut Live) -> Result<Vec<Link>> {
    let own = live.spaces.own();
    let Some((socket, _)) = live.spaces.socket(own) else { return Ok(Vec::new()) };
    let mut links = link::dump(socket, Where::Here).map_err(kernel("the host's links"))?.items;
    links.retain(|link| link.group == GROUP || link.group == wiring::DOOMED);
    Ok(links)
}

/// Without the link: everything that bears such an id, and bridges without a port.
fn left_over(live: &mut Live, args: &DetachArgs, is_its: impl Fn(&str) -> bool) -> Result<Doomed> {
    let mut doomed = Doomed::default();
    let (bridges, links): (Vec<Link>, _) = own_links(live)?.into_iter().partition(|link| link.kind == "bridge");
    for link in links {
        let attachment = link.alias.as_deref().and_then(|alias| alias.parse::<Attachment>().ok());
        if attachment.is_some_and(|a| a.ifname == args.ifname && is_its(&a.id)) {
            doomed.links.push(link);
        }
    }
    for dir in store::networks(&args.ipam_dir).map_err(unreadable(args))? {
        let entries = store::entries(&dir).map_err(unreadable(args))?;
        let its = entries.into_iter().filter(|e| e.ifname == args.ifname && is_its(&e.id));
        doomed.addresses.extend(its.map(|entry| (super::text(&dir), entry)));
    }
    doomed.rules = rules()?;
    let ending = format!("/{}", args.ifname);
    doomed.rules.retain(|comment| comment.strip_suffix(&ending).is_some_and(&is_its));
    doomed.rules.dedup();
    for bridge in bridges {
        let leaving = doomed.links.iter().filter(|link| link.master == Some(bridge.ifindex)).count();
        if ports::count(&bridge.ifname).is_ok_and(|ports| ports == leaving) {
            doomed.bridges.push(bridge);
        }
    }
    Ok(doomed)
}

pub(super) fn unreadable(args: &DetachArgs) -> impl Fn(std::io::Error) -> Error + '_ {
    move |e| {
        let message = format!("reading the address store {}", args.ipam_dir.display());
        Error::new(ErrorId::Failed, message).because(e).hint("run podnet as root, or name the store with --ipam-dir")
    }
}

/// Comments of podnet's rules.
pub(super) fn rules() -> Result<Vec<String>> {
    wiring::commented().map_err(|e| {
        Error::new(ErrorId::Failed, "reading podnet's rules").because(e).hint("nft list table inet podnet shows them")
    })
}

fn kernel(what: &str) -> impl Fn(Refused) -> Error + '_ {
    move |refused| Error::new(ErrorId::Kernel, format!("reading {what}")).because(refused)
}
