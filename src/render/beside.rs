//! What stands beside a device of a path without deciding it: tunnels' outer packets, VLAN tags, chains of netfilter,
//! programs.

use super::style::escape;
use crate::model::{Chain, Encap, Hop, Outcome, Program};

/// Lines beside a device.
pub(super) fn lines(hop: &Hop) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(hop.encap.as_ref().map(|encap| outer(&hop.kind, encap)));
    for ingress in [true, false] {
        let seeing: Vec<String> = hop.programs.iter().filter(|p| p.ingress == ingress).map(program).collect();
        if !seeing.is_empty() {
            let way = if ingress { "what comes in" } else { "what goes out" };
            lines.push(format!("not read, sees {way}: {}", seeing.join(", ")));
        }
    }
    lines.extend(chains(hop));
    lines
}

/// The VLAN tags of the frame, as one fact.
pub(super) fn tags(hop: &Hop) -> Option<String> {
    let list: Vec<String> = hop.tags.iter().map(|tag| tag.vid.to_string()).collect();
    match list.as_slice() {
        [] => None,
        [one] => Some(format!("tagged {one}")),
        several => Some(format!("tagged {}", several.join(" around "))),
    }
}

fn outer(kind: &str, encap: &Encap) -> String {
    let id = encap.id.map_or(String::new(), |id| format!(" {id}"));
    let by = match encap.by.as_str() {
        "fdb" => "by its forwarding database",
        "gateway" => "the gateway of the route",
        _ => "its remote",
    };
    format!("{}{id} in a packet to {} ({by}), {} bytes around it", escape(kind), encap.remote, encap.overhead)
}

fn program(program: &Program) -> String {
    let name = program.name.as_ref().map(|name| format!(" {}", escape(name))).unwrap_or_default();
    let id = program.id.map(|id| format!(" id {id}")).unwrap_or_default();
    format!("{}{name}{id}", program.kind)
}

/// Chains that let the packet pass in one line; of each of the others what it does or could do, and by which rules.
fn chains(hop: &Hop) -> Vec<String> {
    let (plain, others): (Vec<_>, Vec<_>) = hop.chains.iter().partition(|heard| heard.does(Outcome::Pass));
    let mut lines = Vec::new();
    if !plain.is_empty() {
        let names: Vec<String> = plain.into_iter().map(|heard| named(&heard.chain)).collect();
        lines.push(format!("netfilter lets it pass: {}", names.join(", ")));
    }
    lines.extend(others.into_iter().map(|heard| {
        let what = match heard.outcomes.iter().next() {
            Some(one) if heard.outcomes.len() == 1 => match one {
                Outcome::Drop => "netfilter drops it",
                Outcome::Redirect => "netfilter sends it elsewhere",
                Outcome::Hide => "netfilter gives it another source",
                Outcome::Pass | Outcome::Other => "netfilter, not decided",
            },
            _ if heard.can(Outcome::Drop) => "netfilter could drop it",
            _ if heard.can(Outcome::Redirect) => "netfilter could send it elsewhere",
            _ if heard.can(Outcome::Other) => "netfilter, not decided",
            _ => "netfilter could give it another source",
        };
        let by: Vec<_> = heard.by.iter().map(|rule| escape(rule)).collect();
        format!("{what}: {}", if by.is_empty() { named(&heard.chain) } else { by.join("; ") })
    }));
    lines
}

/// A chain with its policy and the number of its own rules.
fn named(chain: &Chain) -> String {
    let policy = if chain.policy == "accept" { String::new() } else { format!("policy {}, ", chain.policy) };
    let rules = match chain.rules {
        1 => "1 rule".to_owned(),
        n => format!("{n} rules"),
    };
    format!("{} {} {} ({policy}{rules})", chain.family, escape(&chain.table), escape(&chain.chain))
}
