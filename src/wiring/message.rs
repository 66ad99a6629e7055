//! The netlink messages of the steps; pure. Sending them is left to `apply`.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoMacVlan, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, MacVlanMode,
};
use netlink_packet_route::route::{
    self, RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
};

use crate::model::{IfIndex, NewLink, RouteType};

/// RTM_NEWLINK for a bridge.
pub fn bridge(link: &NewLink) -> LinkMessage {
    let mut message = bare(link);
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
    message
}

/// RTM_NEWLINK for a veth pair. The peer's own message says its namespace, so it comes into being there: no end is
/// ever seen in the wrong namespace, under a temporary name or with a drawn address.
pub fn veth(link: &NewLink, master: Option<IfIndex>, peer: &NewLink, peer_netns: BorrowedFd<'_>) -> LinkMessage {
    let mut far = one_queue(bare(peer));
    far.attributes.push(LinkAttribute::NetNsFd(peer_netns.as_raw_fd()));
    let mut message = one_queue(bare(link));
    message.attributes.extend(master.map(|IfIndex(index)| LinkAttribute::Controller(index)));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
    ]));
    message
}

/// RTM_NEWLINK for a macvlan in bridge mode, at once in the namespace where it belongs.
pub fn macvlan(link: &NewLink, lower: IfIndex, netns: BorrowedFd<'_>) -> LinkMessage {
    let mut message = bare(link);
    message.attributes.extend([
        LinkAttribute::Link(lower.0),
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::MacVlan),
            LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)])),
        ]),
    ]);
    message
}

/// RTM_SETLINK and RTM_DELLINK speak of a link by its index.
pub fn link(index: IfIndex, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index.0;
    message.attributes = attributes;
    message
}

/// RTM_SETLINK that takes a link into use.
pub fn up(index: IfIndex) -> LinkMessage {
    let mut message = link(index, Vec::new());
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

/// RTM_SETLINK that sets how a bridge treats a port.
pub fn port(index: IfIndex, hairpin: bool, isolated: bool) -> LinkMessage {
    let settings = vec![InfoBridgePort::HairpinMode(hairpin), InfoBridgePort::Isolated(isolated)];
    let info = vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(InfoPortData::BridgePort(settings))];
    link(index, vec![LinkAttribute::LinkInfo(info)])
}

/// RTM_NEWADDR and RTM_DELADDR.
pub fn addr(index: IfIndex, addr: IpNet, nodad: bool, link_scope: bool) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index.0;
    message.header.prefix_len = addr.prefix_len();
    if link_scope {
        message.header.scope = AddressScope::Link;
    }
    message.attributes.extend([AddressAttribute::Local(addr.addr()), AddressAttribute::Address(addr.addr())]);
    match addr {
        IpNet::V4(net) => {
            message.header.family = AddressFamily::Inet;
            // The two addresses of a /31 are both hosts.
            message.attributes.extend((net.prefix_len() < 31).then(|| AddressAttribute::Broadcast(net.broadcast())));
        }
        IpNet::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            message.attributes.extend(nodad.then_some(AddressAttribute::Flags(AddressFlags::Nodad)));
        }
    }
    message
}

/// RTM_NEWROUTE into the main table; none where destination and gateway are of different families.
pub fn route(kind: RouteType, dst: IpNet, gateway: Option<IpAddr>, oif: Option<IfIndex>) -> Option<RouteMessage> {
    if gateway.is_some_and(|gateway| gateway.is_ipv4() != dst.addr().is_ipv4()) {
        return None;
    }
    let address = |ip| match ip {
        IpAddr::V4(ip) => RouteAddress::Inet(ip),
        IpAddr::V6(ip) => RouteAddress::Inet6(ip),
    };
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: if dst.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 },
        destination_prefix_length: dst.prefix_len(),
        table: RouteHeader::RT_TABLE_MAIN,
        // What `ip route add` says.
        protocol: RouteProtocol::Boot,
        scope: scope(kind, gateway),
        kind: route_kind(kind),
        ..RouteHeader::default()
    };
    let prefix = Some(dst.network()).filter(|_| dst.prefix_len() > 0);
    message.attributes.extend(prefix.map(|ip| RouteAttribute::Destination(address(ip))));
    message.attributes.extend(gateway.map(|ip| RouteAttribute::Gateway(address(ip))));
    message.attributes.extend(oif.map(|IfIndex(index)| RouteAttribute::Oif(index)));
    Some(message)
}

fn route_kind(kind: RouteType) -> route::RouteType {
    match kind {
        RouteType::Unicast => route::RouteType::Unicast,
        RouteType::Local => route::RouteType::Local,
        RouteType::Broadcast => route::RouteType::Broadcast,
        RouteType::Anycast => route::RouteType::Anycast,
        RouteType::Multicast => route::RouteType::Multicast,
        RouteType::Blackhole => route::RouteType::BlackHole,
        RouteType::Unreachable => route::RouteType::Unreachable,
        RouteType::Prohibit => route::RouteType::Prohibit,
        RouteType::Throw => route::RouteType::Throw,
        RouteType::Other => route::RouteType::Unspec,
    }
}

/// How far the destination is, as `ip route add` concludes from the rest.
fn scope(kind: RouteType, gateway: Option<IpAddr>) -> RouteScope {
    match kind {
        RouteType::Local => RouteScope::Host,
        RouteType::Unicast | RouteType::Broadcast | RouteType::Anycast if gateway.is_none() => RouteScope::Link,
        _ => RouteScope::Universe,
    }
}

fn bare(link: &NewLink) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(link.ifname.clone()));
    message.attributes.extend(link.address.map(|a| LinkAttribute::Address(a.bytes().to_vec())));
    message.attributes.extend(link.mtu.map(LinkAttribute::Mtu));
    message.attributes.extend(link.group.map(LinkAttribute::Group));
    if link.up {
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
    }
    message
}

/// A veth has by default a queue for each processor, and a node has many veths.
fn one_queue(mut message: LinkMessage) -> LinkMessage {
    message.attributes.extend([LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)]);
    message
}
