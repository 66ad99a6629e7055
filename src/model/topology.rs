//! The questions that the packet walk asks. The running kernel answers them (`kernel::Live`).

use std::net::IpAddr;
use std::sync::Arc;

use super::{
    Chain, ChainId, FdbEntry, Flow, Gap, HeldBy, IfIndex, Link, LinkId, LlAddr, Neigh, Netns, NetnsId, Nexthop, NfRule,
    NfSet, PortVlan, Program, Remote, Route, Rule,
};

/// A fact, or why it could not be had.
pub type Seen<T> = Result<T, Gap>;

/// What the kernel says of a packet at a routing decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAnswer {
    /// A route takes it; `gateway`, `oif` and `prefsrc` are those of the next hop that was picked for this flow.
    Route(Route),
    /// Refused, with the kernel's error in the words of errno: `ENETUNREACH`, `EHOSTUNREACH`, `EXDEV`, ...
    Refused(String),
}

/// What the packet walk can ask. Nothing here changes the machine.
pub trait Topology {
    /// What is known of a namespace itself.
    fn netns(&self, id: NetnsId) -> Netns;

    /// All links of a namespace with their addresses.
    fn links(&mut self, netns: NetnsId) -> Seen<Vec<Link>>;

    /// Links of a namespace with their addresses: at least those that its routes, which are these, lead out by, and those
    /// that have an address to send from.
    fn exits(&mut self, netns: NetnsId, _routes: &[Route]) -> Seen<Vec<Link>> {
        self.links(netns)
    }

    /// One link with its addresses; none: it is not there (any more).
    fn link(&mut self, id: LinkId) -> Seen<Option<Link>>;

    /// The other end of a pair, or the link below, wherever it is; none: the link has no such thing.
    fn far_end(&mut self, id: LinkId, link: &Link) -> Seen<Option<LinkId>>;

    /// Ports of a bridge. Peers and states are set; addresses are not. Not for other masters: see `members`.
    fn ports(&mut self, bridge: LinkId) -> Seen<Vec<Link>>;

    /// Indexes and names of the ports of a bridge that have the lowest indexes, at most so many.
    fn first_ports(&mut self, bridge: LinkId, limit: usize) -> Seen<Vec<(IfIndex, String)>>;

    /// Routes of all tables of a namespace.
    fn routes(&mut self, netns: NetnsId) -> Seen<Vec<Route>>;

    /// Output look-up: the way of a packet that a process of the namespace sends, perhaps bound to a link.
    fn route_out(&mut self, netns: NetnsId, flow: &Flow, oif: Option<IfIndex>) -> Seen<RouteAnswer>;

    /// Input look-up: the way of a packet that arrives by a link.
    fn route_in(&mut self, at: LinkId, flow: &Flow) -> Seen<RouteAnswer>;

    /// The neighbour entry of an address on a link.
    fn neigh(&mut self, at: LinkId, ip: IpAddr) -> Seen<Option<Neigh>>;

    /// The namespace answers on this link for an address that is not its own, because an entry says so
    /// (`ip neigh add proxy`).
    fn proxied(&mut self, at: LinkId, ip: IpAddr) -> Seen<bool>;

    /// A sysctl of a namespace that is a number, by its path below `net`: `ipv4/conf/all/rp_filter`; none: this kernel
    /// does not have it.
    fn sysctl(&mut self, netns: NetnsId, name: &str) -> Seen<Option<i64>>;

    /// Policy rules of a namespace for one address family.
    fn rules(&mut self, netns: NetnsId, ipv6: bool) -> Seen<Vec<Rule>>;

    /// Why the routing decisions of a namespace are not to be relied on, where podnet answers them by itself from less
    /// than the kernel knows.
    fn doubt(&self, netns: NetnsId, ipv6: bool) -> Option<String>;

    /// The entry of a link-layer address in a bridge's forwarding database; of a VLAN, where the bridge filters by them.
    fn fdb(&mut self, bridge: LinkId, mac: LlAddr, vlan: Option<u16>) -> Seen<Option<FdbEntry>>;

    /// VLANs of a port of a bridge, or of the bridge itself.
    fn vlans(&mut self, port: LinkId) -> Seen<Vec<PortVlan>>;

    /// Ports of a bond, team or VRF, the oldest first.
    fn members(&mut self, master: LinkId) -> Seen<Vec<Link>>;

    /// Links of these kinds whose link below this one is, in whatever namespace, with their addresses.
    fn uppers(&mut self, at: LinkId, kinds: &[&str]) -> Seen<Vec<(LinkId, Link)>>;

    /// The namespace in which a tunnel's outer packets are sent and taken in; mostly the link's own.
    fn underlay(&mut self, at: LinkId, link: &Link) -> Seen<NetnsId>;

    /// Tunnels of a kind whose outer packets a namespace takes in, in whatever namespace they are themselves; of a
    /// network id, where the kind has one.
    fn tunnels(&mut self, underlay: NetnsId, kind: &str, id: Option<u32>) -> Seen<Vec<(LinkId, Link)>>;

    /// Endpoints that a vxlan device has for a link-layer address, all zeroes standing for those without an entry.
    fn remotes(&mut self, at: LinkId, mac: LlAddr) -> Seen<Vec<Remote>>;

    /// Next hops of a nexthop object, those of a group with their weights.
    fn nexthops(&mut self, netns: NetnsId, id: u32) -> Seen<Vec<Nexthop>>;

    /// Processes that hold the other side of a tun or macvtap device.
    fn held_by(&mut self, at: LinkId, link: &Link) -> Seen<Vec<HeldBy>>;

    /// Base chains of netfilter in a namespace that have rules, or a policy other than accept.
    fn chains(&mut self, netns: NetnsId) -> Seen<Vec<Chain>>;

    /// Rules of a chain of netfilter, in their order.
    fn nf_rules(&mut self, netns: NetnsId, chain: &ChainId) -> Seen<Arc<[NfRule]>>;

    /// A set of nftables, in the table of a chain.
    fn nf_set(&mut self, netns: NetnsId, chain: &ChainId, name: &str) -> Seen<Arc<NfSet>>;

    /// Programs at a link that see the packets it takes in or sends.
    fn programs(&mut self, at: LinkId, link: &Link) -> Seen<Vec<Program>>;

    /// Link-layer addresses that a link takes frames for besides its own: those of macvlans on top of it.
    fn also_taken(&mut self, at: LinkId) -> Seen<Vec<LlAddr>>;

    /// The link of another machine by which a packet comes in that leaves this one by `at`, handed to `to`, whose
    /// link-layer address the sender may know; none: that machine is not known.
    fn beyond(&mut self, _at: LinkId, _to: IpAddr, _lladdr: Option<LlAddr>) -> Seen<Option<LinkId>> {
        Ok(None)
    }

    /// Gaps that came up on the way to answers that were had all the same.
    fn take_gaps(&mut self) -> Vec<Gap>;
}
