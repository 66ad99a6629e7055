//! VLANs of a bridge's ports, and the tags of a frame.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Membership of a port, or of the bridge itself, in a VLAN of a bridge that filters by VLAN (`BRIDGE_VLANDB_ENTRY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortVlan {
    /// VLAN id; the first of a range.
    pub vid: u16,
    /// The last of the range; the same for a single one.
    pub last: u16,
    /// Frames without a tag that come in belong to it (`BRIDGE_VLAN_INFO_PVID`).
    pub pvid: bool,
    /// Frames of it go out without a tag (`BRIDGE_VLAN_INFO_UNTAGGED`).
    pub untagged: bool,
}

impl PortVlan {
    /// The VLAN is this entry's.
    pub fn has(&self, vid: u16) -> bool {
        (self.vid..=self.last).contains(&vid)
    }
}

/// A VLAN tag of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Tag {
    /// VLAN id.
    pub vid: u16,
    /// 802.1ad, the outer tag of a provider; else 802.1Q.
    pub ad: bool,
}
