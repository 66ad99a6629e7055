//! Random packets, the kernel's word on each of them, and whether it is also podnet's.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, Parseable};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType as Wire, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use podnet::kernel::socket::{Refused, Socket};
use podnet::model::{Flow, IfIndex, Proto, RouteAnswer, RouteType, Traffic};
use podnet::recorded::{Packet, Ways};

use super::random::Random;
use super::world::{LINKS, World, ip};

/// Where a packet comes from.
#[derive(Debug, Clone, Copy)]
pub enum Side {
    Out(Option<IfIndex>),
    In(IfIndex),
}

/// What decides, of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    kind: String,
    gateway: Option<IpAddr>,
    oif: Option<u32>,
    prefsrc: Option<IpAddr>,
    /// Of the entry that matched: its prefix, table and metric.
    entry: Option<(String, u32, u32)>,
}

pub fn packet(r: &mut Random, world: &World) -> (Packet, Side) {
    let ipv6 = r.chance(45);
    let own = |r: &mut Random| {
        let own: Vec<IpAddr> = world.own.iter().filter(|a| a.is_ipv6() == ipv6).copied().collect();
        if own.is_empty() { ip(r, ipv6) } else { *r.of(&own) }
    };
    let dst = match r.chance(20) {
        true => own(r),
        false if !ipv6 && r.chance(3) => {
            *r.of(&["255.255.255.255", "10.0.0.255", "10.1.1.0"].map(|a| a.parse().unwrap()))
        }
        false => ip(r, ipv6),
    };
    let link = IfIndex(r.of(&LINKS).1);
    let side = match r.chance(40) {
        true => Side::In(link),
        false => Side::Out(r.chance(25).then_some(link)),
    };
    let src = match side {
        Side::In(_) if r.chance(8) => own(r),
        Side::In(_) => ip(r, ipv6),
        Side::Out(_) => own(r),
    };
    let src = (matches!(side, Side::In(_)) || r.chance(45)).then_some(src);
    let mut traffic = Traffic::default();
    if r.chance(30) {
        traffic.proto = Some(*r.of(&[Proto::Tcp, Proto::Udp]));
        traffic.sport = Some(*r.of(&[1000, 1500, 9]));
        traffic.dport = Some(*r.of(&[53, 60, 443]));
    }
    traffic.tos = r.chance(20).then(|| *r.of(&[0x08, 0x10, 0x04, 0x28, 0xb8]));
    traffic.mark = r.chance(35).then(|| r.below(5) as u32);
    // Of a packet that arrives nobody knows the user.
    let uid = if matches!(side, Side::Out(_)) { *r.of(&[0, 0, 500, 1500]) } else { 0 };
    (Packet { flow: Flow { src, dst, traffic }, uid }, side)
}

/// What the kernel says, or its error.
pub fn ask(socket: &mut Socket, packet: &Packet, side: Side) -> Result<Said, String> {
    let table = if packet.flow.dst.is_ipv4() { RouteFlags::LookupTable } else { RouteFlags::empty() };
    let errno = |refused: Refused| format!("{:?}", refused.errno);
    let get = |socket: &mut Socket, flags| socket.get(request(packet, side, flags), RouteMessage::parse);
    let picked = get(socket, table).map_err(errno)?;
    let entry = get(socket, table | RouteFlags::FibMatch).ok();
    let kind = picked.header.kind;
    let (mut said, _) = read(&picked);
    said.entry = entry.as_ref().map(|entry| read(entry).1);
    if kind == Wire::Local {
        said.oif = entry.as_ref().map_or(said.oif, |entry| read(entry).0.oif);
    }
    Ok(said)
}

