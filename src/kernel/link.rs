//! Links: RTM_GETLINK by index, as a dump, and as a bridge's ports. Reads in place only the attributes that are wanted:
//! one that podnet has no use for, or that a newer kernel writes differently, must not cost a whole link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use rtnetlink::packet_core::{DecodeError, NlaBuffer, NlasIterator};

use super::socket::{Dump, Refused, Socket};
use super::text;
use crate::model::{BridgePort, DevConf, IfIndex, KindData, Link, LlAddr, Nsid};

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
const IFLA_AF_SPEC: u16 = 26;
const IFLA_CARRIER: u16 = 33;
const IFLA_LINK_NETNSID: u16 = 37;

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

/// All bridge ports of the socket's namespace, without the costly look-up of each peer's nsid: neither kind nor
/// namespace of the peer is set.
pub fn dump_ports(socket: &mut Socket) -> Result<Dump<Link>, Refused> {
    socket.dump(ports_request(), |payload| decode(payload).map(Some))
}

/// Ports of one bridge, the oldest first, at most `limit`; the socket ends with it.
pub fn some_ports(socket: Socket, bridge: IfIndex, limit: usize) -> Result<Dump<Link>, Refused> {
    socket.dump_some(ports_request(), limit, |payload| {
        decode(payload).map(|link| (link.master == Some(bridge) && link.ifindex != bridge).then_some(link))
    })
}

fn ports_request() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    RouteNetlinkMessage::GetLink(message)
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
    for attribute in NlasIterator::new(attributes) {
        decode_attribute(&mut link, attribute?);
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

fn decode_attribute(link: &mut Link, attribute: NlaBuffer<&[u8]>) {
    let value = attribute.value();
    match attribute.kind() {
        IFLA_ADDRESS => link.address = Some(LlAddr::new(value)),
        IFLA_IFNAME => link.ifname = name(value),
        IFLA_MTU => link.mtu = u32_of(value),
        IFLA_LINK => link.link = u32_of(value).map(IfIndex),
        IFLA_MASTER => link.master = u32_of(value).map(IfIndex),
        IFLA_OPERSTATE => link.operstate = operstate(value.first().copied().unwrap_or(0)).to_owned(),
        IFLA_CARRIER => link.carrier = value.first().map(|b| *b != 0),
        IFLA_LINK_NETNSID => link.link_netnsid = u32_of(value).map(|n| Nsid(n as i32)),
        IFLA_LINKINFO => decode_info(link, value),
        IFLA_AF_SPEC => decode_conf(&mut link.conf, value),
        // Only the AF_BRIDGE dump carries it; a port of a bridge then.
        IFLA_PROTINFO => link.port = Some(decode_port(value)),
        _ => {}
    }
}

fn decode_info(link: &mut Link, value: &[u8]) {
    const INFO_KIND: u16 = 1;
    const INFO_DATA: u16 = 2;
    const INFO_SLAVE_KIND: u16 = 4;
    const INFO_SLAVE_DATA: u16 = 5;
    for info in NlasIterator::new(value).flatten() {
        match info.kind() {
            INFO_KIND => link.kind = name(info.value()),
            INFO_DATA => link.data = decode_data(&link.kind, info.value()),
            INFO_SLAVE_KIND => link.port_kind = Some(name(info.value())),
            INFO_SLAVE_DATA if link.port_kind.as_deref() == Some("bridge") => {
                link.port = Some(decode_port(info.value()));
            }
            _ => {}
        }
    }
}

fn decode_data(kind: &str, value: &[u8]) -> Option<KindData> {
    let find = |wanted: u16| NlasIterator::new(value).flatten().find(|a| a.kind() == wanted);
    let number = |wanted: u16| find(wanted).and_then(|a| u32_of(a.value()));
    let short = |wanted: u16| find(wanted).and_then(|a| u16_of(a.value()));
    let byte = |wanted: u16| find(wanted).and_then(|a| a.value().first().copied());
    let ip = |v4: u16, v6: u16| find(v4).or_else(|| find(v6)).and_then(|a| ip_of(a.value()));
    Some(match kind {
        // IFLA_BR_STP_STATE, IFLA_BR_VLAN_FILTERING
        "bridge" => KindData::Bridge { stp: number(5).unwrap_or(0) != 0, vlan_filtering: byte(7).unwrap_or(0) != 0 },
        // IFLA_VLAN_ID
        "vlan" => KindData::Vlan { id: short(1)? },
        // IFLA_VXLAN_ID, _LOCAL, _LOCAL6, _GROUP, _GROUP6, _PORT (big endian)
        "vxlan" => {
            KindData::Vxlan { id: number(1)?, local: ip(4, 17), remote: ip(2, 16), port: short(15).map(u16::from_be) }
        }
        // IFLA_MACVLAN_MODE
        "macvlan" | "macvtap" => KindData::Macvlan { mode: macvlan_mode(number(1)?).to_owned() },
        // IFLA_IPVLAN_MODE
        "ipvlan" | "ipvtap" => {
            KindData::Ipvlan { mode: ["l2", "l3", "l3s"].get(short(1)? as usize).unwrap_or(&"unknown").to_string() }
        }
        // IFLA_VRF_TABLE
        "vrf" => KindData::Vrf { table: number(1)? },
        // IFLA_BOND_MODE, IFLA_BOND_ACTIVE_SLAVE
        "bond" => KindData::Bond { mode: byte(1)?, active: number(2).map(IfIndex) },
        // IFLA_TUN_TYPE: IFF_TUN is 1, IFF_TAP is 2
        "tun" => KindData::Tun { tap: byte(3)? == 2 },
        _ => return None,
    })
}

fn macvlan_mode(mode: u32) -> &'static str {
    match mode {
        1 => "private",
        2 => "vepa",
        4 => "bridge",
        8 => "passthru",
        16 => "source",
        _ => "unknown",
    }
}

