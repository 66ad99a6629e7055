//! The nouns that every other room speaks: plain data, no behaviour beyond reading and writing itself.
//! Nothing here knows where a fact came from or how it will be shown.

mod attach;
mod attachment;
mod chain;
mod command;
mod fdb;
mod finding;
mod flow;
mod gap;
mod ids;
mod link;
mod list;
mod near;
mod neigh;
mod netns;
mod owner;
mod path;
mod plan;
mod program;
mod progress;
mod route;
mod rule_text;
mod ruleset;
mod scene;
mod snapshot;
mod text;
mod topology;
mod tunnel;
mod vlan;

pub use attach::{Attached, Detached, Removed, StepText, SysctlChange};
pub use attachment::{Attachment, ID_PREFIX, label};
pub use chain::{Chain, HeardChain, Hook, Outcome};
pub use command::word;
pub use fdb::FdbEntry;
pub use finding::{Finding, Level};
pub use flow::{Flow, Proto, Traffic};
pub use gap::Gap;
pub use ids::{IfIndex, LinkId, LlAddr, NetnsId, Nsid, Pid, TableId};
pub use link::{BondPort, BridgePort, DevConf, Iptunnel, KindData, Link, LinkAddr};
pub use list::{ListedLink, ListedNetns, Listing, PeerRef};
pub use near::nearest;
pub use neigh::{Neigh, NeighState};
pub use netns::{Holder, HolderType, Netns};
pub use owner::{Container, Owner, PodName, Whose};
pub use path::{Action, HeldBy, Hop, Path, Segment, Source, Step, Trace, Verdict};
pub use plan::{Change, Masquerade, NetnsRef, NewLink, Plan, PlanStep, Reservation};
pub use program::Program;
pub use progress::Progress;
pub use route::{Nexthop, Route, RouteType, Rule};
pub use rule_text::rule_text;
pub use ruleset::{Bytes, ChainId, Element, Field, Judgement, Marking, Match, NfRule, NfSet, Relation};
pub use scene::{Demo, Machine, Role, SceneBridge, SceneLink, SceneRoute};
pub use snapshot::{
    RecordedChain, RecordedConf, RecordedFacts, RecordedFdb, RecordedHeld, RecordedLink, RecordedNeigh, RecordedNetns,
    RecordedNexthop, RecordedPeer, RecordedPrograms, RecordedRoute, RecordedRule, RecordedSet, RecordedVlans,
    RuleAction, Snapshot,
};
pub use text::{harmless_json, is_harmless, text};
pub use topology::{RouteAnswer, Seen, Topology};
pub use tunnel::{Encap, Remote};
pub use vlan::{PortVlan, Tag};

/// The version of the JSON that podnet writes; raised when a key changes its meaning or goes.
pub const SCHEMA: u32 = 1;
