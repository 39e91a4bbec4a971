//! A made-up `tokenizer.json`: bytes, words that prompts and answers are made of, and as many other
//! short tokens as the vocabulary has room for.
//!
//! It is byte-level BPE as the real one is (GPT-2's letters for bytes, single digits), with
//! `ignore_merges`: what is in the vocabulary is one token, without the merges that lead to it. So
//! a text comes to about as many tokens as it really does, but not to the same.

use std::collections::HashSet;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::config::TextConfig;
use crate::error::{Error, Result};
use crate::text::SpecialTokens;

pub(super) const FILE: &str = "tokenizer.json";

/// Janus-Pro's roles.
const ROLES: [&str; 2] = ["<|User|>", "<|Assistant|>"];
/// A space, as one of GPT-2's letters for bytes.
const SPACE: char = 'Ġ';
const LETTERS: std::ops::RangeInclusive<char> = 'a'..='z';

/// Words of Janus' templates, of answers to them and of what is often drawn. Each is a token with a
/// space before it; those in capitals are one without it too.
const WORDS: &str = "\
    A The If It This Is Does Yes No You Are Please Answer Score There User Assistant \
    a able above an and animal answer are assist assistant ball below bird blue boat book box car cat \
    chair circle city correct cross cube cup describe describes dog fire flower following format from \
    front full fully glass grass green hat helpful horse house how image in is it language left man \
    many match mountain natural next no not object of on one or orange paper photo picture pink plant \
    prompt provide provides purple question red right ring road scene score sea shape she show shows \
    sky small square star street sun table tasks text that the this three to top tree triangle two \
    under understand user using variety vision visual wall water what which white with woman wood \
    word yellow yes you your";

/// `tokenizer.json` in the order in which such files are written.
#[derive(Serialize)]
struct TokenizerJson<'a> {
    version: &'static str,
    truncation: (),
    padding: (),
    added_tokens: Vec<AddedToken>,
    normalizer: (),
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: Bpe<'a>,
}

#[derive(Serialize)]
struct AddedToken {
    id: u32,
    content: &'static str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(Serialize)]
struct Bpe<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    dropout: (),
    unk_token: (),
    continuing_subword_prefix: (),
    end_of_word_suffix: (),
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    #[serde(serialize_with = "by_id")]
    vocab: &'a [String],
    merges: Vec<String>,
}

/// Tokens with their ids, which are their places.
fn by_id<S: Serializer>(tokens: &[String], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(tokens.iter().enumerate().map(|(id, token)| (token, id)))
}

/// The file's bytes, for a vocabulary that is filled to the last id.
pub(super) fn json(text: &TextConfig, special: &SpecialTokens) -> Result<Vec<u8>> {
    let named = named(special);
    let vocab = vocabulary(text.vocab, &named);
    let two = vocab.iter().filter(|token| token.chars().count() == 2);
    let merges = two.filter_map(|token| {
        let mut letters = token.chars();
        let (first, second) = (letters.next()?, letters.next()?);
        Some(format!("{first} {second}"))
    });
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    let begin = special.by_text()[0];
    compact(&TokenizerJson {
        version: "1.0",
        truncation: (),
        padding: (),
        added_tokens: named
            .iter()
            .map(|&(content, id)| added(content, id))
            .collect(),
        normalizer: (),
        pre_tokenizer: json!({
            "type": "Sequence",
            "pretokenizers": [{ "type": "Digits", "individual_digits": true }, byte_level],
        }),
        // Begins a text of transformers' users; here templates hold the token themselves.
        post_processor: beginning(begin),
        decoder: byte_level,
        model: Bpe {
            kind: "BPE",
            dropout: (),
            unk_token: (),
            continuing_subword_prefix: (),
            end_of_word_suffix: (),
            fuse_unk: false,
            byte_fallback: false,
            ignore_merges: true,
            merges: merges.collect(),
            vocab: &vocab,
        },
    })
}

fn compact(json: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(json).map_err(|error| Error::Json {
        file: FILE.to_owned(),
        reason: error.to_string(),
    })
}

fn added(content: &'static str, id: u32) -> AddedToken {
    AddedToken {
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
    }
}

/// Puts a token before a text.
fn beginning((token, id): (&str, u32)) -> Value {
    let start = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let text = |name: &str, type_id: u32| json!({ "Sequence": { "id": name, "type_id": type_id } });
    json!({
        "type": "TemplateProcessing",
        "single": [start, text("A", 0)],
        "pair": [start, text("A", 0), text("B", 1)],
        "special_tokens": { token: { "id": token, "ids": [id], "tokens": [token] } },
    })
}

/// The tokens that have an id of their own. Those of the roles are made up: they are the first that
/// are free after the image's.
fn named(special: &SpecialTokens) -> Vec<(&'static str, u32)> {
    let mut named = special.by_text().to_vec();
    let free = special.by_text().iter().map(|(_, id)| id + 1).max();
    named.extend(ROLES.into_iter().zip(free.unwrap_or_default()..));
    named
}

/// The tokens by id: `named` at their ids, the rest in order around them.
fn vocabulary(size: usize, named: &[(&'static str, u32)]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut rest = (bytes().map(String::from))
        .chain(words())
        .chain(pairs())
        .chain(fillers())
        .filter(|token| seen.insert(token.clone()));
    let at = |id: usize| named.iter().find(|(_, other)| *other as usize == id);
    (0..size)
        .map_while(|id| match at(id) {
            Some((token, _)) => Some((*token).to_owned()),
            None => rest.next(),
        })
        .collect()
}

/// A letter for each byte: itself where it can be seen, else the next one from U+0100 on.
fn bytes() -> impl Iterator<Item = char> {
    let mut hidden = 0x100..;
    (0..=u8::MAX).map(move |byte| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        _ => hidden.next().and_then(char::from_u32).unwrap_or_default(),
    })
}

/// The line breaks between turns, and the words.
fn words() -> impl Iterator<Item = String> {
    let words = WORDS.split_whitespace();
    let begin = words
        .clone()
        .filter(|word| word.starts_with(char::is_uppercase));
    let all = begin
        .map(str::to_owned)
        .chain(words.map(|word| format!("{SPACE}{word}")));
    ["ĊĊ".to_owned()].into_iter().chain(all)
}

/// A space or a letter, and a letter: what words that are not known are put together from.
fn pairs() -> impl Iterator<Item = String> {
    let first = [SPACE].into_iter().chain(LETTERS);
    first.flat_map(|first| LETTERS.map(move |second| format!("{first}{second}")))
}

/// Spaces with three letters, then with four, and so on without end.
fn fillers() -> impl Iterator<Item = String> {
    (3_u32..).flat_map(|length| {
        (0..26_u64.saturating_pow(length)).map(move |mut number| {
            let mut letters = vec![b'a'; length as usize];
            for letter in letters.iter_mut().rev() {
                *letter += (number % 26) as u8;
                number /= 26;
            }
            let letters = letters.into_iter().map(char::from);
            [SPACE].into_iter().chain(letters).collect()
        })
    })
}

#[cfg(test)]
mod tests;
