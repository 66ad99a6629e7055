//! Rules of a legacy table: its entries, one behind the other, chain by chain.

use std::collections::{BTreeMap, BTreeSet};

use super::Table;
use crate::kernel::nla::{text_of, u16_of, u32_of};
use crate::kernel::xt::{self, Target};
use crate::model::{ChainId, Field, Judgement, Match, NfRule, Relation};

/// Number of bytes before what a match or a target keeps (`struct xt_entry_match`, `struct xt_entry_target`).
const HEADER: usize = 32;

/// Name of the target at the head of a chain that somebody made, and at the end of the table.
const HEAD: &str = "ERROR";

/// An entry: where it begins, where the next one does, and its bytes.
type Entry<'a> = (usize, usize, &'a [u8]);

impl Table {
    /// The rules of all chains, in order. A chain without rules is not named.
    pub fn rules(&self) -> Vec<(ChainId, NfRule)> {
        let entries = self.walk();
        let starts = self.starts(&entries);
        let policies: BTreeSet<usize> = self.hooks().map(|(n, _)| self.info.underflow[n] as usize).collect();
        let (mut rules, mut chain, mut place) = (Vec::new(), None, 0);
        for (index, entry) in entries.iter().enumerate() {
            if let Some(name) = starts.get(&entry.0) {
                (chain, place) = (Some(name), 0);
            }
            let name = self.target(entry).map(|(name, ..)| name);
            let Some(id) = chain.filter(|_| name.as_deref() != Some(HEAD)) else { continue };
            let head_follows = entries.get(index + 1).and_then(|e| self.target(e)).is_some_and(|t| t.0 == HEAD);
            let rule = self.rule(entry, place + 1, &starts);
            // What a chain ends with is no rule: a policy, or the return that a chain of somebody's has for one. The
            // last built-in chain has its policy before a head as well.
            let ends = policies.contains(&entry.0)
                || head_follows && rule.then == Judgement::Return && rule.matches.is_empty() && rule.unread.is_empty();
            if ends {
                chain = None;
                continue;
            }
            place += 1;
            let id = ChainId {
                backend: "legacy".to_owned(),
                family: self.family.name.to_owned(),
                table: self.name.clone(),
                chain: id.clone(),
            };
            rules.push((id, rule));
        }
        rules
    }

    /// All entries.
    fn walk(&self) -> Vec<Entry<'_>> {
        let (mut entries, mut at) = (Vec::new(), 0);
        while let Some(next) = self.next(at) {
            let Some(bytes) = self.entries.get(at..next) else { break };
            entries.push((at, next, bytes));
            at = next;
        }
        entries
    }

    /// The chains by where their rules begin.
    fn starts(&self, entries: &[Entry<'_>]) -> BTreeMap<usize, String> {
        let heads = entries.iter().filter_map(|entry| {
            let (name, _, info) = self.target(entry)?;
            (name == HEAD).then(|| (entry.1, text_of(info)))
        });
        let builtin = self.hooks().map(|(number, (_, name))| (self.info.hook_entry[number] as usize, name.to_owned()));
        heads.chain(builtin).collect()
    }

    /// Name and revision of an entry's target, and what it keeps.
    fn target<'a>(&self, entry: &Entry<'a>) -> Option<(String, u32, &'a [u8])> {
        let at = u16_of(entry.2.get(self.family.target_offset..)?)? as usize;
        extension(entry.2.get(at..)?).map(|(name, revision, info, _)| (name, revision, info))
    }

    fn rule(&self, entry: &Entry<'_>, place: u64, starts: &BTreeMap<usize, String>) -> NfRule {
        let (_, _, bytes) = *entry;
        let mut rule = NfRule {
            handle: place,
            matches: Vec::new(),
            unread: Vec::new(),
            marks: None,
            untracks: false,
            then: Judgement::Other("target".to_owned()),
            comment: None,
        };
        let header = Header::read(bytes, self.family.address_length);
        if let Some(header) = &header {
            header.addresses(&mut rule);
            header.interfaces(&mut rule);
            header.protocol(&mut rule);
        } else {
            rule.unread.push("entry".to_owned());
        }
        self.matches(bytes, &mut rule);
        if let Some((name, revision, info)) = self.target(entry) {
            let target = if name.is_empty() {
                Target {
                    then: standard(entry, info, header.is_some_and(|h| h.goes()), starts),
                    marks: None,
                    untracks: false,
                }
            } else {
                xt::target(&name, revision, self.ipv6(), info)
            };
            (rule.then, rule.marks, rule.untracks) = (target.then, target.marks, target.untracks);
        }
        rule
    }

    /// What stands between an entry's own conditions and its target.
    fn matches(&self, bytes: &[u8], rule: &mut NfRule) {
        let end = bytes.get(self.family.target_offset..).and_then(u16_of).unwrap_or_default() as usize;
        let mut rest = bytes.get(self.family.entry_length..end).unwrap_or_default();
        while !rest.is_empty() {
            let Some((name, revision, info, behind)) = extension(rest) else {
                rule.unread.push("match".to_owned());
                return;
            };
            let reads = xt::matches(&name, revision, self.ipv6(), info);
            rule.matches.extend(reads.matches);
            rule.unread.extend(reads.unread);
            rule.comment = reads.comment.or(rule.comment.take());
            rest = behind;
        }
    }

    fn ipv6(&self) -> bool {
        self.family.name == "ip6"
    }
}

