//! Policy rules: RTM_GETRULE.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::socket::{Dump, Refused, Socket};
use crate::model::{Rule, TableId};

/// The rules of an address family, in the order in which the kernel asks them.
pub fn dump(socket: &mut Socket, family: AddressFamily) -> Result<Dump<Rule>, Refused> {
    let mut message = RuleMessage::default();
    message.header.family = family;
    socket.dump(RouteNetlinkMessage::GetRule(message), |payload| decode(payload).map(Some))
}

fn decode(payload: &[u8]) -> Result<Rule, DecodeError> {
    let message = RuleMessage::parse(payload)?;
    let mut rule = Rule {
        priority: 0,
        src: None,
        dst: None,
        iif: None,
        oif: None,
        fwmark: None,
        also: Vec::new(),
        table: TableId(message.header.table as u32),
        action: action(message.header.action),
    };
    if message.header.tos != 0 {
        rule.also.push(format!("tos {:#x}", message.header.tos));
    }
    let prefix = |ip: &IpAddr, length: u8| {
        IpNet::new(*ip, length).map_err(|_| DecodeError::from(format!("prefix length {length}")))
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Source(ip) => rule.src = Some(prefix(ip, message.header.src_len)?),
            RuleAttribute::Destination(ip) => rule.dst = Some(prefix(ip, message.header.dst_len)?),
            RuleAttribute::Iifname(name) => rule.iif = Some(name.clone()),
            RuleAttribute::Oifname(name) => rule.oif = Some(name.clone()),
            RuleAttribute::FwMark(mark) => {
                rule.fwmark = Some(*mark);
                rule.also.push(format!("fwmark {mark:#x}"));
            }
            RuleAttribute::IpProtocol(protocol) => rule.also.push(format!("ipproto {}", i32::from(*protocol))),
            RuleAttribute::SourcePortRange(range) => rule.also.push(format!("sport {}-{}", range.start, range.end)),
            RuleAttribute::DestinationPortRange(range) => {
                rule.also.push(format!("dport {}-{}", range.start, range.end))
            }
            // Every rule of a kernel that knows them has the whole range, which says nothing.
            RuleAttribute::UidRange(range) if (range.start, range.end) != (0, u32::MAX) => {
                rule.also.push(format!("uidrange {}-{}", range.start, range.end));
            }
            RuleAttribute::Table(table) => rule.table = TableId(*table),
            _ => {}
        }
    }
    Ok(rule)
}

fn action(action: RuleAction) -> String {
    match action {
        RuleAction::ToTable => "lookup",
        RuleAction::Goto => "goto",
        RuleAction::Nop => "nop",
        RuleAction::Blackhole => "blackhole",
        RuleAction::Unreachable => "unreachable",
        RuleAction::Prohibit => "prohibit",
        _ => "unknown",
    }
    .to_owned()
}
