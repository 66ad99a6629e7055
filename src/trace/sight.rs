//! What is known of a packet where netfilter looks at it, bit by bit: a rule may look at any of them.

use std::net::{IpAddr, Ipv6Addr};

use crate::model::{Bytes, Field, Flow, Marking, Proto, Traffic};

/// Lengths of the headers that rules are known to look at.
const NETWORK: usize = 40;
const TRANSPORT: usize = 20;

/// Bytes of one comparison: the kernel's registers have no more.
const COMPARED: usize = 64;

/// Bits of a connection's state as `ct state` has them.
pub(super) const NEW: u32 = 8;
pub(super) const ESTABLISHED: u32 = 2;
const UNTRACKED: u32 = 64;

/// A connection whose packets get another destination (`IPS_DST_NAT`).
const DST_NAT: u32 = 0x20;

/// A byte, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub value: u8,
    /// Those of its bits that are.
    pub bits: u8,
}

/// A firewall mark, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    pub value: u32,
    /// Those of its bits that are.
    pub bits: u32,
}

impl Mark {
    /// What two have in common is known of a packet that has either.
    pub(super) fn common(self, other: Mark) -> Mark {
        Mark { value: self.value, bits: self.bits & other.bits & !(self.value ^ other.value) }
    }
}

/// A device on one side of the packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Device {
    /// There is none: the packet comes from here, or ends here.
    None,
    Link(String, u32),
    #[default]
    Unknown,
}

/// A packet before one hook.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub ipv6: bool,
    network: [Known; NETWORK],
    transport: [Known; TRANSPORT],
    proto: Option<u8>,
    pub iif: Device,
    pub oif: Device,
    pub mark: Mark,
    /// Bits of the connection's state.
    state: Option<u32>,
    /// A rule may keep its connection from being followed.
    pub untracked: bool,
    /// It was given another destination.
    pub dnat: Option<bool>,
    /// Its destination is this namespace; false: an ordinary one elsewhere.
    pub local: Option<bool>,
}

impl Sight {
    pub(super) fn of(flow: &Flow, state: Option<u32>, answers: bool) -> Sight {
        let ipv6 = flow.dst.is_ipv6();
        let proto = flow.traffic.proto.map(|proto| proto.number(ipv6));
        let mut sight = Sight {
            ipv6,
            network: [Known::default(); NETWORK],
            transport: [Known::default(); TRANSPORT],
            proto,
            iif: Device::Unknown,
            oif: Device::Unknown,
            mark: Mark::default(),
            state,
            untracked: false,
            dnat: None,
            local: None,
        };
        let (version, next, src, dst) = if ipv6 { (0x60, 6, 8, 24) } else { (0x45, 9, 12, 16) };
        sight.network[0] = Known { value: version, bits: if ipv6 { 0xf0 } else { 0xff } };
        if let (Some(tos), false) = (flow.traffic.tos, ipv6) {
            put(&mut sight.network[1..], &[tos]);
        }
        if let Some(proto) = proto {
            put(&mut sight.network[next..], &[proto]);
        }
        put_ip(&mut sight.network[src..], flow.src);
        put_ip(&mut sight.network[dst..], Some(flow.dst));
        sight.transport_of(flow, answers);
        sight
    }

    /// The first packet of a connection, and the first answer to it.
    fn transport_of(&mut self, flow: &Flow, answers: bool) {
        match flow.traffic.proto {
            Some(Proto::Tcp | Proto::Udp) => {
                for (at, port) in [(0, flow.traffic.sport), (2, flow.traffic.dport)] {
                    if let Some(port) = port {
                        put(&mut self.transport[at..], &port.to_be_bytes());
                    }
                }
                if flow.traffic.proto == Some(Proto::Tcp) && self.state.is_some() {
                    // SYN, or SYN and ACK; the upper two bits may offer congestion notification.
                    self.transport[13] = Known { value: if answers { 0x12 } else { 0x02 }, bits: 0x3f };
                }
            }
            // What people ask about is an echo.
            Some(Proto::Icmp) => {
                let kind = match (self.ipv6, answers) {
                    (false, false) => 8,
                    (false, true) => 0,
                    (true, false) => 128,
                    (true, true) => 129,
                };
                put(&mut self.transport, &[kind, 0]);
            }
            None => {}
        }
    }

    /// The packet that asks the segment of a device who has an IPv6 address (RFC 4861).
    pub(super) fn solicitation(of: Ipv6Addr, iif: Device) -> Sight {
        const NEIGHBOUR_SOLICITATION: u8 = 135;
        let mut group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
        group[13..].copy_from_slice(&of.octets()[13..]);
        let traffic = Traffic { proto: Some(Proto::Icmp), ..Traffic::default() };
        // Connection tracking leaves it alone.
        let mut sight = Sight::of(&Flow { traffic, ..Flow::to(group.into()) }, Some(UNTRACKED), false);
        put(&mut sight.transport, &[NEIGHBOUR_SOLICITATION, 0]);
        (sight.iif, sight.oif, sight.mark) = (iif, Device::None, Mark { value: 0, bits: u32::MAX });
        sight
    }

    /// A rule gives it another mark, or perhaps does.
    pub(super) fn mark(&mut self, marking: Marking, certain: bool) {
        if marking.unknown {
            return self.forget_mark();
        }
        let Mark { value, bits } = self.mark;
        let marked = Mark { value: (value & marking.keep) ^ marking.flip, bits: bits | !marking.keep };
        self.mark = match certain {
            true => marked,
            false => self.mark.common(marked),
        };
    }

