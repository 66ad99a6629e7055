//! Expressions that load a part of the packet, or something about it, into a register.

use super::number;
use super::register::Load;
use crate::kernel::nla;
use crate::model::Field;

/// The register that an expression writes and what it writes there; none: it loads nothing that podnet knows.
pub(super) fn load(name: &str, attributes: &[u8]) -> Option<(u32, Load)> {
    let find = |kind: u16| nla::find(attributes, kind).and_then(number);
    // Numbers of the attributes NFTA_*_DREG and NFTA_*_KEY.
    let (register, key) = match name {
        "payload" | "exthdr" | "numgen" | "osf" => (1, 0),
        "meta" | "ct" | "rt" | "fib" | "xfrm" => (1, 2),
        "socket" | "tunnel" => (2, 1),
        "hash" => (2, 7),
        _ => return None,
    };
    let register = find(register)?;
    let key = find(key).unwrap_or(0);
    let load = match name {
        "payload" => payload(attributes)?,
        "meta" => meta(key),
        "ct" => ct(attributes, key),
        "fib" => fib(key, find(3).unwrap_or(0)),
        "exthdr" => exthdr(attributes),
        "rt" => named("rt", key, RT),
        "socket" => named("socket", key, SOCKET),
        "hash" => Load::other(if key == 1 { "symhash" } else { "jhash" }, 4),
        "xfrm" => Load::other("ipsec", if key == 2 || key == 4 { 16 } else { 4 }),
        // NFTA_NG_MODULUS, NFTA_NG_OFFSET
        "numgen" => match (find(2), find(4).unwrap_or(0)) {
            (Some(modulus), 0) => Load::of(Field::Drawn { modulus }, 4),
            _ => Load::other("numgen", 4),
        },
        "osf" => Load::other("osf", 16),
        other => Load::other(other, 4),
    };
    Some((register, load))
}

/// What a value is called once nothing else is known of it, by the words of `nft`.
pub(super) fn name(field: &Field) -> String {
    let name = match field {
        Field::Link { .. } | Field::Network { .. } | Field::Transport { .. } => "payload",
        Field::Iifname => "meta iifname",
        Field::Oifname => "meta oifname",
        Field::Iif => "meta iif",
        Field::Oif => "meta oif",
        Field::L4proto => "meta l4proto",
        Field::Nfproto => "meta nfproto",
        Field::Protocol => "meta protocol",
        Field::Mark => "meta mark",
        Field::CtState => "ct state",
        Field::CtStatus => "ct status",
        Field::DaddrType => "fib daddr type",
        Field::SaddrType => "fib saddr type",
        Field::Drawn { .. } => "numgen",
        Field::Other(name) => name,
    };
    name.to_owned()
}

/// Whether its bytes are a number of the machine's order, so that they are not in the order of its values.
pub(super) fn in_host_order(field: &Field) -> bool {
    use Field::{CtState, CtStatus, DaddrType, Drawn, Iif, Mark, Oif, Other, SaddrType};
    matches!(field, Iif | Oif | Mark | CtState | CtStatus | DaddrType | SaddrType | Drawn { .. } | Other(_))
}

fn payload(attributes: &[u8]) -> Option<Load> {
    let find = |kind: u16| nla::find(attributes, kind).and_then(number);
    let (base, offset, length) = (find(2)?, find(3)?, find(4)?);
    let other = || Load::other("payload", length as usize);
    let (Ok(offset), Ok(bytes)) = (u16::try_from(offset), u16::try_from(length)) else { return Some(other()) };
    let field = match base {
        // NFT_PAYLOAD_LL_HEADER, NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER
        0 => Field::Link { offset, length: bytes },
        1 => Field::Network { offset, length: bytes },
        2 => Field::Transport { offset, length: bytes },
        _ => return Some(other()),
    };
    Some(Load::of(field, length as usize))
}

