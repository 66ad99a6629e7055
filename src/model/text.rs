//! Names that the kernel or a runtime hands out as bytes.

/// Bytes that are called a name, as text: UTF-8 stays as it is, every other byte is written `\xNN`.
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
