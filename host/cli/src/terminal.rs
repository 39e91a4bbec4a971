//! Lines for people, on stderr.
//!
//! What is shown may come from a stranger's file: whatever could move the cursor, recolour the
//! terminal or reorder the text is shown as an escape. And nobody may be reading: a run is not
//! given up because its progress cannot be printed.

use std::io::{self, Write};

use sc_core::text::is_unseen;

/// Writes lines to stderr; a failure to do so is nobody's loss.
pub fn say(lines: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(lines));
}

/// `text` with everything that is not plain text or a line break escaped.
pub fn printable(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_unseen(c) {
            plain.push(c);
        } else {
            plain.extend(c.escape_unicode());
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_would_act_on_the_terminal() {
        assert_eq!(
            printable("a ring\nmade of ｜fire｜ – 火"),
            "a ring\nmade of ｜fire｜ – 火"
        );
        assert_eq!(
            printable("\u{1b}[31m\r\u{202e}x"),
            "\\u{1b}[31m\\u{d}\\u{202e}x"
        );
    }
}
