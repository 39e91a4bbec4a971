//! Words to token ids: the tokenizer, its special tokens by their text, and the prompt templates.

use serde::Deserialize;
use tokenizers::Tokenizer;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::source::{CheckpointSource, parse_json};

const TOKENIZER: &str = "tokenizer.json";
const TEMPLATES: &str = "templates.json";

const BOS: &str = "<｜begin▁of▁sentence｜>";
const EOS: &str = "<｜end▁of▁sentence｜>";
const PAD: &str = "<｜▁pad▁｜>";
const BEGIN_OF_IMAGE: &str = "<begin_of_image>";
const END_OF_IMAGE: &str = "<end_of_image>";
const IMAGE_PLACEHOLDER: &str = "<image_placeholder>";

const PROMPT: &str = "{prompt}";
const QUESTION: &str = "{question}";
const IMAGE: &str = "{image}";

/// The system prompt of Janus' understanding conversations.
const SYSTEM: &str = "You are a helpful language and vision assistant. You are able to understand \
                      the visual content that the user provides, and assist the user with a \
                      variety of tasks using natural language.";
/// The judging question of "Self-Contradiction as Self-Improvement" (arXiv 2507.16663).
const PAPER_QUESTION: &str = "Does this image describe {prompt}? If it describes the scene, score \
                              1; if it does not fully describe, score 0. Please answer in the \
                              following format: The score is {your score}.";

/// Ids of the special tokens, found by their text in `tokenizer.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begin of sentence.
    pub bos: u32,
    /// End of sentence.
    pub eos: u32,
    /// Padding.
    pub pad: u32,
    /// Begin of image.
    pub begin_of_image: u32,
    /// End of image.
    pub end_of_image: u32,
    /// Stands where an image's features go.
    pub image_placeholder: u32,
}

impl SpecialTokens {
    /// Each token's text with its id.
    pub fn by_text(&self) -> [(&'static str, u32); 6] {
        [
            (BOS, self.bos),
            (EOS, self.eos),
            (PAD, self.pad),
            (BEGIN_OF_IMAGE, self.begin_of_image),
            (END_OF_IMAGE, self.end_of_image),
            (IMAGE_PLACEHOLDER, self.image_placeholder),
        ]
    }
}

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
    /// The words that a verdict is read from, as yes and no; without them the answer is text.
    pub yes_no: Option<(String, String)>,
}

impl Templates {
    /// Janus-Pro's templates, with its roles' names or the older Janus'.
    fn janus(pro: bool) -> Templates {
        let (user, assistant) = if pro {
            ("<|User|>", "<|Assistant|>")
        } else {
            ("User", "Assistant")
        };
        let ask = format!(
            "{BOS}{SYSTEM}\n\n{user}: {BEGIN_OF_IMAGE}{IMAGE}{END_OF_IMAGE}\n{QUESTION}\n\n{assistant}:"
        );
        Templates {
            draw: format!("{BOS}{user}: {PROMPT}\n\n{assistant}:{BEGIN_OF_IMAGE}"),
            judge: ask.replace(QUESTION, PAPER_QUESTION),
            ask,
            yes_no: None,
        }
    }

