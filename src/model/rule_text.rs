//! Rules of netfilter in words close to those of nft, for people who look for the one that is meant.

use std::net::IpAddr;

use super::ruleset::{Bytes, ChainId, Field, Judgement, Match, NfRule, Relation};

/// A rule with its place: `ip filter FORWARD handle 12: ip daddr 10.0.0.0/8 drop`.
pub fn rule_text(id: &ChainId, rule: &NfRule, ipv6: bool) -> String {
    let ChainId { backend, family, table, chain } = id;
    let number = if backend == "legacy" { "rule" } else { "handle" };
    let mut words: Vec<String> = rule.matches.iter().map(|one| condition(one, ipv6)).collect();
    words.extend(rule.unread.iter().map(|name| format!("{name} ...")));
    words.push(judgement(&rule.then));
    words.extend(rule.comment.as_ref().map(|comment| format!("({comment})")));
    format!("{family} {table} {chain} {number} {}: {}", rule.handle, words.join(" "))
}

fn judgement(then: &Judgement) -> String {
    match then {
        Judgement::Continue => "continue".to_owned(),
        Judgement::Accept => "accept".to_owned(),
        Judgement::Drop => "drop".to_owned(),
        Judgement::Reject => "reject".to_owned(),
        Judgement::Return => "return".to_owned(),
        Judgement::Jump(to) => format!("jump {to}"),
        Judgement::Goto(to) => format!("goto {to}"),
        Judgement::Dnat { to, port } => match (to, port) {
            (Some(to), Some(port)) if to.is_ipv6() => format!("dnat to [{to}]:{port}"),
            (Some(to), Some(port)) => format!("dnat to {to}:{port}"),
            (Some(to), None) => format!("dnat to {to}"),
            (None, _) => "dnat".to_owned(),
        },
        Judgement::Redirect { port: Some(port) } => format!("redirect to :{port}"),
        Judgement::Redirect { port: None } => "redirect".to_owned(),
        Judgement::Snat { to: Some(to) } => format!("snat to {to}"),
        Judgement::Snat { to: None } => "snat".to_owned(),
        Judgement::Masquerade => "masquerade".to_owned(),
        Judgement::Map { on, map, .. } => {
            let mut on: Vec<String> = on.iter().map(|field| name(field, false)).collect();
            on.dedup();
            format!("{} vmap @{map}", on.join(" . "))
        }
        Judgement::Other(name) => name.clone(),
    }
}

fn condition(one: &Match, ipv6: bool) -> String {
    let mut names: Vec<String> = one.on.iter().map(|field| name(field, ipv6)).collect();
    names.dedup();
    let on = names.join(" . ");
    let Some(field) = one.on.first() else { return on };
    let text = |bytes: &Bytes| value(field, one.mask.as_ref(), bytes);
    match (&one.is, &one.mask) {
        // Bits of which one is set, as nft writes it.
        (Relation::Differs(none), Some(mask)) if none.0.iter().all(|b| *b == 0) => {
            format!("{on} {}", value(field, None, mask))
        }
        (Relation::Equal(none), Some(mask)) if none.0.iter().all(|b| *b == 0) && bits(field).is_some() => {
            format!("{on} != {}", value(field, None, mask))
        }
        (Relation::Equal(to), _) => format!("{on} {}", text(to)),
        (Relation::Differs(from), _) => format!("{on} != {}", text(from)),
        (Relation::Within(first, last), _) => format!("{on} {}-{}", text(first), text(last)),
        (Relation::Outside(first, last), _) => format!("{on} != {}-{}", text(first), text(last)),
        (Relation::AnyOf(ranges), _) => format!("{on} {{ {} }}", list(ranges, text)),
        (Relation::NoneOf(ranges), _) => format!("{on} != {{ {} }}", list(ranges, text)),
        (Relation::In(set), _) => format!("{on} @{set}"),
        (Relation::NotIn(set), _) => format!("{on} != @{set}"),
    }
}

