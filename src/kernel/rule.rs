//! Policy rules with everything that decides whether they match: RTM_GETRULE, read in place.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::socket::{Dump, Refused, Socket};
use super::text;
use crate::model::{RecordedRule, RuleAction, TableId};

/// Length of `struct fib_rule_hdr`.
const HEADER: usize = 12;

// fib_rules.h
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
const FRA_DSCP: u16 = 25;
const FRA_FLOWLABEL: u16 = 26;
const FRA_FLOWLABEL_MASK: u16 = 27;
const FRA_SPORT_MASK: u16 = 28;
const FRA_DPORT_MASK: u16 = 29;
const FRA_DSCP_MASK: u16 = 30;
const FIB_RULE_INVERT: u32 = 2;
const FIB_RULE_FIND_SADDR: u32 = 0x10000;

/// The rules of an address family, in the order in which the kernel asks them.
pub fn dump(socket: &mut Socket, family: AddressFamily) -> Result<Dump<RecordedRule>, Refused> {
    let mut message = RuleMessage::default();
    message.header.family = family;
    socket.dump(RouteNetlinkMessage::GetRule(message), |payload| decode(payload).map(Some))
}

fn decode(payload: &[u8]) -> Result<RecordedRule, DecodeError> {
    let Some(([_, dst_len, src_len, tos, table, _, _, action, flags @ ..], attributes)) =
        payload.split_first_chunk::<HEADER>()
    else {
        return Err(DecodeError::buffer_too_small(payload.len(), HEADER));
    };
    let flags = u32::from_ne_bytes(*flags);
    let mut rule = RecordedRule {
        table: TableId(u32::from(*table)),
        action: rule_action(*action),
        tos: *tos,
        not: flags & FIB_RULE_INVERT != 0,
        ..RecordedRule::default()
    };
    if flags & FIB_RULE_FIND_SADDR != 0 {
        rule.beyond.push("find-saddr".to_owned());
    }
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        read(&mut rule, (*dst_len, *src_len), attribute.kind(), attribute.value())?;
    }
    // The kernel tells the mask only with a mark, and means all bits where it says none.
    if rule.fwmark != 0 && rule.fwmask == 0 {
        rule.fwmask = u32::MAX;
    }
    Ok(rule)
}

fn read(rule: &mut RecordedRule, lengths: (u8, u8), kind: u16, value: &[u8]) -> Result<(), DecodeError> {
    let number = || value.first_chunk().map_or(0, |b| u32::from_ne_bytes(*b));
    let big_endian = || value.first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
    let name = || Some(text(value.split(|b| *b == 0).next().unwrap_or_default()));
    // What is not suppressed is -1.
    let limit = || Some(number()).filter(|n| *n != u32::MAX);
    match kind {
        FRA_DST => rule.dst = prefix(value, lengths.0)?,
        FRA_SRC => rule.src = prefix(value, lengths.1)?,
        FRA_IIFNAME => rule.iif = name(),
        FRA_OIFNAME => rule.oif = name(),
        FRA_GOTO => rule.goto = Some(number()),
        FRA_PRIORITY => rule.priority = number(),
        FRA_FWMARK => rule.fwmark = number(),
        FRA_FWMASK => rule.fwmask = number(),
        FRA_SUPPRESS_IFGROUP => rule.suppress_ifgroup = limit(),
        FRA_SUPPRESS_PREFIXLEN => rule.suppress_prefixlength = limit(),
        FRA_TABLE => rule.table = TableId(number()),
        FRA_L3MDEV => rule.l3mdev = value.first() == Some(&1),
        FRA_UID_RANGE => {
            let range = value
                .first_chunk::<8>()
                .map(|[a, b, c, d, rest @ ..]| (u32::from_ne_bytes([*a, *b, *c, *d]), u32::from_ne_bytes(*rest)));
            // Every rule of a kernel that knows them has the whole range, which says nothing.
            rule.uids = range.filter(|range| *range != (0, u32::MAX));
        }
        FRA_IP_PROTO => rule.ipproto = value.first().copied().filter(|p| *p != 0),
        FRA_SPORT_RANGE => rule.sports = ports(value),
        FRA_DPORT_RANGE => rule.dports = ports(value),
        FRA_DSCP => rule.dscp = value.first().copied(),
        FRA_TUN_ID if value.iter().any(|b| *b != 0) => rule.beyond.push("tun_id".to_owned()),
        FRA_FLOWLABEL => rule.flowlabel = big_endian(),
        FRA_FLOWLABEL_MASK => rule.flowmask = big_endian(),
        FRA_SPORT_MASK | FRA_DPORT_MASK if value.iter().any(|b| *b != 0xff) => rule.beyond.push("port mask".to_owned()),
        FRA_DSCP_MASK => rule.dscp_mask = value.first().copied().filter(|mask| *mask != 0x3f),
        // Attributes behind the last one known here can only narrow what the rule matches.
        unknown if unknown > FRA_DSCP_MASK => rule.beyond.push(format!("attribute {unknown}")),
        _ => {}
    }
    Ok(())
}

