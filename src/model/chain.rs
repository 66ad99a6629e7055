//! Netfilter's base chains: where rules that podnet does not read could decide over a packet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place where netfilter looks at packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// As a device takes it in (`netdev` and `inet`).
    Ingress,
    /// Before the routing decision over an arriving packet.
    Prerouting,
    /// Before it is handed to this namespace.
    Input,
    /// Between arriving and leaving.
    Forward,
    /// As a process sends it.
    Output,
    /// Before it leaves.
    Postrouting,
    /// As a device sends it (`netdev`).
    Egress,
}

/// A base chain of nftables, or a built-in chain of a legacy table, that has rules or a policy other than accept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Chain {
    /// `nf_tables`, or `legacy` for a table of ip_tables or ip6_tables.
    pub backend: String,
    /// `ip`, `ip6`, `inet`, `arp`, `bridge` or `netdev`.
    pub family: String,
    /// Name of its table (`NFTA_CHAIN_TABLE`).
    pub table: String,
    /// Its name (`NFTA_CHAIN_NAME`).
    pub chain: String,
    /// `filter`, `nat` or `route` (`NFTA_CHAIN_TYPE`).
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it looks at packets (`NFTA_HOOK_HOOKNUM`).
    pub hook: Hook,
    /// Order within the hook: the lowest is first (`NFTA_HOOK_PRIORITY`).
    pub priority: i32,
    /// Device that it is bound to (`NFTA_HOOK_DEV`, one of `NFTA_HOOK_DEVS`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What becomes of packets that no rule decides: `accept` or `drop` (`NFTA_CHAIN_POLICY`).
    pub policy: String,
    /// Number of its rules (`NFTA_CHAIN_USE`); chains that they jump to not counted.
    pub rules: u32,
}

impl Chain {
    /// Its rules give packets another source at most, and let all of them pass.
    pub fn only_hides(&self) -> bool {
        self.kind == "nat" && !self.may_redirect()
    }

    /// Its rules may give packets another destination (DNAT).
    pub fn may_redirect(&self) -> bool {
        self.kind == "nat" && matches!(self.hook, Hook::Prerouting | Hook::Output)
    }
}
