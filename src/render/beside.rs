//! What stands beside a device of a path without deciding it: tunnels' outer packets, VLAN tags, chains of netfilter,
//! programs.

use super::style::escape;
use crate::model::{Chain, Encap, Hop, Program};

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
    if !hop.chains.is_empty() {
        lines.push(format!("netfilter, not decided: {}", chains(&hop.chains)));
    }
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

fn chains(chains: &[Chain]) -> String {
    let one = |chain: &Chain| {
        let mut notes = Vec::new();
        if chain.policy != "accept" {
            notes.push(format!("policy {}", chain.policy));
        }
        match chain.rules {
            0 => {}
            1 => notes.push("1 rule".to_owned()),
            n => notes.push(format!("{n} rules")),
        }
        if chain.may_redirect() {
            notes.push("may give it another destination".to_owned());
        }
        format!("{} {} {} ({})", chain.family, escape(&chain.table), escape(&chain.chain), notes.join(", "))
    };
    chains.iter().map(one).collect::<Vec<_>>().join("; ")
}
