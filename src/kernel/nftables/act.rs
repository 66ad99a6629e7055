//! Expressions that do something: decide, change the packet, or remember it.

use std::net::IpAddr;

use super::expr::{Reading, expressions, is_idle, numbers, one};
use crate::kernel::nla;
use crate::model::{Judgement, Marking};

/// An expression that neither loads nor compares.
pub(super) fn act(reading: &mut Reading<'_>, name: &str, attributes: &[u8]) {
    match name {
        "nat" => reading.end(nat(reading, attributes)),
        "masq" => reading.end(Judgement::Masquerade),
        "redir" => reading.end(match port(reading, attributes, 1, 2) {
            Some(port) => Judgement::Redirect { port },
            None => Judgement::Other(name.to_owned()),
        }),
        "reject" => reading.end(Judgement::Reject),
        "queue" | "tproxy" | "fwd" | "synproxy" => reading.end(Judgement::Other(name.to_owned())),
        "objref" => objref(reading, attributes),
        "dynset" => dynset(reading, attributes),
        "inner" => {
            // It is a condition too: that there is a packet in the packet.
            reading.rule.unread.push(name.to_owned());
            reading.lose();
        }
        _ => {
            // Whether it asks or decides, nobody knows.
            reading.rule.unread.push(name.to_owned());
            reading.end(Judgement::Other(name.to_owned()));
        }
    }
}

/// An expression that writes something of the packet, or about it.
pub(super) fn write(reading: &mut Reading<'_>, name: &str, attributes: &[u8]) {
    /// NFT_META_MARK and NFT_META_BRI_BROUTE
    const MARK: u32 = 3;
    const BROUTE: u32 = 35;
    /// NFT_CT_ZONE
    const ZONE: u32 = 17;
    let find = numbers(attributes);
    match (name, find(2)) {
        ("meta", Some(MARK)) => {
            let value = find(3).and_then(|register| reading.known(register)).and_then(nla::u32_of);
            reading.mark(value.map_or(Marking::UNKNOWN, |flip| Marking { keep: 0, flip, unknown: false }));
        }
        ("meta", Some(BROUTE)) => reading.end(Judgement::Other("meta broute".to_owned())),
        ("payload", _) if !is_harmless(find(2), find(3), find(4), reading.is_ipv4()) => {
            // From here on it is another packet.
            reading.end(Judgement::Other("payload".to_owned()));
        }
        ("payload", _) => reading.mark(Marking::UNKNOWN),
        // In another zone its connection is another one.
        ("ct", Some(ZONE)) => reading.rule.untracks = true,
        _ => {}
    }
}

/// Whether a write stays away from all that says where a packet goes, and how far: it is one into the beginning of the IP
/// header, where DSCP is, or into the transport header behind the ports.
fn is_harmless(base: Option<u32>, offset: Option<u32>, length: Option<u32>, ipv4: bool) -> bool {
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    let (Some(offset), Some(length)) = (offset, length) else { return false };
    match base {
        Some(NETWORK) => offset.saturating_add(length) <= if ipv4 { 2 } else { 4 },
        Some(TRANSPORT) => offset >= 4,
        _ => false,
    }
}

fn nat(reading: &Reading<'_>, attributes: &[u8]) -> Judgement {
    let find = numbers(attributes);
    match find(1) {
        // NFT_NAT_SNAT, NFT_NAT_DNAT
        Some(0) => Judgement::Snat { to: address(reading, attributes) },
        Some(1) => match (address(reading, attributes), port(reading, attributes, 5, 6)) {
            (to, Some(port)) if to.is_some() || find(3).is_none() => Judgement::Dnat { to, port },
            // One that a map or the packet itself names is another one for each.
            _ => Judgement::Other("dnat".to_owned()),
        },
        _ => Judgement::Other("nat".to_owned()),
    }
}

/// The one address that packets get.
fn address(reading: &Reading<'_>, attributes: &[u8]) -> Option<IpAddr> {
    let find = numbers(attributes);
    let first = reading.known(find(3)?)?;
    if let Some(last) = find(4)
        && reading.known(last) != Some(first)
    {
        return None;
    }
    match find(2)? {
        2 => first.first_chunk::<4>().map(|a| IpAddr::from(*a)),
        10 => first.first_chunk::<16>().map(|a| IpAddr::from(*a)),
        _ => None,
    }
}

/// The one port that packets get, or that they keep theirs, by the attributes of the first one and the last one; none: it
/// is one of several, or one that the rule does not say.
fn port(reading: &Reading<'_>, attributes: &[u8], first: u16, last: u16) -> Option<Option<u16>> {
    let find = numbers(attributes);
    let Some(first) = find(first) else { return Some(None) };
    let first = reading.known(first)?;
    if let Some(last) = find(last)
        && reading.known(last) != Some(first)
    {
        return None;
    }
    first.first_chunk::<2>().map(|p| Some(u16::from_be_bytes(*p)))
}

/// A use of an object that has a name.
fn objref(reading: &mut Reading<'_>, attributes: &[u8]) {
    // NFT_OBJECT_*
    match numbers(attributes)(1) {
        // counter, helper, timeout and expectation of connection tracking, secmark
        Some(1 | 3 | 7 | 8 | 9) => {}
        Some(2) => reading.rule.unread.push("quota".to_owned()),
        Some(4) => reading.rule.unread.push("limit".to_owned()),
        Some(5) => reading.rule.unread.push("connlimit".to_owned()),
        Some(6) => reading.end(Judgement::Other("tunnel".to_owned())),
        Some(10) => reading.end(Judgement::Other("synproxy".to_owned())),
        Some(_) => reading.end(Judgement::Other("objref".to_owned())),
        // One that a map has for a value, if it has one.
        None => reading.rule.unread.push("objref".to_owned()),
    }
}

/// An element that is added to a set: it asks where expressions go with the element, such as a limit for each.
fn dynset(reading: &mut Reading<'_>, attributes: &[u8]) {
    const EXPR: u16 = 7;
    const FLAGS: u16 = 9;
    const EXPRESSIONS: u16 = 10;
    const INVERTED: u32 = 1;
    let inverted = numbers(attributes)(FLAGS).unwrap_or(0) & INVERTED != 0;
    if inverted || asks(nla::find(attributes, EXPR), nla::find(attributes, EXPRESSIONS)) {
        reading.rule.unread.push("dynset".to_owned());
    }
}

/// Whether one of the expressions that go with an element is a condition.
pub(super) fn asks(single: Option<&[u8]>, list: Option<&[u8]>) -> bool {
    let mut all = single.map(one).into_iter().chain(list.into_iter().flat_map(expressions));
    all.any(|(name, _)| !is_idle(&name))
}
