//! `podnet attach`: gather the facts, decide, do it step by step, verify, and undo all of it where that fails.

pub(super) mod gather;
mod lease;
mod verify;

use std::time::{Duration, Instant};

use super::Outcome;
use crate::cli::AttachArgs;
use crate::error::{Error, ErrorId, Exit, Result};
use crate::kernel::Live;
use crate::model::{Attached, NetnsRef, SCHEMA, Source, StepText, SysctlChange};
use crate::render::{self, Style};
use crate::target;
use crate::wiring::plan::{self, Decided, Lease, Refusal, Way, Wish};
use crate::wiring::store::Store;
use crate::wiring::{self, Applied, Opened, Stop, Turn};

pub(super) fn run(args: &AttachArgs, style: Style, json: bool) -> Result<Outcome> {
    let mut wish = gather::wish(args)?;
    plan::check_words(&wish).map_err(refused)?;
    let mut live = super::live()?;
    let source = target::resolve(&mut live, &args.target)?;
    let patience = Duration::from_secs_f64(args.wait);
    let mut turn = if args.dry_run { None } else { Some(Turn::take(patience)?) };
    let prepared = prepare(&mut live, &source, args, &mut wish)?;
    let mut said = answer(&source, &wish, &prepared);
    said.dry_run = args.dry_run;
    if let Some(mut turn) = turn.take() {
        said.cleared.append(&mut turn.cleared);
        said.notes.append(&mut turn.stuck);
        // Whoever ends podnet before this has changed nothing by it.
        let stop = Stop::new()?;
        let undo = prepared.decided.plan.steps.iter().rev().flat_map(|step| &step.undo);
        turn.note(undo.filter(|(netns, _)| *netns == NetnsRef::Host).map(|(_, change)| change))?;
        let opened = Opened::from([(prepared.netns.clone(), gather::open_again(&live, source.netns)?)]);
        let sockets = gather::sockets(&mut live, source.netns, &prepared.netns);
        let applied = wiring::apply(&prepared.decided.plan, &opened, sockets, &mut || stop.asked());
        turn.done();
        let applied = applied?;
        // The plugins and other podnets need not wait for the link to work.
        drop((turn, prepared.store));
        match verify::verify(&mut live, source.netns, &wish, &prepared.decided, &prepared.leases, &stop, patience) {
            Ok(verified) => {
                said.ifindex = Some(verified.ifindex);
                said.verified = verified.words;
                said.notes.extend(verified.notes);
            }
            Err(failed) => return Err(take_back(applied, failed, patience)),
        }
    }
    let text = if json { render::json(&said) } else { render::attach::attached(&said, style) };
    Ok(Outcome::new(text, Exit::Ok))
}

/// What a plan rests on and what it comes to.
struct Prepared {
    netns: NetnsRef,
    leases: Vec<Lease>,
    decided: Decided,
    /// Nobody takes an address before this is dropped.
    store: Option<Store>,
}

fn prepare(live: &mut Live, source: &Source, args: &AttachArgs, wish: &mut Wish) -> Result<Prepared> {
    gather::may_change(live, source, &args.target)?;
    let netns = gather::netns_ref(live, source, &args.target);
    let id = gather::id(live, source, &args.target)?;
    let base = gather::base(live, wish)?;
    let deadline = Instant::now() + Duration::from_secs_f64(args.wait);
    let mut held = Vec::new();
    let (leased, facts) = loop {
        let mut leased = lease::lease(live, args, wish, base.as_ref(), &mut held)?;
        // The answer comes meanwhile.
        let facts = gather::facts(live, source, args, wish, base.clone(), &leased.leases, &id)?;
        let Some(holder) = leased.holder() else { break (leased, facts) };
        held.push(holder);
        if Instant::now() > deadline {
            let message = format!("each of the {} addresses that were tried is in use already", held.len());
            return Err(Error::new(ErrorId::Conflict, message).hint("give an --address, or another --range"));
        }
    };
    let attachment = lease::attachment(&id, wish, &leased)?;
    let mut decided = plan::attach(wish, &facts, &netns, &leased.leases, attachment).map_err(refused)?;
    decided.notes.extend(lease::passed_over(&held));
    Ok(Prepared { netns, leases: leased.leases, decided, store: leased.store })
}

fn answer(source: &Source, wish: &Wish, prepared: &Prepared) -> Attached {
    let Prepared { leases, decided, .. } = prepared;
    let macvlan = matches!(wish.way, Way::Macvlan { .. });
    Attached {
        schema: SCHEMA,
        kind: "attach",
        dry_run: false,
        target: source.clone(),
        ifname: wish.ifname.clone(),
        ifindex: None,
        host_ifname: (!macvlan).then(|| wish.host_ifname.clone()),
        master: match &wish.way {
            Way::Bridge { name, .. } => Some(name.clone()),
            _ => None,
        },
        lower: match &wish.way {
            Way::Macvlan { lower } => Some(lower.clone()),
            _ => None,
        },
        bridge_made: decided.makes_bridge,
        addrs: leases.iter().map(|lease| lease.addr.to_string()).collect(),
        gateways: decided.gateways.clone(),
        store: decided.attachment.store.clone(),
        steps: decided
            .plan
            .steps
            .iter()
            .map(|step| StepText {
                netns: step.netns.to_string(),
                command: step.to_string(),
                undo: step.undo_commands().collect(),
            })
            .collect(),
        sysctls: decided
            .sysctls
            .iter()
            .map(|(key, before, after)| SysctlChange {
                name: key.replace('/', "."),
                before: before.clone(),
                after: after.clone(),
            })
            .collect(),
        verified: Vec::new(),
        cleared: Vec::new(),
        notes: decided.notes.clone(),
    }
}

/// It was made and does not work.
fn take_back(applied: Applied<'_>, failed: Error, patience: Duration) -> Error {
    // Whether the bridge has other ports by now is not to change while it is looked at.
    let _turn = Turn::take(patience);
    applied.undo(failed)
}

fn refused(refusal: Refusal) -> Error {
    let id = if refusal.usage { ErrorId::Usage } else { ErrorId::Conflict };
    Error::new(id, refusal.message).hint(refusal.hint)
}
