//! The way of the answers: from where a path ends back to where it began, and where the two differ.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::hearing::Sort;
use super::start::Start;
use super::translated::Hidden;
use super::walk::{self, Walked};
use super::{Traced, netfilter};
use crate::model::{Action, Finding, Flow, Gap, HeardChain, Hop, Level, LinkId, NetnsId, Outcome, Path, Topology};

/// Follows the answers to the packets of a path, as one more path behind it.
pub(super) fn follow(
    topology: &mut dyn Topology,
    index: usize,
    tracked: Vec<NetnsId>,
    sources: Vec<Hidden>,
    traced: &mut Traced,
) {
    let there = &traced.paths[index];
    let start = match start(topology, there) {
        Ok(start) => start,
        Err(why) => {
            let gap = Gap::new("the way of the answer", format!("the path to {}", there.to), why);
            return traced.add_gap(gap);
        }
    };
    let Some(from) = there.hops.last().map(|h| h.netns) else { return };
    let there = there.clone();
    let number = traced.paths.len();
    let walked = walk::walk(topology, from, start, number, answer(&there, tracked, sources));
    let (mut path, mut findings) = (walked.path, walked.findings);
    path.reply_to = Some(index);
    // What is hidden for certain behind an address that is known is followed back.
    let hides = |chain: &HeardChain| chain.may_hide() && (there.hidden_as.is_none() || !chain.does(Outcome::Hide));
    let undecided = netfilter::named(&there.hops, hides);
    let kept = "leave the source of what it answers as it is";
    path.verdict = netfilter::only_if(undecided, kept, path.verdict, findings.iter_mut());
    findings.extend(difference(&there, &path, number));
    traced.add(Walked { path, findings, ..walked });
}

fn answer(there: &Path, tracked: Vec<NetnsId>, sources: Vec<Hidden>) -> Sort {
    let redirects = |hop: &&Hop| hop.chains.iter().any(HeardChain::may_redirect);
    let dnat = there.hops.iter().filter(redirects).map(|hop| (hop.netns, None)).collect();
    Sort::Answer { back_in: redirected_in(there), tracked, dnat, sources }
}

/// The namespace that gave the packet its destination, and has to give the answer the source that its receiver waits for.
fn redirected_in(there: &Path) -> Option<(NetnsId, IpAddr)> {
    there.redirected_to?;
    let was = there.dst?;
    there
        .hops
        .iter()
        .find(|hop| hop.chains.iter().any(|chain| chain.does(Outcome::Redirect)))
        .map(|hop| (hop.netns, was))
}

fn start(topology: &mut dyn Topology, there: &Path) -> Result<Start, &'static str> {
    let (Some(src), Some(dst)) = (there.src, there.dst) else {
        return Err("the packet has no source or no destination that is known");
    };
    let last = there.hops.last().ok_or("the packet goes nowhere")?;
    let mut traffic = there.traffic.reply();
    if there.redirected_to.is_some() {
        // The endpoint's port may be another one.
        traffic.sport = None;
    }
    let flow = Flow { src: there.redirected_to.or(Some(dst)), dst: there.hidden_as.unwrap_or(src), traffic };
    let to = src.to_string();
    match there.verdict.action {
        Action::Delivered => Ok(Start::Flow { to, flow, bound_to: None }),
        // Whoever answers out there is taken to send it back the way it came.
        Action::LeavesNode if there.hops.iter().all(|h| h.encap.is_none()) => {
            let at = LinkId { netns: last.netns, ifindex: last.ifindex };
            match topology.link(at) {
                Ok(Some(link)) => {
                    let sender = there.hops.iter().rev().find(|h| h.route.is_some());
                    let lladdr = sender.and_then(|h| h.address).or(link.address);
                    let tags = last.tags.iter().rev().copied().collect();
                    Ok(Start::Arriving { to, flow, at, link: Box::new(link), lladdr, tags })
                }
                _ => Err("the link that it leaves by is not seen any more"),
            }
        }
        Action::LeavesNode => Err("it leaves inside a tunnel, and so does its answer come"),
        Action::Dropped | Action::Unknown => Err("it is not known to arrive anywhere that could answer"),
    }
}

/// Devices that one of the two ways crosses and the other does not.
fn difference(there: &Path, back: &Path, number: usize) -> Option<Finding> {
    if !matches!(back.verdict.action, Action::Delivered) {
        return None;
    }
    let key = |h: &Hop| (h.netns.ino(), h.netns_name.clone(), h.ifindex, h.ifname.clone());
    let set = |path: &Path| path.hops.iter().map(key).collect::<BTreeSet<_>>();
    let (forth, home) = (set(there), set(back));
    let names = |of: Vec<&(Option<u64>, String, crate::model::IfIndex, String)>| -> String {
        let list: Vec<String> = of.into_iter().map(|(_, netns, _, ifname)| format!("{ifname} of {netns}")).collect();
        if list.is_empty() { "nothing else".to_owned() } else { list.join(", ") }
    };
    if forth == home {
        return None;
    }
    let hop = back.hops.iter().position(|h| !forth.contains(&key(h))).unwrap_or(0);
    let only_there = names(forth.difference(&home).collect());
    let only_back = names(home.difference(&forth).collect());
    Some(Finding {
        level: Level::Warning,
        id: "asymmetric".to_owned(),
        path: number,
        hop,
        message: "the answer comes back another way: firewalls that follow connections see one half of it".to_owned(),
        evidence: format!("only there: {only_there}; only back: {only_back}"),
        fix: None,
    })
}
