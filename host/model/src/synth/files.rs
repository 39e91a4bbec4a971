//! The small files of a made-up checkpoint, with the keys that those of a real one have.

use candle_core::DType;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Synthesis, tokenizer};
use crate::checkpoint::names::Naming;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::text::SpecialTokens;

mod hugging_face;
mod original;

/// All files but those of weights: names and contents.
pub(super) fn all(synthesis: &Synthesis) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let config = synthesis.config();
    let special = synthesis.size.special_tokens();
    let dtype = torch_name(synthesis.dtype);
    let tokenizer = tokenizer::json(&config.text, &special)?;
    let mut files = vec![(tokenizer::FILE, tokenizer)];
    files.push((
        "tokenizer_config.json",
        pretty(
            "tokenizer_config.json",
            &tokenizer_config(&config, &special),
        )?,
    ));
    files.extend(of_layout(&config, &special, dtype)?);
    Ok(files)
}

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

/// JSON as it is written into a file.
pub(super) fn pretty(file: &str, json: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(json).map_err(|error| Error::Json {
        file: file.to_owned(),
        reason: error.to_string(),
    })?;
    text.push(b'\n');
    Ok(text)
}

pub(crate) fn torch_name(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => "bfloat16",
        DType::F16 => "float16",
        _ => "float32",
    }
}

fn tokenizer_config(config: &Config, special: &SpecialTokens) -> Value {
    let [bos, eos, pad, begin, end, image] = special.by_text().map(|(text, _)| text);
    let extra = json!({ "boi_token": begin, "eoi_token": end, "image_token": image });
    let mut json = json!({
        "add_bos_token": true,
        "add_eos_token": false,
        "bos_token": bos,
        "clean_up_tokenization_spaces": false,
        "eos_token": eos,
        "model_max_length": config.text.positions,
        "pad_token": pad,
        // Takes tokenizer.json as it is.
        "tokenizer_class": "PreTrainedTokenizerFast",
    });
    if config.naming == Naming::HuggingFace {
        json["extra_special_tokens"] = extra;
        json["processor_class"] = "JanusProcessor".into();
    }
    json
}