fn list(ranges: &[(Bytes, Bytes)], text: impl Fn(&Bytes) -> String) -> String {
    let one = |(first, last): &(Bytes, Bytes)| match first == last {
        true => text(first),
        false => format!("{}-{}", text(first), text(last)),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn name(field: &Field, ipv6: bool) -> String {
    let known = match (field, ipv6) {
        (Field::Network { offset: 12, length: 1..=4 }, false) => "ip saddr",
        (Field::Network { offset: 16, length: 1..=4 }, false) => "ip daddr",
        (Field::Network { offset: 9, length: 1 }, false) => "ip protocol",
        (Field::Network { offset: 8, length: 1..=16 }, true) => "ip6 saddr",
        (Field::Network { offset: 24, length: 1..=16 }, true) => "ip6 daddr",
        (Field::Network { offset: 6, length: 1 }, true) => "ip6 nexthdr",
        (Field::Transport { offset: 0, length: 2 }, _) => "sport",
        (Field::Transport { offset: 2, length: 2 }, _) => "dport",
        (Field::Transport { offset: 13, length: 1 }, _) => "tcp flags",
        (Field::Transport { offset: 0, length: 1 }, _) => "type",
        (Field::Iifname, _) => "iifname",
        (Field::Oifname, _) => "oifname",
        (Field::Iif, _) => "iif",
        (Field::Oif, _) => "oif",
        (Field::L4proto, _) => "l4proto",
        (Field::Nfproto, _) => "nfproto",
        (Field::Protocol, _) => "protocol",
        (Field::Mark, _) => "mark",
        (Field::CtState, _) => "ct state",
        (Field::CtStatus, _) => "ct status",
        (Field::DaddrType, _) => "fib daddr type",
        (Field::SaddrType, _) => "fib saddr type",
        (Field::Drawn { modulus }, _) => return format!("numgen mod {modulus}"),
        (Field::Other(name), _) => return name.clone(),
        (Field::Link { offset, length }, _) => return bits_at("ll", *offset, *length),
        (Field::Network { offset, length }, _) => return bits_at("nh", *offset, *length),
        (Field::Transport { offset, length }, _) => return bits_at("th", *offset, *length),
    };
    known.to_owned()
}

/// A part of a header in bits, as nft writes what it has no name for.
fn bits_at(header: &str, offset: u16, length: u16) -> String {
    format!("@{header},{},{}", u32::from(offset) * 8, u32::from(length) * 8)
}

/// Names of a number's bits.
fn bits(field: &Field) -> Option<&'static [(u32, &'static str)]> {
    match field {
        Field::CtState => Some(&[(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")]),
        Field::CtStatus => Some(&[(2, "seen-reply"), (4, "assured"), (8, "confirmed"), (16, "snat"), (32, "dnat")]),
        _ => None,
    }
}

fn value(field: &Field, mask: Option<&Bytes>, bytes: &Bytes) -> String {
    let native = bytes.0.first_chunk().map(|b| u32::from_ne_bytes(*b));
    match field {
        Field::Iifname | Field::Oifname => {
            let end = bytes.0.iter().position(|b| *b == 0);
            let text = String::from_utf8_lossy(&bytes.0[..end.unwrap_or(bytes.0.len())]).into_owned();
            // Without the zero that ends a name it is the beginning of one.
            if end.is_some() { text } else { text + "*" }
        }
        Field::Network { length, .. } if matches!(bytes.0.len(), 1..=4 | 16) && *length != 1 => {
            address(bytes, mask).unwrap_or_else(|| format!("0x{bytes}"))
        }
        Field::Transport { length: 2, .. } => {
            bytes.0.first_chunk().map_or(String::new(), |b| u16::from_be_bytes(*b).to_string())
        }
        Field::L4proto | Field::Network { offset: 9, length: 1 } => match bytes.0.first() {
            Some(6) => "tcp".to_owned(),
            Some(17) => "udp".to_owned(),
            Some(1) => "icmp".to_owned(),
            Some(58) => "ipv6-icmp".to_owned(),
            other => other.map(u8::to_string).unwrap_or_default(),
        },
        Field::CtState | Field::CtStatus => {
            let number = native.unwrap_or(0);
            let named = bits(field).unwrap_or_default().iter().filter(|(bit, _)| number & bit != 0);
            named.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
        }
        Field::DaddrType | Field::SaddrType => match native {
            Some(1) => "unicast".to_owned(),
            Some(2) => "local".to_owned(),
            Some(3) => "broadcast".to_owned(),
            Some(5) => "multicast".to_owned(),
            other => other.map(|n| n.to_string()).unwrap_or_default(),
        },
        Field::Iif | Field::Oif => native.map(|n| n.to_string()).unwrap_or_default(),
        Field::Mark => {
            let of = mask.and_then(|m| m.0.first_chunk()).map(|m| format!("/{:#x}", u32::from_ne_bytes(*m)));
            format!("{:#x}{}", native.unwrap_or(0), of.unwrap_or_default())
        }
        _ => format!("0x{bytes}"),
    }
}

/// An address, or with fewer bytes or a mask a prefix of some.
fn address(bytes: &Bytes, mask: Option<&Bytes>) -> Option<String> {
    let mut whole = bytes.0.clone();
    let bits = match mask {
        Some(mask) => mask.0.iter().map(|byte| byte.count_ones()).sum(),
        None => whole.len() as u32 * 8,
    };
    if whole.len() < 4 {
        whole.resize(4, 0);
    }
    let ip = match whole.len() {
        4 => IpAddr::from(*whole.first_chunk::<4>()?),
        _ => IpAddr::from(*whole.first_chunk::<16>()?),
    };
    let most = whole.len() as u32 * 8;
    Some(if bits == most { ip.to_string() } else { format!("{ip}/{bits}") })
}