/// A match or a target: its name, its revision, what it keeps, and what is behind it.
fn extension(bytes: &[u8]) -> Option<(String, u32, &[u8], &[u8])> {
    let size = u16_of(bytes)? as usize;
    let info = bytes.get(HEADER..size)?;
    // Its name is cut off by the revision at the latest.
    Some((text_of(&bytes[2..HEADER - 1]), u32::from(bytes[HEADER - 1]), info, &bytes[size..]))
}

/// The verdict of a standard target: less than zero one of the kernel's, less one; else the entry to go on with.
fn standard(entry: &Entry<'_>, info: &[u8], goes: bool, starts: &BTreeMap<usize, String>) -> Judgement {
    let Some(verdict) = u32_of(info).map(|v| v as i32) else { return Judgement::Other("verdict".to_owned()) };
    match (verdict, usize::try_from(verdict).ok()) {
        // A rule without a target.
        (_, Some(next)) if next == entry.1 => Judgement::Continue,
        (_, Some(start)) => match starts.get(&start) {
            Some(chain) if goes => Judgement::Goto(chain.clone()),
            Some(chain) => Judgement::Jump(chain.clone()),
            None => Judgement::Other("jump".to_owned()),
        },
        (-1, _) => Judgement::Drop,
        (-2, _) => Judgement::Accept,
        (-4, _) => Judgement::Other("QUEUE".to_owned()),
        (-5, _) => Judgement::Return,
        _ => Judgement::Other("verdict".to_owned()),
    }
}

/// The conditions of an entry itself (`struct ipt_ip`, `struct ip6t_ip6`).
struct Header<'a> {
    /// Source, destination, and the masks of both.
    addresses: [&'a [u8]; 4],
    /// Names to come in by and to leave by, and the masks of both.
    interfaces: [&'a [u8]; 4],
    protocol: u16,
    flags: u8,
    inverted: u8,
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8], length: usize) -> Option<Header<'a>> {
        const INTERFACE: usize = 16;
        let (addresses, rest) = bytes.split_at_checked(4 * length)?;
        let (interfaces, rest) = rest.split_at_checked(4 * INTERFACE)?;
        // IPv6 has a type of service before the flags, which the kernel does not look at.
        let flags = if length == 16 { 3 } else { 2 };
        Some(Header {
            addresses: std::array::from_fn(|n| &addresses[n * length..][..length]),
            interfaces: std::array::from_fn(|n| &interfaces[n * INTERFACE..][..INTERFACE]),
            protocol: u16_of(rest)?,
            flags: *rest.get(flags)?,
            inverted: *rest.get(flags + 1)?,
        })
    }

    fn ipv6(&self) -> bool {
        self.addresses[0].len() == 16
    }

    /// It goes to a chain for good (`IPT_F_GOTO`, `IP6T_F_GOTO`).
    fn goes(&self) -> bool {
        self.flags & if self.ipv6() { 4 } else { 2 } != 0
    }

    /// Bytes or not those, by a bit of `IPT_INV_*`.
    fn is(&self, bytes: &[u8], bit: u8) -> Relation {
        xt::is(bytes, self.inverted & bit != 0)
    }

    fn addresses(&self, rule: &mut NfRule) {
        let length = self.addresses[0].len();
        let start = if self.ipv6() { 8 } else { 12 };
        for (index, bit) in [(0, 0x08), (1, 0x10)] {
            let (address, mask) = (self.addresses[index], self.addresses[index + 2]);
            if mask.iter().all(|b| *b == 0) && self.inverted & bit == 0 {
                continue;
            }
            let on = Field::Network { offset: (start + index * length) as u16, length: length as u16 };
            rule.matches.push(Match { on: vec![on], mask: xt::mask(mask), is: self.is(address, bit) });
        }
    }

    fn interfaces(&self, rule: &mut NfRule) {
        for (index, bit, on, name) in [(0, 1, Field::Iifname, "in-interface"), (1, 2, Field::Oifname, "out-interface")]
        {
            let (interface, mask) = (self.interfaces[index], self.interfaces[index + 2]);
            // A whole name ends with a zero that counts, the beginning of one (`eth+`) does not.
            let length = mask.iter().take_while(|b| **b == 0xff).count();
            if mask[length..].iter().any(|b| *b != 0) {
                rule.unread.push(name.to_owned());
            } else if length != 0 || self.inverted & bit != 0 {
                rule.matches.push(Match { on: vec![on], mask: None, is: self.is(&interface[..length], bit) });
            }
        }
    }

    fn protocol(&self, rule: &mut NfRule) {
        const INVERTED: u8 = 0x40;
        // For IPv4 none is no condition, whatever the flags say; IPv6 has a flag that it is one.
        let asked = if self.ipv6() { self.flags & 1 != 0 } else { self.protocol != 0 };
        match u8::try_from(self.protocol) {
            _ if !asked => {}
            Ok(0) if self.inverted & INVERTED == 0 => {}
            Ok(protocol) => {
                rule.matches.push(Match { on: vec![Field::L4proto], mask: None, is: self.is(&[protocol], INVERTED) });
            }
            Err(_) => rule.unread.push("protocol".to_owned()),
        }
        if !self.ipv6() && (self.flags & 1 != 0 || self.inverted & 0x20 != 0) {
            rule.unread.push("fragment".to_owned());
        }
    }
}
