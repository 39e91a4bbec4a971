//! `tokenizer.json`, bounded: ids inside the vocabulary, and no more text than the model can take.

use serde_json::Value;
use tokenizers::{PostProcessorWrapper, Tokenizer};

use crate::checkpoint::source::{CheckpointSource, parse_json};
use crate::config::TextConfig;
use crate::error::{Error, Result};

const TOKENIZER: &str = "tokenizer.json";
/// Bytes of text a position of the model beyond which a text is not even tokenized: words are
/// shorter.
const BYTES_A_POSITION: usize = 64;
/// The same for any model, however many positions it claims to have: Janus-Pro's 16,384 take half of
/// it. Some tokenizers' time grows with the square of a text.
const MAX_TEXT_BYTES: usize = 128 << 10;
/// Longest word that a tokenizer may look at whole.
const MAX_WORD: u64 = 1000;
/// How many times its length a text may take while it is tokenized or decoded.
const MAX_GROWTH: f64 = 64.0;

/// A checkpoint's tokenizer. What a file may say of truncation, padding and added tokens is left
/// out: rows are padded by the model, and templates hold the special tokens themselves.
pub(super) struct WordTokenizer {
    tokenizer: Tokenizer,
    file: String,
    /// What is written for a word that is not known, where there is such a token.
    unknown: Option<u32>,
    vocab: usize,
    positions: usize,
}

impl WordTokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// When it does not parse, an id is outside the vocabulary, or its steps may make a text too
    /// long.
    pub(super) fn read(source: &CheckpointSource, config: &TextConfig) -> Result<WordTokenizer> {
        let file = source.file_name(TOKENIZER);
        let bytes = source.require(TOKENIZER)?;
        let failed = |error: tokenizers::Error| Error::Tokenizer {
            file: file.clone(),
            reason: error.to_string(),
        };
        let json: Value = parse_json(&file, &bytes)?;
        check_parts(&file, &json)?;
        let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(failed)?;
        tokenizer.with_padding(None);
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        tokenizer.with_truncation(None).map_err(failed)?;
        let unknown = json["model"]["unk_token"]
            .as_str()
            .and_then(|token| tokenizer.token_to_id(token));
        let read = WordTokenizer {
            unknown,
            vocab: config.vocab,
            positions: config.positions,
            tokenizer,
            file,
        };
        read.check_growth()?;
        let vocabulary = read.tokenizer.get_vocab(true);
        // The same one each time, though the map has no order.
        match vocabulary.iter().max_by_key(|(token, id)| (**id, *token)) {
            Some((token, id)) => read.check_id(token, *id)?,
            None => return Err(read.wrong("model.vocab", "empty", "a vocabulary")),
        }
        Ok(read)
    }

    fn wrong(&self, field: &str, value: impl ToString, expected: impl Into<String>) -> Error {
        Error::Config {
            file: self.file.clone(),
            field: field.to_string(),
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    /// The canonical form of the steps, as they were understood, is what counts.
    fn check_growth(&self) -> Result<()> {
        let tokenizer = &self.tokenizer;
        for (field, steps) in [
            (
                "normalizer",
                serde_json::to_value(tokenizer.get_normalizer()),
            ),
            (
                "pre_tokenizer",
                serde_json::to_value(tokenizer.get_pre_tokenizer()),
            ),
            ("decoder", serde_json::to_value(tokenizer.get_decoder())),
        ] {
            let steps = steps.map_err(|error| self.failed(error.into()))?;
            let growth = growth(&steps);
            if growth > MAX_GROWTH {
                return Err(self.wrong(
                    field,
                    format!("steps that may make a text {growth:.0} times as long"),
                    format!("at most {MAX_GROWTH} times"),
                ));
            }
        }
        Ok(())
    }

    fn check_id(&self, token: &str, id: u32) -> Result<()> {
        if (id as usize) < self.vocab {
            Ok(())
        } else {
            let expected = format!("an id below vocab_size ({})", self.vocab);
            Err(self.wrong(token, id, expected))
        }
    }

    /// How messages name the file.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn knows(&self, token: &str) -> bool {
        self.tokenizer.token_to_id(token).is_some()
    }

    /// The id of a token that must be there.
    pub(super) fn id(&self, token: &str) -> Result<u32> {
        let id = self
            .tokenizer
            .token_to_id(token)
            .ok_or_else(|| Error::MissingToken {
                file: self.file.clone(),
                token: token.to_string(),
            })?;
        self.check_id(token, id)?;
        Ok(id)
    }

    /// Refuses a `text` whose row would be `length` steps long, if the model has fewer positions.
    pub(super) fn check_positions(&self, text: &str, length: usize) -> Result<()> {
        if length <= self.positions {
            return Ok(());
        }
        Err(Error::TextTooLong {
            text: text.to_string(),
            length: format!("{length} tokens with its template and image"),
            limit: self.positions.to_string(),
        })
    }

    fn tokenize(&self, text: &str, filled: String) -> Result<tokenizers::Encoding> {
        let limit = (self.positions * BYTES_A_POSITION).min(MAX_TEXT_BYTES);
        if filled.len() > limit {
            let template = if filled == text {
                ""
            } else {
                " with its template"
            };
            return Err(Error::TextTooLong {
                text: text.to_string(),
                length: format!("{} bytes{template}", filled.len()),
                limit: format!("{} tokens, in no more than {limit} bytes", self.positions),
            });
        }
        let encoding = self
            .tokenizer
            .encode(filled, false)
            .map_err(|error| self.failed(error))?;
        for (id, token) in encoding.get_ids().iter().zip(encoding.get_tokens()) {
            self.check_id(token, *id)?;
        }
        Ok(encoding)
    }

    /// Ids of `filled`, a template with `text` in its place.
    pub(super) fn encode(&self, text: &str, filled: String) -> Result<Vec<u32>> {
        Ok(self.tokenize(text, filled)?.get_ids().to_vec())
    }

    pub(super) fn unknown_in<'a>(&self, text: &'a str) -> Result<Vec<&'a str>> {
        let encoding = self.tokenize(text, text.to_string())?;
        let words = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(words
            .filter(|(id, _)| Some(**id) == self.unknown)
            .filter_map(|(_, &(start, end))| text.get(start..end))
            .collect())
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer
            .decode(ids, true)
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: tokenizers::Error) -> Error {
        Error::Tokenizer {
            file: self.file.clone(),
            reason: error.to_string(),
        }
    }
}

