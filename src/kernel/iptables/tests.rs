//! Tables as the kernel hands them out, and their rules.

use super::{FAMILIES, Family, Info, Table};
use crate::model::{Bytes, Field, Judgement, Match, NfRule, Relation};

const ACCEPT: i32 = -2;
const RETURN: i32 = -5;

/// A match or a target.
fn extension(name: &str, info: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 32];
    bytes[2..2 + name.len()].copy_from_slice(name.as_bytes());
    bytes.extend(info);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let size = bytes.len() as u16;
    bytes[..2].copy_from_slice(&size.to_ne_bytes());
    bytes
}

fn standard(verdict: i32) -> Vec<u8> {
    extension("", &verdict.to_ne_bytes())
}

fn head(name: &str) -> Vec<u8> {
    let mut info = [0; 30];
    info[..name.len()].copy_from_slice(name.as_bytes());
    extension("ERROR", &info)
}

/// An entry; `conditions`: where they are, and their bytes.
fn entry(family: &Family, conditions: &[(usize, &[u8])], matches: &[u8], target: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; family.entry_length];
    for (at, value) in conditions {
        bytes[*at..at + value.len()].copy_from_slice(value);
    }
    let offset = (family.entry_length + matches.len()) as u16;
    let next = offset + target.len() as u16;
    let at = family.target_offset;
    bytes[at..at + 4].copy_from_slice(&[offset.to_ne_bytes(), next.to_ne_bytes()].concat());
    [&bytes, matches, target].concat()
}

/// A table with a chain at the hook of what is forwarded, which begins with it.
fn table(family: &'static Family, policy: usize, entries: &[Vec<u8>]) -> Table {
    let underflow = entries[..policy].iter().map(Vec::len).sum::<usize>() as u32;
    let info = Info { valid_hooks: 1 << 2, hook_entry: [0; 5], underflow: [underflow; 5], size: 0 };
    Table { family, name: "filter".to_owned(), info, entries: entries.concat() }
}

/// The only rule of a table.
#[track_caller]
fn rule(family: &'static Family, conditions: &[(usize, &[u8])], matches: &[u8]) -> NfRule {
    let entries = [
        entry(family, conditions, matches, &standard(-1)),
        entry(family, &[], &[], &standard(ACCEPT)),
        entry(family, &[], &[], &head("ERROR")),
    ];
    let mut rules = table(family, 1, &entries).rules();
    assert_eq!(rules.len(), 1);
    rules.remove(0).1
}

#[track_caller]
fn asks(rule: &NfRule, wanted: &[(Field, Option<&[u8]>, Relation)]) {
    let wanted = wanted.iter().map(|(on, mask, is)| Match {
        on: vec![on.clone()],
        mask: mask.map(|mask| Bytes(mask.to_vec())),
        is: is.clone(),
    });
    assert_eq!(rule.matches, wanted.collect::<Vec<_>>());
    assert!(rule.unread.is_empty());
}

fn equal(bytes: &[u8]) -> Relation {
    Relation::Equal(Bytes(bytes.to_vec()))
}

fn differs(bytes: &[u8]) -> Relation {
    Relation::Differs(Bytes(bytes.to_vec()))
}

