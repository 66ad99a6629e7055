//! Rules and sets from messages that are built here as the kernel builds them.

mod sets;

use super::rule::{KeyLengths, decode};
use super::{message, text};
use crate::kernel::nla::attribute;
use crate::model::{Bytes, ChainId, Element, Field, Judgement, Match, NfRule, NfSet, Relation};

const SPORT: Field = Field::Transport { offset: 0, length: 2 };
const DPORT: Field = Field::Transport { offset: 2, length: 2 };
const SADDR: Field = Field::Network { offset: 12, length: 4 };

fn number(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

fn value(kind: u16, bytes: &[u8]) -> Vec<u8> {
    attribute(kind, &attribute(1, bytes))
}

fn verdict(kind: u16, code: i32, chain: Option<&str>) -> Vec<u8> {
    let mut inner = number(1, code as u32);
    inner.extend(chain.map(|chain| text(2, chain)).unwrap_or_default());
    attribute(kind, &attribute(2, &inner))
}

fn expr(name: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    attribute(1, &[text(1, name), attribute(2, &attributes.concat())].concat())
}

fn payload(base: u32, offset: u32, length: u32, register: u32) -> Vec<u8> {
    expr("payload", &[number(1, register), number(2, base), number(3, offset), number(4, length)])
}

fn meta(key: u32, register: u32) -> Vec<u8> {
    expr("meta", &[number(1, register), number(2, key)])
}

fn cmp(op: u32, register: u32, bytes: &[u8]) -> Vec<u8> {
    expr("cmp", &[number(1, register), number(2, op), value(3, bytes)])
}

fn mask(register: u32, mask: &[u8], xor: &[u8]) -> Vec<u8> {
    let length = number(3, mask.len() as u32);
    expr("bitwise", &[number(1, register), number(2, register), length, value(4, mask), value(5, xor)])
}

fn lookup(set: &str, register: u32, more: &[Vec<u8>]) -> Vec<u8> {
    expr("lookup", &[text(1, set), number(2, register), more.concat()])
}

fn constant(register: u32, bytes: &[u8]) -> Vec<u8> {
    expr("immediate", &[number(1, register), value(2, bytes)])
}

fn says(code: i32, chain: Option<&str>) -> Vec<u8> {
    expr("immediate", &[number(1, 0), verdict(2, code, chain)])
}

fn accept() -> Vec<u8> {
    says(1, None)
}

/// The rules that a message of these expressions comes to, in a table with sets of four, two, eight and twenty bytes.
fn all(expressions: &[Vec<u8>]) -> Vec<NfRule> {
    let userdata = [&[7, 1, 9, 0, 4][..], b"why\0"].concat();
    let attributes = [
        text(1, "t"),
        text(2, "c"),
        attribute(3, &5u64.to_be_bytes()),
        attribute(4, &expressions.concat()),
        attribute(7, &userdata),
    ];
    let chain = ChainId { backend: "nf_tables".into(), family: "ip".into(), table: "t".into(), chain: "c".into() };
    let lengths = [("four", 4), ("two", 2), ("eight", 8), ("twenty", 20)];
    let lengths: KeyLengths = lengths.map(|(name, l)| (("ip", "t".to_owned(), name.to_owned()), l)).into();
    decode(&message(2, &attributes), &chain, &lengths).unwrap()
}

#[track_caller]
fn rule(expressions: &[Vec<u8>]) -> NfRule {
    let mut rules = all(expressions);
    assert_eq!(rules.len(), 1);
    rules.remove(0)
}

#[track_caller]
fn one(expressions: &[Vec<u8>]) -> Match {
    let mut rule = rule(expressions);
    assert_eq!((rule.matches.len(), &rule.unread[..]), (1, &[][..]));
    rule.matches.remove(0)
}

fn other(name: &str) -> Field {
    Field::Other(name.to_owned())
}

fn bytes(bytes: &[u8]) -> Bytes {
    Bytes(bytes.to_vec())
}

fn is(field: Field, is: Relation) -> Match {
    Match { on: vec![field], mask: None, is }
}

#[test]
fn a_rule_is_its_conditions_and_its_verdict() {
    let rule = rule(&[
        meta(16, 1),
        cmp(0, 1, &[6]),
        payload(2, 2, 2, 1),
        cmp(1, 1, &[0, 22]),
        expr("counter", &[]),
        says(0, None),
        // What stands behind a verdict is not asked.
        expr("limit", &[]),
    ]);
    let matches = vec![is(Field::L4proto, Relation::Equal(bytes(&[6]))), is(DPORT, Relation::Differs(bytes(&[0, 22])))];
    let comment = Some("why".to_owned());
    assert_eq!(
        rule,
        NfRule { handle: 5, matches, unread: vec![], marks: None, untracks: false, then: Judgement::Drop, comment }
    );
}

#[test]
fn verdicts_are_what_nft_says() {
    let cases = [
        (says(1, None), Judgement::Accept),
        (says(-1, None), Judgement::Continue),
        (says(-2, None), Judgement::Continue),
        (says(-3, Some("x")), Judgement::Jump("x".into())),
        (says(-4, Some("x")), Judgement::Goto("x".into())),
        (says(-5, None), Judgement::Return),
        (says(5 << 16 | 3, None), Judgement::Other("queue".into())),
        (says(-3, None), Judgement::Other("immediate".into())),
        (expr("masq", &[]), Judgement::Masquerade),
        (expr("reject", &[]), Judgement::Reject),
        (expr("tproxy", &[]), Judgement::Other("tproxy".into())),
        (expr("notrack", &[]), Judgement::Continue),
    ];
    for (expression, then) in cases {
        let rule = rule(&[expression]);
        assert_eq!((rule.then, &rule.unread[..]), (then, &[][..]));
    }
}

#[test]
fn a_comparison_is_as_long_as_its_bytes() {
    // `eth*` and, behind a value, zeroes up to the end of the register
    assert_eq!(one(&[meta(6, 1), cmp(0, 1, b"eth")]), is(Field::Iifname, Relation::Equal(bytes(b"eth"))));
    assert_eq!(one(&[meta(16, 8), cmp(0, 8, &[6, 0, 0, 0])]), is(Field::L4proto, Relation::Equal(bytes(&[6]))));
    assert_eq!(rule(&[meta(16, 1), cmp(0, 1, &[6, 0, 0, 1])]).unread, ["cmp"]);
    // Nothing was loaded into this register.
    assert_eq!(rule(&[meta(16, 1), cmp(0, 2, &[6])]).unread, ["cmp"]);
    let both = one(&[payload(2, 0, 2, 1), payload(2, 2, 2, 9), cmp(0, 1, &[0, 1, 0, 0, 0, 2])]);
    let both_is = Relation::Equal(bytes(&[0, 1, 0, 0, 0, 2]));
    assert_eq!(both, Match { on: vec![SPORT, DPORT], mask: None, is: both_is });
}

#[test]
fn order_is_that_of_big_endian_bytes() {
    let (low, high, at) = (bytes(&[0, 0]), bytes(&[255, 255]), bytes(&[4, 0]));
    let cases = [
        (2, Relation::Outside(at.clone(), high.clone())),
        (3, Relation::Within(low.clone(), at.clone())),
        (4, Relation::Outside(low.clone(), at.clone())),
        (5, Relation::Within(at.clone(), high.clone())),
    ];
    for (op, relation) in cases {
        assert_eq!(one(&[payload(2, 2, 2, 1), cmp(op, 1, &[4, 0])]), is(DPORT, relation));
    }
    let range = |op| expr("range", &[number(1, 1), number(2, op), value(3, &[4, 0]), value(4, &[5, 0])]);
    let (from, to) = (at, bytes(&[5, 0]));
    assert_eq!(one(&[payload(2, 2, 2, 1), range(0)]), is(DPORT, Relation::Within(from.clone(), to.clone())));
    assert_eq!(one(&[payload(2, 2, 2, 1), range(1)]), is(DPORT, Relation::Outside(from, to)));
    // The first bytes of an address are in order as the address is.
    let cut = one(&[payload(1, 12, 4, 1), cmp(3, 1, &[10, 0])]);
    assert_eq!(cut.on, [Field::Network { offset: 12, length: 2 }]);
    assert_eq!(rule(&[payload(2, 2, 2, 1), cmp(3, 1, &[0, 0, 0, 9])]).unread, ["cmp"]);
}

#[test]
#[cfg(target_endian = "little")]
fn numbers_of_the_machine_have_no_order() {
    assert_eq!(one(&[meta(3, 1), cmp(2, 1, &[1, 0, 0, 0])]).on, [other("meta mark")]);
    let swap = expr("byteorder", &[number(1, 1), number(2, 1), number(3, 1), number(4, 4), number(5, 4)]);
    assert_eq!(one(&[meta(3, 1), swap, cmp(2, 1, &[0, 0, 0, 1])]).on, [other("meta mark")]);
}

#[test]
fn masks_are_kept_and_what_else_is_done_to_a_value_is_not_followed() {
    let masked = one(&[meta(3, 1), mask(1, &[0xff, 0, 0, 0], &[0; 4]), cmp(0, 1, &[3, 0, 0, 0])]);
    assert_eq!(masked.mask, Some(bytes(&[0xff, 0, 0, 0])));
    assert_eq!(masked.on, [Field::Mark]);
    let twice = [mask(1, &[0xff, 0xf0, 0, 0], &[0; 4]), mask(1, &[0x0f, 0xff, 1, 0], &[0; 4])].concat();
    assert_eq!(one(&[meta(3, 1), twice, cmp(0, 1, &[3; 4])]).mask, Some(bytes(&[0x0f, 0xf0, 0, 0])));
    let changed = one(&[meta(3, 1), mask(1, &[0xff; 4], &[1, 0, 0, 0]), cmp(0, 1, &[3, 0, 0, 0])]);
    assert_eq!((changed.on, changed.mask), (vec![other("meta mark")], None));
    let shifted = expr("bitwise", &[number(1, 1), number(2, 1), number(3, 4), number(6, 1), value(7, &[0, 0, 0, 1])]);
    assert_eq!(one(&[payload(1, 12, 4, 1), shifted, cmp(0, 1, &[3, 0, 0, 0])]).on, [other("payload")]);
    // Of several values one is masked.
    let address = [payload(1, 12, 4, 1), mask(1, &[255, 0, 0, 255], &[0; 4])].concat();
    let both = one(&[address, payload(2, 2, 2, 9), lookup("eight", 1, &[])]);
    assert_eq!(both.mask, Some(bytes(&[255, 0, 0, 255, 255, 255, 0, 0])));
}

#[test]
fn a_set_is_asked_for_as_many_bytes_as_its_keys_have() {
    let inside = |set: &str| Relation::In(set.to_owned());
    let loads = [payload(1, 12, 4, 1), payload(2, 2, 2, 9)].concat();
    // What stands in the next register is left from before.
    assert_eq!(one(&[loads.clone(), lookup("four", 1, &[])]), is(SADDR, inside("four")));
    let both = Match { on: vec![SADDR, DPORT], mask: None, is: inside("eight") };
    assert_eq!(one(&[loads.clone(), lookup("eight", 1, &[])]), both);
    let inverted = lookup("two", 9, &[number(5, 1)]);
    assert_eq!(one(&[loads.clone(), inverted]), is(DPORT, Relation::NotIn("two".into())));
    let wrong = rule(&[payload(2, 2, 2, 1), lookup("four", 1, &[]), accept()]);
    assert_eq!((&wrong.matches[..], &wrong.unread[..]), (&[][..], &["lookup".to_owned()][..]));
    assert_eq!(rule(&[loads.clone(), lookup("gone", 1, &[])]).unread, ["lookup"]);
    let map = Judgement::Map { on: vec![SADDR, DPORT], mask: None, map: "eight".into() };
    let mapped = [loads.clone(), lookup("eight", 1, &[number(3, 0)]), expr("counter", &[])];
    assert_eq!(rule(&mapped).then, map);
    // An element may say to go on, and then this would be asked.
    let more = [mapped.concat(), accept()];
    assert_eq!(rule(&more).then, Judgement::Other("vmap".into()));
    let unknown = [loads, lookup("gone", 1, &[number(3, 0)])];
    assert_eq!(rule(&unknown).then, Judgement::Other("vmap".into()));
}

#[test]
fn what_is_behind_a_long_unknown_value_is_looked_for_in_its_place() {
    // ct original saddr of IPv6 has sixteen bytes
    let address = expr("ct", &[number(1, 1), number(2, 8), attribute(3, &[0])]);
    let both = one(&[address, payload(2, 2, 2, 12), lookup("twenty", 1, &[])]);
    let name = || other("ct original saddr");
    assert_eq!(both.on, [name(), name(), name(), name(), DPORT]);
}

#[test]
fn nat_says_where_to_as_far_as_the_rule_does() {
    let dnat = |more: &[Vec<u8>]| expr("nat", &[number(1, 1), number(2, 2), more.concat()]);
    let registers = [constant(1, &[10, 0, 0, 1]), constant(2, &[0, 80]), constant(3, &[0, 90])].concat();
    let to = Some("10.0.0.1".parse().unwrap());
    let one = |to, port| Judgement::Dnat { to, port };
    let several = || Judgement::Other("dnat".into());
    let cases = [
        (vec![number(3, 1), number(4, 1), number(5, 2), number(6, 2)], one(to, Some(80))),
        (vec![number(3, 1), number(5, 2)], one(to, Some(80))),
        (vec![number(3, 1), number(4, 2)], several()),
        (vec![number(3, 1), number(5, 2), number(6, 3)], several()),
        (vec![number(5, 2)], one(None, Some(80))),
        (vec![number(3, 4)], several()),
    ];
    for (more, then) in cases {
        assert_eq!(rule(&[registers.clone(), dnat(&more)]).then, then);
    }
    assert_eq!(rule(&[expr("nat", &[number(1, 0)])]).then, Judgement::Snat { to: None });
    let redirect = expr("redir", &[number(1, 2)]);
    assert_eq!(rule(&[registers.clone(), redirect]).then, Judgement::Redirect { port: Some(80) });
    let ports = expr("redir", &[number(1, 2), number(2, 3)]);
    assert_eq!(rule(&[registers.clone(), ports]).then, Judgement::Other("redir".into()));
    // An address that a map has: the map is asked for the port, and the rule ends where it has none.
    let mapped = [constant(1, &[9; 4]), payload(2, 2, 2, 1), lookup("two", 1, &[number(3, 1)]), dnat(&[number(3, 1)])];
    let mapped = rule(&mapped);
    assert_eq!(mapped.matches, [is(DPORT, Relation::In("two".into()))]);
    assert_eq!(mapped.then, several());
}

#[test]
fn loads_have_the_names_of_nft() {
    let ct = |key, more: &[Vec<u8>]| expr("ct", &[number(1, 1), number(2, key), more.concat()]);
    let fib = |result, flags| expr("fib", &[number(1, 1), number(2, result), number(3, flags)]);
    let cases = [
        (payload(0, 6, 6, 1), Field::Link { offset: 6, length: 6 }),
        (payload(3, 0, 4, 1), other("payload")),
        (meta(1, 1), Field::Protocol),
        (meta(15, 1), Field::Nfproto),
        (meta(4, 1), Field::Iif),
        (meta(10, 1), other("meta skuid")),
        (meta(99, 1), other("meta")),
        (ct(0, &[]), Field::CtState),
        (ct(2, &[]), Field::CtStatus),
        (ct(3, &[]), other("ct mark")),
        (ct(11, &[attribute(3, &[0])]), other("ct original proto-src")),
        (fib(3, 2), Field::DaddrType),
        (fib(3, 1), Field::SaddrType),
        (fib(3, 2 | 8), other("fib daddr . iif type")),
        (expr("exthdr", &[number(1, 1), number(4, 2), number(6, 1)]), other("tcp option")),
        (expr("socket", &[number(2, 1), number(1, 0)]), other("socket transparent")),
        (expr("numgen", &[number(1, 1)]), other("numgen")),
        (expr("numgen", &[number(1, 1), number(2, 3)]), Field::Drawn { modulus: 3 }),
        (expr("numgen", &[number(1, 1), number(2, 3), number(4, 1)]), other("numgen")),
        (expr("hash", &[number(2, 1), number(7, 1)]), other("symhash")),
    ];
    for (load, field) in cases {
        assert_eq!(one(&[load, cmp(0, 1, &[1])]).on, [field]);
    }
}

#[test]
fn what_is_not_understood_is_named() {
    for name in ["limit", "quota", "connlimit"] {
        let rule = rule(&[expr(name, &[]), accept()]);
        assert_eq!((&rule.unread[..], rule.then), (&[name.to_owned()][..], Judgement::Accept));
    }
    let named = |kind| rule(&[expr("objref", &[number(1, kind)]), accept()]);
    assert_eq!(named(4).unread, ["limit"]);
    assert_eq!((&named(1).unread[..], named(1).then), (&[][..], Judgement::Accept));
    assert_eq!(named(10).then, Judgement::Other("synproxy".into()));
    // Whether it asks or decides, nobody knows.
    let unknown = rule(&[expr("frobnicate", &[]), accept()]);
    assert_eq!(
        (&unknown.unread[..], unknown.then),
        (&["frobnicate".to_owned()][..], Judgement::Other("frobnicate".into()))
    );
    let plain = rule(&[expr("dynset", &[attribute(7, &text(1, "counter"))]), accept()]);
    assert!(plain.unread.is_empty());
    let limited = rule(&[expr("dynset", &[attribute(7, &text(1, "limit"))]), accept()]);
    assert_eq!(limited.unread, ["dynset"]);
    // Registers that it could have written say nothing any more.
    let inner = rule(&[meta(16, 1), expr("inner", &[]), cmp(0, 1, &[6])]);
    assert_eq!(inner.unread, ["inner", "cmp"]);
}

#[test]
fn a_mark_is_set_before_what_is_asked_behind() {
    let mark = || [constant(1, &[5, 0, 0, 0]), expr("meta", &[number(2, 3), number(3, 1)])].concat();
    let port = || [payload(2, 2, 2, 1), cmp(0, 1, &[0, 22])].concat();
    let asked = rule(&[port(), mark(), accept()]);
    assert_eq!((asked.marks.is_some(), asked.matches.len(), asked.then), (true, 1, Judgement::Accept));
    let rules = all(&[mark(), port(), accept()]);
    let short: Vec<_> = rules.iter().map(|r| (r.handle, r.marks.is_some(), r.matches.len(), r.then.clone())).collect();
    assert_eq!(short, [(5, true, 0, Judgement::Continue), (5, true, 1, Judgement::Accept)]);
    assert_eq!(rule(&[expr("ct", &[number(2, 3), number(4, 1)])]).marks, None);
    // The mark of a connection, and its zone.
    let untracks = |key| rule(&[expr("ct", &[number(2, key), number(4, 1)])]).untracks;
    assert!(!untracks(3) && untracks(17));
}

#[test]
fn a_connection_is_let_go_before_what_is_asked_behind() {
    let port = || [payload(2, 2, 2, 1), cmp(0, 1, &[0, 22])].concat();
    let rules = all(&[expr("notrack", &[]), port(), accept()]);
    let short: Vec<_> = rules.iter().map(|r| (r.untracks, r.matches.len())).collect();
    assert_eq!(short, [(true, 0), (true, 1)]);
}

#[test]
fn a_packet_that_is_rewritten_is_another_one() {
    let write = |base, offset| {
        rule(&[expr("payload", &[number(2, base), number(3, offset), number(4, 2), number(5, 1)]), accept()]).then
    };
    // DSCP, TCP's flags; then TTL, the source, a port, an address of Ethernet
    for (base, offset) in [(1, 0), (2, 12)] {
        assert_eq!(write(base, offset), Judgement::Accept);
    }
    for (base, offset) in [(1, 8), (1, 12), (2, 2), (0, 0)] {
        assert_eq!(write(base, offset), Judgement::Other("payload".into()));
    }
}
