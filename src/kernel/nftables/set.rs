//! Sets and maps of nftables: what they are by NFT_MSG_GETSET, their elements by a dump of NFT_MSG_GETSETELEM each.

use netlink_packet_core::DecodeError;
use nix::errno::Errno;

use super::rule::KeyLengths;
use super::{act, family_name, family_number, message, number, split, text, value};
use crate::kernel::nla::{self, text_of};
use crate::kernel::socket::{Dump, Refused, Request, Socket};
use crate::model::{Bytes, Element, Judgement, NfSet, RecordedSet};

/// NFNL_SUBSYS_NFTABLES with NFT_MSG_GETSET and NFT_MSG_GETSETELEM.
const GETSET: u16 = 10 << 8 | 10;
const GETSETELEM: u16 = 10 << 8 | 13;
const TABLE: u16 = 1;
const NAME: u16 = 2;

/// Elements of a set that are kept: one that has more is known by its name only.
const MOST_ELEMENTS: usize = 2_000_000;

/// What a set is, apart from its elements.
#[derive(Debug, Clone)]
struct Shape {
    family: &'static str,
    table: String,
    name: String,
    /// Bytes of a key.
    key: usize,
    /// Ranges come as their beginnings and the values behind their ends (NFT_SET_INTERVAL); those of several parts come
    /// with their last values (NFT_SET_CONCAT).
    ranges: bool,
}

/// The set of that name.
pub fn set(socket: &mut Socket, family: &str, table: &str, name: &str) -> Result<NfSet, Refused> {
    let wanted = message(family_number(family), &[text(TABLE, table), text(NAME, name)]);
    let shape = socket.get(Request::raw(GETSET, wanted), shape)?;
    elements(socket, &shape)
}

/// Every set of the namespace; one that nobody could read is there and partial.
pub fn all_sets(socket: &mut Socket) -> Result<Dump<RecordedSet>, Refused> {
    let Dump { items: shapes, undecodable, interrupted } = shapes(socket, 0, None)?;
    let mut items = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let set = match elements(socket, &shape) {
            Ok(set) => set,
            // It went meanwhile.
            Err(refused) if refused.errno == Errno::ENOENT => NfSet { partial: true, ..NfSet::default() },
            Err(refused) => return Err(refused),
        };
        let Shape { family, table, name, .. } = shape;
        items.push(RecordedSet { family: family.to_owned(), table, name, set });
    }
    Ok(Dump { items, undecodable, interrupted })
}

/// How long the keys of sets are: those of one table, or of family zero all.
pub(super) fn key_lengths(socket: &mut Socket, family: u8, table: Option<&str>) -> Result<KeyLengths, Refused> {
    let dump = shapes(socket, family, table)?;
    Ok(dump.items.into_iter().map(|s| ((s.family, s.table, s.name), s.key)).collect())
}

fn shapes(socket: &mut Socket, family: u8, table: Option<&str>) -> Result<Dump<Shape>, Refused> {
    let wanted: Vec<Vec<u8>> = table.map(|table| text(TABLE, table)).into_iter().collect();
    let request = Request::raw(GETSET, message(family, &wanted));
    socket.dump(request, |payload| shape(payload).map(|s| Some(s).filter(|s| table.is_none_or(|t| t == s.table))))
}

fn shape(payload: &[u8]) -> Result<Shape, DecodeError> {
    const FLAGS: u16 = 3;
    const KEY_LEN: u16 = 5;
    const INTERVAL: u32 = 0x4;
    const CONCAT: u32 = 0x80;
    let (family, attributes) = split(payload)?;
    let find = |kind: u16| nla::find(attributes, kind);
    let key = find(KEY_LEN).and_then(number);
    let flags = find(FLAGS).and_then(number).unwrap_or(0);
    match (family_name(family), find(TABLE), find(NAME), key) {
        (Some(family), Some(table), Some(name), Some(key)) => Ok(Shape {
            family,
            table: text_of(table),
            name: text_of(name),
            key: key as usize,
            ranges: flags & (INTERVAL | CONCAT) == INTERVAL,
        }),
        _ => Err(DecodeError::from("a set without a name or a key")),
    }
}

fn elements(socket: &mut Socket, shape: &Shape) -> Result<NfSet, Refused> {
    let wanted = message(family_number(shape.family), &[text(TABLE, &shape.table), text(NAME, &shape.name)]);
    let mut count = 0;
    let dump = socket.dump(Request::raw(GETSETELEM, wanted), |payload| {
        let told = decode(payload)?;
        count += told.len();
        Ok((count <= MOST_ELEMENTS).then_some(told))
    })?;
    // By some of its bounds no range is known.
    if count > MOST_ELEMENTS {
        return Ok(NfSet { partial: true, ..NfSet::default() });
    }
    let flawed = dump.flaw().is_some();
    let mut set = assemble(dump.items.into_iter().flatten(), shape.key, shape.ranges);
    set.partial |= flawed;
    Ok(set)
}