#[test]
fn chains_and_jumps() {
    let v4 = &FAMILIES[0];
    let length = 112 + 40;
    let plain = |verdict| entry(v4, &[], &[], &standard(verdict));
    let head = |name| entry(v4, &[], &[], &head(name));
    // The head of each chain takes more than a verdict.
    let first_of_one = 7 * length + 176;
    let entries = [
        plain(first_of_one as i32),
        // IPT_F_GOTO
        entry(v4, &[(82, &[2])], &[], &standard(first_of_one as i32)),
        // To the next one.
        plain(3 * length as i32),
        plain(RETURN),
        entry(v4, &[], &[], &extension("LOG", &[0; 32])),
        plain(4096),
        plain(ACCEPT),
        head("ONE"),
        plain(RETURN),
        plain(RETURN),
        head("EMPTY"),
        plain(RETURN),
        head("ERROR"),
    ];
    assert_eq!((entries[0].len(), entries[7].len()), (length, 176));
    let mut entries = entries.to_vec();
    // A longer target in between moves what is behind it.
    let more = entries[4].len() - length;
    for jump in [0, 1] {
        let goes = if jump == 1 { 2 } else { 0 };
        entries[jump] = entry(v4, &[(82, &[goes])], &[], &standard((first_of_one + more) as i32));
    }
    let rules = table(v4, 6, &entries).rules();
    let found: Vec<_> = rules.iter().map(|(id, rule)| (id.chain.as_str(), rule.handle, rule.then.clone())).collect();
    let one = || "ONE".to_owned();
    assert_eq!(
        found,
        [
            ("FORWARD", 1, Judgement::Jump(one())),
            ("FORWARD", 2, Judgement::Goto(one())),
            ("FORWARD", 3, Judgement::Continue),
            ("FORWARD", 4, Judgement::Return),
            ("FORWARD", 5, Judgement::Continue),
            ("FORWARD", 6, Judgement::Other("jump".to_owned())),
            ("ONE", 1, Judgement::Return),
        ]
    );
    let id = &rules[0].0;
    assert_eq!((id.backend.as_str(), id.family.as_str(), id.table.as_str()), ("legacy", "ip", "filter"));
}

#[test]
fn conditions_of_an_entry() {
    let v4 = &FAMILIES[0];
    let rule = rule(
        v4,
        &[
            (0, &[10, 1, 0, 0]),
            (8, &[255, 255, 0, 0]),
            (4, &[192, 168, 1, 1]),
            (12, &[255; 4]),
            (16, b"eth"),
            (48, &[255; 3]),
            (32, b"lo\0"),
            (64, &[255; 3]),
            (80, &6_u16.to_ne_bytes()),
            // Not that destination, not by that device.
            (83, &[0x12]),
        ],
        &extension("comment", b"hello\0"),
    );
    asks(
        &rule,
        &[
            (Field::Network { offset: 12, length: 4 }, Some(&[255, 255, 0, 0]), equal(&[10, 1, 0, 0])),
            (Field::Network { offset: 16, length: 4 }, None, differs(&[192, 168, 1, 1])),
            (Field::Iifname, None, equal(b"eth")),
            (Field::Oifname, None, differs(b"lo\0")),
            (Field::L4proto, None, equal(&[6])),
        ],
    );
    assert_eq!((rule.handle, rule.then, rule.comment.as_deref()), (1, Judgement::Drop, Some("hello")));
}

#[test]
fn conditions_of_an_entry_of_ipv6() {
    let v6 = &FAMILIES[1];
    let asked = rule(v6, &[(16, &[0xfd; 16]), (48, &[255; 16]), (128, &[6, 0]), (131, &[1]), (132, &[0x40])], &[]);
    asks(
        &asked,
        &[(Field::Network { offset: 24, length: 16 }, None, equal(&[0xfd; 16])), (Field::L4proto, None, differs(&[6]))],
    );
    // Without the flag the protocol does not count.
    asks(&rule(v6, &[(128, &[6, 0])], &[]), &[]);
}

#[test]
fn what_is_not_read_is_named() {
    let v4 = &FAMILIES[0];
    assert_eq!(rule(v4, &[(82, &[1])], &[]).unread, ["fragment"]);
    assert_eq!(rule(v4, &[(48, &[255, 0, 255])], &[]).unread, ["in-interface"]);
    assert_eq!(rule(v4, &[], &extension("limit", &[0; 40])).unread, ["limit"]);
    assert_eq!(rule(v4, &[], &[0; 8]).unread, ["match"]);
}

#[test]
fn a_table_cut_short_is_no_danger() {
    let v4 = &FAMILIES[0];
    let entries = [
        entry(v4, &[], &extension("tcp", &[0; 12]), &standard(-1)),
        entry(v4, &[], &[], &standard(ACCEPT)),
        entry(v4, &[], &[], &head("ERROR")),
    ];
    let whole = table(v4, 1, &entries);
    for length in 0..whole.entries.len() {
        let Info { valid_hooks, hook_entry, underflow, size } = whole.info;
        let info = Info { valid_hooks, hook_entry, underflow, size };
        let cut = Table { family: v4, name: String::new(), info, entries: whole.entries[..length].to_vec() };
        assert!(cut.rules().len() <= 1);
        cut.chains();
    }
}
