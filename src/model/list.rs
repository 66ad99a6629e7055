//! The answer of `podnet list`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Gap, Holder, IfIndex, LinkAddr, LlAddr, NetnsId, Nsid, Owner};

/// Every network namespace of the machine, who is in it and how it is wired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listing {
    /// Version of this JSON.
    pub schema: u32,
    /// Always `list`.
    pub kind: &'static str,
    /// The namespaces: `host` first, then by name, then by inode.
    pub namespaces: Vec<ListedNetns>,
    /// What could not be seen.
    pub gaps: Vec<Gap>,
}

/// One network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedNetns {
    /// Inode of the namespace; null for one that only an nsid speaks of.
    pub netns: NetnsId,
    /// Number that podnet's own namespace has for it.
    pub nsid: Option<Nsid>,
    /// What a person calls it.
    pub name: String,
    /// Whom it belongs to.
    pub owner: Option<Owner>,
    /// Machine that it was recorded on, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Containers without a namespace of their own that use this one, which is the host's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Owner>,
    /// What holds it open.
    pub holders: Vec<Holder>,
    /// Its links by index.
    pub links: Vec<ListedLink>,
}

/// One link of a listed namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedLink {
    /// Name.
    pub ifname: String,
    /// Index within the namespace.
    pub ifindex: IfIndex,
    /// rtnl link kind; `loopback`, or `device` for a physical or virtio device.
    pub kind: String,
    /// Link-layer address.
    pub address: Option<LlAddr>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Operational state.
    pub operstate: String,
    /// Addresses.
    pub addrs: Vec<LinkAddr>,
    /// The other end of a pair, or the link below; null where there is none or it was not found.
    pub peer: Option<PeerRef>,
    /// Name of the bridge, bond or VRF that it is a port of.
    pub master: Option<String>,
}

/// The other end of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PeerRef {
    /// Inode of its namespace; null where that could not be identified.
    pub netns: NetnsId,
    /// Number that the link's own namespace has for the peer's; null where both are the same.
    pub nsid: Option<Nsid>,
    /// Its name; null where its namespace could not be opened.
    pub ifname: Option<String>,
    /// Its index in its own namespace.
    pub ifindex: IfIndex,
}