/// Refuses what would not tokenize the same text the same way each time, and what the library takes
/// but ends the program with when it is damaged.
fn check_parts(file: &str, json: &Value) -> Result<()> {
    let refuse = |field: &str, value: &Value, expected: &str| {
        Err(Error::Config {
            file: file.to_owned(),
            field: field.to_owned(),
            value: value.to_string(),
            expected: expected.to_owned(),
        })
    };
    let model = &json["model"];
    let dropout = &model["dropout"];
    if !(dropout.is_null() || dropout.as_f64() == Some(0.0)) {
        return refuse(
            "model.dropout",
            dropout,
            "null: the same words are the same tokens",
        );
    }
    let prefix = &model["continuing_subword_prefix"];
    if model["type"] == "BPE" && !(prefix.is_null() || prefix == "") {
        return refuse("model.continuing_subword_prefix", prefix, "null");
    }
    let word = &model["max_input_chars_per_word"];
    if !(word.is_null() || word.as_u64().is_some_and(|most| most <= MAX_WORD)) {
        let expected = format!("at most {MAX_WORD}");
        return refuse("model.max_input_chars_per_word", word, &expected);
    }
    for field in ["normalizer", "pre_tokenizer", "decoder"] {
        if let Some(step) = unfit_step(&json[field]) {
            return refuse(field, step, "steps that Janus' tokenizers have");
        }
    }
    Ok(())
}

