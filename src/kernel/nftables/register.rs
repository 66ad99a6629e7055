//! The registers that expressions of a rule hand values through, with where each value came from.

use crate::model::{Bytes, Field};

/// A register has four bytes; there are sixteen of them.
const WORD: usize = 4;
const WORDS: usize = 16;

/// A value in registers that follow each other, zeroes behind it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Load {
    /// What it is of the packet.
    pub field: Field,
    /// Its bytes.
    pub length: usize,
    /// Bits of it that are left, as many bytes; none: all.
    pub mask: Option<Vec<u8>>,
    /// What it is, where the rule says so.
    pub known: Option<Vec<u8>>,
}

impl Load {
    /// That part of a packet, whole.
    pub fn of(field: Field, length: usize) -> Load {
        Load { field, length, mask: None, known: None }
    }

    /// A value that nothing is known of but its name.
    pub fn other(name: impl Into<String>, length: usize) -> Load {
        Load::of(Field::Other(name.into()), length)
    }

    /// The same after something was done with it that podnet does not follow.
    pub fn blurred(&self) -> Load {
        Load::other(super::load::name(&self.field), self.length)
    }

    /// Its length in whole registers.
    pub fn padded(&self) -> usize {
        self.length.next_multiple_of(WORD)
    }

    /// Its first bytes alone.
    pub fn cut(&self, length: usize) -> Option<Load> {
        if length == self.length {
            return Some(self.clone());
        }
        let short = u16::try_from(length).ok()?;
        let field = match self.field {
            _ if length > self.length || length == 0 => return None,
            Field::Link { offset, .. } => Field::Link { offset, length: short },
            Field::Network { offset, .. } => Field::Network { offset, length: short },
            Field::Transport { offset, .. } => Field::Transport { offset, length: short },
            _ => return None,
        };
        let mask = self.mask.as_ref().map(|mask| mask[..length.min(mask.len())].to_vec());
        Some(Load { field, length, mask, known: None })
    }
}

/// What is in the registers at a point of a rule.
#[derive(Debug, Default)]
pub(super) struct Registers {
    /// Each with its first word.
    loads: Vec<(usize, Load)>,
}

impl Registers {
    /// The first word of a register by its number: NFT_REG_1 and on have sixteen bytes, NFT_REG32_00 and on four.
    pub fn word(number: u32) -> Option<usize> {
        match number as usize {
            number @ 1..=4 => Some((number - 1) * 4),
            number @ 8..24 => Some(number - 8),
            _ => None,
        }
    }

    /// Writes a value; what it overwrites is gone.
    pub fn store(&mut self, word: usize, load: Load) {
        let end = word + load.padded().max(WORD) / WORD;
        self.loads.retain(|(start, old)| *start >= end || start + old.padded() / WORD <= word);
        self.loads.push((word, load));
    }

    /// Nothing is known of any register any more.
    pub fn forget(&mut self) {
        self.loads.clear();
    }

    /// From this word to the last one there is something that nothing is known of but its name.
    pub fn store_to_end(&mut self, word: usize, name: &str) {
        self.store(word, Load::other(name, WORDS.saturating_sub(word) * WORD));
    }

    /// The value that begins at this word.
    pub fn at(&self, word: usize) -> Option<&Load> {
        self.loads.iter().find(|(start, _)| *start == word).map(|(_, load)| load)
    }

    /// The values that stand in so many bytes from this word on; none: something there is not known.
    pub fn read(&self, word: usize, length: usize) -> Option<Vec<&Load>> {
        let (mut found, mut seen) = (Vec::new(), 0);
        while seen < length {
            let load = self.at(word + seen / WORD)?;
            seen += load.padded().max(WORD);
            found.push(load);
        }
        (!found.is_empty()).then_some(found)
    }

    /// The values that are exactly so many bytes, as a set has them for its key.
    pub fn key(&self, word: usize, length: usize) -> Option<Vec<Load>> {
        match self.read(word, length)?[..] {
            [only] => only.cut(length).map(|only| vec![only]),
            ref several if several.iter().map(|load| load.padded()).sum::<usize>() == length => {
                Some(several.iter().map(|load| (*load).clone()).collect())
            }
            _ => None,
        }
    }
}

/// What is looked at, and the bits of it that count; several values are filled up to whole registers each.
pub(super) fn operand(loads: &[Load]) -> (Vec<Field>, Option<Bytes>) {
    // What is unknown stands for one register: of several values all the others would be looked for in the wrong place.
    let registers = |load: &Load| match load.field {
        Field::Other(_) if loads.len() > 1 => load.padded().max(WORD) / WORD,
        _ => 1,
    };
    let on = loads.iter().flat_map(|load| std::iter::repeat_n(load.field.clone(), registers(load))).collect();
    if loads.iter().all(|load| load.mask.is_none()) {
        return (on, None);
    }
    let several = loads.len() > 1;
    let mask = loads.iter().flat_map(|load| {
        let mut mask = load.mask.clone().unwrap_or_else(|| vec![0xff; load.length]);
        if several {
            mask.resize(load.padded(), 0);
        }
        mask
    });
    (on, Some(Bytes(mask.collect())))
}
