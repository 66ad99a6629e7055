//! A policy rule of a recording: all of it that decides whether and where a packet is looked up.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Rule, TableId};

/// What a rule does with a packet that it matches (`fra_action`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleAction {
    /// Looks in a table.
    #[default]
    Lookup,
    /// Goes on at a later rule.
    Goto,
    /// Nothing.
    Nop,
    /// Drops it silently.
    Blackhole,
    /// Drops it, answering "network unreachable".
    Unreachable,
    /// Drops it, answering "administratively prohibited".
    Prohibit,
    /// Something that podnet does not know.
    Unknown,
}

impl RuleAction {
    /// The word of `ip rule`.
    pub fn word(self) -> &'static str {
        match self {
            RuleAction::Lookup => "lookup",
            RuleAction::Goto => "goto",
            RuleAction::Nop => "nop",
            RuleAction::Blackhole => "blackhole",
            RuleAction::Unreachable => "unreachable",
            RuleAction::Prohibit => "prohibit",
            RuleAction::Unknown => "unknown",
        }
    }
}

/// One recorded policy rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RecordedRule {
    /// Order: the lowest is asked first (`FRA_PRIORITY`).
    pub priority: u32,
    /// What it does.
    pub action: RuleAction,
    /// Table to look in (`FRA_TABLE`).
    pub table: TableId,
    /// Matches what it would not, and not what it would (`FIB_RULE_INVERT`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not: bool,
    /// Source prefix it matches (`FRA_SRC`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub src: Option<IpNet>,
    /// Destination prefix it matches (`FRA_DST`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub dst: Option<IpNet>,
    /// Arriving link it matches (`FRA_IIFNAME`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iif: Option<String>,
    /// Leaving link it matches (`FRA_OIFNAME`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oif: Option<String>,
    /// Firewall mark it matches, under the mask (`FRA_FWMARK`).
    #[serde(skip_serializing_if = "is_zero")]
    pub fwmark: u32,
    /// Bits of the mark that count (`FRA_FWMASK`).
    #[serde(skip_serializing_if = "is_zero")]
    pub fwmask: u32,
    /// Traffic class it matches (`tos`).
    #[serde(skip_serializing_if = "is_zero")]
    pub tos: u8,
    /// DSCP it matches (`FRA_DSCP`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dscp: Option<u8>,
    /// Bits of the DSCP that count, where not all do (`FRA_DSCP_MASK`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dscp_mask: Option<u8>,
    /// IPv6 flow label it matches, under the mask (`FRA_FLOWLABEL`).
    #[serde(skip_serializing_if = "is_zero")]
    pub flowlabel: u32,
    /// Bits of the flow label that count (`FRA_FLOWLABEL_MASK`).
    #[serde(skip_serializing_if = "is_zero")]
    pub flowmask: u32,
    /// First and last user it matches (`FRA_UID_RANGE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uids: Option<(u32, u32)>,
    /// Protocol it matches (`FRA_IP_PROTO`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipproto: Option<u8>,
    /// First and last source port it matches (`FRA_SPORT_RANGE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sports: Option<(u16, u16)>,
    /// First and last destination port it matches (`FRA_DPORT_RANGE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dports: Option<(u16, u16)>,
    /// Matches packets of a VRF, and looks in its table (`FRA_L3MDEV`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub l3mdev: bool,
    /// Priority of the rule to go on at (`FRA_GOTO`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goto: Option<u32>,
    /// Routes with a prefix no longer than this do not count (`FRA_SUPPRESS_PREFIXLEN`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppress_prefixlength: Option<u32>,
    /// Routes by a link of this group do not count (`FRA_SUPPRESS_IFGROUP`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppress_ifgroup: Option<u32>,
    /// What else it matches or does that podnet's look-up cannot decide, in the words of `ip rule`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<String>,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Every bit of a DSCP.
const ALL_DSCP: u8 = 0x3f;

/// A mask as `ip rule` writes it, which leaves out one of all bits.
fn under(mask: u32, all: u32) -> String {
    if mask == all { String::new() } else { format!("/{mask:#x}") }
}

impl RecordedRule {
    /// A packet with this traffic class has the DSCP that it matches.
    pub fn matches_dscp(&self, tos: u8) -> bool {
        self.dscp.is_none_or(|dscp| (dscp ^ tos >> 2) & self.dscp_mask.unwrap_or(ALL_DSCP) == 0)
    }

    /// The rule as the walk knows it.
    pub fn shown(&self) -> Rule {
        let mut also = Vec::new();
        if self.tos != 0 {
            also.push(format!("tos {:#x}", self.tos));
        }
        if let Some(dscp) = self.dscp {
            also.push(format!("dscp {dscp}{}", under(self.dscp_mask.unwrap_or(ALL_DSCP).into(), ALL_DSCP.into())));
        }
        if self.flowmask != 0 {
            also.push(format!("flowlabel {:#x}{}", self.flowlabel, under(self.flowmask, 0xfffff)));
        }
        if self.fwmark != 0 || self.fwmask != 0 {
            also.push(format!("fwmark {:#x}{}", self.fwmark, under(self.fwmask, u32::MAX)));
        }
        also.extend(self.uids.filter(|u| *u != (0, u32::MAX)).map(|(from, to)| format!("uidrange {from}-{to}")));
        also.extend(self.sports.map(|(from, to)| format!("sport {from}-{to}")));
        also.extend(self.dports.map(|(from, to)| format!("dport {from}-{to}")));
        also.extend(self.ipproto.map(|p| format!("ipproto {p}")));
        Rule {
            priority: self.priority,
            src: self.src,
            dst: self.dst,
            iif: self.iif.clone(),
            oif: self.oif.clone(),
            fwmark: (self.fwmark != 0 || self.fwmask != 0).then_some(self.fwmark),
            also,
            table: self.table,
            action: self.action.word().to_owned(),
        }
    }
}
