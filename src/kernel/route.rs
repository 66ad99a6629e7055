//! Routes: the kernel's own look-ups (what it would do with a packet), and dumps of all tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteLwEnCapType, RouteMessage, RouteMetric, RouteNextHop,
    RouteType as Wire, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::socket::{Dump, Refused, Socket};
use crate::model::{Flow, IfIndex, Nexthop, Route, RouteType, TableId};

/// Which side of the namespace a packet comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// From a process inside; perhaps bound to a link.
    Output(Option<IfIndex>),
    /// From outside, arriving by this link.
    Input(IfIndex),
}

/// What the kernel would do with a packet: the entry that matched, with the next hop and source that it picks.
pub fn lookup(socket: &mut Socket, flow: &Flow, side: Side) -> Result<Route, Refused> {
    // IPv4 says "main" for every table unless asked; IPv6 always tells, and refuses to be asked.
    let table = if flow.dst.is_ipv4() { RouteFlags::LookupTable } else { RouteFlags::empty() };
    let picked = socket.get(request(flow, side, table), decode)?;
    // The answer above tells the choice and not the entry it rests on; kernels before 4.13 know only the choice.
    let Ok(entry) = socket.get(request(flow, side, table | RouteFlags::FibMatch), decode) else {
        return Ok(picked);
    };
    Ok(Route {
        gateway: picked.gateway,
        // A local answer names lo; the entry names the link that has the address.
        oif: if picked.kind == RouteType::Local { entry.oif } else { picked.oif },
        prefsrc: picked.prefsrc,
        kind: picked.kind,
        mtu: picked.mtu.or(entry.mtu),
        ..entry
    })
}

fn request(flow: &Flow, side: Side, flags: RouteFlags) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    let bits = match flow.dst {
        IpAddr::V4(_) => {
            message.header.address_family = AddressFamily::Inet;
            32
        }
        IpAddr::V6(_) => {
            message.header.address_family = AddressFamily::Inet6;
            128
        }
    };
    message.header.flags = flags;
    message.header.destination_prefix_length = bits;
    message.attributes.push(RouteAttribute::Destination(flow.dst.into()));
    if let Some(src) = flow.src {
        message.header.source_prefix_length = bits;
        message.attributes.push(RouteAttribute::Source(src.into()));
    }
    traffic(&mut message, flow);
    match side {
        Side::Output(oif) => message.attributes.extend(oif.map(|i| RouteAttribute::Oif(i.0))),
        Side::Input(iif) => message.attributes.push(RouteAttribute::Iif(iif.0)),
    }
    RouteNetlinkMessage::GetRoute(message)
}

/// What the packets have besides addresses; the kernel takes ports only together with a protocol that has some.
fn traffic(message: &mut RouteMessage, flow: &Flow) {
    let traffic = &flow.traffic;
    message.header.tos = traffic.tos.unwrap_or(0);
    let attributes = &mut message.attributes;
    attributes.extend(traffic.proto.map(|proto| RouteAttribute::IpProto(proto.number(flow.dst.is_ipv6()))));
    attributes.extend(traffic.sport.map(RouteAttribute::Sport));
    attributes.extend(traffic.dport.map(RouteAttribute::Dport));
    attributes.extend(traffic.mark.map(RouteAttribute::Mark));
}

/// Routes of all tables, of one address family or of both.
pub fn dump(socket: &mut Socket, family: AddressFamily) -> Result<Dump<Route>, Refused> {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    socket.dump(RouteNetlinkMessage::GetRoute(message), |payload| decode(payload).map(Some))
}

/// Routes of all tables and both address families.
pub fn dump_all(socket: &mut Socket) -> Result<Dump<Route>, Refused> {
    dump(socket, AddressFamily::Unspec)
}

fn decode(payload: &[u8]) -> Result<Route, DecodeError> {
    let message = RouteMessage::parse(payload)?;
    let header = &message.header;
    let any: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        other => return Err(format!("route of address family {other:?}").into()),
    };
    let mut route = Route {
        dst: IpNet::from(any),
        kind: kind(header.kind),
        gateway: None,
        oif: None,
        dev: None,
        table: TableId(header.table as u32),
        metric: 0,
        prefsrc: None,
        protocol: header.protocol.to_string(),
        scope: header.scope.to_string(),
        mtu: None,
        nexthops: Vec::new(),
        nhid: None,
        encap: None,
        onlink: header.flags.contains(RouteFlags::Onlink),
    };
    let mut dst = any;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => dst = ip(address).unwrap_or(any),
            RouteAttribute::Gateway(address) => route.gateway = ip(address),
            RouteAttribute::Via(address) => route.gateway = via(address),
            RouteAttribute::Oif(index) => route.oif = Some(IfIndex(*index)),
            RouteAttribute::Table(table) => route.table = TableId(*table),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::PrefSource(address) => route.prefsrc = ip(address),
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|m| match m {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            RouteAttribute::MultiPath(hops) => route.nexthops = hops.iter().map(nexthop).collect(),
            RouteAttribute::NhId(id) => route.nhid = Some(*id),
            RouteAttribute::EncapType(encap) if *encap != RouteLwEnCapType::None => {
                route.encap = Some(format!("{encap:?}").to_lowercase());
            }
            _ => {}
        }
    }
    route.dst = IpNet::new(dst, header.destination_prefix_length)
        .map_err(|_| DecodeError::from(format!("prefix length {}", header.destination_prefix_length)))?;
    Ok(route)
}

fn nexthop(hop: &RouteNextHop) -> Nexthop {
    let gateway = hop.attributes.iter().find_map(|a| match a {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(address) => via(address),
        _ => None,
    });
    Nexthop { gateway, oif: IfIndex(hop.interface_index), weight: hop.hops as u16 + 1 }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn via(address: &RouteVia) -> Option<IpAddr> {
    match address {
        RouteVia::Inet(ip) => Some((*ip).into()),
        RouteVia::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn kind(kind: Wire) -> RouteType {
    match kind {
        Wire::Unicast => RouteType::Unicast,
        Wire::Local => RouteType::Local,
        Wire::Broadcast => RouteType::Broadcast,
        Wire::Anycast => RouteType::Anycast,
        Wire::Multicast => RouteType::Multicast,
        Wire::BlackHole => RouteType::Blackhole,
        Wire::Unreachable => RouteType::Unreachable,
        Wire::Prohibit => RouteType::Prohibit,
        Wire::Throw => RouteType::Throw,
        _ => RouteType::Other,
    }
}
