//! Whether a value that is known bit by bit is one that a rule looks for.

use std::collections::HashSet;

use super::sight::{Known, Sight};
use crate::model::{Bytes, Element, Field, NfSet};

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    No,
    Perhaps,
    Yes,
}

impl Holds {
    pub(super) fn not(self) -> Holds {
        match self {
            Holds::No => Holds::Yes,
            Holds::Perhaps => Holds::Perhaps,
            Holds::Yes => Holds::No,
        }
    }
}

/// The first bytes of a value are these.
pub(super) fn equal(value: &[Known], to: &Bytes) -> Holds {
    let mut all = Holds::Yes;
    for (at, byte) in to.0.iter().enumerate() {
        let Some(known) = value.get(at) else { return Holds::Perhaps };
        if (known.value ^ byte) & known.bits != 0 {
            return Holds::No;
        }
        if known.bits != 0xff {
            all = Holds::Perhaps;
        }
    }
    all
}

/// A value is within a range, by the order of its bytes.
pub(super) fn range(value: &[Known], first: &[u8], last: &[u8]) -> Holds {
    let length = first.len().min(last.len());
    let Some(value) = value.get(..length) else { return Holds::Perhaps };
    let least = || value.iter().map(|known| known.value & known.bits);
    let most = || value.iter().map(|known| known.value | !known.bits);
    let (first, last) = (first[..length].iter().copied(), last[..length].iter().copied());
    if most().lt(first.clone()) || least().gt(last.clone()) {
        Holds::No
    } else if least().ge(first) && most().le(last) {
        Holds::Yes
    } else {
        Holds::Perhaps
    }
}

/// A value is within one of these ranges.
pub(super) fn any_of(value: &[Known], ranges: &[(Bytes, Bytes)]) -> Holds {
    ranges.iter().map(|(first, last)| range(value, &first.0, &last.0)).max().unwrap_or(Holds::No)
}

/// A value is an element; each part of one that has several has a range of its own.
pub(super) fn element_holds(on: &[Field], value: &[Known], element: &Element) -> Holds {
    let (first, last) = (&element.key.0, &element.to.as_ref().unwrap_or(&element.key).0);
    if on.len() < 2 {
        return range(value, first, last);
    }
    let mut at = 0;
    let mut all = Holds::Yes;
    for field in on {
        let part = at..at + Sight::length(field).next_multiple_of(4);
        at = part.end;
        all = all.min(match (value.get(part.clone()), first.get(part.clone()), last.get(part)) {
            (Some(value), Some(first), Some(last)) => range(value, first, last),
            _ => return Holds::Perhaps.min(all),
        });
    }
    all
}

/// A map has something for each number that can be drawn.
pub(super) fn covers(on: &[Field], set: &NfSet) -> bool {
    let [Field::Drawn { modulus }] = on else { return false };
    let number = |element: &Element| element.key.0.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    let drawn = set.elements.iter().filter(|element| element.to.is_none() && element.then.is_some());
    let numbers: HashSet<u32> = drawn.filter_map(number).filter(|number| number < modulus).collect();
    numbers.len() as u64 == u64::from(*modulus)
}
