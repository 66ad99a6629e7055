//! The expressions of a rule, followed one after the other: what they load, what they compare, what they decide. What is
//! not followed is named, so that a rule never looks more certain than it is.

use super::load::{self, in_host_order};
use super::register::{Load, Registers, operand};
use super::{act, number, value};
use crate::kernel::nla::{self, text_of};
use crate::kernel::xt;
use crate::model::{Bytes, Field, Judgement, Marking, Match, NfRule, Relation};

/// The expressions of a list, each with its name and its attributes.
pub(super) fn expressions(list: &[u8]) -> impl Iterator<Item = (String, &[u8])> {
    const LIST_ELEM: u16 = 1;
    nla::each(list).filter(|(kind, _)| *kind == LIST_ELEM).map(|(_, expression)| one(expression))
}

/// The name and the attributes of an expression; one without attributes is seen as one with none.
pub(super) fn one(expression: &[u8]) -> (String, &[u8]) {
    const EXPR_NAME: u16 = 1;
    const EXPR_DATA: u16 = 2;
    let name = nla::find(expression, EXPR_NAME).map(text_of).unwrap_or_default();
    (name, nla::find(expression, EXPR_DATA).unwrap_or_default())
}

/// Whether an expression neither asks nor decides anything.
pub(super) fn is_idle(name: &str) -> bool {
    matches!(name, "counter" | "last" | "log" | "dup" | "notrack")
}

/// A rule in the middle of its expressions.
pub(super) struct Reading<'a> {
    family: &'a str,
    key_length: &'a dyn Fn(&str) -> Option<usize>,
    pub(super) registers: Registers,
    pub(super) rule: NfRule,
    /// Where it first changed something: the conditions until then, read and unread.
    marked: Option<(usize, usize)>,
    /// Nothing behind is asked any more.
    pub(super) over: bool,
}

/// `find` of an expression's numbers.
pub(super) fn numbers(attributes: &[u8]) -> impl Fn(u16) -> Option<u32> {
    |kind| nla::find(attributes, kind).and_then(number)
}

