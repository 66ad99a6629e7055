//! nftables of one namespace, by dumps of its netfilter socket: base chains, rules, and the sets that rules ask.

mod act;
mod chain;
mod expr;
mod load;
mod register;
mod rule;
mod set;
#[cfg(test)]
mod tests;
mod value;

use netlink_packet_core::DecodeError;

pub use chain::chains;
pub use rule::{all_rules, rules};
pub use set::{all_sets, set};

/// Length of `struct nfgenmsg`: family, version, and a number that says nothing here.
const HEADER: usize = 4;

/// The family of a message, and its attributes.
fn split(payload: &[u8]) -> Result<(u8, &[u8]), DecodeError> {
    match payload.split_at_checked(HEADER) {
        Some((header, attributes)) => Ok((header[0], attributes)),
        None => Err(DecodeError::buffer_too_small(payload.len(), HEADER)),
    }
}

/// A number of 32 bits; netfilter's are big endian.
fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|b| u32::from_be_bytes(*b))
}

/// The words of `nft` for `NFPROTO_*`.
const FAMILIES: &[(u8, &str)] = &[(1, "inet"), (2, "ip"), (3, "arp"), (5, "netdev"), (7, "bridge"), (10, "ip6")];

fn family_name(number: u8) -> Option<&'static str> {
    FAMILIES.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}

/// The number of a family; zero, which means all of them, for a name that is none.
fn family_number(name: &str) -> u8 {
    FAMILIES.iter().find(|(_, n)| *n == name).map_or(0, |(number, _)| *number)
}

/// A request of this family.
fn message(family: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![family, 0, 0, 0];
    attributes.iter().for_each(|attribute| bytes.extend(attribute));
    bytes
}

/// An attribute that is text.
fn text(kind: u16, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    crate::kernel::nla::attribute(kind, &bytes)
}
