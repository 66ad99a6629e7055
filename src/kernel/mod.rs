//! The only reader of the machine: netlink sockets in any namespace, /proc, and what they say, one topic a file.
//! Nothing here changes anything, and nothing here judges.

pub mod addr;
pub mod fdb;
pub mod holders;
pub mod link;
mod live;
pub mod neigh;
pub mod netns;
pub mod nsid;
pub mod procnet;
pub mod route;
pub mod rule;
mod scan;
pub mod socket;
pub mod spaces;
pub mod sysfs;

pub use live::Live;
pub use scan::scan;

/// Bytes that the kernel calls a name, as text: UTF-8 stays as it is, every other byte is written `\xNN`.
///
/// Names of links and processes may hold any bytes; JSON may not.
pub fn text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn bytes_that_are_no_text_stay_visible() {
        assert_eq!(text(b"eth0"), "eth0");
        assert_eq!(text(b"a\xff\xc3\xa4\xe2\x82"), "a\\xff\u{e4}\\xe2\\x82");
    }
}
