//! The untrained checkpoint: configuration, tokenizer and initial weights.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use sc_core::rng::stream;
use sc_model::{CheckpointSource, Config, JanusModel};
use sc_world::codes::{CODES, WHITE, meaning_of};
use sc_world::{Colour, Number, Relation, Shape, Wording};
use serde_json::{Value, json};

use crate::error::PretrainError;

/// Files of settings that do not depend on anything.
const SETTINGS: [(&str, &str); 4] = [
    ("config.json", include_str!("../checkpoint/config.json")),
    (
        "generation_config.json",
        include_str!("../checkpoint/generation_config.json"),
    ),
    (
        "preprocessor_config.json",
        include_str!("../checkpoint/preprocessor_config.json"),
    ),
    (
        "templates.json",
        include_str!("../checkpoint/templates.json"),
    ),
];

/// Janus' own special tokens, in the order of their ids.
const SPECIAL: [&str; 8] = [
    "<｜▁pad▁｜>",
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    "<|User|>",
    "<|Assistant|>",
    "<begin_of_image>",
    "<end_of_image>",
    "<image_placeholder>",
];

/// Words of questions and answers that no prompt has.
const ANSWERS: [&str; 3] = ["yes", "no", "describe"];

/// Dimension of the codebook in which white lies, and the code that means nothing; colours lie
/// before it.
const WHITE_AXIS: usize = 3;
/// Dimension from which on shapes lie.
const SHAPE_AXES: usize = 4;

/// Writes the untrained checkpoint to the folder `to`, which it makes.
pub(crate) fn write(to: &Path, seed: u64) -> Result<(), PretrainError> {
    fs::create_dir_all(to).map_err(PretrainError::io("write", to))?;
    let save = |name: &str, bytes: &[u8]| {
        let path = to.join(name);
        fs::write(&path, bytes).map_err(PretrainError::io("write", path))
    };
    for (name, content) in SETTINGS {
        save(name, content.as_bytes())?;
    }
    let config = Config::read(&CheckpointSource::Directory(to.to_owned()))?;
    save(
        "tokenizer.json",
        format!("{:#}\n", tokenizer(config.text.vocab)).as_bytes(),
    )?;
    let path = to.join("model.safetensors");
    fs::write(&path, weights(&config, seed)?).map_err(PretrainError::io("write", path))
}

/// Every word of the world's prompts and questions, each once.
fn words() -> Vec<String> {
    let numbers = Number::ALL.map(Number::word);
    let colours = Colour::ALL.map(Colour::word);
    let relations = Relation::ALL.map(Relation::words);
    let shapes = Shape::ALL.map(Shape::word);
    let plurals = Shape::ALL.map(Shape::plural);
    let empty = sc_world::question::cell_words(WHITE);
    let mut all: Vec<&str> = ANSWERS.to_vec();
    all.extend(["and", "is", "there", "?", empty.0, empty.1]);
    all.extend(
        numbers
            .into_iter()
            .chain(colours)
            .chain(shapes)
            .chain(plurals),
    );
    all.extend(relations.iter().flat_map(|words| words.split(' ')));
    // What is left of a question without its prompt.
    let questions = Wording::ALL.map(|wording| wording.question(""));
    all.extend(questions.iter().flat_map(|question| question.split(' ')));
    let mut known: Vec<String> = Vec::new();
    for word in all {
        if !word.is_empty() && !known.iter().any(|known| known == word) {
            known.push(word.to_owned());
        }
    }
    known
}

/// `tokenizer.json`: words split at blanks; the rest of the vocabulary is reserved.
fn tokenizer(vocabulary: usize) -> Value {
    let mut ids: Vec<String> = SPECIAL.map(str::to_owned).to_vec();
    ids.extend(words());
    let reserved = ids.len()..vocabulary;
    ids.extend(reserved.map(|id| format!("<reserved {id}>")));
    let vocabulary: serde_json::Map<String, Value> = ids
        .into_iter()
        .enumerate()
        .map(|(id, word)| (word, json!(id)))
        .collect();
    let special: Vec<Value> = SPECIAL
        .into_iter()
        .enumerate()
        .map(|(id, content)| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": special,
        "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": null,
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": SPECIAL[0] },
    })
}

