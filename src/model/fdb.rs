//! A bridge's forwarding database: behind which port a link-layer address is.

use schemars::JsonSchema;
use serde::Serialize;

use super::{IfIndex, LlAddr};

/// One entry of a bridge's forwarding database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FdbEntry {
    /// The address (`NDA_LLADDR`).
    pub mac: LlAddr,
    /// Index of the port, or of the bridge itself for its own addresses (`ndm_ifindex`).
    pub ifindex: IfIndex,
    /// VLAN that the entry belongs to (`NDA_VLAN`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// `permanent` for an address of the bridge or the port itself, `static` for one set by hand, empty for a learned one.
    pub state: String,
    /// The address is the bridge's own, or its port's: frames to it go up to the bridge's namespace.
    pub local: bool,
}
