//! What a packet is on a link: whom it is handed to, who sends it, its VLAN tags; and the packets inside tunnels.

use std::net::IpAddr;

use crate::model::{Flow, LlAddr, NetnsId, Tag};

/// A packet on a link.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Next router, or the destination itself.
    pub to: IpAddr,
    /// Its link-layer address, where the sender knows it.
    pub lladdr: Option<LlAddr>,
    /// The sender's link-layer address.
    pub from: Option<LlAddr>,
    /// VLAN tags, the outer one last.
    pub tags: Vec<Tag>,
}

impl Frame {
    /// The same frame with one tag more around it.
    pub(super) fn tagged(mut self, tag: Tag) -> Frame {
        self.tags.push(tag);
        self
    }

    /// The same frame without its outer tag.
    pub(super) fn untagged(mut self) -> Frame {
        self.tags.pop();
        self
    }
}

/// A packet that is inside of another one.
#[derive(Debug, Clone)]
pub(super) struct Carried {
    /// What it is itself.
    pub flow: Flow,
    /// What it is on the link inside the tunnel.
    pub frame: Frame,
    /// Kind of the tunnel's links.
    pub kind: String,
    /// Number of the network inside (VNI, key).
    pub id: Option<u32>,
    /// Port that the other end must listen on.
    pub port: Option<u16>,
    /// Bytes around it.
    pub overhead: u32,
    /// The namespace that it was sent from, for packets that never leave it.
    pub sent_by: NetnsId,
}