impl<'a> Reading<'a> {
    /// A rule before its first expression; `key_length` knows the sets of its table.
    pub fn new(
        handle: u64,
        comment: Option<String>,
        family: &'a str,
        key_length: &'a dyn Fn(&str) -> Option<usize>,
    ) -> Reading<'a> {
        let (matches, unread) = (Vec::new(), Vec::new());
        let rule = NfRule { handle, matches, unread, marks: None, untracks: false, then: Judgement::Continue, comment };
        Reading { family, key_length, registers: Registers::default(), rule, marked: None, over: false }
    }

    /// The rule once all of its expressions were seen. Where it changes something and asks on, the change happens whatever
    /// the answers are, so it is a rule of its own.
    pub fn rules(self) -> Vec<NfRule> {
        let whole = self.rule;
        match self.marked {
            Some((read, unread)) if (read, unread) != (whole.matches.len(), whole.unread.len()) => {
                let mut first = NfRule { then: Judgement::Continue, ..whole.clone() };
                first.matches.truncate(read);
                first.unread.truncate(unread);
                vec![first, whole]
            }
            _ => vec![whole],
        }
    }

    /// The next expression.
    pub fn expression(&mut self, name: &str, attributes: &[u8]) {
        if !self.over && name == "notrack" {
            self.rule.untracks = true;
            self.acts();
        }
        if self.over || is_idle(name) {
            return;
        }
        // An element may say to go on, and then it is not the map alone that decides.
        if matches!(self.rule.then, Judgement::Map { .. }) {
            return self.end(Judgement::Other("vmap".to_owned()));
        }
        match name {
            "payload" | "meta" | "ct" | "exthdr" => self.load_or_write(name, attributes),
            "fib" | "rt" | "socket" | "hash" | "numgen" | "osf" | "tunnel" | "xfrm" => self.load(name, attributes),
            "bitwise" => self.bitwise(attributes).unwrap_or_else(|| self.lose()),
            "byteorder" => self.byteorder(attributes).unwrap_or_else(|| self.lose()),
            "immediate" => self.immediate(attributes).unwrap_or_else(|| self.end(Judgement::Other(name.to_owned()))),
            "cmp" => self.asked(name, |r| r.cmp(attributes)),
            "range" => self.asked(name, |r| r.range(attributes)),
            "lookup" => self.lookup(attributes),
            "match" => self.xt_match(attributes),
            "target" => self.xt_target(attributes),
            "limit" | "quota" | "connlimit" | "flow_offload" => self.rule.unread.push(name.to_owned()),
            _ => act::act(self, name, attributes),
        }
    }

    /// The rule says what becomes of the packet.
    pub fn end(&mut self, then: Judgement) {
        // A map that has no element leaves the rule, and one that has one may still say to go on.
        self.over = !matches!(then, Judgement::Map { .. });
        self.rule.then = then;
    }

    /// The rule changes the packet's mark.
    pub fn mark(&mut self, marking: Marking) {
        // Of several changes nobody knows what they come to.
        let known = self.rule.marks.is_none() && !self.rule.untracks && !marking.unknown;
        self.rule.marks = Some(if known { marking } else { Marking::UNKNOWN });
        self.acts();
    }

    /// The rule does something to the packet, whatever is asked behind that.
    fn acts(&mut self) {
        self.marked.get_or_insert((self.rule.matches.len(), self.rule.unread.len()));
    }

    /// What an expression that nobody follows wrote could be in any register.
    pub fn lose(&mut self) {
        self.registers.forget();
    }

    fn asked(&mut self, name: &str, ask: impl Fn(&Self) -> Option<Match>) {
        match ask(self) {
            Some(condition) => self.rule.matches.push(condition),
            None => self.rule.unread.push(name.to_owned()),
        }
    }

    fn load(&mut self, name: &str, attributes: &[u8]) {
        match load::load(name, attributes).and_then(|(register, load)| Some((Registers::word(register)?, load))) {
            Some((word, load)) => self.registers.store(word, load),
            None => self.lose(),
        }
    }

    fn load_or_write(&mut self, name: &str, attributes: &[u8]) {
        const DREG: u16 = 1;
        match nla::find(attributes, DREG) {
            Some(_) => self.load(name, attributes),
            None => act::write(self, name, attributes),
        }
    }

    /// Whether the packet is certainly one of IPv4.
    pub fn is_ipv4(&self) -> bool {
        let ipv4 = |m: &Match| m.on == [Field::Nfproto] && m.mask.is_none() && m.is == Relation::Equal(Bytes(vec![2]));
        self.family == "ip" || self.rule.matches.iter().any(ipv4)
    }

    /// What the rule itself put into a register.
    pub fn known(&self, register: u32) -> Option<&[u8]> {
        self.registers.at(Registers::word(register)?)?.known.as_deref()
    }

    fn immediate(&mut self, attributes: &[u8]) -> Option<()> {
        let register = numbers(attributes)(1)?;
        match value::data(nla::find(attributes, 2)?)? {
            value::Data::Verdict(then) => self.end(then),
            value::Data::Value(bytes) => {
                let load = Load { known: Some(bytes.to_vec()), ..Load::other("immediate", bytes.len()) };
                self.registers.store(Registers::word(register)?, load);
            }
        }
        Some(())
    }

    fn bitwise(&mut self, attributes: &[u8]) -> Option<()> {
        let find = numbers(attributes);
        let (from, to, length) = (Registers::word(find(1)?)?, Registers::word(find(2)?)?, find(3)? as usize);
        let loads: Vec<Load> = self.registers.read(from, length)?.into_iter().cloned().collect();
        // NFT_BITWISE_MASK_XOR, by two values that the rule says
        let plain = find(6).unwrap_or(0) == 0 && nla::find(attributes, 8).is_none();
        let bytes = |kind: u16| nla::find(attributes, kind).and_then(value::bytes);
        let mask = match (bytes(4), bytes(5)) {
            (Some(mask), Some(xor)) if plain && xor.iter().all(|b| *b == 0) => mask,
            _ => &[],
        };
        let mut at = 0;
        for load in loads {
            let masked = mask.get(at..at + load.length).filter(|_| load.known.is_none()).map(|mask| {
                let old = load.mask.clone().unwrap_or_else(|| vec![0xff; load.length]);
                let both = old.iter().zip(mask).map(|(a, b)| a & b).collect();
                Load { mask: Some(both), ..load.clone() }
            });
            self.registers.store(to + at / 4, masked.unwrap_or_else(|| load.blurred()));
            at += load.padded();
        }
        Some(())
    }

    fn byteorder(&mut self, attributes: &[u8]) -> Option<()> {
        let find = numbers(attributes);
        let (from, to, length) = (Registers::word(find(1)?)?, Registers::word(find(2)?)?, find(4)? as usize);
        let loads: Vec<Load> = self.registers.read(from, length)?.into_iter().cloned().collect();
        let mut at = 0;
        for load in loads {
            // Where the machine's order is that of the network, nothing moves.
            let moved = if cfg!(target_endian = "big") { load.clone() } else { load.blurred() };
            self.registers.store(to + at / 4, moved);
            at += load.padded();
        }
        Some(())
    }

    /// The values of a comparison with these bytes, and the bytes as far as they say something.
    fn compared<'d>(&self, register: u32, data: &'d [u8]) -> Option<(Vec<Load>, &'d [u8])> {
        let loads: Vec<Load> =
            self.registers.read(Registers::word(register)?, data.len())?.into_iter().cloned().collect();
        match &loads[..] {
            // Behind a value there are zeroes up to the end of its register.
            [only] if data.len() > only.length => {
                let (data, behind) = data.split_at(only.length);
                behind.iter().all(|b| *b == 0).then_some((loads, data))
            }
            _ => Some((loads, data)),
        }
    }

    fn cmp(&self, attributes: &[u8]) -> Option<Match> {
        let find = numbers(attributes);
        let (register, data) = (find(1)?, nla::find(attributes, 3).and_then(value::bytes)?);
        let low = || Bytes(vec![0; data.len()]);
        let high = || Bytes(vec![0xff; data.len()]);
        let bytes = || Bytes(data.to_vec());
        let is = match find(2)? {
            // NFT_CMP_EQ and NFT_CMP_NEQ look at as many bytes as there are.
            op @ (0 | 1) => {
                let (loads, data) = self.compared(register, data)?;
                let (on, mask) = operand(&loads);
                let data = Bytes(data.to_vec());
                let is = if op == 0 { Relation::Equal(data) } else { Relation::Differs(data) };
                return Some(Match { on, mask, is });
            }
            // NFT_CMP_LT, NFT_CMP_LTE, NFT_CMP_GT, NFT_CMP_GTE
            2 => Relation::Outside(bytes(), high()),
            3 => Relation::Within(low(), bytes()),
            4 => Relation::Outside(low(), bytes()),
            5 => Relation::Within(bytes(), high()),
            _ => return None,
        };
        self.ordered(register, data.len(), is)
    }

    fn range(&self, attributes: &[u8]) -> Option<Match> {
        let find = numbers(attributes);
        let bytes = |kind: u16| nla::find(attributes, kind).and_then(value::bytes);
        let (low, high) = (bytes(3)?, bytes(4)?);
        let (from, to) = (Bytes(low.to_vec()), Bytes(high.to_vec()));
        let is = match find(2)? {
            0 => Relation::Within(from, to),
            1 => Relation::Outside(from, to),
            _ => return None,
        };
        if low.len() != high.len() {
            return None;
        }
        self.ordered(find(1)?, low.len(), is)
    }

    /// A condition on the order of one value's bytes, which is that of its values only where it is big endian.
    fn ordered(&self, register: u32, length: usize, is: Relation) -> Option<Match> {
        let load = self.registers.at(Registers::word(register)?)?.cut(length)?;
        let native = cfg!(target_endian = "little") && in_host_order(&load.field);
        let load = if native { load.blurred() } else { load };
        let (on, mask) = operand(&[load]);
        Some(Match { on, mask, is })
    }

    fn lookup(&mut self, attributes: &[u8]) {
        const INVERTED: u32 = 1;
        let find = numbers(attributes);
        let set = nla::find(attributes, 1).map(text_of).unwrap_or_default();
        let loads = find(2).and_then(Registers::word).zip((self.key_length)(&set));
        let loads = loads.and_then(|(word, length)| self.registers.key(word, length));
        let target = find(3);
        let Some(loads) = loads else {
            if target == Some(0) {
                self.end(Judgement::Other("vmap".to_owned()));
            } else {
                self.rule.unread.push("lookup".to_owned());
                self.lose();
            }
            return;
        };
        let (on, mask) = operand(&loads);
        if target == Some(0) {
            return self.end(Judgement::Map { on, mask, map: set });
        }
        // Where a map has nothing for the value, the rule ends.
        let is = if find(5).unwrap_or(0) & INVERTED != 0 { Relation::NotIn(set) } else { Relation::In(set) };
        self.rule.matches.push(Match { on, mask, is });
        match target.map(Registers::word) {
            None => {}
            Some(Some(word)) => self.registers.store_to_end(word, "map"),
            Some(None) => self.lose(),
        }
    }

    /// Name, revision and binary of a match or a target of x_tables; those of bridges and ARP are others by the same names.
    fn xt<'d>(&self, attributes: &'d [u8]) -> (String, u32, Option<(bool, &'d [u8])>) {
        let name = nla::find(attributes, 1).map(text_of).unwrap_or_default();
        let info = nla::find(attributes, 3).unwrap_or_default();
        let known = matches!(self.family, "ip" | "ip6").then_some((self.family == "ip6", info));
        (name, numbers(attributes)(2).unwrap_or(0), known)
    }

    fn xt_match(&mut self, attributes: &[u8]) {
        let (name, revision, known) = self.xt(attributes);
        let Some((ipv6, info)) = known else { return self.rule.unread.push(name) };
        let xt::Reads { matches, unread, comment } = xt::matches(&name, revision, ipv6, info);
        self.rule.matches.extend(matches);
        self.rule.unread.extend(unread);
        self.rule.comment = self.rule.comment.take().or(comment);
    }

    fn xt_target(&mut self, attributes: &[u8]) {
        let (name, revision, known) = self.xt(attributes);
        let Some((ipv6, info)) = known else { return self.end(Judgement::Other(name)) };
        let xt::Target { then, marks, untracks } = xt::target(&name, revision, ipv6, info);
        if let Some(marking) = marks {
            self.mark(marking);
        }
        if untracks {
            self.rule.untracks = true;
            self.acts();
        }
        if then != Judgement::Continue {
            self.end(then);
        }
    }
}
