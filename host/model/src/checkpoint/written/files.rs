//! The files beside the weights, with the keys that those of published checkpoints have.

use candle_core::DType;
use serde::Serialize;
use serde_json::{Value, json};

use crate::checkpoint::names::Naming;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::text::{BEGIN_OF_IMAGE, END_OF_IMAGE, IMAGE_PLACEHOLDER, SpecialTokens};

mod hugging_face;
pub(crate) mod original;

/// The files that say what a checkpoint is in its layout, beside those of the tokenizer.
pub(crate) fn of_layout(
    config: &Config,
    special: &SpecialTokens,
    dtype: &str,
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut files = Vec::new();
    let jsons = match config.naming {
        Naming::HuggingFace => {
            files.push(hugging_face::chat_template());
            hugging_face::files(config, special, dtype)
        }
        Naming::Original => original::files(config, dtype),
    };
    for (name, json) in jsons {
        files.push((name, pretty(name, &json)?));
    }
    Ok(files)
}

/// The file that says how a tokenizer is used.
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// What transformers' processor asks of a tokenizer's configuration beside what all have
/// (models/janus/processing_janus.py).
pub(crate) fn of_the_processor() -> [(&'static str, Value); 2] {
    let extra = json!({
        "boi_token": BEGIN_OF_IMAGE,
        "eoi_token": END_OF_IMAGE,
        "image_token": IMAGE_PLACEHOLDER,
    });
    [
        ("extra_special_tokens", extra),
        ("processor_class", "JanusProcessor".into()),
    ]
}

/// JSON as it is written into a file.
pub(crate) fn pretty(file: &str, json: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(json).map_err(|error| Error::Json {
        file: file.to_owned(),
        reason: error.to_string(),
    })?;
    text.push(b'\n');
    Ok(text)
}

/// A dtype by PyTorch's name.
pub(crate) fn torch_name(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => "bfloat16",
        DType::F16 => "float16",
        _ => "float32",
    }
}
