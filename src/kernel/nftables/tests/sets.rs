//! Sets from messages that are built here as the kernel builds them.
#![cfg(test)]

use super::*;
use crate::kernel::nftables::set::{self, assemble};

fn told(elements: &[Vec<u8>], key: usize, ranges: bool) -> NfSet {
    let elements: Vec<u8> = elements.iter().flat_map(|e| attribute(1, e)).collect();
    let attributes = [text(1, "t"), text(2, "s"), attribute(3, &elements)];
    assemble(set::decode(&message(2, &attributes)).unwrap().into_iter(), key, ranges)
}

fn span(key: &[u8], to: Option<&[u8]>) -> Element {
    Element { key: bytes(key), to: to.map(bytes), then: None }
}

#[test]
fn ranges_are_from_their_beginnings_to_before_their_ends() {
    let end = |key: &[u8]| [value(1, key), number(3, 1)].concat();
    let set = told(
        &[
            end(&[10, 0]),
            value(1, &[255, 0]),
            value(1, &[10, 0]),
            value(1, &[9, 0]),
            end(&[11, 0]),
            end(&[0, 0]),
            value(1, &[20, 0]),
            end(&[20, 1]),
        ],
        2,
        true,
    );
    let elements = [
        span(&[9, 0], Some(&[9, 255])),
        span(&[10, 0], Some(&[10, 255])),
        span(&[20, 0], None),
        span(&[255, 0], Some(&[255, 255])),
    ];
    assert_eq!(set, NfSet { elements: elements.to_vec(), ..NfSet::default() });
}

#[test]
fn elements_are_values_ranges_and_the_rest() {
    let closed = [value(1, &[1, 0]), value(10, &[1, 9])].concat();
    let same = [value(1, &[2, 0]), value(10, &[2, 0])].concat();
    let set = told(&[closed, same, number(3, 2)], 2, false);
    let elements = vec![span(&[1, 0], Some(&[1, 9])), span(&[2, 0], None)];
    assert_eq!(set, NfSet { elements, all: true, ..NfSet::default() });
    let jump = [value(1, &[1]), verdict(2, -3, Some("x"))].concat();
    let rest = [number(3, 2), verdict(2, 0, None)].concat();
    let map = told(&[jump, rest], 1, false);
    assert_eq!(map.elements, [Element { then: Some(Judgement::Jump("x".into())), ..span(&[1], None) }]);
    assert_eq!((map.otherwise, map.all, map.partial), (Some(Judgement::Drop), false, false));
    // The data of other maps say nothing here.
    assert_eq!(told(&[[value(1, &[1]), value(2, &[7])].concat()], 1, false).elements, [span(&[1], None)]);
}

#[test]
fn an_element_that_is_not_understood_makes_its_set_partial() {
    let limited = [value(1, &[5]), attribute(7, &text(1, "limit"))].concat();
    let counted = [value(1, &[6]), attribute(11, &attribute(1, &text(1, "counter")))].concat();
    let set = told(&[limited.clone(), counted], 1, false);
    assert_eq!(set, NfSet { elements: vec![span(&[6], None)], partial: true, ..NfSet::default() });
    // The range before it ends there.
    let set = told(&[value(1, &[3]), limited], 1, true);
    assert_eq!(set, NfSet { elements: vec![span(&[3], Some(&[4]))], partial: true, ..NfSet::default() });
    for odd in [number(3, 0x10), vec![], value(1, &[1, 2])] {
        assert_eq!(told(&[odd], 1, false), NfSet { partial: true, ..NfSet::default() });
    }
}
