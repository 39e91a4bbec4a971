//! Words to token ids: the tokenizer, its special tokens by their text, and the prompt templates.

use crate::checkpoint::names::Naming;
use crate::checkpoint::source::CheckpointSource;
use crate::config::Config;
use crate::error::{Error, Result};

mod branch;
mod chat_template;
mod templates;
mod tokenizer;

pub use branch::Branch;
pub use templates::Templates;
use tokenizer::WordTokenizer;

const TEMPLATES: &str = "templates.json";

const BOS: &str = "<｜begin▁of▁sentence｜>";
const EOS: &str = "<｜end▁of▁sentence｜>";
const PAD: &str = "<｜▁pad▁｜>";
pub(crate) const BEGIN_OF_IMAGE: &str = "<begin_of_image>";
pub(crate) const END_OF_IMAGE: &str = "<end_of_image>";
pub(crate) const IMAGE_PLACEHOLDER: &str = "<image_placeholder>";

/// How the answer begins that the paper's judging question asks for.
const SCORE_IS: &str = " The score is";

const PROMPT: &str = "{prompt}";
const QUESTION: &str = "{question}";
const IMAGE: &str = "{image}";

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

/// How a score is said: what comes before the digit, and the digits for yes and no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Score {
    pub(crate) lead: Vec<u32>,
    pub(crate) one: u32,
    pub(crate) zero: u32,
}

/// A checkpoint's tokenizer with its special tokens and templates.
pub struct Text {
    words: WordTokenizer,
    /// The special tokens.
    pub special: SpecialTokens,
    /// The templates.
    pub templates: Templates,
    /// Ids of the words for yes and no, where the templates name them.
    pub yes_no: Option<(u32, u32)>,
    /// How a score is said, where the model answers in text.
    pub(crate) score: Option<Score>,
    /// Tokens that an image takes in a question.
    seen_tokens: usize,
    /// Tokens that a drawn image takes after its prompt.
    drawn_tokens: usize,
}