/// An element as the kernel tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// A value, or the beginning of a range; with the last value of it where that is told with it.
    Value(Element),
    /// The first value behind a range.
    End(Bytes),
    /// For every value that has none.
    Rest(Option<Judgement>),
    /// One that podnet does not understand, and its value.
    Unread(Option<Bytes>),
}

/// The elements of one message of a dump.
pub(super) fn decode(payload: &[u8]) -> Result<Vec<Told>, DecodeError> {
    const ELEMENTS: u16 = 3;
    const LIST_ELEM: u16 = 1;
    let (_, attributes) = split(payload)?;
    let list = nla::find(attributes, ELEMENTS).unwrap_or_default();
    Ok(nla::each(list).filter(|(kind, _)| *kind == LIST_ELEM).map(|(_, e)| element(e)).collect())
}

fn element(attributes: &[u8]) -> Told {
    const KEY: u16 = 1;
    const DATA: u16 = 2;
    const FLAGS: u16 = 3;
    const EXPR: u16 = 7;
    const KEY_END: u16 = 10;
    const EXPRESSIONS: u16 = 11;
    /// NFT_SET_ELEM_INTERVAL_END and NFT_SET_ELEM_CATCHALL
    const INTERVAL_END: u32 = 1;
    const CATCHALL: u32 = 2;
    let find = |kind: u16| nla::find(attributes, kind);
    let flags = find(FLAGS).and_then(number).unwrap_or(0);
    let bytes = |kind: u16| find(kind).and_then(value::bytes).map(|b| Bytes(b.to_vec()));
    let key = bytes(KEY);
    if let Some(key) = key.as_ref().filter(|_| flags & INTERVAL_END != 0) {
        return Told::End(key.clone());
    }
    // A limit that goes with an element may say that it is none; an unknown flag may say anything.
    if act::asks(find(EXPR), find(EXPRESSIONS)) || flags & !CATCHALL != 0 {
        return Told::Unread(key);
    }
    let then = match find(DATA).map(value::data) {
        None | Some(Some(value::Data::Value(_))) => None,
        Some(Some(value::Data::Verdict(verdict))) => Some(verdict),
        Some(None) => return Told::Unread(key),
    };
    match (key, find(KEY_END).map(|_| bytes(KEY_END))) {
        _ if flags & CATCHALL != 0 => Told::Rest(then),
        (Some(key), None) => Told::Value(Element { key, to: None, then }),
        (Some(key), Some(Some(to))) => Told::Value(Element { to: (to != key).then_some(to), key, then }),
        (key, _) => Told::Unread(key),
    }
}

/// The set that these elements are, which come in no order.
pub(super) fn assemble(told: impl Iterator<Item = Told>, key_length: usize, ranges: bool) -> NfSet {
    let mut set = NfSet::default();
    // Beginnings and ends of ranges by their values; where one ends and another begins, the end is first.
    let mut bounds: Vec<(Bytes, Option<Element>)> = Vec::new();
    for told in told {
        match told {
            Told::Value(element) if element.key.0.len() != key_length => set.partial = true,
            Told::Value(element) if ranges && element.to.is_none() => {
                bounds.push((element.key.clone(), Some(element)));
            }
            Told::Value(element) => set.elements.push(element),
            Told::End(key) => bounds.push((key, None)),
            Told::Rest(None) => set.all = true,
            Told::Rest(then) => set.otherwise = then,
            Told::Unread(key) => {
                set.partial = true;
                // Whatever it is, the range before it is over there.
                bounds.extend(key.map(|key| (key, None)));
            }
        }
    }
    bounds.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.is_some().cmp(&b.1.is_some())));
    let mut bounds = bounds.into_iter().peekable();
    while let Some((key, element)) = bounds.next() {
        // The end of nothing: what is before the first range, or of a range that ran out.
        let Some(element) = element else { continue };
        let to = match bounds.peek() {
            Some((behind, _)) => before(behind),
            None => Bytes(vec![0xff; key.0.len()]),
        };
        set.elements.push(Element { to: (to > key).then_some(to), ..element });
    }
    // The order of a hash table is another one each time.
    set.elements.sort_by(|a, b| a.key.cmp(&b.key));
    set
}

/// The value before this one.
fn before(value: &Bytes) -> Bytes {
    let mut bytes = value.0.clone();
    for byte in bytes.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            break;
        }
    }
    Bytes(bytes)
}
