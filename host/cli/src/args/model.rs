//! What may be typed of a model: how it is loaded, and how it is trained.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sc_model::{LoraSettings, Precision};
use serde::{Deserialize, Serialize};

/// How a checkpoint is loaded.
#[derive(Clone, Debug, Default, Args)]
pub struct LoadArguments {
    /// A LoRA adapter in PEFT's layout, put on the model.
    #[arg(long, value_name = "ADIR")]
    pub adapter: Option<PathBuf>,
    /// What weights are held and multiplied in: auto (f32 for small models, as stored for large
    /// ones), f32, bf16 or f16; the vision tower and the image tokenizer are always in f32
    /// [default: auto].
    #[arg(long, value_enum, value_name = "DTYPE", hide_possible_values = true)]
    pub dtype: Option<DtypeName>,
    /// A file with another judging question: a text with `{prompt}` where the prompt goes.
    #[arg(long, value_name = "FILE")]
    pub question: Option<PathBuf>,
    /// Where to compute: cpu, cuda or cuda:N [default: cpu].
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
}

/// What weights are held in, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtypeName {
    /// f32 for small models, as stored for large ones.
    #[default]
    Auto,
    /// Single precision.
    F32,
    /// Brain floating point.
    BF16,
    /// Half precision.
    F16,
}

impl From<DtypeName> for Precision {
    fn from(name: DtypeName) -> Precision {
        match name {
            DtypeName::Auto => Precision::Auto,
            DtypeName::F32 => Precision::F32,
            DtypeName::BF16 => Precision::BF16,
            DtypeName::F16 => Precision::F16,
        }
    }
}

/// What of a model is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Train {
    /// The weights of the generation path themselves.
    #[default]
    Full,
    /// A low-rank adapter on some of them.
    Lora,
}

/// How a model is trained: whole, or by an adapter of some form.
#[derive(Debug, Default, Args)]
pub struct TrainArguments {
    /// What is trained: full (the weights of the generation path) or lora (a low-rank adapter; all
    /// other weights stay) [default: full].
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true)]
    pub train: Option<Train>,
    /// Rank of the adapter [default: 16].
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub lora_rank: Option<usize>,
    /// Scale of what the adapter adds, before it is divided by its rank [default: 32].
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub lora_alpha: Option<f64>,
    /// Divide by the root of the rank instead (rsLoRA).
    #[arg(long)]
    pub rslora: bool,
    /// Probability that a step leaves out one of the adapter's inputs [default: 0].
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    pub lora_dropout: Option<f64>,
    /// Which linear layers are adapted: a regular expression of whole module names [default: all of
    /// the language model's blocks].
    #[arg(long, value_name = "PATTERN")]
    pub lora_targets: Option<String>,
}

impl TrainArguments {
    /// Puts what was typed in the place of what the settings hold.
    pub fn apply(&self, train: &mut Train, lora: &mut LoraSettings) {
        *train = self.train.unwrap_or(*train);
        lora.rank = self.lora_rank.unwrap_or(lora.rank);
        lora.alpha = self.lora_alpha.unwrap_or(lora.alpha);
        lora.rslora |= self.rslora;
        lora.dropout = self.lora_dropout.unwrap_or(lora.dropout);
        if let Some(targets) = &self.lora_targets {
            lora.targets.clone_from(targets);
        }
    }

    /// The adapter that was typed, the defaults for what was not.
    pub fn lora(&self) -> LoraSettings {
        let mut lora = LoraSettings::default();
        self.apply(&mut Train::default(), &mut lora);
        lora
    }

    /// An option that only an adapter has, if one was typed.
    pub fn of_adapter(&self) -> Option<&'static str> {
        [
            ("--lora-rank", self.lora_rank.is_some()),
            ("--lora-alpha", self.lora_alpha.is_some()),
            ("--rslora", self.rslora),
            ("--lora-dropout", self.lora_dropout.is_some()),
            ("--lora-targets", self.lora_targets.is_some()),
        ]
        .into_iter()
        .find_map(|(option, typed)| typed.then_some(option))
    }
}
