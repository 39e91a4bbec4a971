//! Text of strangers, as it may be shown and recorded.
//!
//! A control character can recolour a terminal or move its cursor; a format character is not seen,
//! but can reorder or hide what stands around it. Neither belongs in a name or a reason.

/// Whether `c` is a control character, or a format character without a picture of its own.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
                | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether nothing of `text` can be seen.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_unseen(c))
}

/// A text in lower case, without final stops and with single blanks: texts that differ in nothing
/// else ask for the same.
pub fn normalised(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ").trim_end_matches(['.', ' ']).to_owned()
}

/// The first `limit` characters of `text` with each unseen one replaced by a space, so that it is
/// one line; what was longer ends in `…`.
pub fn printable(text: &str, limit: usize) -> String {
    let mut characters = text.chars();
    let mut shown: String = characters
        .by_ref()
        .take(limit)
        .map(|c| if is_unseen(c) { ' ' } else { c })
        .collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_not_shown() {
        for (text, shown) in [
            ("a ring, été, 火, 🔥", "a ring, été, 火, 🔥"),
            ("\u{1b}[31mred\nerror: fake", " [31mred error: fake"),
            ("a\u{202e}b\u{200b}c\u{feff}d\u{2066}e\u{ad}", "a b c d e "),
            ("\u{e0041}\u{fff9}\u{2028}", "   "),
        ] {
            assert_eq!(printable(text, 100), shown);
        }
        assert_eq!(printable("abc", 3), "abc");
        assert_eq!(printable("abcd", 3), "abc…");
    }

    #[test]
    fn case_stops_and_blanks_do_not_count() {
        assert_eq!(normalised("  A  Dog and\ta CAT. "), "a dog and a cat");
        assert_eq!(normalised("v1.5 ..."), "v1.5");
    }

    #[test]
    fn blank_is_what_cannot_be_seen() {
        for text in ["", "  ", "\u{200b}", "\u{2060} \u{feff}\t\u{3164}"] {
            assert!(is_blank(text), "{text:?}");
        }
        assert!(!is_blank("\u{200b}."));
    }
}
