//! The configuration of a Janus checkpoint: the JSON files as they are written, and what they
//! mean.
//!
//! Keys and defaults follow `transformers` (`models/janus/configuration_janus.py` and
//! `LlamaConfig`): a key that is left out has the default there.

use serde::Deserialize;
use serde_json::Value;

use crate::checkpoint::names::Naming;
use crate::checkpoint::source::{CheckpointSource, parse_json};
use crate::checkpoint::weights::Weights;
use crate::error::Result;

mod json;
mod original;
pub(crate) mod preprocessor;

use json::Check;

const CONFIG: &str = "config.json";
/// `model_type` of a checkpoint in transformers' layout.
const HUGGING_FACE: &str = "janus";
/// `model_type` of a checkpoint in the authors' layout.
const ORIGINAL: &str = "multi_modality";
const GENERATION_CONFIG: &str = "generation_config.json";
/// Groups of every GroupNorm of the VQ model; fixed in the reference implementation.
pub const GROUP_NORM_GROUPS: usize = 32;
/// Epsilon of every GroupNorm of the VQ model; fixed in the reference implementation.
pub const GROUP_NORM_EPS: f64 = 1e-6;

/// The language model (Llama).
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the gated MLP.
    pub intermediate: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Words of the vocabulary.
    pub vocab: usize,
    /// Steps that a row may have: the longest that the model was made for.
    pub positions: usize,
    /// Epsilon of every RMSNorm.
    pub rms_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Whether `lm_head` is the embedding table.
    pub tied: bool,
}

/// The understanding eye (SigLIP's tower) with its aligner.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Width.
    pub hidden: usize,
    /// Width inside the MLP.
    pub intermediate: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads.
    pub heads: usize,
    /// Colour channels.
    pub channels: usize,
    /// Pixels per side of a patch.
    pub patch: usize,
    /// Pixels per side of an image.
    pub image: usize,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: f64,
    /// Linear layers of the aligner.
    pub aligner_depth: usize,
}

impl VisionConfig {
    /// Patches of an image: the tokens that it takes in a judging prompt.
    pub fn tokens(&self) -> usize {
        (self.image / self.patch).pow(2)
    }
}

/// The image tokenizer (VQ) with the generation embedding, aligner and head.
#[derive(Clone, Debug, PartialEq)]
pub struct VqConfig {
    /// Width of a code.
    pub embed: usize,
    /// Codes.
    pub codes: usize,
    /// Channels between the codes and the convolutions.
    pub latent: usize,
    /// Tokens per side of an image.
    pub side: usize,
    /// Colour channels of an image to encode.
    pub in_channels: usize,
    /// Colour channels of a decoded image.
    pub out_channels: usize,
    /// Channels at multiplier 1.
    pub base: usize,
    /// Channel multipliers by level, from the full resolution down.
    pub multipliers: Vec<usize>,
    /// Residual blocks a level of the encoder; the decoder has one more.
    pub res_blocks: usize,
    /// Linear layers of the generation aligner.
    pub aligner_depth: usize,
}

impl VqConfig {
    /// Tokens of an image.
    pub fn tokens(&self) -> usize {
        self.side * self.side
    }

    /// Pixels per side of a decoded image.
    pub fn image(&self) -> usize {
        self.side << (self.multipliers.len() - 1)
    }
}

/// A Janus model's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who named its tensors.
    pub naming: Naming,
    /// The language model.
    pub text: TextConfig,
    /// The understanding eye.
    pub vision: VisionConfig,
    /// The image tokenizer.
    pub vq: VqConfig,
    /// `image_token_id`, where the file has it.
    pub image_token_id: Option<u32>,
}

/// What `generation_config.json` says of drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct GenerationDefaults {
    /// Guidance that the checkpoint was made for.
    pub guidance_scale: Option<f64>,
    /// Softmax temperature.
    pub temperature: Option<f64>,
}

impl Config {
    /// Reads and checks a checkpoint's `config.json`; the authors' leaves sizes to the tensors.
    ///
    /// # Errors
    /// When it is missing, does not parse, or has a value that this implementation cannot follow.
    pub fn read(source: &CheckpointSource) -> Result<Config> {
        let bytes = source.require(CONFIG)?;
        let file = source.file_name(CONFIG);
        let check = Check { file: &file };
        let json: Value = parse_json(&file, &bytes)?;
        match naming(&check, &json)? {
            Naming::HuggingFace => json::parse(&check, json),
            Naming::Original => {
                let weights = Weights::open(source, Naming::Original)?;
                original::parse(&check, json, &weights)
            }
        }
    }

    /// Parses a `config.json` of transformers; `file` is its name in messages.
    ///
    /// # Errors
    /// As [`Config::read`], and when it is one of the authors'.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Config> {
        let check = Check { file };
        let json: Value = parse_json(file, bytes)?;
        check.is("model_type", model_type(&json), HUGGING_FACE)?;
        json::parse(&check, json)
    }
}

fn model_type(json: &Value) -> &str {
    json["model_type"].as_str().unwrap_or("missing")
}

/// Whose names a checkpoint has.
fn naming(check: &Check, json: &Value) -> Result<Naming> {
    match model_type(json) {
        HUGGING_FACE => Ok(Naming::HuggingFace),
        ORIGINAL => Ok(Naming::Original),
        other => Err(check.error(
            "model_type",
            format!("`{other}`"),
            format!("`{HUGGING_FACE}`, or `{ORIGINAL}` as the authors have it"),
        )),
    }
}

impl GenerationDefaults {
    /// Reads a checkpoint's `generation_config.json`; without one nothing is said.
    ///
    /// # Errors
    /// When it does not parse or a value is out of range.
    pub fn read(source: &CheckpointSource) -> Result<GenerationDefaults> {
        let Some(bytes) = source.read(GENERATION_CONFIG)? else {
            return Ok(GenerationDefaults::default());
        };
        let file = source.file_name(GENERATION_CONFIG);
        let defaults: GenerationDefaults = parse_json(&file, &bytes)?;
        let check = Check { file: &file };
        // The range of guidance is that of a round's plan.
        for (field, value, largest) in [
            ("guidance_scale", defaults.guidance_scale, 100.0),
            ("temperature", defaults.temperature, 10.0),
        ] {
            if let Some(value) = value {
                let holds = (0.0..=largest).contains(&value);
                check.that(
                    field,
                    format!("{value:?}"),
                    holds,
                    &format!("a number from 0 to {largest}"),
                )?;
            }
        }
        Ok(defaults)
    }
}
