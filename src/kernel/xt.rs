//! Matches and targets of xtables, from the bytes that the kernel keeps of them (`struct xt_*_info`): legacy tables and
//! nftables hold the same ones. What is not read here is unread by its name.

mod conntrack;
mod target;

#[cfg(test)]
mod tests;

use super::nla::{text_of, u16_of, u32_of};
use crate::model::{Bytes, Field, Match, Relation};

pub use target::{Target, target};

/// What one match asks of a packet.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Reads {
    /// Its conditions; all must hold.
    pub matches: Vec<Match>,
    /// Conditions that are not read, by their names.
    pub unread: Vec<String>,
    /// What somebody wrote beside it.
    pub comment: Option<String>,
}

impl Reads {
    fn push(&mut self, on: Field, mask: Option<Bytes>, is: Relation) {
        self.matches.push(Match { on: vec![on], mask, is });
    }

    fn unread(&mut self, name: &str) {
        self.unread.push(name.to_owned());
    }
}

/// What a match of this name says.
pub fn matches(name: &str, revision: u32, ipv6: bool, info: &[u8]) -> Reads {
    let mut reads = Reads::default();
    let read = match (name, revision) {
        ("comment", 0) => comment(&mut reads, info),
        ("tcp", 0) => tcp(&mut reads, info),
        ("udp", 0) => udp(&mut reads, info),
        ("icmp", 0) if !ipv6 => icmp(&mut reads, info, Some(0xff)),
        ("icmp6", 0) if ipv6 => icmp(&mut reads, info, None),
        ("multiport", 1) => multiport(&mut reads, info),
        ("conntrack", 1..=3) => conntrack::conntrack(&mut reads, revision, info),
        ("state", 0) => conntrack::state(&mut reads, info),
        ("mark", 1) => mark(&mut reads, info),
        ("addrtype", 0 | 1) => addrtype(&mut reads, revision, ipv6, info),
        ("iprange", 1) => iprange(&mut reads, ipv6, info),
        ("mac", 0) => mac(&mut reads, info),
        ("dscp", 0) if !ipv6 => dscp(&mut reads, info),
        _ => None,
    };
    if read.is_none() {
        // Half of its conditions would be too few.
        reads = Reads { unread: vec![name.to_owned()], ..Reads::default() };
    }
    reads
}

/// These bytes, or not these.
pub(super) fn is(bytes: &[u8], inverted: bool) -> Relation {
    let bytes = Bytes(bytes.to_vec());
    if inverted { Relation::Differs(bytes) } else { Relation::Equal(bytes) }
}

/// From the one to the other, or not.
fn between(first: &[u8], last: &[u8], inverted: bool) -> Relation {
    match inverted {
        _ if first == last => is(first, inverted),
        false => Relation::Within(Bytes(first.to_vec()), Bytes(last.to_vec())),
        true => Relation::Outside(Bytes(first.to_vec()), Bytes(last.to_vec())),
    }
}

/// In one of these ranges, or in none.
fn among(mut ranges: Vec<(Bytes, Bytes)>, inverted: bool) -> Relation {
    match (ranges.pop(), inverted) {
        (Some((first, last)), _) if ranges.is_empty() => between(&first.0, &last.0, inverted),
        (last, _) => {
            ranges.extend(last);
            if inverted { Relation::NoneOf(ranges) } else { Relation::AnyOf(ranges) }
        }
    }
}

fn comment(reads: &mut Reads, info: &[u8]) -> Option<()> {
    reads.comment = Some(text_of(info));
    Some(())
}

/// `struct xt_tcp`.
fn tcp(reads: &mut Reads, info: &[u8]) -> Option<()> {
    let [option, mask, wanted, inverted] = *info.get(8..)?.first_chunk()?;
    both_ports(reads, info, inverted)?;
    let inverted = inverted & 4 != 0;
    if mask != 0 || wanted != 0 || inverted {
        // The byte with SYN, ACK, FIN and RST.
        let flags = Field::Transport { offset: 13, length: 1 };
        reads.push(flags, Some(Bytes(vec![mask])), is(&[wanted], inverted));
    }
    if option != 0 {
        reads.unread("tcp-option");
    }
    Some(())
}

/// `struct xt_udp`.
fn udp(reads: &mut Reads, info: &[u8]) -> Option<()> {
    both_ports(reads, info, *info.get(8)?)
}

/// The ranges of source and destination at the beginning of both.
fn both_ports(reads: &mut Reads, info: &[u8], inverted: u8) -> Option<()> {
    for (at, bit) in [(0, 1), (2, 2)] {
        let (first, last) = (u16_of(info.get(at * 2..)?)?, u16_of(info.get(at * 2 + 2..)?)?);
        let inverted = inverted & bit != 0;
        if (first, last) != (0, u16::MAX) || inverted {
            let ports = between(&first.to_be_bytes(), &last.to_be_bytes(), inverted);
            reads.push(Field::Transport { offset: at as u16, length: 2 }, None, ports);
        }
    }
    Some(())
}

