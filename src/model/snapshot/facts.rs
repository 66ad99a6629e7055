//! What a recording has of a namespace besides its links: what decides the ways of packets in it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RecordedRoute, RecordedRule};
use crate::model::{Chain, ChainId, HeldBy, IfIndex, LlAddr, NeighState, Nexthop, NfRule, NfSet, PortVlan, Program};

/// Names of the sysctls that are recorded of every link, in the order of their values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedConf {
    /// Below `net/ipv4/conf/<link>`.
    pub inet: Vec<String>,
    /// Below `net/ipv6/conf/<link>`.
    pub inet6: Vec<String>,
}

/// What was read inside a namespace. What is absent could not be read, and a gap says why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedFacts {
    /// Indexes of all bridge ports in the order of the kernel's own list: the oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<IfIndex>>,
    /// Routes of all tables, in the kernel's order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RecordedRoute>>,
    /// IPv4 rules in the order in which they are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<RecordedRule>>,
    /// IPv6 rules in the order in which they are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules6: Option<Vec<RecordedRule>>,
    /// The local and the main IPv4 table are two, each asked by its own rule; they are one until a rule is touched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub split: bool,
    /// Neighbour entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<Vec<RecordedNeigh>>,
    /// Addresses that are answered for although they are others' (`NTF_PROXY`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<Vec<RecordedNeigh>>,
    /// Forwarding entries of bridges and of links themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fdb: Option<Vec<RecordedFdb>>,
    /// VLANs of bridge ports and bridges, where one filters by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlans: Option<Vec<RecordedVlans>>,
    /// Nexthop objects that routes use, by their id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nexthops: BTreeMap<u32, Vec<Nexthop>>,
    /// Base chains of netfilter that have rules, or a policy other than accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chains: Option<Vec<Chain>>,
    /// Rules of all chains of netfilter that have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nf_rules: Option<Vec<RecordedChain>>,
    /// Sets of nftables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nf_sets: Option<Vec<RecordedSet>>,
    /// Programs at links; links without any are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programs: Option<Vec<RecordedPrograms>>,
    /// Processes that hold the other side of tun and macvtap devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<RecordedHeld>,
    /// Sysctls of the whole namespace that are numbers, by their path below `net`; null: the kernel has no such one.
    #[serde(default)]
    pub sysctls: BTreeMap<String, Option<i64>>,
}

/// The rules of a chain of netfilter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedChain {
    /// The chain.
    #[serde(flatten)]
    pub chain: ChainId,
    /// Its rules in order.
    pub rules: Vec<NfRule>,
}

/// A recorded set of nftables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedSet {
    /// Family of its table.
    pub family: String,
    /// Its table (`NFTA_SET_TABLE`).
    pub table: String,
    /// Its name (`NFTA_SET_NAME`).
    pub name: String,
    /// What it has.
    #[serde(flatten)]
    pub set: NfSet,
}

/// VLANs of a recorded bridge port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedVlans {
    /// The port, or the bridge itself.
    pub ifindex: IfIndex,
    /// Its VLANs.
    pub vlans: Vec<PortVlan>,
}

/// Programs at a recorded link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedPrograms {
    /// The link.
    pub ifindex: IfIndex,
    /// The programs.
    pub programs: Vec<Program>,
}

/// Who holds the other side of a recorded device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedHeld {
    /// The device.
    pub ifindex: IfIndex,
    /// The processes.
    pub by: Vec<HeldBy>,
}

/// A recorded neighbour entry, or a proxy for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedNeigh {
    /// Link that it is on (`ndm_ifindex`); 0: any.
    pub ifindex: IfIndex,
    /// The address (`NDA_DST`).
    pub dst: IpAddr,
    /// Its link-layer address (`NDA_LLADDR`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lladdr: Option<LlAddr>,
    /// State of the entry.
    pub state: NeighState,
}

/// A recorded forwarding entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedFdb {
    /// The link (`ndm_ifindex`): a bridge's port, or the one whose own entry it is.
    pub ifindex: IfIndex,
    /// The address (`NDA_LLADDR`).
    pub mac: LlAddr,
    /// VLAN that the entry belongs to (`NDA_VLAN`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// `permanent` for an address of the bridge or the port itself, `static` for one set by hand, empty for a learned one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// An entry of the link itself (`NTF_SELF`), not of the bridge above it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", rename = "self")]
    pub own: bool,
    /// The bridge that the entry belongs to (`NDA_MASTER`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<IfIndex>,
    /// Tunnel endpoint behind which the address is (`NDA_DST`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst: Option<IpAddr>,
    /// UDP port of that endpoint, where it is not the tunnel's own (`NDA_PORT`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Network id that it is sent with, where that is not the tunnel's own (`NDA_VNI`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<u32>,
    /// Group of next hops behind which the address is (`NDA_NH_ID`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nhid: Option<u32>,
    /// Link that the tunnel's packets must leave by (`NDA_IFINDEX`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IfIndex>,
}
