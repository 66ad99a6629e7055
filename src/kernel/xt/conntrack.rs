//! What matches of xtables ask of the connection that a packet belongs to.

use super::{Reads, is};
use crate::kernel::nla::{u16_of, u32_of};
use crate::model::{Bytes, Field};

/// `struct xt_state_info`: bits as nftables has them.
pub(super) fn state(reads: &mut Reads, info: &[u8]) -> Option<()> {
    any_bit(reads, Field::CtState, u32_of(info)?, false);
    Some(())
}

/// `struct xt_conntrack_mtinfo1` to `3`; what they have in common comes first.
pub(super) fn conntrack(reads: &mut Reads, revision: u32, info: &[u8]) -> Option<()> {
    const FLAGS: usize = 146;
    const STATE: u16 = 1;
    /// Names by the bits of `match_flags`, from the second on.
    const OTHERS: [&str; 12] = [
        "ctproto",
        "ctorigsrc",
        "ctorigdst",
        "ctreplsrc",
        "ctrepldst",
        "ctstatus",
        "ctexpire",
        "ctorigsrcport",
        "ctorigdstport",
        "ctreplsrcport",
        "ctrepldstport",
        "ctdir",
    ];
    /// It was written as `-m state`.
    const ALIAS: u16 = 1 << 13;
    let flags = u16_of(info.get(FLAGS..)?)?;
    let inverted = u16_of(info.get(FLAGS + 2..)?)? & STATE != 0;
    let states = match revision {
        1 => u16::from(*info.get(FLAGS + 4)?),
        _ => u16_of(info.get(FLAGS + 4..)?)?,
    };
    if flags & STATE != 0 && ct_state(reads, states, inverted).is_none() {
        reads.unread("ctstate");
    }
    for (_, name) in OTHERS.iter().enumerate().filter(|(bit, _)| flags & 2 << bit != 0) {
        reads.unread(name);
    }
    if flags & !(ALIAS | (ALIAS - 1)) != 0 {
        reads.unread("conntrack");
    }
    Some(())
}

/// The state, and with it whether the connection is translated, of which nftables has bits elsewhere; none: it is a
/// mixture of both.
fn ct_state(reads: &mut Reads, states: u16, inverted: bool) -> Option<()> {
    /// Invalid, established, related, new.
    const SAME: u16 = 0xf;
    const UNTRACKED: u16 = 1 << 8;
    /// `XT_CONNTRACK_STATE_SNAT`, `XT_CONNTRACK_STATE_DNAT`: two bits above `IPS_SRC_NAT`, `IPS_DST_NAT`.
    const NAT: u16 = 3 << 6;
    let untracked = if states & UNTRACKED != 0 { 64 } else { 0 };
    let (state, status) = (u32::from(states & SAME) | untracked, u32::from(states & NAT) >> 2);
    if states & !(SAME | UNTRACKED | NAT) != 0 || state != 0 && status != 0 && !inverted {
        return None;
    }
    if status != 0 {
        any_bit(reads, Field::CtStatus, status, inverted);
    }
    if state != 0 || status == 0 {
        any_bit(reads, Field::CtState, state, inverted);
    }
    Some(())
}

/// One of these bits is there, or none.
fn any_bit(reads: &mut Reads, on: Field, bits: u32, inverted: bool) {
    // Some are there, if what there is of them is not nothing.
    reads.push(on, Some(Bytes(bits.to_ne_bytes().to_vec())), is(&[0; 4], !inverted));
}