impl Text {
    /// Reads `tokenizer.json` and, if it is there, `templates.json`; else the chat template of a
    /// checkpoint in transformers' layout, or the authors' own templates.
    ///
    /// # Errors
    /// When one does not parse or fails, a special token or a verdict's word is missing, or an id is
    /// outside the vocabulary or contradicts `config.json`.
    pub fn read(source: &CheckpointSource, config: &Config) -> Result<Text> {
        let words = WordTokenizer::read(source, &config.text)?;
        let id = |token: &str| words.id(token);
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
                    "{}, the id of `{IMAGE_PLACEHOLDER}` in `{}`",
                    special.image_placeholder,
                    words.file()
                ),
            });
        }
        let templates = match source.read(TEMPLATES)? {
            Some(bytes) => Some(Templates::parse(&source.file_name(TEMPLATES), &bytes)?),
            None if config.naming == Naming::HuggingFace => chat_template::templates(source)?,
            // The authors' code has them in itself: whatever their tokenizer's files say is another
            // model's.
            None => None,
        };
        let templates = templates.unwrap_or_else(|| Templates::janus(words.knows("<|User|>")));
        let yes_no = match &templates.yes_no {
            Some((yes, no)) => Some((id(yes)?, id(no)?)),
            None => None,
        };
        let mut text = Text {
            words,
            special,
            templates,
            yes_no,
            score: None,
            seen_tokens: config.vision.tokens(),
            drawn_tokens: config.vq.tokens(),
        };
        if yes_no.is_none() {
            text.score = text.score_words()?;
        }
        Ok(text)
    }

    /// Asks `question`, which holds `{prompt}` once, in the place of the model's own judging
    /// question. A model whose verdict is the next word is asked for that word all the same.
    ///
    /// # Errors
    /// When the question holds no `{prompt}` or several, `{image}`, or a special token, or is too long
    /// for the model; then the old one stays.
    pub fn set_question(&mut self, question: &str) -> Result<()> {
        if question.matches(PROMPT).count() != 1 {
            return Err(Error::argument(
                "question",
                format!("{question:?}"),
                format!("a text with one `{PROMPT}`, where the prompt goes"),
            ));
        }
        if question.contains(IMAGE) {
            return Err(Error::argument(
                "question",
                format!("{question:?}"),
                format!("a text without `{IMAGE}`, which means the image in a template"),
            ));
        }
        self.refuse_special(question)?;
        let judge = self.templates.ask.replace(QUESTION, question);
        let before = std::mem::replace(&mut self.templates.judge, judge);
        // Whether it leaves room for any prompt.
        if let Err(error) = self.judge_ids("a") {
            self.templates.judge = before;
            return Err(match error {
                Error::TextTooLong { length, limit, .. } => Error::TextTooLong {
                    text: question.to_owned(),
                    length,
                    limit,
                },
                other => other,
            });
        }
        Ok(())
    }

    /// The tokens of "The score is" after a question, and the two digits that may follow; none
    /// where the tokenizer joins them to other words.
    fn score_words(&self) -> Result<Option<Score>> {
        let (question, filled) = self
            .templates
            .ask
            .split_once(QUESTION)
            .map_or((String::new(), String::new()), |(before, after)| {
                (before.to_owned(), format!("{before}{after}"))
            });
        let encode = |text: String| self.words.encode(&question, text);
        let asked = encode(filled.clone())?;
        let one = encode(format!("{filled}{SCORE_IS} 1"))?;
        let zero = encode(format!("{filled}{SCORE_IS} 0"))?;
        let (Some(one), Some(zero)) = (one.strip_prefix(&*asked), zero.strip_prefix(&*asked))
        else {
            return Ok(None);
        };
        let shared = one.iter().zip(zero).take_while(|(a, b)| a == b).count();
        Ok(match (one.get(shared), zero.get(shared)) {
            (Some(digit), Some(other)) if shared > 0 => Some(Score {
                lead: one[..shared].to_vec(),
                one: *digit,
                zero: *other,
            }),
            _ => None,
        })
    }

    /// Whether a question asks for a score that is said so.
    pub(crate) fn asks_for_score(&self, question: &str) -> bool {
        question.contains(SCORE_IS.trim_start())
    }

    /// The words of `text` that the tokenizer does not know and writes as one and the same token:
    /// the model cannot tell them apart.
    ///
    /// # Errors
    /// When the text is longer than the model can take or cannot be tokenized.
    pub fn unknown_words<'a>(&self, text: &'a str) -> Result<Vec<&'a str>> {
        self.words.unknown_in(text)
    }

    /// The id of a word that the tokenizer knows as one token.
    ///
    /// # Errors
    /// When it does not.
    pub fn word_id(&self, word: &str) -> Result<u32> {
        self.words.id(word)
    }

    fn refuse_special(&self, text: &str) -> Result<()> {
        let hidden = self
            .special
            .by_text()
            .into_iter()
            .map(|(token, _)| token)
            .find(|token| text.contains(token));
        match hidden {
            Some(token) => Err(Error::SpecialTokenInText {
                text: text.to_string(),
                token: token.to_string(),
            }),
            None => Ok(()),
        }
    }

    fn fill(&self, template: &str, slot: &str, text: &str) -> Result<String> {
        self.refuse_special(text)?;
        // The text last, so that braces in it mean nothing.
        Ok(template
            .replace(IMAGE, IMAGE_PLACEHOLDER)
            .replace(slot, text))
    }

    /// Ids of the prompt to draw `prompt`: from begin of sentence to begin of image.
    ///
    /// # Errors
    /// When the prompt holds a special token, does not fit the model's positions together with
    /// the image, or cannot be tokenized.
    pub fn draw_ids(&self, prompt: &str) -> Result<Vec<u32>> {
        let filled = self.draw_text(prompt)?;
        let ids = self.words.encode(prompt, filled)?;
        self.words
            .check_positions(prompt, ids.len() + self.drawn_tokens)?;
        Ok(ids)
    }

    /// Ids of the conversation that asks whether an image shows `prompt`, up to the answer.
    ///
    /// # Errors
    /// As [`Text::draw_ids`].
    pub fn judge_ids(&self, prompt: &str) -> Result<Vec<u32>> {
        self.with_image(prompt, self.judge_text(prompt)?)
    }

    /// The text of [`Text::draw_ids`].
    ///
    /// # Errors
    /// When the prompt holds a special token.
    pub fn draw_text(&self, prompt: &str) -> Result<String> {
        self.fill(&self.templates.draw, PROMPT, prompt)
    }

    /// The text of [`Text::judge_ids`], in which one word stands for the image.
    ///
    /// # Errors
    /// When the prompt holds a special token.
    pub fn judge_text(&self, prompt: &str) -> Result<String> {
        self.fill(&self.templates.judge, PROMPT, prompt)
    }

    /// Ids of the conversation that asks `question` about an image, up to the answer.
    ///
    /// # Errors
    /// As [`Text::draw_ids`].
    pub fn ask_ids(&self, question: &str) -> Result<Vec<u32>> {
        let filled = self.fill(&self.templates.ask, QUESTION, question)?;
        self.with_image(question, filled)
    }

    fn with_image(&self, text: &str, filled: String) -> Result<Vec<u32>> {
        let placeholder = self.special.image_placeholder;
        let words = self.words.encode(text, filled)?;
        let images = words.iter().filter(|id| **id == placeholder).count();
        if images != 1 {
            return Err(Error::argument(
                "images in the judging template",
                images,
                format!("one `{IMAGE_PLACEHOLDER}`"),
            ));
        }
        let length = words.len() + self.seen_tokens - 1;
        self.words.check_positions(text, length)?;
        let mut ids = Vec::with_capacity(length);
        for id in words {
            let times = if id == placeholder {
                self.seen_tokens
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
        self.words.decode(ids)
    }
}