fn decode_port(value: &[u8]) -> BridgePort {
    const STATE: u16 = 1;
    const HAIRPIN: u16 = 4;
    const LEARNING: u16 = 8;
    const UNICAST_FLOOD: u16 = 9;
    const BCAST_FLOOD: u16 = 30;
    const ISOLATED: u16 = 33;
    const LOCKED: u16 = 39;
    let mut port = BridgePort {
        state: "unknown".to_owned(),
        learning: true,
        flood: true,
        bcast_flood: true,
        ..BridgePort::default()
    };
    for attribute in NlasIterator::new(value).flatten() {
        let byte = attribute.value().first().copied().unwrap_or(0);
        match attribute.kind() {
            STATE => {
                let words = ["disabled", "listening", "learning", "forwarding", "blocking"];
                port.state = words.get(byte as usize).unwrap_or(&"unknown").to_string();
            }
            HAIRPIN => port.hairpin = byte != 0,
            LEARNING => port.learning = byte != 0,
            UNICAST_FLOOD => port.flood = byte != 0,
            BCAST_FLOOD => port.bcast_flood = byte != 0,
            ISOLATED => port.isolated = byte != 0,
            LOCKED => port.locked = byte != 0,
            _ => {}
        }
    }
    port
}

/// The sysctls of the link, as arrays that are indexed by the kernel's numbers of them.
fn decode_conf(conf: &mut DevConf, value: &[u8]) {
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    const INET_CONF: u16 = 1;
    const INET6_CONF: u16 = 2;
    // IPV4_DEVCONF_* count from one, DEVCONF_* from zero.
    let array = |family: &NlaBuffer<&[u8]>, wanted: u16, index: usize| {
        let nested = family.value();
        let array = NlasIterator::new(nested).flatten().find(|a| a.kind() == wanted)?;
        array.value().get(index * 4..).and_then(u32_of)
    };
    for family in NlasIterator::new(value).flatten() {
        match family.kind() {
            AF_INET => {
                conf.forwarding4 = array(&family, INET_CONF, 0).map(|v| v != 0);
                conf.proxy_arp = array(&family, INET_CONF, 2).map(|v| v != 0);
                conf.rp_filter = array(&family, INET_CONF, 7).map(|v| v as u8);
            }
            AF_INET6 => conf.forwarding6 = array(&family, INET6_CONF, 0).map(|v| v != 0),
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

fn name(value: &[u8]) -> String {
    text(value.split(|b| *b == 0).next().unwrap_or_default())
}

fn u32_of(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

fn u16_of(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

fn ip_of(value: &[u8]) -> Option<IpAddr> {
    let ip = match value.len() {
        4 => IpAddr::from(Ipv4Addr::from(*value.first_chunk::<4>()?)),
        16 => IpAddr::from(Ipv6Addr::from(*value.first_chunk::<16>()?)),
        _ => return None,
    };
    (!ip.is_unspecified()).then_some(ip)
}
