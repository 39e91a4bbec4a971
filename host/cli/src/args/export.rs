//! What may be typed of a model that is written out.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::LoadArguments;

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// A run directory, whose model it is, a checkpoint or adapter folder, or ORG/NAME of the hub.
    #[arg(value_name = "RUN|DIR|ORG/NAME")]
    pub model: PathBuf,
    /// peft (the adapter alone), hf or original (the model whole, its adapter merged, in
    /// transformers' or the authors' layout).
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub format: Format,
    /// Folder to write to; must be absent or empty.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    #[command(flatten)]
    pub load: LoadArguments,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What a model is written out as.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// The adapter alone.
    Peft,
    /// transformers' layout.
    #[value(name = "hf")]
    HuggingFace,
    /// The authors' layout.
    Original,
}
