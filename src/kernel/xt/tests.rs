//! Blobs as the kernel keeps them, and what they say.

use super::{Reads, matches, target};
use crate::model::{Bytes, Field, Judgement, Match, Relation};

const STATE: u16 = 1;

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn b(bytes: &[u8]) -> Bytes {
    Bytes(bytes.to_vec())
}

fn equal(bytes: &[u8]) -> Relation {
    Relation::Equal(b(bytes))
}

fn differs(bytes: &[u8]) -> Relation {
    Relation::Differs(b(bytes))
}

fn transport(offset: u16, length: u16) -> Field {
    Field::Transport { offset, length }
}

fn network(offset: u16, length: u16) -> Field {
    Field::Network { offset, length }
}

#[track_caller]
fn reads(found: Reads, wanted: Vec<(Field, Option<&[u8]>, Relation)>) {
    let wanted = wanted.into_iter().map(|(on, mask, is)| Match { on: vec![on], mask: mask.map(b), is });
    assert_eq!(found, Reads { matches: wanted.collect(), ..Reads::default() });
}

#[track_caller]
fn unread(found: Reads, names: &[&str]) {
    assert_eq!(found, Reads { unread: names.iter().map(|n| (*n).to_owned()).collect(), ..Reads::default() });
}

fn tcp(sources: [u16; 2], destinations: [u16; 2], rest: [u8; 4]) -> Reads {
    let ports = words(&[sources[0], sources[1], destinations[0], destinations[1]]);
    matches("tcp", 0, false, &[&ports[..], &rest].concat())
}

#[test]
fn comment() {
    let mut info = [0; 256];
    info[..5].copy_from_slice(b"hello");
    let found = matches("comment", 0, false, &info);
    assert_eq!(found, Reads { comment: Some("hello".to_owned()), ..Reads::default() });
}

#[test]
fn ports_and_flags_of_tcp() {
    const ANY: [u16; 2] = [0, 65535];
    reads(tcp(ANY, ANY, [0; 4]), vec![]);
    reads(tcp(ANY, [80, 80], [0; 4]), vec![(transport(2, 2), None, equal(&[0, 80]))]);
    reads(
        tcp([1000, 2000], [80, 80], [0, 0, 0, 2]),
        vec![
            (transport(0, 2), None, Relation::Within(b(&[3, 0xe8]), b(&[7, 0xd0]))),
            (transport(2, 2), None, differs(&[0, 80])),
        ],
    );
    reads(tcp([5, 6], ANY, [0, 0, 0, 1]), vec![(transport(0, 2), None, Relation::Outside(b(&[0, 5]), b(&[0, 6])))]);
    reads(tcp(ANY, ANY, [0, 0x17, 2, 0]), vec![(transport(13, 1), Some(&[0x17]), equal(&[2]))]);
    reads(tcp(ANY, ANY, [0, 0x17, 2, 4]), vec![(transport(13, 1), Some(&[0x17]), differs(&[2]))]);
    unread(tcp(ANY, ANY, [8, 0, 0, 0]), &["tcp-option"]);
}

#[test]
fn ports_of_udp() {
    let info = |inverted| [words(&[0, 65535, 53, 53]), vec![inverted, 0]].concat();
    reads(matches("udp", 0, true, &info(0)), vec![(transport(2, 2), None, equal(&[0, 53]))]);
    reads(matches("udp", 0, true, &info(2)), vec![(transport(2, 2), None, differs(&[0, 53]))]);
}

#[test]
fn icmp() {
    let v4 = |info: [u8; 4]| matches("icmp", 0, false, &info);
    reads(v4([0xff, 0, 0xff, 0]), vec![]);
    reads(v4([8, 0, 0xff, 0]), vec![(transport(0, 1), None, equal(&[8]))]);
    reads(v4([8, 0, 0xff, 1]), vec![(transport(0, 1), None, differs(&[8]))]);
    reads(v4([3, 4, 4, 0]), vec![(transport(0, 2), None, equal(&[3, 4]))]);
    reads(v4([3, 4, 5, 1]), vec![(transport(0, 2), None, Relation::Outside(b(&[3, 4]), b(&[3, 5])))]);
    // Not any: none at all.
    reads(v4([0xff, 0, 0xff, 1]), vec![(transport(0, 2), None, Relation::Outside(b(&[0, 0]), b(&[0xff, 0xff])))]);
    let v6 = |info: [u8; 4]| matches("icmp6", 0, true, &info);
    reads(v6([135, 0, 0xff, 1]), vec![(transport(0, 1), None, differs(&[135]))]);
    reads(v6([0xff, 0, 0xff, 0]), vec![(transport(0, 1), None, equal(&[0xff]))]);
}

