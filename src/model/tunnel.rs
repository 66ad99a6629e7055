//! What leads from a packet inside a tunnel to the one outside.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::{IfIndex, LlAddr};

/// A forwarding entry of a vxlan device: behind which tunnel endpoint a link-layer address is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Remote {
    /// The address (`NDA_LLADDR`); all zeroes for every address without an entry of its own.
    pub mac: LlAddr,
    /// The endpoint (`NDA_DST`); none: a group of next hops, which podnet does not read.
    pub dst: Option<IpAddr>,
    /// Its UDP port, where it is not the device's own (`NDA_PORT`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its network id, where it is not the device's own (`NDA_VNI`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vni: Option<u32>,
    /// Link to send by (`NDA_IFINDEX`), in the namespace of the outer packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<IfIndex>,
    /// `permanent`, `static` for one set by hand, empty for a learned one.
    pub state: String,
}

/// The outer packet that a tunnel puts around one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Encap {
    /// Destination of the outer packet.
    pub remote: IpAddr,
    /// Its source; null where routing picks it.
    pub local: Option<IpAddr>,
    /// Destination port, for tunnels over UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Number of the network inside (VNI, key).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Bytes that it adds to each packet.
    pub overhead: u32,
    /// What named the remote: `fdb`, `default` for the device's own remote, `gateway` of the inner route.
    pub by: String,
}