    fn parse(file: &str, bytes: &[u8]) -> Result<Templates> {
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

/// A checkpoint's tokenizer with its special tokens and templates.
pub struct Text {
    tokenizer: Tokenizer,
    file: String,
    /// The special tokens.
    pub special: SpecialTokens,
    /// The templates.
    pub templates: Templates,
    /// Ids of the words for yes and no, where the templates name them.
    pub yes_no: Option<(u32, u32)>,
    /// What the tokenizer writes for a word that it does not know, where it has such a token.
    unknown: Option<u32>,
    image_tokens: usize,
}

/// The part of `tokenizer.json` that says what becomes of unknown words.
#[derive(Deserialize)]
struct TokenizerJson {
    model: TokenizerModelJson,
}

#[derive(Deserialize)]
struct TokenizerModelJson {
    unk_token: Option<String>,
}

impl Text {
    /// Reads `tokenizer.json` and, if it is there, `templates.json`.
    ///
    /// # Errors
    /// When one does not parse, a special token or a verdict's word is missing, or an id is
    /// outside the vocabulary or contradicts `config.json`.
    pub fn read(source: &CheckpointSource, config: &Config) -> Result<Text> {
        let file = source.file_name(TOKENIZER);
        let bytes = source.require(TOKENIZER)?;
        let tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| Error::Tokenizer {
            file: file.clone(),
            reason: error.to_string(),
        })?;
        let id = |token: &str| {
            let id = tokenizer
                .token_to_id(token)
                .ok_or_else(|| Error::MissingToken {
                    file: file.clone(),
                    token: token.to_string(),
                })?;
            if (id as usize) < config.text.vocab {
                Ok(id)
            } else {
                Err(Error::Config {
                    file: file.clone(),
                    field: token.to_string(),
                    value: id.to_string(),
                    expected: format!("an id below vocab_size ({})", config.text.vocab),
                })
            }
        };
        let special = SpecialTokens {
            bos: id(BOS)?,
            eos: id(EOS)?,
            pad: id(PAD)?,
            begin_of_image: id(BEGIN_OF_IMAGE)?,
            end_of_image: id(END_OF_IMAGE)?,
            image_placeholder: id(IMAGE_PLACEHOLDER)?,
        };
        if let Some(stated) = config.image_token_id
            && stated != special.image_placeholder
        {
            return Err(Error::Config {
                file: source.file_name("config.json"),
                field: "image_token_id".into(),
                value: stated.to_string(),
                expected: format!(
                    "{}, the id of `{IMAGE_PLACEHOLDER}` in `{file}`",
                    special.image_placeholder
                ),
            });
        }
        let templates = match source.read(TEMPLATES)? {
            Some(bytes) => Templates::parse(&source.file_name(TEMPLATES), &bytes)?,
            None => Templates::janus(tokenizer.token_to_id("<|User|>").is_some()),
        };
        let yes_no = match &templates.yes_no {
            Some((yes, no)) => Some((id(yes)?, id(no)?)),
            None => None,
        };
        let unknown = parse_json::<TokenizerJson>(&file, &bytes)?
            .model
            .unk_token
            .and_then(|token| tokenizer.token_to_id(&token));
        Ok(Text {
            unknown,
            tokenizer,
            file,
            special,
            templates,
            yes_no,
            image_tokens: config.vision.tokens(),
        })
    }

    fn encode(&self, text: String) -> Result<Vec<u32>> {
        // The templates hold the begin of sentence themselves.
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|error| self.failed(error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The words of `text` that the tokenizer does not know and writes as one and the same token:
    /// the model cannot tell them apart.
    ///
    /// # Errors
    /// When the text cannot be tokenized.
    pub fn unknown_words<'a>(&self, text: &'a str) -> Result<Vec<&'a str>> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|error| self.failed(error))?;
        let words = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(words
            .filter(|(id, _)| Some(**id) == self.unknown)
            .filter_map(|(_, &(start, end))| text.get(start..end))
            .collect())
    }

    fn failed(&self, error: tokenizers::Error) -> Error {
        Error::Tokenizer {
            file: self.file.clone(),
            reason: error.to_string(),
        }
    }

    fn fill(&self, template: &str, slot: &str, text: &str) -> Result<String> {
        let hidden = self
            .special
            .by_text()
            .into_iter()
            .map(|(token, _)| token)
            .find(|token| text.contains(token));
        if let Some(token) = hidden {
            return Err(Error::SpecialTokenInText {
                text: text.to_string(),
                token: token.to_string(),
            });
        }
        // The text last, so that braces in it mean nothing.
        Ok(template
            .replace(IMAGE, IMAGE_PLACEHOLDER)
            .replace(slot, text))
    }

    /// Ids of the prompt to draw `prompt`: from begin of sentence to begin of image.
    ///
    /// # Errors
    /// When the prompt holds a special token or cannot be tokenized.
    pub fn draw_ids(&self, prompt: &str) -> Result<Vec<u32>> {
        self.encode(self.fill(&self.templates.draw, PROMPT, prompt)?)
    }

    /// Ids of the conversation that asks whether an image shows `prompt`, up to the answer.
    ///
    /// # Errors
    /// As [`Text::draw_ids`].
    pub fn judge_ids(&self, prompt: &str) -> Result<Vec<u32>> {
        self.with_image(self.fill(&self.templates.judge, PROMPT, prompt)?)
    }

    /// Ids of the conversation that asks `question` about an image, up to the answer.
    ///
    /// # Errors
    /// As [`Text::draw_ids`].
    pub fn ask_ids(&self, question: &str) -> Result<Vec<u32>> {
        self.with_image(self.fill(&self.templates.ask, QUESTION, question)?)
    }

    fn with_image(&self, text: String) -> Result<Vec<u32>> {
        let placeholder = self.special.image_placeholder;
        let mut ids = Vec::new();
        for id in self.encode(text)? {
            let times = if id == placeholder {
                self.image_tokens
            } else {
                1
            };
            ids.resize(ids.len() + times, id);
        }
        Ok(ids)
    }

    /// The prompt with everything but begin of sentence and begin of image replaced by padding:
    /// the unconditional row of guidance, and a dropped caption. The length stays.
    pub fn unconditional(&self, ids: &[u32]) -> Vec<u32> {
        ids.iter()
            .map(|&id| {
                if id == self.special.bos || id == self.special.begin_of_image {
                    id
                } else {
                    self.special.pad
                }
            })
            .collect()
    }

    /// Text of answer ids.
    ///
    /// # Errors
    /// When the tokenizer cannot decode them.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer
            .decode(ids, true)
            .map_err(|error| self.failed(error))
    }
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
