//! Links: RTM_GETLINK by index, as a dump, and as a bridge's ports. Reads in place only the attributes that are wanted:
//! one that podnet has no use for, or that a newer kernel writes differently, must not cost a whole link.

use netlink_packet_core::DecodeError;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkExtentMask, LinkInfo, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::linkinfo;
use super::nla::{self, text_of, u32_of};
use super::snapshot::sysctl::{self, LinkConf};
use super::socket::{Dump, Refused, Socket};
use crate::model::{DevConf, IfIndex, Link, LlAddr, Nsid};

/// Length of `struct ifinfomsg`.
const HEADER: usize = 16;

// if_link.h
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_GROUP: u16 = 27;
const IFLA_PROMISCUITY: u16 = 30;
const IFLA_CARRIER: u16 = 33;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_PARENT_DEV_NAME: u16 = 56;
const IFLA_PARENT_DEV_BUS_NAME: u16 = 57;

/// Links of the socket's namespace, or of another one by the number that the socket's has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// The socket's own namespace.
    Here,
    /// The one with this nsid (`IFLA_TARGET_NETNSID`); needs CAP_NET_ADMIN over it.
    Nsid(Nsid),
}

fn request(index: Option<IfIndex>, place: Where) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index.map_or(0, |i| i.0);
    if let Where::Nsid(nsid) = place {
        message.attributes.push(LinkAttribute::IfNetnsId(nsid.0));
    }
    // Statistics are a sixth of the bytes, and nothing here reads them.
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

/// One link by its index; none: it is not there.
pub fn get(socket: &mut Socket, index: IfIndex, place: Where) -> Result<Option<Link>, Refused> {
    match socket.get(request(Some(index), place), decode) {
        Ok(link) => Ok(Some(link)),
        Err(refused) if refused.errno == Errno::ENODEV => Ok(None),
        Err(refused) => Err(refused),
    }
}

/// One link by its name; none: it is not there.
pub fn by_name(socket: &mut Socket, name: &str) -> Result<Option<Link>, Refused> {
    const IFNAMSIZ: usize = 16;
    if name.is_empty() || name.len() >= IFNAMSIZ {
        return Ok(None);
    }
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    match socket.get(RouteNetlinkMessage::GetLink(message), decode) {
        Ok(link) => Ok(Some(link)),
        Err(refused) if refused.errno == Errno::ENODEV => Ok(None),
        Err(refused) => Err(refused),
    }
}

/// All links of a namespace.
pub fn dump(socket: &mut Socket, place: Where) -> Result<Dump<Link>, Refused> {
    socket.dump(request(None, place), |payload| decode(payload).map(Some))
}

/// All links of a namespace, and the sysctls of each.
pub fn dump_with_conf(socket: &mut Socket, place: Where) -> Result<Dump<(Link, Option<LinkConf>)>, Refused> {
    socket.dump(request(None, place), |payload| Ok(Some((decode(payload)?, sysctl::of_link(payload)))))
}

/// Links of a kind; the kernel is asked for no others, where it knows the kind.
pub fn dump_kind(socket: &mut Socket, kind: &str) -> Result<Dump<Link>, Refused> {
    socket.dump(of_kind(kind), |payload| decode(payload).map(|link| (link.kind == kind).then_some(link)))
}

fn of_kind(kind: &str) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Other(kind.to_owned()))]));
    RouteNetlinkMessage::GetLink(message)
}

/// The first link of a kind, or of any kind where the kernel does not know this one; the socket ends with it.
pub fn first_of_kind(socket: Socket, kind: &str) -> Result<Option<Link>, Refused> {
    let dump = socket.dump_some(of_kind(kind), 1, |payload| decode(payload).map(Some))?;
    Ok(dump.items.into_iter().next())
}

/// Ports of a master of whatever kind.
pub fn dump_members(socket: &mut Socket, master: IfIndex) -> Result<Dump<Link>, Refused> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Controller(master.0));
    socket.dump(RouteNetlinkMessage::GetLink(message), |payload| {
        decode(payload).map(|link| (link.master == Some(master)).then_some(link))
    })
}

/// All bridge ports of the socket's namespace, without the costly look-up of each peer's nsid: neither kind nor
/// namespace of the peer is set.
pub fn dump_ports(socket: &mut Socket) -> Result<Dump<Link>, Refused> {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    socket.dump(RouteNetlinkMessage::GetLink(message), |payload| decode(payload).map(Some))
}

