//! The only reader of the machine: what the kernel knows of links, addresses, routes and neighbours.
//! Decisions over these facts are made elsewhere; nothing here changes the machine.

pub mod procnet;

/// Bytes from the kernel as text: what is valid UTF-8 stays, every other byte is written `\xNN`.
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|b| text.push_str(&format!("\\x{b:02x}")));
    }
    text
}
