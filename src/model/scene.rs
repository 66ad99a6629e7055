//! The scene of `podnet demo`: machines that hang on each other like the branches of a tree, and the traces made there.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Serialize;

use super::{LlAddr, NetnsId, Trace};

/// What a machine of the scene plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The world outside.
    Internet,
    /// The gateway of the nodes' network.
    Router,
    /// A node of the cluster.
    Node,
    /// A pod on a node.
    Pod,
}

/// A bridge that other machines hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SceneBridge {
    /// Its name.
    pub ifname: &'static str,
    /// Its link-layer address.
    pub address: LlAddr,
    /// The machine's address on it.
    #[schemars(with = "String")]
    pub addr: IpNet,
}

/// The veth pair that a machine hangs on another by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SceneLink {
    /// Name of the machine's own end.
    pub ifname: &'static str,
    /// Link-layer address of that end.
    pub address: LlAddr,
    /// Address of that end.
    #[schemars(with = "String")]
    pub addr: IpNet,
    /// The other machine.
    pub peer: &'static str,
    /// Name of its end: a port of its bridge, if it has one.
    pub peer_ifname: &'static str,
    /// Link-layer address of its end.
    pub peer_address: LlAddr,
    /// Address of its end, where that is no port.
    #[schemars(with = "Option<String>")]
    pub peer_addr: Option<IpNet>,
}

/// A route of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SceneRoute {
    /// Destination prefix.
    #[schemars(with = "String")]
    pub dst: IpNet,
    /// Router to send to.
    pub gateway: IpAddr,
}

/// A machine of the scene: a network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Machine {
    /// Its name under the netns directory.
    pub name: &'static str,
    /// What it plays.
    pub role: Role,
    /// Inode of its namespace; null before it is built.
    pub netns: Option<NetnsId>,
    /// What it hangs on.
    pub link: Option<SceneLink>,
    /// What others hang on.
    pub bridge: Option<SceneBridge>,
    /// Its routes beside those that the kernel makes.
    pub routes: &'static [SceneRoute],
}

/// The answer of `podnet demo --json`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Demo {
    /// Version of this JSON.
    pub schema: u32,
    /// Always `demo`.
    pub kind: &'static str,
    /// What was built.
    pub machines: Vec<Machine>,
    /// What `podnet trace --json` said there: out of the node, to the neighbour pod, to the pod on the other node.
    #[schemars(with = "Vec<Trace>")]
    pub traces: Vec<serde_json::Value>,
}