fn request(packet: &Packet, side: Side, flags: RouteFlags) -> RouteNetlinkMessage {
    const RTA_MARK: u16 = 16;
    const RTA_UID: u16 = 25;
    const RTA_IP_PROTO: u16 = 27;
    const RTA_SPORT: u16 = 28;
    const RTA_DPORT: u16 = 29;
    let mut message = RouteMessage::default();
    let Flow { src, dst, traffic } = packet.flow;
    let (family, bits) = if dst.is_ipv4() { (AddressFamily::Inet, 32) } else { (AddressFamily::Inet6, 128) };
    message.header.address_family = family;
    message.header.flags = flags;
    message.header.tos = traffic.tos.unwrap_or(0);
    message.header.destination_prefix_length = bits;
    message.attributes.push(RouteAttribute::Destination(dst.into()));
    if let Some(src) = src {
        message.header.source_prefix_length = bits;
        message.attributes.push(RouteAttribute::Source(src.into()));
    }
    message.attributes.extend(match side {
        Side::Out(oif) => oif.map(|i| RouteAttribute::Oif(i.0)),
        Side::In(iif) => Some(RouteAttribute::Iif(iif.0)),
    });
    let other = |kind, bytes: &[u8]| RouteAttribute::Other(DefaultNla::new(kind, bytes.to_vec()));
    message.attributes.push(other(RTA_MARK, &traffic.mark.unwrap_or(0).to_ne_bytes()));
    if matches!(side, Side::Out(_)) {
        message.attributes.push(other(RTA_UID, &packet.uid.to_ne_bytes()));
    }
    message.attributes.extend(traffic.proto.map(|proto| other(RTA_IP_PROTO, &[proto.number(dst.is_ipv6())])));
    message.attributes.extend(traffic.sport.map(|port| other(RTA_SPORT, &port.to_be_bytes())));
    message.attributes.extend(traffic.dport.map(|port| other(RTA_DPORT, &port.to_be_bytes())));
    RouteNetlinkMessage::GetRoute(message)
}

fn read(message: &RouteMessage) -> (Said, (String, u32, u32)) {
    let ip = |address: &RouteAddress| match address {
        RouteAddress::Inet(ip) => Some(IpAddr::from(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::from(*ip)),
        _ => None,
    };
    let kind = format!("{:?}", message.header.kind).to_lowercase();
    let mut said = Said { kind, gateway: None, oif: None, prefsrc: None, entry: None };
    let (mut dst, mut table, mut metric) = (None, u32::from(message.header.table), 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => dst = ip(address),
            RouteAttribute::Gateway(address) => said.gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet6(address)) => said.gateway = Some((*address).into()),
            RouteAttribute::Oif(index) => said.oif = Some(*index),
            RouteAttribute::PrefSource(address) => said.prefsrc = ip(address),
            RouteAttribute::Table(id) => table = *id,
            RouteAttribute::Priority(priority) => metric = *priority,
            _ => {}
        }
    }
    let dst = dst.map_or("any".to_owned(), |dst| dst.to_string());
    (said, (format!("{dst}/{}", message.header.destination_prefix_length), table, metric))
}

/// podnet says what the kernel says, or that it may be that.
pub fn agree(said: &Result<Said, String>, ways: &Ways) -> Result<(), String> {
    let shown = |answer: &RouteAnswer| match answer {
        RouteAnswer::Refused(errno) => Err(errno.clone()),
        RouteAnswer::Route(route) => {
            // Of table 0 is what no entry is behind.
            let entry = (route.table.0 != 0).then(|| {
                let dst = if route.dst.prefix_len() == 0 { "any".to_owned() } else { route.dst.addr().to_string() };
                (format!("{dst}/{}", route.dst.prefix_len()), route.table.0, route.metric)
            });
            let kind = match route.kind {
                RouteType::Blackhole => "blackhole",
                other => other.word(),
            };
            let oif = route.oif.map(|oif| oif.0);
            Ok(Said { kind: kind.to_owned(), gateway: route.gateway, oif, prefsrc: route.prefsrc, entry })
        }
    };
    let mut ours = [&ways.first].into_iter().chain(&ways.others).map(shown);
    if ours.clone().any(|ours| ours == *said) {
        return Ok(());
    }
    let first = ours.next().unwrap();
    Err(format!("kernel {said:?}\n    podnet {first:?}, or {} others", ways.others.len()))
}