/// `which`: of the source, of the destination, of either; a range is two ports, the first of which is flagged.
fn multiport(which: u8, ports: &[(u16, bool)], inverted: bool) -> Reads {
    let (mut numbers, mut flags) = ([0; 15], [0; 15]);
    for (at, (port, range)) in ports.iter().enumerate() {
        (numbers[at], flags[at]) = (*port, u8::from(*range));
    }
    let info = [&[which, ports.len() as u8][..], &words(&numbers), &flags, &[u8::from(inverted)]].concat();
    assert_eq!(info.len(), 48);
    matches("multiport", 1, false, &info)
}

#[test]
fn several_ports() {
    let several = [(80, false), (8000, true), (8100, false), (443, false)];
    let ranges =
        || [[80, 80], [8000, 8100], [443, 443_u16]].map(|[x, y]| (b(&x.to_be_bytes()), b(&y.to_be_bytes()))).to_vec();
    reads(multiport(1, &several, false), vec![(transport(2, 2), None, Relation::AnyOf(ranges()))]);
    reads(multiport(0, &several, true), vec![(transport(0, 2), None, Relation::NoneOf(ranges()))]);
    reads(multiport(0, &[(80, false)], false), vec![(transport(0, 2), None, equal(&[0, 80]))]);
    reads(
        multiport(1, &[(1, true), (2, false)], true),
        vec![(transport(2, 2), None, Relation::Outside(b(&[0, 1]), b(&[0, 2])))],
    );
    // Of either is an or that no list of conditions can say; of neither is an and.
    unread(multiport(2, &several, false), &["multiport"]);
    reads(
        multiport(2, &several, true),
        vec![(transport(0, 2), None, Relation::NoneOf(ranges())), (transport(2, 2), None, Relation::NoneOf(ranges()))],
    );
    // A range without its end.
    unread(multiport(1, &[(1, true); 15], false), &["multiport"]);
}

fn conntrack(revision: u32, flags: u16, inverted: u16, states: u16) -> Reads {
    let mut info = [vec![0; 146], words(&[flags, inverted])].concat();
    info.extend(if revision == 1 { vec![states as u8, 0] } else { words(&[states, 0]) });
    matches("conntrack", revision, false, &info)
}

#[test]
fn state_of_the_connection() {
    let zero = [0; 4];
    for revision in 1..=3 {
        reads(conntrack(revision, STATE, 0, 6), vec![(Field::CtState, Some(&6_u32.to_ne_bytes()), differs(&zero))]);
    }
    reads(conntrack(3, STATE, STATE, 0x101), vec![(Field::CtState, Some(&65_u32.to_ne_bytes()), equal(&zero))]);
    reads(conntrack(3, STATE, 0, 0x80), vec![(Field::CtStatus, Some(&32_u32.to_ne_bytes()), differs(&zero))]);
    reads(conntrack(1, STATE, STATE, 0x40), vec![(Field::CtStatus, Some(&16_u32.to_ne_bytes()), equal(&zero))]);
    reads(matches("state", 0, true, &[1, 0, 0, 0]), vec![(Field::CtState, Some(&[1, 0, 0, 0]), differs(&zero))]);
}

#[test]
fn other_things_of_the_connection_are_not_read() {
    unread(conntrack(3, STATE, 0, 0x88), &["ctstate"]);
    reads(
        conntrack(3, STATE, STATE, 0x88),
        vec![
            (Field::CtStatus, Some(&32_u32.to_ne_bytes()), equal(&[0; 4])),
            (Field::CtState, Some(&8_u32.to_ne_bytes()), equal(&[0; 4])),
        ],
    );
    unread(conntrack(3, 1 << 3 | 1 << 9 | 1 << 12, 0, 0), &["ctorigdst", "ctorigdstport", "ctdir"]);
    // That it was written as another match is no condition.
    assert!(conntrack(3, STATE | 1 << 13, 0, 2).unread.is_empty());
    unread(conntrack(3, 1 << 14, 0, 0), &["conntrack"]);
    unread(conntrack(4, STATE, 0, 2), &["conntrack"]);
}

