//! The way of the answers: from where a path ends back to where it began, and where the two differ.

use std::collections::BTreeSet;

use super::start::Start;
use super::{Traced, netfilter, walk};
use crate::model::{Action, Chain, Finding, Flow, Gap, Hop, Level, LinkId, Path, Topology};

/// Follows the answers to the packets of a path, as one more path behind it.
pub(super) fn follow(topology: &mut dyn Topology, index: usize, traced: &mut Traced) {
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
    let (mut path, mut findings, gaps) = walk::walk(topology, from, start, number);
    path.reply_to = Some(index);
    let hides = |chain: &Chain| chain.rules > 0 && chain.only_hides();
    let undecided = netfilter::named(&there.hops, hides);
    let kept = "leave the source of what it answers as it is";
    path.verdict = netfilter::only_if(undecided, kept, path.verdict, findings.iter_mut());
    findings.extend(difference(&there, &path, number));
    traced.add((path, findings, gaps));
}

fn start(topology: &mut dyn Topology, there: &Path) -> Result<Start, &'static str> {
    let (Some(src), Some(dst)) = (there.src, there.dst) else {
        return Err("the packet has no source or no destination that is known");
    };
    let last = there.hops.last().ok_or("the packet goes nowhere")?;
    let flow = Flow { src: Some(dst), dst: src, traffic: there.traffic.reply() };
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