/// A step, or one of several, that is not taken.
fn unfit_step(step: &Value) -> Option<&Value> {
    let lists = ["normalizers", "pretokenizers", "decoders"];
    if let Some(steps) = lists.iter().find_map(|list| step[list].as_array()) {
        return steps.iter().find_map(unfit_step);
    }
    let more_than_one = |field: &str| step[field].as_u64().is_some_and(|count| count > 1);
    let unfit = match step["type"].as_str().unwrap_or_default() {
        "Precompiled" | "FixedLength" => true,
        "Strip" => more_than_one("start") || more_than_one("stop"),
        _ => false,
    };
    unfit.then_some(step)
}

/// How many times its length in bytes a text may have after the steps that `step` describes in
/// `tokenizer.json`'s words; a bound, not what a text really meets.
fn growth(step: &Value) -> f64 {
    let bytes = |value: &Value| value.as_str().map_or(0, str::len) as f64;
    if let Some(steps) = ["normalizers", "pretokenizers", "decoders"]
        .iter()
        .find_map(|list| step[list].as_array())
    {
        return steps.iter().map(growth).product();
    }
    match step["type"].as_str().unwrap_or_default() {
        "Replace" => {
            let content = bytes(&step["content"]);
            match bytes(&step["pattern"]["String"]) {
                // An expression or an empty pattern may stand between any two bytes.
                0.0 => content + 1.0,
                pattern => (content / pattern).max(1.0),
            }
        }
        "Prepend" => 1.0 + bytes(&step["prepend"]),
        // A character for every byte.
        "ByteLevel" => 2.0,
        // A space becomes a longer character.
        "Metaspace" => 1.0 + bytes(&step["replacement"]),
        // Unicode's own bounds, in UTF-8 (Unicode Standard Annex 15, table of expansion factors).
        "NFC" | "NFD" => 3.0,
        "NFKC" | "NFKD" => 11.0,
        "Lowercase" => 2.0,
        // Spaces around ideographs, accents taken apart, lower case.
        "BertNormalizer" => 6.0,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_real_tokenizers_do_is_allowed_and_bombs_are_not() {
        let llama = json!({"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]});
        assert_eq!(growth(&llama), 12.0);
        let deepseek = json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "[\r\n]"}, "behavior": "Isolated"},
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": false},
        ]});
        assert_eq!(growth(&deepseek), 2.0);
        let ten = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"});
        let bomb = json!({"type": "Sequence", "normalizers": [ten, ten, ten]});
        assert!(growth(&bomb) > MAX_GROWTH);
        let nested = json!({"type": "Sequence", "normalizers": [bomb, bomb]});
        assert_eq!(growth(&nested), 1e6);
        let between = json!({"type": "Replace", "pattern": {"Regex": "x*"}, "content": "b"});
        assert_eq!(growth(&between), 2.0);
        assert_eq!(growth(&Value::Null), 1.0);
    }

    #[test]
    fn parts_that_end_the_program_or_change_their_mind_are_refused() {
        let nested = |step: Value| json!({"type": "Sequence", "normalizers": [step]});
        for (part, named) in [
            (
                json!({"model": {"type": "BPE", "dropout": 0.5}}),
                "model.dropout",
            ),
            (
                json!({"model": {"type": "BPE", "continuing_subword_prefix": "éé"}}),
                "model.continuing_subword_prefix",
            ),
            (
                json!({"model": {"type": "WordPiece", "max_input_chars_per_word": 1u64 << 62}}),
                "model.max_input_chars_per_word",
            ),
            (
                json!({"normalizer": nested(json!({"type": "Precompiled"}))}),
                "normalizer",
            ),
            (
                json!({"pre_tokenizer": {"type": "FixedLength", "length": 0}}),
                "pre_tokenizer",
            ),
            (
                json!({"decoder": {"type": "Strip", "content": "w", "start": 0, "stop": 1000}}),
                "decoder",
            ),
        ] {
            let error = check_parts("tokenizer.json", &part)
                .expect_err(named)
                .to_string();
            assert!(error.contains(&format!("`{named}`")), "{error}");
        }
        let fine = json!({
            "model": {"type": "BPE", "dropout": null, "continuing_subword_prefix": ""},
            "decoder": {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        });
        check_parts("tokenizer.json", &fine).expect("is fine");
    }
}
