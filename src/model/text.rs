//! Names that the kernel, a runtime or a container hands out: as bytes, and as what may reach a terminal.

use std::borrow::Cow;

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

/// Not a control character, nor one that turns the writing direction or shows as nothing.
pub fn is_harmless(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'))
}

/// JSON, or a part of it, that means the same and has no character that may not reach a terminal but line breaks.
pub fn harmless_json(json: &str) -> Cow<'_, str> {
    let stays = |c: char| c == '\n' || is_harmless(c);
    // Nearly all of it is, and a recording is long.
    let is_plain = json.is_ascii() && !json.contains('\x7f');
    if is_plain || json.chars().all(stays) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match stays(c) {
            true => out.push(c),
            // All of these can only be in strings: what is outside of them is ASCII.
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{harmless_json, is_harmless, text};

    #[test]
    fn json_means_the_same_and_harms_nobody() {
        let name = "a\\\u{9b}31m\u{7f}\u{202e}\u{e0041}\u{1b}\n\"ä日😀";
        for json in [serde_json::to_string(&[name]).unwrap(), serde_json::to_string_pretty(&[name]).unwrap()] {
            let out = harmless_json(&json);
            assert!(out.chars().all(|c| c == '\n' || is_harmless(c)), "{out:?}");
            assert!(out.contains(r"\u009b31m\u007f\u202e\udb40\udc41") && out.contains("ä日😀"), "{out}");
            assert_eq!(serde_json::from_str::<[String; 1]>(&out).unwrap(), [name]);
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay_visible() {
        assert_eq!(text(b"eth0"), "eth0");
        assert_eq!(text(b"a\xff\xc3\xa4\xe2\x82"), "a\\xff\u{e4}\\xe2\\x82");
    }
}
