//! What may be typed of a made-up checkpoint.

use std::path::PathBuf;

use candle_core::DType;
use clap::{Args, ValueEnum};
use sc_model::Naming;
use sc_model::synth::{ModelSize, Synthesis};

#[derive(Debug, Args)]
pub struct SynthArguments {
    /// Whose sizes it has: janus-pro-1b, janus-pro-7b, or tiny, which is no published model.
    #[arg(value_enum, value_name = "MODEL", hide_possible_values = true)]
    pub size: SizeName,
    /// Folder of the checkpoint; must be absent or empty.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What weights are stored in: bf16, f16 or f32.
    #[arg(
        long,
        value_enum,
        value_name = "DTYPE",
        default_value = "bf16",
        hide_possible_values = true
    )]
    pub dtype: StoredDtype,
    /// How files and tensors are named: hf (as transformers has them) or original (as the authors
    /// do).
    #[arg(
        long,
        value_enum,
        value_name = "LAYOUT",
        default_value = "hf",
        hide_possible_values = true
    )]
    pub layout: Layout,
    /// Seed of the weights.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl SynthArguments {
    /// What is to be made.
    pub fn synthesis(&self) -> Synthesis {
        Synthesis {
            size: match self.size {
                SizeName::Tiny => ModelSize::Tiny,
                SizeName::JanusPro1B => ModelSize::JanusPro1B,
                SizeName::JanusPro7B => ModelSize::JanusPro7B,
            },
            dtype: match self.dtype {
                StoredDtype::BF16 => DType::BF16,
                StoredDtype::F16 => DType::F16,
                StoredDtype::F32 => DType::F32,
            },
            seed: self.seed,
            layout: match self.layout {
                Layout::HuggingFace => Naming::HuggingFace,
                Layout::Original => Naming::Original,
            },
        }
    }
}

/// A model's sizes by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SizeName {
    /// deepseek-ai/Janus-Pro-1B.
    #[value(name = "janus-pro-1b")]
    JanusPro1B,
    /// deepseek-ai/Janus-Pro-7B.
    #[value(name = "janus-pro-7b")]
    JanusPro7B,
    /// A small model for tests.
    Tiny,
}

/// What weights are stored in, by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StoredDtype {
    /// Brain floating point.
    #[value(name = "bf16")]
    BF16,
    /// Half precision.
    F16,
    /// Single precision.
    F32,
}

/// A layout by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Layout {
    /// transformers'.
    #[value(name = "hf")]
    HuggingFace,
    /// The authors'.
    Original,
}
