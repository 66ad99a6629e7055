//! Rules of nftables: dumps of NFT_MSG_GETRULE, and what of a rule stands outside its expressions.

use std::collections::HashMap;

use netlink_packet_core::DecodeError;

use super::expr::{Reading, expressions};
use super::{family_name, family_number, message, set, split, text};
use crate::kernel::nla::{self, text_of};
use crate::kernel::socket::{Dump, Refused, Request, Socket};
use crate::model::{ChainId, NfRule};

/// NFNL_SUBSYS_NFTABLES and NFT_MSG_GETRULE.
const GETRULE: u16 = 10 << 8 | 7;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;

/// Bytes of the keys of sets, by table and name.
pub(super) type KeyLengths = HashMap<(&'static str, String, String), usize>;

/// The rules of a chain, in their order. One that changes a mark before all of its conditions are asked comes twice: as
/// far as the change, and whole.
pub fn rules(socket: &mut Socket, chain: &ChainId) -> Result<Dump<NfRule>, Refused> {
    let wanted = [text(RULE_TABLE, &chain.table), text(RULE_CHAIN, &chain.chain)];
    let request = Request::raw(GETRULE, message(family_number(&chain.family), &wanted));
    // How long the keys of sets are is asked only where a rule asks a set, and not while this dump goes on.
    let raw = socket.dump(request, |payload| {
        // Old kernels send the rules of every chain.
        Ok((identify(payload)? == *chain).then(|| payload.to_vec()))
    })?;
    let asks = |payload: &Vec<u8>| split(payload).is_ok_and(|(_, a)| each(a).any(|(name, _)| asks_a_set(&name)));
    let lengths = match raw.items.iter().any(asks) {
        true => set::key_lengths(socket, family_number(&chain.family), Some(&chain.table))?,
        false => KeyLengths::new(),
    };
    let mut dump = Dump { items: Vec::new(), undecodable: raw.undecodable, interrupted: raw.interrupted };
    for payload in raw.items {
        match decode(&payload, chain, &lengths) {
            Ok(rules) => dump.items.extend(rules),
            Err(_) => dump.undecodable += 1,
        }
    }
    Ok(dump)
}

/// The rules of every chain, each chain's in their order, as [`rules`] has them.
pub fn all_rules(socket: &mut Socket) -> Result<Dump<(ChainId, NfRule)>, Refused> {
    let lengths = set::key_lengths(socket, 0, None)?;
    let dump = socket.dump(Request::raw(GETRULE, message(0, &[])), |payload| {
        let chain = identify(payload)?;
        let rules = decode(payload, &chain, &lengths)?;
        Ok(Some(rules.into_iter().map(move |rule| (chain.clone(), rule))))
    })?;
    let Dump { items, undecodable, interrupted } = dump;
    Ok(Dump { items: items.into_iter().flatten().collect(), undecodable, interrupted })
}

/// The chain that a rule is in.
fn identify(payload: &[u8]) -> Result<ChainId, DecodeError> {
    let (family, attributes) = split(payload)?;
    let find = |kind: u16| nla::find(attributes, kind).map(text_of);
    match (family_name(family), find(RULE_TABLE), find(RULE_CHAIN)) {
        (Some(family), Some(table), Some(chain)) => {
            Ok(ChainId { backend: "nf_tables".to_owned(), family: family.to_owned(), table, chain })
        }
        _ => Err(DecodeError::from("a rule without its chain")),
    }
}

fn each(attributes: &[u8]) -> impl Iterator<Item = (String, &[u8])> {
    nla::find(attributes, RULE_EXPRESSIONS).map(expressions).into_iter().flatten()
}

fn asks_a_set(name: &str) -> bool {
    name == "lookup"
}

/// A rule from its message.
pub(super) fn decode(payload: &[u8], chain: &ChainId, lengths: &KeyLengths) -> Result<Vec<NfRule>, DecodeError> {
    let (family, attributes) = split(payload)?;
    let family = family_name(family).unwrap_or_default();
    let handle = nla::find(attributes, RULE_HANDLE).and_then(|h| h.first_chunk());
    let handle = handle.map(|h| u64::from_be_bytes(*h)).ok_or_else(|| DecodeError::from("a rule without a number"))?;
    let comment = nla::find(attributes, RULE_USERDATA).and_then(comment);
    let key_length = |name: &str| lengths.get(&(family, chain.table.clone(), name.to_owned())).copied();
    let mut reading = Reading::new(handle, comment, family, &key_length);
    for (name, attributes) in each(attributes) {
        reading.expression(&name, attributes);
    }
    Ok(reading.rules())
}

/// What somebody wrote beside a rule by means of `nft`: a type, a length, text.
fn comment(mut userdata: &[u8]) -> Option<String> {
    /// NFTNL_UDATA_RULE_COMMENT
    const COMMENT: u8 = 0;
    while let [kind, length, rest @ ..] = userdata {
        let (value, behind) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            return Some(text_of(value));
        }
        userdata = behind;
    }
    None
}