/// The initial weights as a safetensors file.
fn weights(config: &Config, seed: u64) -> Result<Vec<u8>, PretrainError> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = JanusModel::tensor_shapes(config)?
        .into_iter()
        .map(|(name, shape)| {
            let mut rng = stream(seed, &format!("initial-weights/{name}"), &[]);
            let bytes = initial(&name, &shape, &mut rng)
                .into_iter()
                .flat_map(f32::to_le_bytes)
                .collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            view.map(|view| (name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    views
        .and_then(|views| serialize(views, Some(metadata)))
        .map_err(|error| candle_core::Error::wrap(error).into())
}

/// A tensor's first values.
///
/// Matrices are normal with variance 1/(inputs), embeddings too: at transformers' 0.02 a model as
/// narrow as this one does not learn. The image tokenizer's convolutions are uniform within
/// ±1/√(inputs), PyTorch's default.
fn initial(name: &str, shape: &[usize], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let count = shape.iter().product();
    if name.ends_with("quantize.embedding.weight") {
        return codebook(shape[1]);
    }
    if let [_] = shape {
        let is_norm = name.contains("norm") && name.ends_with("weight");
        return vec![if is_norm { 1.0 } else { 0.0 }; count];
    }
    let inputs: usize = shape[1..].iter().product();
    let scale = (inputs as f32).powf(-0.5);
    let convolution = name.starts_with("model.vqmodel.");
    (0..count)
        .map(|_| {
            if convolution {
                rng.random_range(-scale..scale)
            } else {
                scale * normal(rng)
            }
        })
        .collect()
}

/// A standard normal number (Box & Muller, 1958).
fn normal(rng: &mut impl Rng) -> f32 {
    // 1 − u is never 0.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()) as f32
}

/// Codes [codes, width] of length 1: half colour, half shape, each along an axis of its own or
/// against one.
fn codebook(width: usize) -> Vec<f32> {
    let axis = |index: usize| (index / 2, if index.is_multiple_of(2) { 1.0 } else { -1.0 });
    let mut values = vec![0.0; CODES * width];
    for (code, row) in (0..).zip(values.chunks_exact_mut(width)) {
        match meaning_of(code) {
            Some((colour, shape)) => {
                let (place, sign) = axis(colour as usize);
                row[place] = sign * std::f32::consts::FRAC_1_SQRT_2;
                let (place, sign) = axis(shape as usize);
                row[SHAPE_AXES + place] = sign * std::f32::consts::FRAC_1_SQRT_2;
            }
            None => row[WHITE_AXIS] = if code == WHITE { 1.0 } else { -1.0 },
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use candle_core::Device;
    use sc_core::prompt::Split;

    use super::*;

    #[test]
    fn the_untrained_checkpoint_loads_and_knows_every_word() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), 1).expect("written");
        let source = CheckpointSource::Directory(folder.path().to_owned());
        let model = JanusModel::load(&source, &Device::Cpu).expect("loads");
        let text = model.text();
        for split in [Split::Train, Split::HeldOut] {
            for prompt in sc_world::prompts(split) {
                for wording in Wording::ALL {
                    let question = wording.question(&prompt.text);
                    let unknown = text.unknown_words(&question).expect("tokenized");
                    assert!(unknown.is_empty(), "{unknown:?} of `{question}`");
                }
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let bytes = |seed| {
            let folder = tempfile::tempdir().expect("a folder");
            write(folder.path(), seed).expect("written");
            fs::read(folder.path().join("model.safetensors")).expect("read")
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn codes_are_different_directions() {
        let values = codebook(8);
        let rows: BTreeSet<Vec<u32>> = values
            .chunks_exact(8)
            .map(|row| row.iter().map(|value| value.to_bits()).collect())
            .collect();
        assert_eq!(rows.len(), CODES);
        for row in values.chunks_exact(8) {
            let length: f32 = row.iter().map(|value| value * value).sum();
            assert!((length - 1.0).abs() < 1e-6);
        }
    }
}
