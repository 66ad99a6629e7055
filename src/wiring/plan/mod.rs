//! What attach will do, decided over facts that are given: pure. Every wish that cannot come true is refused here, before
//! the first change.

mod check;
mod gateway;
mod pick;
mod steps;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Attachment, Link, LlAddr, NetnsRef, Plan, Route};

pub use check::{check_name, check_words};
pub use pick::{Pool, pick};

/// How the new link is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A pair whose host end is a port of a bridge.
    Bridge {
        /// The bridge; it is made where it is missing.
        name: String,
        /// Frames may go back out of the port they came in by.
        hairpin: bool,
        /// The port may not talk to other isolated ports.
        isolated: bool,
    },
    /// A pair without a bridge: the host routes each address.
    PointToPoint,
    /// A macvlan on a link of the host.
    Macvlan {
        /// The link.
        lower: String,
    },
}

/// Who the namespace sends everything else to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gateways {
    /// The host, by the bridge's address in the network or by the network's first address.
    Host,
    /// Nobody.
    None,
    /// These, one for each address family.
    Named(Vec<IpAddr>),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What was typed for the namespace.
    pub target: String,
    /// Its name for the new link.
    pub ifname: String,
    /// The host's name for its end.
    pub host_ifname: String,
    /// How it is connected.
    pub way: Way,
    /// Gateways.
    pub gateways: Gateways,
    /// Further routes, each by a router or by the family's gateway.
    pub routes: Vec<(IpNet, Option<IpAddr>)>,
    /// The gateway becomes the way to everywhere.
    pub default_route: bool,
    /// MTU of both ends.
    pub mtu: Option<u32>,
    /// Link-layer address of the namespace's end.
    pub mac: Option<LlAddr>,
    /// Addresses are hidden behind the host's outside the network.
    pub masquerade: bool,
}

/// An address that the namespace gets, and the network that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address with the length of the network's prefix.
    pub addr: IpNet,
    /// Number of the range that it was drawn from; none: it was named.
    pub range: Option<usize>,
}

impl Lease {
    /// The network.
    pub fn net(&self) -> IpNet {
        self.addr.trunc()
    }
}

/// What is there already, as far as it matters.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The bridge or the link below, with its addresses.
    pub base: Option<Link>,
    /// The bridge has no room for another port.
    pub bridge_full: bool,
    /// A link of the host has the name that the host's end is to have.
    pub host_ifname_taken: bool,
    /// The namespace's link of that name.
    pub own_link: Option<Link>,
    /// Addresses of the namespace, each with its link's name.
    pub own_addrs: Vec<(String, IpNet)>,
    /// Routes of the namespace's main table.
    pub own_routes: Vec<Route>,
    /// Routes of the host's main table, where the plan may give the host a network.
    pub host_routes: Vec<Route>,
    /// Settings of the host that bear on forwarding.
    pub forwarding: Forwarding,
    /// Why the namespace can have no IPv6.
    pub no_ipv6: Option<String>,
    /// Why the host's side can have none.
    pub no_host_ipv6: Option<String>,
    /// Why there can be no masquerading.
    pub no_masquerade: Option<String>,
    /// Link-layer address for a bridge that is made: with one of its own its ports' do not change it.
    pub bridge_mac: Option<LlAddr>,
}

/// The host's settings that bear on forwarding, and what they were before.
#[derive(Debug, Clone, Default)]
pub struct Forwarding {
    /// `net.ipv4.ip_forward`.
    pub ipv4: bool,
    /// `net.ipv6.conf.all.forwarding`.
    pub ipv6: bool,
    /// Settings (path below `/proc/sys`, value) that change along with the above, to be put back with it.
    pub along4: Vec<(String, String)>,
    /// The same for IPv6.
    pub along6: Vec<(String, String)>,
    /// Links by which a router advertises the host's way out: as a router the host would stop listening.
    pub advertised: Vec<String>,
    /// Why the settings cannot be written.
    pub read_only: Option<String>,
}

/// What will be done, and what comes of it.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The steps.
    pub plan: Plan,
    /// What is written beside the link.
    pub attachment: Attachment,
    /// The gateway of each family.
    pub gateways: Vec<IpAddr>,
    /// The gateway is an address of the host.
    pub gateway_is_host: bool,
    /// The bridge will be made.
    pub makes_bridge: bool,
    /// Settings that change, with what they were.
    pub sysctls: Vec<(String, String, String)>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Why a wish cannot come true, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// It makes no sense, whatever is there.
    pub usage: bool,
    /// What stands in the way.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Refusal {
    fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { usage: true, message: message.into(), hint: hint.into() }
    }

    fn conflict(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { usage: false, message: message.into(), hint: hint.into() }
    }
}

/// Decides what to do.
pub fn attach(
    wish: &Wish,
    facts: &Facts,
    netns: &NetnsRef,
    leases: &[Lease],
    attachment: Attachment,
) -> Result<Decided, Refusal> {
    check::check(wish, facts, leases)?;
    steps::decide(wish, facts, netns, leases, attachment)
}
