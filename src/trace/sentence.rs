//! What a base chain says of a packet.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::sight::Mark;
use crate::model::{ChainId, Gap, Outcome};

/// What a chain can end in, and the rules that say so.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    pub outcomes: BTreeSet<Outcome>,
    pub by: Vec<String>,
    /// Where it is sent to, to one of these for certain.
    pub to: Vec<Endpoint>,
    /// The source that it gets, if it is for certain.
    pub from: Option<Source>,
    /// What would delete the rule that drops it.
    pub handle: Option<(ChainId, u64)>,
    pub gaps: Vec<Gap>,
    /// A rule looks at the protocol or at ports, which the packet was not given.
    pub asks_traffic: bool,
}

/// Where a packet is sent instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    /// None: it keeps its address.
    pub ip: Option<IpAddr>,
    /// None: it keeps its port.
    pub port: Option<u16>,
    /// The mark that it has then.
    pub mark: Mark,
}

/// The source that a packet gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Address(IpAddr),
    /// One of the device that it leaves by.
    OfDevice,
}
