//! How prompts and questions are put to the model.

use serde::Deserialize;

use super::{BEGIN_OF_IMAGE, BOS, END_OF_IMAGE, IMAGE, PROMPT, QUESTION};
use crate::checkpoint::source::parse_json;
use crate::error::{Error, Result};

/// The system prompt of Janus' understanding conversations.
pub(super) const SYSTEM: &str = "You are a helpful language and vision assistant. You are able to understand \
                      the visual content that the user provides, and assist the user with a \
                      variety of tasks using natural language.";
/// The judging question of "Self-Contradiction as Self-Improvement" (arXiv 2507.16663).
const PAPER_QUESTION: &str = "Does this image describe {prompt}? If it describes the scene, score \
                              1; if it does not fully describe, score 0. Please answer in the \
                              following format: The score is {your score}.";

/// `templates.json` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplatesJson {
    draw: String,
    judge: String,
    ask: Option<String>,
    yes: Option<String>,
    no: Option<String>,
}

/// How prompts and questions are put to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates {
    /// With `{prompt}`; ends in begin-of-image.
    pub draw: String,
    /// With `{image}` and `{prompt}`.
    pub judge: String,
    /// With `{image}` and `{question}`.
    pub ask: String,
    /// The words that a verdict is read from, as yes and no; without them the answer is text, with a
    /// score in it.
    pub yes_no: Option<(String, String)>,
}

impl Templates {
    /// Janus-Pro's templates, with its roles' names or the older Janus'.
    pub(super) fn janus(pro: bool) -> Templates {
        let (user, assistant) = if pro {
            ("<|User|>", "<|Assistant|>")
        } else {
            ("User", "Assistant")
        };
        let ask = format!(
            "{BOS}{SYSTEM}\n\n{user}: {BEGIN_OF_IMAGE}{IMAGE}{END_OF_IMAGE}\n{QUESTION}\n\n{assistant}:"
        );
        let draw = format!("{BOS}{user}: {PROMPT}\n\n{assistant}:{BEGIN_OF_IMAGE}");
        Templates::asking_in_sentences(draw, ask)
    }

    /// Templates that judge by the paper's question, put as `ask` puts any.
    pub(super) fn asking_in_sentences(draw: String, ask: String) -> Templates {
        Templates {
            draw,
            judge: ask.replace(QUESTION, PAPER_QUESTION),
            ask,
            yes_no: None,
        }
    }

    pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Templates> {
        let json: TemplatesJson = parse_json(file, bytes)?;
        let invalid = |field: &str, value: &str, expected: String| Error::Config {
            file: file.to_string(),
            field: field.to_string(),
            value: format!("{value:?}"),
            expected,
        };
        let ask = match json.ask {
            Some(ask) => ask,
            None => asking(&json.judge).ok_or_else(|| {
                invalid(
                    "judge",
                    &json.judge,
                    format!(
                        "a text with its question between `{END_OF_IMAGE}` and `Assistant`, or a \
                         field `ask`"
                    ),
                )
            })?,
        };
        for (field, template, parts) in [
            ("draw", &json.draw, [PROMPT, BOS, BEGIN_OF_IMAGE].as_slice()),
            ("judge", &json.judge, &[PROMPT, IMAGE, BOS]),
            ("ask", &ask, &[QUESTION, IMAGE, BOS]),
        ] {
            for part in parts {
                if template.matches(part).count() != 1 {
                    return Err(invalid(
                        field,
                        template,
                        format!("a text with one `{part}`"),
                    ));
                }
            }
            if !template.starts_with(BOS) {
                return Err(invalid(
                    field,
                    template,
                    format!("a text that begins with `{BOS}`"),
                ));
            }
        }
        if !json.draw.ends_with(BEGIN_OF_IMAGE) {
            return Err(invalid(
                "draw",
                &json.draw,
                format!("a text that ends in `{BEGIN_OF_IMAGE}`"),
            ));
        }
        let yes_no = match (json.yes, json.no) {
            (Some(yes), Some(no)) => Some((yes, no)),
            (None, None) => None,
            (yes, _) => {
                let missing = if yes.is_some() { "no" } else { "yes" };
                return Err(invalid(
                    missing,
                    "",
                    "a word, as its opposite has one".into(),
                ));
            }
        };
        Ok(Templates {
            draw: json.draw,
            judge: json.judge,
            ask,
            yes_no,
        })
    }
}

/// A judging template with its question, which stands between the image and the assistant's role,
/// replaced by `{question}`.
fn asking(judge: &str) -> Option<String> {
    let start = judge.find(END_OF_IMAGE)? + END_OF_IMAGE.len();
    let end = judge.rfind("Assistant")?;
    let end = if judge[..end].ends_with("<|") {
        end - 2
    } else {
        end
    };
    let question = judge.get(start..end)?.trim();
    if question.is_empty() {
        return None;
    }
    let at = start + judge[start..end].find(question)?;
    Some(format!(
        "{}{QUESTION}{}",
        &judge[..at],
        &judge[at + question.len()..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_of_a_judging_template_is_found() {
        let judge = "<bos> <|User|> {image} <end_of_image> match {prompt} ? <|Assistant|>";
        assert_eq!(
            asking(judge).as_deref(),
            Some("<bos> <|User|> {image} <end_of_image> {question} <|Assistant|>")
        );
        assert_eq!(asking("<end_of_image> <|Assistant|>"), None);
        assert_eq!(asking("match {prompt} ? <|Assistant|>"), None);
    }

    #[test]
    fn the_paper_question_keeps_its_own_braces() {
        let templates = Templates::janus(true);
        let filled = templates.judge.replace(PROMPT, "a dog");
        assert!(filled.contains("Does this image describe a dog?"));
        assert!(filled.contains("The score is {your score}."));
        assert!(filled.ends_with("<|Assistant|>:"));
    }
}
