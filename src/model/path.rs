//! A packet's way: hops, the fact that each rests on, and how it ends.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BridgePort, Encap, FdbEntry, Finding, Gap, HeardChain, Holder, IfIndex, LinkAddr, LlAddr, Neigh, NetnsId, Nsid,
    Owner, Pid, Program, Route, Tag, Traffic,
};

/// How a hop was reached from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// A route of the namespace chose the device.
    Route,
    /// The other end of a pair.
    Peer,
    /// From a port up to its bridge, bond or VRF.
    Master,
    /// From a bridge to the port its forwarding database, or flooding, names.
    Fdb,
    /// To the link below (vlan, macvlan, ipvlan), or from a bond to its port.
    Lower,
    /// To a link above (vlan, macvlan, ipvlan) that the packet is meant for.
    Upper,
    /// Out of a tunnel, at its other end.
    Tunnel,
    /// Over the network between two recorded machines.
    Wire,
    /// Delivered inside the namespace.
    Local,
}

/// How a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A namespace takes the packet as its own.
    Delivered,
    /// The packet leaves by a device that leads out of this machine.
    LeavesNode,
    /// Something on this machine drops it.
    Dropped,
    /// podnet cannot tell what happens next.
    Unknown,
}

/// How a path ends, why, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verdict {
    /// What becomes of the packet.
    pub action: Action,
    /// Why, in one sentence.
    pub reason: String,
    /// Index of the hop that it happens at; null where not even the first device was reached.
    pub hop: Option<usize>,
    /// What looks at the packet and was not read, so that it could make another end: rules of netfilter, by the
    /// namespaces that they are in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<String>,
}

/// The ports of a bridge that a path crosses: who else is on the segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Segment {
    /// Names of the other ports, the oldest first; no more than asked for.
    pub ports: Vec<String>,
    /// There are more ports than these.
    pub more: bool,
}

/// A device in a namespace, how the packet came there, and the facts that say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hop {
    /// Inode of the namespace.
    pub netns: NetnsId,
    /// Number that podnet's own namespace has for it, where that is all that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nsid: Option<Nsid>,
    /// What a person calls the namespace.
    pub netns_name: String,
    /// Machine that it is on, where recordings of several are asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Name of the device.
    pub ifname: String,
    /// Its index within the namespace.
    pub ifindex: IfIndex,
    /// Its kind.
    pub kind: String,
    /// Its link-layer address.
    pub address: Option<LlAddr>,
    /// Its MTU in bytes; null where it could not be seen.
    pub mtu: Option<u32>,
    /// Its operational state.
    pub operstate: String,
    /// Its addresses.
    pub addrs: Vec<LinkAddr>,
    /// Driver of a physical or virtio device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// How the packet came here.
    pub step: Step,
    /// The bridge that it is a port of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Index of the other end or the link below, in that one's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_index: Option<IfIndex>,
    /// Its state as a bridge port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<BridgePort>,
    /// The route that sent the packet out by this device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// Who the packet is handed to on the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neigh: Option<Neigh>,
    /// The bridge's entry that named the next port, or the bridge itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fdb: Option<FdbEntry>,
    /// Other ports of the bridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
    /// VLAN tags that the frame has on this device, the outer one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// The outer packet that the tunnel makes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encap: Option<Encap>,
    /// Processes that hold the tun device, and so get the packet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<HeldBy>,
    /// The physical function that the device is a virtual one of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pf: Option<String>,
    /// Chains of netfilter that look at the packet around here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<HeardChain>,
    /// Programs at the device that see the packet and that podnet does not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<Program>,
}

/// A process that holds the other side of a tun device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldBy {
    /// The process.
    pub pid: Pid,
    /// Its name (`/proc/<pid>/comm`).
    pub comm: String,
    /// It was seen that the device is this one; else only that it has the same name.
    pub sure: bool,
}

/// The way of one flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Path {
    /// Where to: `default`, an on-link or routed prefix, or the address that was asked for.
    pub to: String,
    /// The destination address that the kernel was asked for.
    pub dst: Option<IpAddr>,
    /// The one that netfilter gave the packet instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirected_to: Option<IpAddr>,
    /// The source address that the packet has.
    pub src: Option<IpAddr>,
    /// The one that netfilter gave the packet instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_as: Option<IpAddr>,
    /// What else the packet has, as it was asked for.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Index of the path that this one is the answer's way of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<usize>,
    /// Link that the packet is bound to, where the routing table alone would not use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_to: Option<String>,
    /// How it ends.
    pub verdict: Verdict,
    /// The devices in order.
    pub hops: Vec<Hop>,
}

/// Where a trace starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Source {
    /// Inode of the namespace.
    pub netns: NetnsId,
    /// What a person calls it.
    pub netns_name: String,
    /// The process that podnet reached it through.
    pub pid: Option<Pid>,
    /// Whom it belongs to.
    pub owner: Option<Owner>,
    /// The container that was asked for, where it has no namespace of its own and uses the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Owner>,
    /// What holds it open, as far as the look-up of the target met it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
}

/// The answer of `podnet trace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Trace {
    /// Version of this JSON.
    pub schema: u32,
    /// Always `trace`.
    pub kind: &'static str,
    /// Where it starts.
    pub source: Source,
    /// One path for each interface that has a route out, or the one that was asked for.
    pub paths: Vec<Path>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be seen.
    pub gaps: Vec<Gap>,
}
