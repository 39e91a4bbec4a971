use std::time::Instant;

use tokenizers::Tokenizer;

use super::super::ModelSize;
use super::*;
use crate::checkpoint::names::Naming;

const SIZES: [ModelSize; 3] = [
    ModelSize::Tiny,
    ModelSize::JanusPro1B,
    ModelSize::JanusPro7B,
];

fn file(size: ModelSize) -> Vec<u8> {
    let config = size.config(Naming::HuggingFace);
    json(&config.text, &size.special_tokens()).expect("is made")
}

fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let encoding = tokenizer.encode(text, false).expect("is encoded");
    encoding.get_tokens().to_vec()
}

#[test]
fn every_id_is_taken_and_the_special_ones_are_where_they_belong() {
    for size in SIZES {
        let bytes = file(size);
        assert!(bytes.len() < 3 << 20, "{size:?}: {}", bytes.len());
        let began = Instant::now();
        let tokenizer = Tokenizer::from_bytes(&bytes).expect("is read");
        assert!(began.elapsed().as_secs_f64() < 1.0, "{size:?}");
        let config = size.config(Naming::HuggingFace);
        assert_eq!(
            tokenizer.get_vocab_size(true),
            config.text.vocab,
            "{size:?}"
        );
        for id in 0..config.text.vocab as u32 {
            let token = tokenizer.id_to_token(id).expect("is taken");
            assert_eq!(tokenizer.token_to_id(&token), Some(id), "{size:?}");
        }
        for (token, id) in named(&size.special_tokens()) {
            assert_eq!(tokenizer.token_to_id(token), Some(id), "{size:?}");
            assert_eq!(tokens(&tokenizer, &format!("a{token}b")), ["a", token, "b"]);
        }
    }
}

#[test]
fn known_words_and_digits_are_single_tokens_in_every_size() {
    for size in SIZES {
        let tokenizer = Tokenizer::from_bytes(file(size)).expect("is read");
        assert_eq!(
            tokens(&tokenizer, "The score is 1."),
            ["The", "Ġscore", "Ġis", "Ġ", "1", "."],
            "{size:?}"
        );
        assert_eq!(
            tokens(&tokenizer, "<|User|>: two green rings\n\n<|Assistant|>:")[..4],
            ["<|User|>", ":", "Ġtwo", "Ġgreen"],
            "{size:?}"
        );
    }
    let tokenizer = Tokenizer::from_bytes(file(ModelSize::JanusPro1B)).expect("is read");
    assert_eq!(tokens(&tokenizer, "zzyzx"), ["zz", "yz", "x"]);
}

#[test]
fn any_text_comes_back() {
    for size in SIZES {
        let tokenizer = Tokenizer::from_bytes(file(size)).expect("is read");
        for text in [
            "The score is 1.",
            "Été – 火 🔥\n\t\u{1}",
            "  two  spaces ",
            "12.5 %",
        ] {
            let encoding = tokenizer.encode(text, false).expect("is encoded");
            let back = tokenizer
                .decode(encoding.get_ids(), true)
                .expect("is decoded");
            assert_eq!(back, text, "{size:?}");
        }
    }
}