#[test]
fn marks() {
    let info =
        |mask: u32, inverted| [&0x4000_u32.to_ne_bytes()[..], &mask.to_ne_bytes(), &[inverted, 0, 0, 0]].concat();
    let (mask, mark) = (0xf000_u32.to_ne_bytes(), 0x4000_u32.to_ne_bytes());
    reads(matches("mark", 1, false, &info(0xf000, 0)), vec![(Field::Mark, Some(&mask), equal(&mark))]);
    reads(matches("mark", 1, false, &info(u32::MAX, 1)), vec![(Field::Mark, None, differs(&mark))]);
    unread(matches("mark", 0, false, &info(0xf000, 0)), &["mark"]);
}

#[test]
fn types_of_addresses() {
    let info = |source, destination, flags: u16| words(&[source, destination, flags, 0]);
    let v4 = |source, destination, flags| matches("addrtype", 1, false, &info(source, destination, flags));
    let kind = |kind: u32| kind.to_ne_bytes();
    reads(v4(0, 4, 0), vec![(Field::DaddrType, None, equal(&kind(2)))]);
    reads(v4(4, 0, 1), vec![(Field::SaddrType, None, differs(&kind(2)))]);
    let several = vec![(b(&kind(2)), b(&kind(2))), (b(&kind(5)), b(&kind(5)))];
    reads(v4(0, 0x24, 2), vec![(Field::DaddrType, None, Relation::NoneOf(several))]);
    unread(v4(0, 4, 4), &["addrtype"]);
    let old = words(&[0, 4, 0, 0, 1, 0]);
    reads(matches("addrtype", 0, false, &old), vec![(Field::DaddrType, None, differs(&kind(2)))]);
    let v6 = |destination| matches("addrtype", 1, true, &info(0, destination, 0));
    reads(v6(4), vec![(Field::DaddrType, None, equal(&kind(2)))]);
    unread(v6(2), &["addrtype"]);
}

#[test]
fn ranges_of_addresses() {
    let mut info = [0; 68];
    for (at, last) in [(0, 1), (16, 9), (32, 3), (48, 5)] {
        info[at..at + 4].copy_from_slice(&[10, 0, 0, last]);
    }
    info[64] = 1 | 2 | 0x20;
    reads(
        matches("iprange", 1, false, &info),
        vec![
            (network(12, 4), None, Relation::Within(b(&[10, 0, 0, 1]), b(&[10, 0, 0, 9]))),
            (network(16, 4), None, Relation::Outside(b(&[10, 0, 0, 3]), b(&[10, 0, 0, 5]))),
        ],
    );
    info[64] = 2;
    let range = Relation::Within(b(&info[32..48]), b(&info[48..64]));
    reads(matches("iprange", 1, true, &info), vec![(network(24, 16), None, range)]);
}