    /// It may be like another one instead: what is the same in both is known.
    pub(super) fn or(&mut self, other: &Sight) {
        self.mark = self.mark.common(other.mark);
        if self.network[1] != other.network[1] {
            self.network[1] = Known::default();
        }
        if other.untracked || self.untracked {
            self.forget_state();
        }
    }

    /// Its mark may be another one, or its type of service.
    pub(super) fn forget_mark(&mut self) {
        self.mark = Mark::default();
        self.network[1] = Known::default();
    }

    /// It has another destination by now, which chains behind that see.
    pub(super) fn forget_destination(&mut self) {
        let address = if self.ipv6 { 24..40 } else { 16..20 };
        self.network[address].fill(Known::default());
        self.transport[2..4].fill(Known::default());
        self.local = None;
        self.dnat = None;
    }

    /// A rule may keep its connection from being followed.
    pub(super) fn forget_state(&mut self) {
        self.untracked = true;
        self.state = None;
    }

    /// The values of fields, one behind the other, of which only the bits of a mask count.
    pub(super) fn values(&self, on: &[Field], mask: Option<&Bytes>) -> Vec<Known> {
        let mut all = Vec::new();
        for field in on {
            let value = self.value(field);
            all.extend_from_slice(&value);
            if on.len() > 1 {
                all.resize(all.len().next_multiple_of(4), Known { value: 0, bits: 0xff });
            }
            if all.len() >= COMPARED {
                break;
            }
        }
        for (at, byte) in mask.iter().flat_map(|mask| mask.0.iter()).enumerate() {
            if let Some(known) = all.get_mut(at) {
                // What does not count is zero, as the kernel has it.
                *known = Known { value: known.value & byte, bits: known.bits | !byte };
            }
        }
        all
    }

    /// Number of bytes that a field has.
    pub(super) fn length(field: &Field) -> usize {
        match field {
            Field::Link { length, .. } | Field::Network { length, .. } | Field::Transport { length, .. } => {
                usize::from(*length)
            }
            Field::Iifname | Field::Oifname => 16,
            Field::L4proto | Field::Nfproto => 1,
            Field::Protocol => 2,
            _ => 4,
        }
    }

    fn value(&self, field: &Field) -> Vec<Known> {
        let part = |of: &[Known], offset: u16, length: u16| -> Vec<Known> {
            let at = |i: usize| of.get(i).copied().unwrap_or_default();
            (usize::from(offset)..usize::from(offset) + usize::from(length).min(COMPARED)).map(at).collect()
        };
        let number = |value: Option<u32>, bits: u32| match value {
            Some(value) => known(&value.to_ne_bytes(), &bits.to_ne_bytes()),
            None => vec![Known::default(); 4],
        };
        match field {
            Field::Network { offset, length } => part(&self.network, *offset, *length),
            Field::Transport { offset, length } => part(&self.transport, *offset, *length),
            Field::Iifname => name(&self.iif),
            Field::Oifname => name(&self.oif),
            Field::Iif => number(index(&self.iif), u32::MAX),
            Field::Oif => number(index(&self.oif), u32::MAX),
            Field::L4proto => match self.proto {
                Some(proto) => known(&[proto], &[0xff]),
                None => vec![Known::default()],
            },
            Field::Nfproto => known(&[if self.ipv6 { 10 } else { 2 }], &[0xff]),
            Field::Protocol => known(if self.ipv6 { &[0x86, 0xdd] } else { &[0x08, 0] }, &[0xff; 2]),
            Field::Mark => number(Some(self.mark.value), self.mark.bits),
            Field::CtState => number(self.state, u32::MAX),
            Field::CtStatus => match self.dnat {
                Some(dnat) => number(Some(if dnat { DST_NAT } else { 0 }), DST_NAT),
                None => number(None, 0),
            },
            Field::DaddrType => match self.local {
                // RTN_LOCAL, RTN_UNICAST
                Some(true) => number(Some(2), u32::MAX),
                Some(false) => number(Some(1), u32::MAX),
                None => number(None, 0),
            },
            Field::Link { .. } | Field::SaddrType | Field::Drawn { .. } | Field::Other(_) => {
                vec![Known::default(); Self::length(field).min(COMPARED)]
            }
        }
    }
}

fn known(value: &[u8], bits: &[u8]) -> Vec<Known> {
    value.iter().zip(bits).map(|(value, bits)| Known { value: *value & *bits, bits: *bits }).collect()
}

fn put(place: &mut [Known], bytes: &[u8]) {
    for (known, byte) in place.iter_mut().zip(bytes) {
        *known = Known { value: *byte, bits: 0xff };
    }
}

fn put_ip(place: &mut [Known], ip: Option<IpAddr>) {
    match ip {
        Some(IpAddr::V4(ip)) => put(place, &ip.octets()),
        Some(IpAddr::V6(ip)) => put(place, &ip.octets()),
        None => {}
    }
}

/// `IFNAMSIZ` bytes.
fn name(device: &Device) -> Vec<Known> {
    let mut bytes = [0; 16];
    match device {
        Device::Unknown => return vec![Known::default(); 16],
        Device::None => {}
        Device::Link(name, _) => bytes.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte),
    }
    known(&bytes, &[0xff; 16])
}

fn index(device: &Device) -> Option<u32> {
    match device {
        Device::Unknown => None,
        Device::None => Some(0),
        Device::Link(_, index) => Some(*index),
    }
}