/// A link from the payload of an RTM_NEWLINK.
pub fn decode(payload: &[u8]) -> Result<Link, DecodeError> {
    const ARPHRD_LOOPBACK: u16 = 772;
    const IFF_UP: u32 = 0x1;
    const IFF_NOARP: u32 = 0x80;
    let Some((header, attributes)) = payload.split_at_checked(HEADER) else {
        return Err(DecodeError::buffer_too_small(payload.len(), HEADER));
    };
    let loopback = u16::from_ne_bytes([header[2], header[3]]) == ARPHRD_LOOPBACK;
    let flags = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    let mut link = Link {
        ifindex: IfIndex(u32::from_ne_bytes([header[4], header[5], header[6], header[7]])),
        kind: if loopback { "loopback" } else { "device" }.to_owned(),
        up: flags & IFF_UP != 0,
        noarp: flags & IFF_NOARP != 0,
        operstate: "UNKNOWN".to_owned(),
        ..Link::default()
    };
    for (number, value) in nla::each(attributes) {
        decode_attribute(&mut link, number, value);
    }
    // The kernel leaves IFLA_LINK out where it equals the link's own index, also where the peer is in another
    // namespace and only happens to have the same one.
    let has_far_end =
        link.is_pair() || matches!(link.kind.as_str(), "vlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap");
    if link.link.is_none() && link.link_netnsid.is_some() && has_far_end {
        link.link = Some(link.ifindex);
    }
    // Zero says "somewhere else" where the kernel knows no index (a tunnel without a lower device).
    link.link = link.link.filter(|index| index.0 != 0);
    Ok(link)
}

fn decode_attribute(link: &mut Link, number: u16, value: &[u8]) {
    match number {
        IFLA_ADDRESS => link.address = Some(LlAddr::new(value)),
        IFLA_IFNAME => link.ifname = text_of(value),
        IFLA_IFALIAS => link.alias = Some(text_of(value)),
        IFLA_GROUP => link.group = u32_of(value).unwrap_or(0),
        IFLA_MTU => link.mtu = u32_of(value),
        IFLA_LINK => link.link = u32_of(value).map(IfIndex),
        IFLA_MASTER => link.master = u32_of(value).map(IfIndex),
        IFLA_OPERSTATE => link.operstate = operstate(value.first().copied().unwrap_or(0)).to_owned(),
        IFLA_CARRIER => link.carrier = value.first().map(|b| *b != 0),
        IFLA_LINK_NETNSID => link.link_netnsid = u32_of(value).map(|n| Nsid(n as i32)),
        IFLA_LINKINFO => linkinfo::decode(link, value),
        IFLA_AF_SPEC => decode_conf(&mut link.conf, value),
        // Only the AF_BRIDGE dump carries it; a port of a bridge then.
        IFLA_PROTINFO => link.port = Some(linkinfo::bridge_port(value)),
        IFLA_PROMISCUITY => link.promiscuity = u32_of(value).unwrap_or(0),
        IFLA_XDP => link.xdp = xdp(value),
        // The name comes before the bus.
        IFLA_PARENT_DEV_NAME => link.parent_dev = Some(text_of(value)),
        IFLA_PARENT_DEV_BUS_NAME => {
            link.parent_dev = link.parent_dev.take().map(|dev| format!("{}/{dev}", text_of(value)))
        }
        _ => {}
    }
}

/// The number of the program at the link, where there is one.
fn xdp(value: &[u8]) -> Option<u32> {
    const XDP_ATTACHED: u16 = 2;
    const XDP_PROG_ID: u16 = 4;
    nla::find(value, XDP_ATTACHED).filter(|mode| mode.first().is_some_and(|mode| *mode != 0))?;
    // Several at once, one for each way of running, have no single number.
    Some(nla::find(value, XDP_PROG_ID).and_then(u32_of).unwrap_or(0))
}

/// The sysctls of the link, as arrays that are indexed by the kernel's numbers of them.
fn decode_conf(conf: &mut DevConf, value: &[u8]) {
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    const INET_CONF: u16 = 1;
    const INET6_CONF: u16 = 2;
    // IPV4_DEVCONF_* count from one, DEVCONF_* from zero.
    let array = |family: &[u8], wanted: u16, index: usize| nla::find(family, wanted)?.get(index * 4..).and_then(u32_of);
    for (number, family) in nla::each(value) {
        match number {
            AF_INET => {
                conf.forwarding4 = array(family, INET_CONF, 0).map(|v| v != 0);
                conf.proxy_arp = array(family, INET_CONF, 2).map(|v| v != 0);
                conf.rp_filter = array(family, INET_CONF, 7).map(|v| v as u8);
            }
            AF_INET6 => {
                conf.forwarding6 = array(family, INET6_CONF, 0).map(|v| v != 0);
                conf.disable_ipv6 = array(family, INET6_CONF, 26).is_some_and(|v| v != 0);
            }
            _ => {}
        }
    }
}

/// The words of `ip link` for `IF_OPER_*`.
fn operstate(state: u8) -> &'static str {
    ["UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"]
        .get(state as usize)
        .unwrap_or(&"UNKNOWN")
}
