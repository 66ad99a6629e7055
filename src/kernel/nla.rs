//! Netlink attributes in place, for messages that there are no types for, and numbers inside them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The attributes of a message or of another attribute, each with its number; what is cut short ends them.
pub(super) fn each(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// The upper two bits say that there are inner attributes, and that numbers are big endian.
    const NUMBER: u16 = 0x3fff;
    const HEADER: usize = 4;
    std::iter::from_fn(move || {
        let [a, b, c, d] = *rest.first_chunk::<HEADER>()?;
        let length = u16::from_ne_bytes([a, b]) as usize;
        let value = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & NUMBER, value))
    })
}

/// The first attribute of this number.
pub(super) fn find(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    each(attributes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// An attribute for a request.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A number of 32 bits in the machine's order.
pub(super) fn u32_of(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

/// A number of 16 bits in the machine's order.
pub(super) fn u16_of(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

/// An address by its length; none: no address, or the one that stands for none.
pub(super) fn ip_of(value: &[u8]) -> Option<IpAddr> {
    let ip = match value.len() {
        4 => IpAddr::from(Ipv4Addr::from(*value.first_chunk::<4>()?)),
        16 => IpAddr::from(Ipv6Addr::from(*value.first_chunk::<16>()?)),
        _ => return None,
    };
    (!ip.is_unspecified()).then_some(ip)
}

/// Text that ends with its first zero byte.
pub(super) fn text_of(value: &[u8]) -> String {
    super::text(value.split(|b| *b == 0).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{attribute, each, find};

    #[test]
    fn what_is_written_is_read() {
        let bytes = [attribute(3, b"abcde"), attribute(0x8000 | 7, &[1, 2])].concat();
        assert_eq!(each(&bytes).collect::<Vec<_>>(), [(3, &b"abcde"[..]), (7, &[1, 2][..])]);
        assert_eq!(find(&bytes, 7), Some(&[1, 2][..]));
        assert_eq!(find(&bytes, 1), None);
    }

    #[test]
    fn what_is_cut_short_ends() {
        let bytes = attribute(3, b"abcde");
        for length in 0..9 {
            assert_eq!(each(&bytes[..length]).count(), 0, "{length}");
        }
        // Shorter than its own header.
        assert_eq!(each(&[2, 0, 1, 0, 0, 0, 0, 0]).count(), 0);
    }
}