/// `NFT_META_*` in its order: the words of `nft`, and bytes.
const META: &[(&str, usize)] = &[
    ("length", 4),
    ("protocol", 2),
    ("priority", 4),
    ("mark", 4),
    ("iif", 4),
    ("oif", 4),
    ("iifname", 16),
    ("oifname", 16),
    ("iiftype", 2),
    ("oiftype", 2),
    ("skuid", 4),
    ("skgid", 4),
    ("nftrace", 1),
    ("rtclassid", 4),
    ("secmark", 4),
    ("nfproto", 1),
    ("l4proto", 1),
    ("ibrname", 16),
    ("obrname", 16),
    ("pkttype", 1),
    ("cpu", 4),
    ("iifgroup", 4),
    ("oifgroup", 4),
    ("cgroup", 4),
    ("random", 4),
    ("ipsec", 1),
    ("iifkind", 16),
    ("oifkind", 16),
    ("ibrpvid", 2),
    ("ibrvproto", 2),
    ("time", 8),
    ("day", 1),
    ("hour", 4),
    ("sdif", 4),
    ("sdifname", 16),
    ("broute", 1),
    ("ibrhwaddr", 6),
];

fn meta(key: u32) -> Load {
    let other = named("meta", key, META);
    let field = match key {
        1 => Field::Protocol,
        3 => Field::Mark,
        4 => Field::Iif,
        5 => Field::Oif,
        6 => Field::Iifname,
        7 => Field::Oifname,
        15 => Field::Nfproto,
        16 => Field::L4proto,
        _ => return other,
    };
    Load::of(field, other.length)
}

/// `NFT_CT_*` in its order.
const CT: &[(&str, usize)] = &[
    ("state", 4),
    ("direction", 1),
    ("status", 4),
    ("mark", 4),
    ("secmark", 4),
    ("expiration", 4),
    ("helper", 16),
    ("l3proto", 1),
    ("saddr", 16),
    ("daddr", 16),
    ("protocol", 1),
    ("proto-src", 2),
    ("proto-dst", 2),
    ("label", 16),
    ("packets", 8),
    ("bytes", 8),
    ("avgpkt", 8),
    ("zone", 2),
    ("event", 4),
    ("saddr", 4),
    ("daddr", 4),
    ("saddr", 16),
    ("daddr", 16),
    ("id", 4),
];

fn ct(attributes: &[u8], key: u32) -> Load {
    const DIRECTION: u16 = 3;
    let direction = match nla::find(attributes, DIRECTION).and_then(|d| d.first()) {
        None => "ct",
        Some(0) => "ct original",
        Some(_) => "ct reply",
    };
    match (direction, key) {
        ("ct", 0) => Load::of(Field::CtState, 4),
        ("ct", 2) => Load::of(Field::CtStatus, 4),
        _ => named(direction, key, CT),
    }
}

/// `NFT_RT_*` in its order.
const RT: &[(&str, usize)] = &[("classid", 4), ("nexthop", 4), ("nexthop", 16), ("mtu", 2), ("ipsec", 1)];

/// `NFT_SOCKET_*` in its order.
const SOCKET: &[(&str, usize)] = &[("transparent", 1), ("mark", 4), ("wildcard", 1), ("cgroupv2", 8)];

fn named(sort: &str, key: u32, table: &[(&str, usize)]) -> Load {
    match table.get(key as usize) {
        Some((name, length)) => Load::other(format!("{sort} {name}"), *length),
        None => Load::other(sort, 4),
    }
}

fn fib(result: u32, flags: u32) -> Load {
    const NAMES: &[(u32, &str)] = &[(1, "saddr"), (2, "daddr"), (4, "mark"), (8, "iif"), (16, "oif")];
    /// NFT_FIB_RESULT_OIFNAME and NFT_FIB_RESULT_ADDRTYPE
    const OIFNAME: u32 = 2;
    const TYPE: u32 = 3;
    match (result, flags) {
        (TYPE, 1) => return Load::of(Field::SaddrType, 4),
        (TYPE, 2) => return Load::of(Field::DaddrType, 4),
        _ => {}
    }
    let keys: Vec<&str> = NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    let (what, length) = match result {
        OIFNAME => ("oifname", 16),
        TYPE => ("type", 4),
        _ => ("oif", 4),
    };
    Load::other(format!("fib {} {what}", keys.join(" . ")), length)
}

fn exthdr(attributes: &[u8]) -> Load {
    let find = |kind: u16| nla::find(attributes, kind).and_then(number);
    let name = match find(6) {
        Some(1) => "tcp option",
        Some(2) => "ip option",
        Some(3) => "sctp chunk",
        Some(4) => "dccp option",
        _ => "exthdr",
    };
    Load::other(name, find(4).map_or(4, |length| length as usize))
}
