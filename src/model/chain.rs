//! Netfilter's base chains: where rules decide over a packet, and what they say.

use std::collections::BTreeSet;

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

/// What can become of a packet in a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It goes on as it is.
    Pass,
    /// It goes on with another source (SNAT, masquerade).
    Hide,
    /// It goes on to another destination (DNAT, redirect).
    Redirect,
    /// It is dropped or rejected.
    Drop,
    /// Something that podnet does not follow: a queue to a process, a rule that could not be read.
    Other,
}

/// A base chain on the way of a packet, and what its rules say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HeardChain {
    /// The chain.
    #[serde(flatten)]
    pub chain: Chain,
    /// What can become of the packet: one is certain; of several what is known of the packet does not decide.
    pub outcomes: BTreeSet<Outcome>,
    /// Rules by which it is or could be anything but let through as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
}

impl HeardChain {
    /// This can become of the packet.
    pub fn can(&self, outcome: Outcome) -> bool {
        self.outcomes.contains(&outcome)
    }

    /// This becomes of the packet for certain.
    pub fn does(&self, outcome: Outcome) -> bool {
        self.can(outcome) && self.outcomes.len() == 1
    }

    /// It may give the packet another source.
    pub fn may_hide(&self) -> bool {
        self.can(Outcome::Hide) || self.can(Outcome::Other) && self.chain.only_hides()
    }

    /// It may give the packet another destination.
    pub fn may_redirect(&self) -> bool {
        self.can(Outcome::Redirect) || self.can(Outcome::Other) && self.chain.may_redirect()
    }

    /// It is not certain that the packet goes on to where it was sent.
    pub fn is_open(&self) -> bool {
        self.outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Pass | Outcome::Hide))
    }
}

impl Chain {
    /// Its rules give packets another source at most, and let all of them pass.
    pub fn only_hides(&self) -> bool {
        self.kind == "nat" && !self.may_redirect()
    }

    /// The kernel knows the connection of packets that it sees.
    pub fn follows_connections(&self) -> bool {
        matches!(self.family.as_str(), "ip" | "ip6" | "inet") && !matches!(self.hook, Hook::Ingress | Hook::Egress)
    }

    /// Its rules may give packets another destination (DNAT).
    pub fn may_redirect(&self) -> bool {
        self.kind == "nat" && matches!(self.hook, Hook::Prerouting | Hook::Output)
    }
}
