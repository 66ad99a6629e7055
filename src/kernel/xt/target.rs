//! What targets of xtables do to a packet.

use std::net::IpAddr;

use crate::kernel::nla::{ip_of, u16_of, u32_of};
use crate::model::{Judgement, Marking};

/// What becomes of a packet at a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The verdict.
    pub then: Judgement,
    /// The mark that the packet gets.
    pub marks: Option<Marking>,
    /// The packet's connection is not followed.
    pub untracks: bool,
}

/// What a target of this name does.
pub fn target(name: &str, revision: u32, ipv6: bool, info: &[u8]) -> Target {
    let other = || Judgement::Other(name.to_owned());
    let then = match name {
        "DNAT" if revision <= 2 => match Range::read(revision, ipv6, info) {
            Some(Range { to, port, one: true }) => Judgement::Dnat { to, port },
            _ => other(),
        },
        "REDIRECT" if revision == 0 => match Range::read(revision, ipv6, info) {
            Some(Range { port, one: true, .. }) => Judgement::Redirect { port },
            _ => other(),
        },
        "SNAT" if revision <= 2 => Judgement::Snat {
            to: Range::read(revision, ipv6, info).filter(|range| range.one).and_then(|range| range.to),
        },
        "SNAT" => Judgement::Snat { to: None },
        "MASQUERADE" => Judgement::Masquerade,
        "REJECT" => Judgement::Reject,
        "TTL" | "HL" if !goes_far(info) => other(),
        _ if goes_on(name) => Judgement::Continue,
        _ => other(),
    };
    let untracks = name == "NOTRACK" || name == "CT" && !keeps_connection(info);
    Target { then, marks: marks(name, revision, info), untracks }
}

/// `struct xt_ct_target_info`: the packet's connection is followed, and with those of all others.
fn keeps_connection(info: &[u8]) -> bool {
    /// `XT_CT_NOTRACK`, `XT_CT_ZONE_DIR_ORIG`, `XT_CT_ZONE_DIR_REPL`, `XT_CT_ZONE_MARK`
    const APART: u16 = 1 | 4 | 8 | 16;
    let zone = info.get(2..).and_then(u16_of);
    u16_of(info).is_some_and(|flags| flags & APART == 0) && zone == Some(0)
}

/// `struct ipt_TTL_info`: what it leaves of the time to live is enough for any way.
fn goes_far(info: &[u8]) -> bool {
    const SET: u8 = 0;
    const INCREASE: u8 = 1;
    matches!(info, [SET, 64..=255, ..] | [INCREASE, ..])
}

/// After it the next rule is asked, whatever it did.
fn goes_on(name: &str) -> bool {
    matches!(
        name,
        "AUDIT"
            | "CHECKSUM"
            | "CLASSIFY"
            | "CONNMARK"
            | "CONNSECMARK"
            | "CT"
            | "DSCP"
            | "ECN"
            | "HL"
            | "HMARK"
            | "IDLETIMER"
            | "LED"
            | "LOG"
            | "MARK"
            | "NFLOG"
            | "NOTRACK"
            | "RATEEST"
            | "SECMARK"
            | "SET"
            | "TCPMSS"
            | "TCPOPTSTRIP"
            | "TOS"
            | "TRACE"
            | "TTL"
    )
}

/// It changes the mark of a packet, or could: what is cut short or too new.
fn marks(name: &str, revision: u32, info: &[u8]) -> Option<Marking> {
    /// `XT_CONNMARK_SET`, `XT_CONNMARK_SAVE`: the mark goes to the connection only.
    const TO_THE_CONNECTION: [u8; 2] = [0, 1];
    /// `IPSET_INVALID_ID`: no set has a mark for it.
    const NO_SET: u16 = 65535;
    let changes = match (name, revision) {
        ("MARK", 2) => {
            let (mark, mask) = (u32_of(info), info.get(4..).and_then(u32_of));
            return Some(mark.zip(mask).map_or(Marking::UNKNOWN, |(flip, mask)| Marking {
                keep: !mask,
                flip,
                unknown: false,
            }));
        }
        ("MARK" | "HMARK" | "TPROXY" | "TOS" | "DSCP" | "ECN", _) => true,
        ("CONNMARK", 1) => !info.get(12).is_some_and(|mode| TO_THE_CONNECTION.contains(mode)),
        ("CONNMARK", _) => !info.get(14).is_some_and(|mode| TO_THE_CONNECTION.contains(mode)),
        // Behind the sets that it is added to and taken from.
        ("SET", 3..) => info.get(8..).and_then(u16_of) != Some(NO_SET),
        _ => false,
    };
    changes.then_some(Marking::UNKNOWN)
}

/// What a packet is translated to; what is absent stays as it is.
struct Range {
    to: Option<IpAddr>,
    port: Option<u16>,
    /// It is not one of several.
    one: bool,
}

impl Range {
    /// `struct nf_nat_ipv4_multi_range_compat` of the first revision for IPv4, else `struct nf_nat_range`.
    fn read(revision: u32, ipv6: bool, info: &[u8]) -> Option<Range> {
        const ADDRESSES: u32 = 1;
        const PORTS: u32 = 2;
        // An address of the newer ones has room for either family.
        let (start, room) = if revision == 0 && !ipv6 { (4, 4) } else { (0, 16) };
        let length = if ipv6 { 16 } else { 4 };
        let flags = u32_of(info.get(start..)?)?;
        let first = info.get(start + 4..)?.get(..length)?;
        let last = info.get(start + 4 + room..)?.get(..length)?;
        // Ports are big endian.
        let port = |at: usize| info.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b));
        let at = start + 4 + 2 * room;
        let (low, high) = (port(at)?, port(at + 2)?);
        let (addresses, ports) = (flags & ADDRESSES != 0, flags & PORTS != 0);
        Some(Range {
            to: ip_of(first).filter(|_| addresses),
            port: Some(low).filter(|_| ports),
            one: (!addresses || first == last) && (!ports || low == high),
        })
    }
}