fn ports(value: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = value.first_chunk::<4>()?;
    Some((u16::from_ne_bytes([*a, *b]), u16::from_ne_bytes([*c, *d]))).filter(|range| *range != (0, 0))
}

fn prefix(value: &[u8], length: u8) -> Result<Option<IpNet>, DecodeError> {
    let ip = match value.len() {
        4 => value.first_chunk::<4>().map(|b| IpAddr::from(*b)),
        16 => value.first_chunk::<16>().map(|b| IpAddr::from(*b)),
        _ => None,
    };
    let net = ip.map(|ip| IpNet::new(ip, length)).transpose();
    net.map_err(|_| DecodeError::from(format!("prefix length {length}")))
}

/// `FR_ACT_*`.
fn rule_action(action: u8) -> RuleAction {
    match action {
        1 => RuleAction::Lookup,
        2 => RuleAction::Goto,
        3 => RuleAction::Nop,
        6 => RuleAction::Blackhole,
        7 => RuleAction::Unreachable,
        8 => RuleAction::Prohibit,
        _ => RuleAction::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::nla::attribute;

    /// As the kernel tells a rule that looks in table 100.
    fn rule(tos: u8, attributes: &[(u16, &[u8])]) -> RecordedRule {
        let mut payload = vec![2, 0, 0, tos, 100, 0, 0, 1, 0, 0, 0, 0];
        payload.extend(attributes.iter().flat_map(|(kind, value)| attribute(*kind, value)));
        decode(&payload).unwrap()
    }

    #[test]
    fn what_a_rule_looks_at_is_shown() {
        let all = u32::MAX.to_ne_bytes();
        let label = |n: u32| n.to_be_bytes();
        for (tos, attributes, shown) in [
            (0x10, vec![], "tos 0x10"),
            (0, vec![(FRA_DSCP, &[10][..]), (FRA_DSCP_MASK, &[0x3f])], "dscp 10"),
            (0, vec![(FRA_DSCP, &[8]), (FRA_DSCP_MASK, &[0x38])], "dscp 8/0x38"),
            (0, vec![(FRA_FLOWLABEL, &label(5)), (FRA_FLOWLABEL_MASK, &label(0xfffff))], "flowlabel 0x5"),
            (0, vec![(FRA_FLOWLABEL, &label(0)), (FRA_FLOWLABEL_MASK, &label(0xff))], "flowlabel 0x0/0xff"),
            (0, vec![(FRA_FWMARK, &7u32.to_ne_bytes()), (FRA_FWMASK, &all)], "fwmark 0x7"),
            (0, vec![(FRA_FWMASK, &0xffu32.to_ne_bytes())], "fwmark 0x0/0xff"),
        ] {
            let rule = rule(tos, &attributes);
            assert_eq!((rule.shown().also, rule.beyond), (vec![shown.to_owned()], vec![]));
        }
    }
}
