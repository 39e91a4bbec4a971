//! The small files of a made-up checkpoint, with the keys that those of a real one have.

use serde_json::{Value, json};

use super::{Synthesis, tokenizer};
use crate::checkpoint::names::Naming;
use crate::checkpoint::written::files::{
    TOKENIZER_CONFIG, of_layout, of_the_processor, pretty, torch_name,
};
use crate::config::Config;
use crate::error::Result;
use crate::text::SpecialTokens;

/// All files but those of weights: names and contents.
pub(super) fn all(synthesis: &Synthesis) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let config = synthesis.config();
    let special = synthesis.size.special_tokens();
    let dtype = torch_name(synthesis.dtype);
    let tokenizer = tokenizer::json(&config.text, &special)?;
    let mut files = vec![(tokenizer::FILE, tokenizer)];
    files.push((
        TOKENIZER_CONFIG,
        pretty(TOKENIZER_CONFIG, &tokenizer_config(&config, &special))?,
    ));
    files.extend(of_layout(&config, &special, dtype)?);
    Ok(files)
}

fn tokenizer_config(config: &Config, special: &SpecialTokens) -> Value {
    let [bos, eos, pad, ..] = special.by_text().map(|(text, _)| text);
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
        for (key, value) in of_the_processor() {
            json[key] = value;
        }
    }
    json
}
