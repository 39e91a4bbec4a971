//! Reading a judge's answer.
//!
//! Janus-Pro ends a sentence with "The score is 1."; Show-o begins with "Yes," or "No,". The
//! rules: an explicit score decides, two that differ or any other value are unparsed; without one
//! a first word of yes or no decides; without that a bare digit. Everything else is unparsed.

use crate::candidate::Verdict;

/// The verdict in a free-text answer.
pub fn parse_answer(text: &str) -> Verdict {
    let plain: String = text
        .chars()
        .filter(|c| !matches!(c, '*' | '_' | '{' | '}' | '"' | '\'' | '`'))
        .flat_map(char::to_lowercase)
        .collect();
    explicit_score(&plain)
        .or_else(|| first_word(&plain))
        .or_else(|| bare_digit(&plain))
        .unwrap_or(Verdict::Unparsed)
}

/// What the explicit scores of `text` agree on, if it has any.
fn explicit_score(text: &str) -> Option<Verdict> {
    let mut agreed = None;
    for (at, _) in text.match_indices("score") {
        let starts_a_word = !text[..at].ends_with(char::is_alphanumeric);
        let rest = text[at + "score".len()..].trim_start();
        let value = match rest.strip_prefix("is") {
            Some(after) if after.starts_with([' ', ':', '\n', '\t']) => {
                let after = after.trim_start();
                after.strip_prefix(':').unwrap_or(after)
            }
            _ => match rest.strip_prefix(':') {
                Some(after) => after,
                None => continue,
            },
        };
        if !starts_a_word {
            continue;
        }
        let verdict = score_value(value.trim_start());
        match agreed {
            None => agreed = Some(verdict),
            Some(earlier) if earlier == verdict => {}
            Some(_) => return Some(Verdict::Unparsed),
        }
    }
    agreed
}

/// The verdict of the word that `text` begins with.
fn score_value(text: &str) -> Verdict {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | ',' | '-' | '/' | '%')))
        .unwrap_or(text.len());
    match text[..end].trim_end_matches(['.', ',']) {
        "1" | "1.0" | "one" => Verdict::Accepted,
        "0" | "0.0" | "zero" => Verdict::Rejected,
        _ => Verdict::Unparsed,
    }
}

fn first_word(text: &str) -> Option<Verdict> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(text.len());
    match &text[..end] {
        "yes" => Some(Verdict::Accepted),
        "no" => Some(Verdict::Rejected),
        _ => None,
    }
}

fn bare_digit(text: &str) -> Option<Verdict> {
    match text.trim().trim_end_matches(['.', ',', '!', ';', ':']) {
        "1" => Some(Verdict::Accepted),
        "0" => Some(Verdict::Rejected),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_cases() {
        #[derive(serde::Deserialize)]
        struct Case {
            answer: String,
            verdict: Option<u8>,
        }
        let cases = include_str!("../tests/data/judge-answers.jsonl");
        let mut count = 0;
        for line in cases.lines() {
            let case: Case = serde_json::from_str(line).expect("the cases are JSON lines");
            let expected = match case.verdict {
                Some(1) => Verdict::Accepted,
                Some(_) => Verdict::Rejected,
                None => Verdict::Unparsed,
            };
            assert_eq!(parse_answer(&case.answer), expected, "{:?}", case.answer);
            count += 1;
        }
        assert_eq!(count, 28);
    }

    #[test]
    fn agreeing_scores_and_odd_values() {
        assert_eq!(
            parse_answer("Score: 1. So the score is 1."),
            Verdict::Accepted
        );
        assert_eq!(parse_answer("The score is 1/10."), Verdict::Unparsed);
        assert_eq!(parse_answer("Underscore: 1"), Verdict::Unparsed);
        assert_eq!(parse_answer("The score is -1."), Verdict::Unparsed);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_verdict_and_a_final_score_decides(text in "\\PC{0,60}") {
            let _ = parse_answer(&text);
            if !text.to_lowercase().contains("score") {
                let answered = format!("{text}. The score is 1.");
                proptest::prop_assert_eq!(parse_answer(&answered), Verdict::Accepted);
            }
        }
    }
}
