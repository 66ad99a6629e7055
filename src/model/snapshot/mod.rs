//! Everything that podnet saw of a machine at one time, as one document. It can be read back, and every reading command
//! answers from it as from the machine itself.

mod facts;
mod route;
mod rule;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Gap, Holder, IfIndex, Link, Nsid, Owner, Pid};

pub use facts::{
    RecordedChain, RecordedConf, RecordedFacts, RecordedFdb, RecordedHeld, RecordedNeigh, RecordedPrograms,
    RecordedSet, RecordedVlans,
};
pub use route::{RecordedNexthop, RecordedRoute};
pub use rule::{RecordedRule, RuleAction};

/// Everything that was seen of a machine; `F` is what was read inside the namespaces, or what stands for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot<F = RecordedFacts> {
    /// Version of this JSON; readers refuse one that they do not know.
    pub schema: u32,
    /// Always `snapshot`.
    pub kind: String,
    /// Version of podnet that wrote it.
    pub podnet: String,
    /// Name of the machine (`/proc/sys/kernel/hostname`).
    pub hostname: String,
    /// Release of the kernel (`/proc/sys/kernel/osrelease`).
    pub kernel: String,
    /// Which boot of the machine it was (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// Seconds since 1970 when the reading began.
    pub taken_at: u64,
    /// Place in `namespaces` of the one that podnet itself was in.
    pub own: usize,
    /// Place in `namespaces` of the one of pid 1, where that was seen.
    pub host: Option<usize>,
    /// What the numbers in the links' `inet` and `inet6` mean.
    pub conf: RecordedConf,
    /// The namespaces: `host` first, then by name, then by inode.
    pub namespaces: Vec<RecordedNetns<F>>,
    /// What could not be seen.
    pub gaps: Vec<Gap>,
}

impl<F> Snapshot<F> {
    /// The same without what was read inside.
    pub fn outline(self) -> Snapshot {
        let Snapshot { schema, kind, podnet, hostname, kernel, boot_id, taken_at, own, host, conf, .. } = self;
        let namespaces = self.namespaces.into_iter().map(RecordedNetns::outline).collect();
        let gaps = self.gaps;
        Snapshot { schema, kind, podnet, hostname, kernel, boot_id, taken_at, own, host, conf, namespaces, gaps }
    }
}

impl<F> RecordedNetns<F> {
    fn outline(self) -> RecordedNetns {
        let RecordedNetns { netns, nsid, name, owner, tenants, pid, holders, nsids, links, closed, gaps, .. } = self;
        RecordedNetns { netns, nsid, name, owner, tenants, pid, holders, nsids, links, facts: None, closed, gaps }
    }
}

impl Snapshot {
    /// The version that this podnet writes and reads.
    pub const SCHEMA: u32 = 1;
    /// What `kind` says.
    pub const KIND: &str = "snapshot";
}

/// One network namespace of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedNetns<F = RecordedFacts> {
    /// Inode of the namespace; null for one that only an nsid speaks of.
    pub netns: Option<u64>,
    /// Number that podnet's own namespace had for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nsid: Option<Nsid>,
    /// What a person calls it.
    pub name: String,
    /// Whom it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Containers without a namespace of their own that used this one, which is the host's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Owner>,
    /// A process that was in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<Pid>,
    /// What held it open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
    /// Places in `namespaces` that it means by its numbers for others (`NETNSA_NSID`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, usize>")]
    pub nsids: BTreeMap<Nsid, usize>,
    /// Its links by index, with their addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<RecordedLink>,
    /// What was read inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<Box<F>>,
    /// Why nothing was read inside, where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Gap>,
    /// What of it could not be seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// One link of a recorded namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedLink {
    /// What was read of it.
    #[serde(flatten)]
    pub link: Link,
    /// Values of its IPv4 sysctls, in the order of `conf.inet` (`IFLA_INET_CONF`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inet: Vec<i64>,
    /// Values of its IPv6 sysctls, in the order of `conf.inet6` (`IFLA_INET6_CONF`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inet6: Vec<i64>,
    /// The other end of a pair, or the link below, as all that was read agrees on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<RecordedPeer>,
}

/// The other end of a recorded link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedPeer {
    /// Place in `namespaces` of its namespace; absent where that could not be identified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
    /// Number that the link's own namespace had for it; absent where both are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nsid: Option<Nsid>,
    /// Its index in its own namespace.
    pub ifindex: IfIndex,
}
