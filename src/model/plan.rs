//! What will be done to the machine, in order and with the way back, as plain data. How a step reads as a command is
//! `command`'s.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LlAddr, RouteType};

/// Which namespace a step works in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NetnsRef {
    /// That podnet runs in, mostly that of pid 1.
    Host,
    /// One with a name under the netns directory.
    Named(String),
    /// Any other, by a file that leads there: `/proc/4711/ns/net`.
    Path(String),
}

/// A link that is to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLink {
    /// Name (`IFLA_IFNAME`).
    pub ifname: String,
    /// Link-layer address; none: the kernel draws one (`IFLA_ADDRESS`).
    pub address: Option<LlAddr>,
    /// MTU in bytes; none: that of the kind (`IFLA_MTU`).
    pub mtu: Option<u32>,
    /// Link group; none: the default one (`IFLA_GROUP`).
    pub group: Option<u32>,
    /// In use from the start (`IFF_UP`).
    pub up: bool,
}

/// An address that is taken in a store of the CNI host-local plugin's layout: a file that bears the address's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Directory of the network: `/var/lib/cni/networks/<network>`.
    pub store: String,
    /// The address.
    pub addr: IpAddr,
    /// Who has it: first line of the file.
    pub id: String,
    /// For which of its links: second line of the file.
    pub ifname: String,
    /// Number of the range it was drawn from, whose `last_reserved_ip.<number>` it becomes; none: it was named.
    pub range: Option<usize>,
}

/// A rule of podnet's own table that hides an address behind that of the link its packets leave by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masquerade {
    /// The address that is hidden.
    pub addr: IpAddr,
    /// Its own network, where it is not hidden.
    pub within: IpNet,
    /// Whose rule it is: the rule's comment.
    pub comment: String,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Writes a sysctl of the namespace.
    SetSysctl {
        /// Path below `/proc/sys`, as in `net/ipv4/ip_forward`.
        key: String,
        /// What is written.
        value: String,
    },
    /// Makes a bridge.
    AddBridge(NewLink),
    /// Makes a veth pair, each end at once where it belongs.
    AddVeth {
        /// This namespace's end.
        link: NewLink,
        /// Bridge that it becomes a port of (`IFLA_MASTER`).
        master: Option<String>,
        /// Namespace of the other end (`IFLA_NET_NS_FD` in `VETH_INFO_PEER`).
        peer_netns: NetnsRef,
        /// The other end.
        peer: NewLink,
    },
    /// Makes a macvlan in bridge mode on a link of this namespace, at once in the namespace where it belongs.
    AddMacvlan {
        /// The link below (`IFLA_LINK`).
        lower: String,
        /// The new link.
        link: NewLink,
        /// Namespace of the new link (`IFLA_NET_NS_FD`).
        link_netns: NetnsRef,
    },
    /// Deletes a link, and with it the other end of a pair.
    DelLink {
        /// The link.
        ifname: String,
    },
    /// Deletes a bridge, unless it has ports.
    DelBridge {
        /// The bridge.
        ifname: String,
    },
    /// Writes something beside a link for people and for podnet (`IFLA_IFALIAS`).
    SetAlias {
        /// The link.
        ifname: String,
        /// What is written.
        alias: String,
    },
    /// Puts a link into another group (`IFLA_GROUP`).
    SetGroup {
        /// The link.
        ifname: String,
        /// The group.
        group: u32,
    },
    /// Sets how a bridge treats one of its ports (`IFLA_BRPORT_MODE`, `IFLA_BRPORT_ISOLATED`).
    SetPort {
        /// The port.
        ifname: String,
        /// Frames may go back out of the port they came in by.
        hairpin: bool,
        /// It may not talk to other isolated ports.
        isolated: bool,
    },
    /// Gives a link an address.
    AddAddr {
        /// The link.
        ifname: String,
        /// The address with the length of its prefix (`IFA_LOCAL`, `ifa_prefixlen`).
        addr: IpNet,
        /// Use it at once, without asking first whether somebody has it; IPv6 only (`IFA_F_NODAD`).
        nodad: bool,
        /// Means something on this link only; IPv4 only (`ifa_scope`).
        link_scope: bool,
    },
    /// Takes an address from a link.
    DelAddr {
        /// The link.
        ifname: String,
        /// The address with the length of its prefix.
        addr: IpNet,
    },
    /// Takes a link into use (`IFF_UP`).
    SetUp {
        /// The link.
        ifname: String,
    },
    /// Adds a route to the main table.
    AddRoute {
        /// What it does (`rtm_type`).
        kind: RouteType,
        /// Destination (`RTA_DST`).
        dst: IpNet,
        /// Router to send to (`RTA_GATEWAY`).
        gateway: Option<IpAddr>,
        /// Link to send by (`RTA_OIF`); none: the kernel takes the one that leads to the gateway.
        dev: Option<String>,
    },
    /// Takes an address in a store.
    Reserve(Reservation),
    /// Gives an address back to a store.
    Release {
        /// Directory of the network.
        store: String,
        /// The address.
        addr: IpAddr,
        /// Who has it; somebody else's is left alone.
        id: String,
    },
    /// Hides an address behind that of the link its packets leave by.
    AddMasquerade(Masquerade),
    /// Removes the rules that bear this comment, and podnet's table with the last one.
    DelMasquerade {
        /// The comment.
        comment: String,
    },
}

/// One change and the namespace that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanStep {
    /// The namespace.
    pub netns: NetnsRef,
    /// The change.
    pub change: Change,
    /// What takes it back, in order; nothing where it goes with what an earlier step made.
    pub undo: Vec<(NetnsRef, Change)>,
}

/// Steps in the order that they have to be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<PlanStep>,
}

impl Plan {
    /// Appends a step.
    pub fn step(&mut self, netns: &NetnsRef, change: Change) {
        self.with_undo(netns, change, Vec::new());
    }

    /// Appends a step and what takes it back.
    pub fn with_undo(&mut self, netns: &NetnsRef, change: Change, undo: Vec<(NetnsRef, Change)>) {
        self.steps.push(PlanStep { netns: netns.clone(), change, undo });
    }
}
