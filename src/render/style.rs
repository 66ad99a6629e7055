//! How text is allowed to look: colour, drawing characters, width; and the one place that makes strings harmless.

use std::borrow::Cow;

use owo_colors::OwoColorize;

use crate::model::{Action, Level, is_harmless};

/// How the text may look on the device it is for.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Colour is wanted.
    pub color: bool,
    /// Only ASCII may be used for drawing.
    pub ascii: bool,
    /// Columns to fill at most; none: as wide as it gets.
    pub width: Option<usize>,
}

impl Style {
    /// No colour, Unicode, no limit: what a file gets.
    pub const PLAIN: Style = Style { color: false, ascii: false, width: None };

    pub(super) fn glyphs(self) -> &'static Glyphs {
        if self.ascii { &ASCII } else { &UNICODE }
    }

    pub(super) fn bold(self, text: &str) -> String {
        if self.color { text.bold().to_string() } else { text.to_owned() }
    }

    pub(super) fn dim(self, text: &str) -> String {
        if self.color { text.dimmed().to_string() } else { text.to_owned() }
    }

    pub(super) fn underline(self, text: &str) -> String {
        if self.color { text.bold().underline().to_string() } else { text.to_owned() }
    }

    pub(super) fn cyan(self, text: &str) -> String {
        if self.color { text.cyan().to_string() } else { text.to_owned() }
    }

    pub(super) fn verdict(self, action: Action, text: &str) -> String {
        match action {
            _ if !self.color => text.to_owned(),
            Action::Delivered | Action::LeavesNode => text.green().bold().to_string(),
            Action::Dropped => text.red().bold().to_string(),
            Action::Unknown => text.yellow().bold().to_string(),
        }
    }

    pub(super) fn level(self, level: Level, text: &str) -> String {
        match level {
            _ if !self.color => text.to_owned(),
            Level::Info => text.cyan().to_string(),
            Level::Warning => text.yellow().to_string(),
            Level::Critical | Level::Fatal => text.red().to_string(),
        }
    }
}

/// Characters that a path is drawn with.
pub(super) struct Glyphs {
    pub device: &'static str,
    pub line: &'static str,
    pub finding: &'static str,
    pub leaves: &'static str,
    pub delivered: &'static str,
    pub dropped: &'static str,
    pub unknown: &'static str,
}

const UNICODE: Glyphs =
    Glyphs { device: "●", line: "│", finding: "!", leaves: "▼", delivered: "✔", dropped: "✖", unknown: "?" };
const ASCII: Glyphs =
    Glyphs { device: "*", line: "|", finding: "!", leaves: "v", delivered: "=", dropped: "x", unknown: "?" };

/// Makes a string that a container could have chosen harmless to a terminal: control characters, those that turn the
/// writing direction and those that show as nothing are written as `\xNN` or `\u{NNNN}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if is_harmless(c) => out.push(c),
            c if (c as u32) < 0x80 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn plain_text_stays() {
        assert_eq!(escape("veth12acb4c1 ä 日"), "veth12acb4c1 ä 日");
    }

    #[test]
    fn no_control_character_survives() {
        assert_eq!(escape("a\x1b[31mb\nc\u{9b}d\u{202e}e\x7f"), "a\\x1b[31mb\\x0ac\\u{9b}d\\u{202e}e\\x7f");
    }
}