/// `struct ipt_icmp`, `struct ip6t_icmp`; `any`: the type that stands for all.
fn icmp(reads: &mut Reads, info: &[u8], any: Option<u8>) -> Option<()> {
    let [kind, first, last, inverted] = *info.first_chunk()?;
    let inverted = inverted & 1 != 0;
    let (from, to) = if Some(kind) == any { ([0; 2], [0xff; 2]) } else { ([kind, first], [kind, last]) };
    if (from, to) == ([0; 2], [0xff; 2]) && !inverted {
        return Some(());
    }
    if from[0] == to[0] && (from[1], to[1]) == (0, 0xff) {
        reads.push(Field::Transport { offset: 0, length: 1 }, None, is(&[kind], inverted));
    } else {
        // Type and code as one number: with the same type a range of codes is one of both.
        reads.push(Field::Transport { offset: 0, length: 2 }, None, between(&from, &to, inverted));
    }
    Some(())
}

/// `struct xt_multiport_v1`.
fn multiport(reads: &mut Reads, info: &[u8]) -> Option<()> {
    const MOST: usize = 15;
    const RANGE_FLAGS: usize = 2 + 2 * MOST;
    let [which, count] = *info.first_chunk()?;
    let inverted = *info.get(RANGE_FLAGS + MOST)? != 0;
    let port = |at: usize| -> Option<Bytes> {
        let port = (at < MOST).then(|| info.get(2 + 2 * at..).and_then(u16_of))??;
        Some(Bytes(port.to_be_bytes().to_vec()))
    };
    let (mut ranges, mut at) = (Vec::new(), 0);
    while at < count as usize {
        let first = port(at)?;
        // A range takes two, the flag is at its first.
        at += usize::from(*info.get(RANGE_FLAGS + at)? != 0);
        ranges.push((first, port(at)?));
        at += 1;
    }
    let offsets: &[u16] = match (which, inverted) {
        (0, _) => &[0],
        (1, _) => &[2],
        // Neither of them; one or the other is no condition that could be said here.
        (2, true) => &[0, 2],
        _ => return None,
    };
    for offset in offsets {
        reads.push(Field::Transport { offset: *offset, length: 2 }, None, among(ranges.clone(), inverted));
    }
    Some(())
}

/// `struct xt_mark_mtinfo1`.
fn mark(reads: &mut Reads, info: &[u8]) -> Option<()> {
    let inverted = *info.get(8)? != 0;
    reads.push(Field::Mark, mask(&info[4..8]), is(&info[..4], inverted));
    Some(())
}

/// Bits that count; none: all.
pub(super) fn mask(bytes: &[u8]) -> Option<Bytes> {
    bytes.iter().any(|b| *b != 0xff).then(|| Bytes(bytes.to_vec()))
}

/// `struct xt_addrtype_info`, `struct xt_addrtype_info_v1`.
fn addrtype(reads: &mut Reads, revision: u32, ipv6: bool, info: &[u8]) -> Option<()> {
    const LOCAL: u16 = 1 << 2;
    let (source, destination) = (u16_of(info)?, u16_of(info.get(2..)?)?);
    let number = u32_of(info.get(4..)?)?;
    let inverted = match revision {
        0 => [number != 0, u32_of(info.get(8..)?)? != 0],
        // Only what is at the device that it came in by, or leaves by.
        _ if number & !3 != 0 => return None,
        _ => [number & 1 != 0, number & 2 != 0],
    };
    for ((types, on), inverted) in
        [(source, Field::SaddrType), (destination, Field::DaddrType)].into_iter().zip(inverted)
    {
        match types {
            0 => {}
            // For IPv6 the others are no types of routes but of addresses, and several of them must all hold.
            _ if ipv6 && types != LOCAL => return None,
            _ => {
                let each =
                    (0..16_u32).filter(|bit| types & 1 << bit != 0).map(|kind| Bytes(kind.to_ne_bytes().to_vec()));
                reads.push(on, None, among(each.map(|kind| (kind.clone(), kind)).collect(), inverted));
            }
        }
    }
    Some(())
}

/// `struct xt_iprange_mtinfo`: four addresses of 16 bytes each, flags.
fn iprange(reads: &mut Reads, ipv6: bool, info: &[u8]) -> Option<()> {
    let flags = *info.get(64)?;
    let (start, length) = if ipv6 { (8, 16) } else { (12, 4) };
    for (index, wanted, inverted) in [(0, 1, 0x10), (1, 2, 0x20)] {
        if flags & wanted != 0 {
            let (first, last) = (&info[index * 32..][..length], &info[index * 32 + 16..][..length]);
            let on = Field::Network { offset: (start + index * length) as u16, length: length as u16 };
            reads.push(on, None, between(first, last, flags & inverted != 0));
        }
    }
    Some(())
}

/// `struct xt_mac_info`.
fn mac(reads: &mut Reads, info: &[u8]) -> Option<()> {
    let inverted = u32_of(info.get(8..)?)? != 0;
    reads.push(Field::Link { offset: 6, length: 6 }, None, is(&info[..6], inverted));
    Some(())
}

/// `struct xt_dscp_info`.
fn dscp(reads: &mut Reads, info: &[u8]) -> Option<()> {
    let [class, inverted] = *info.first_chunk()?;
    let on = Field::Network { offset: 1, length: 1 };
    reads.push(on, Some(Bytes(vec![0xfc])), is(&[class << 2], inverted != 0));
    Some(())
}