#[test]
fn link_address_and_class() {
    let link = Field::Link { offset: 6, length: 6 };
    let info = [2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    reads(matches("mac", 0, false, &info), vec![(link, None, equal(&[2, 0, 0, 0, 0, 1]))]);
    reads(matches("dscp", 0, false, &[46, 1]), vec![(network(1, 1), Some(&[0xfc]), differs(&[0xb8]))]);
    unread(matches("dscp", 0, true, &[46, 0]), &["dscp"]);
}

#[test]
fn what_is_not_known_or_cut_short_is_not_read() {
    for name in ["limit", "set", "statistic", "physdev", "something"] {
        unread(matches(name, 1, false, &[0; 64]), &[name]);
    }
    let whole = [0xff; 200];
    for (name, revision, length) in [
        ("tcp", 0, 12),
        ("udp", 0, 9),
        ("icmp", 0, 4),
        ("multiport", 1, 48),
        ("conntrack", 1, 151),
        ("conntrack", 3, 152),
        ("state", 0, 4),
        ("mark", 1, 9),
        ("addrtype", 0, 12),
        ("addrtype", 1, 8),
        ("iprange", 1, 65),
        ("mac", 0, 12),
        ("dscp", 0, 2),
    ] {
        for length in 0..length {
            unread(matches(name, revision, false, &whole[..length]), &[name]);
        }
    }
}

fn then(name: &str, revision: u32, ipv6: bool, info: &[u8]) -> Judgement {
    target(name, revision, ipv6, info).then
}

/// `struct nf_nat_ipv4_multi_range_compat`.
fn old_range(flags: u32, last: [u8; 4], ports: [u16; 2]) -> Vec<u8> {
    let ports = ports.map(u16::to_be_bytes).concat();
    [&1_u32.to_ne_bytes()[..], &flags.to_ne_bytes(), &[10, 0, 0, 2], &last, &ports].concat()
}

/// `struct nf_nat_range2`.
fn range(flags: u32, address: [u8; 16], ports: [u16; 2]) -> Vec<u8> {
    let ports = ports.map(u16::to_be_bytes).concat();
    [&flags.to_ne_bytes()[..], &address, &address, &ports, &[0; 4]].concat()
}

#[test]
fn translations() {
    let dnat = |to: Option<&str>, port| Judgement::Dnat { to: to.map(|to| to.parse().unwrap()), port };
    let two = Some("10.0.0.2");
    for (flags, last, ports, wanted) in [
        (3, 2, [8080, 8080], dnat(two, Some(8080))),
        (1, 2, [0, 0], dnat(two, None)),
        (2, 2, [8080, 8080], dnat(None, Some(8080))),
        (3, 9, [80, 80], Judgement::Other("DNAT".to_owned())),
        (3, 2, [80, 90], Judgement::Other("DNAT".to_owned())),
    ] {
        assert_eq!(then("DNAT", 0, false, &old_range(flags, [10, 0, 0, last], ports)), wanted);
    }
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[10, 0, 0, 2]);
    assert_eq!(then("DNAT", 2, false, &range(3, address, [80, 80])), dnat(two, Some(80)));
    let address = std::net::Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, 2]).octets();
    assert_eq!(then("DNAT", 1, true, &range(3, address, [80, 80])), dnat(Some("fd00::2"), Some(80)));
    assert_eq!(then("DNAT", 1, true, &range(3, address, [80, 80])[..39]), Judgement::Other("DNAT".to_owned()));
    let redirect = |port| Judgement::Redirect { port };
    assert_eq!(then("REDIRECT", 0, false, &old_range(2, [10, 0, 0, 2], [81, 81])), redirect(Some(81)));
    assert_eq!(then("REDIRECT", 0, false, &old_range(0, [10, 0, 0, 2], [0, 0])), redirect(None));
    assert_eq!(then("REDIRECT", 0, true, &range(2, [0; 16], [81, 81])), redirect(Some(81)));
    assert_eq!(then("MASQUERADE", 0, false, &[]), Judgement::Masquerade);
    assert_eq!(then("SNAT", 1, true, &[]), Judgement::Snat { to: None });
    let to = Some("10.0.0.2".parse().unwrap());
    assert_eq!(then("SNAT", 0, false, &old_range(1, [10, 0, 0, 2], [0, 0])), Judgement::Snat { to });
}

#[test]
fn other_targets() {
    assert_eq!(then("REJECT", 0, false, &[]), Judgement::Reject);
    assert_eq!(then("LOG", 0, false, &[]), Judgement::Continue);
    assert_eq!(then("TEE", 1, false, &[]), Judgement::Other("TEE".to_owned()));
    let marks = |name, revision, info: &[u8]| target(name, revision, false, info).marks.is_some();
    assert!(marks("MARK", 2, &[0; 8]));
    assert!(!marks("LOG", 0, &[]));
    for (revision, at) in [(1, 12), (2, 14)] {
        for (mode, wanted) in [(0, false), (1, false), (2, true)] {
            let mut info = [0; 16];
            info[at] = mode;
            assert_eq!(marks("CONNMARK", revision, &info), wanted, "{revision} {mode}");
        }
    }
    assert!(marks("CONNMARK", 1, &[]));
    assert!(!marks("SET", 3, &words(&[1, 0, 65535, 0, 65535, 0])));
    assert!(marks("SET", 3, &words(&[65535, 0, 65535, 0, 1, 0])));
}
