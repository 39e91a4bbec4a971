//! What may be typed after `sc-host debug`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum DebugCommand {
    /// Write an image file as the model sees it: decoded, upright, fitted into a grey square.
    Preprocess(PreprocessArguments),
    /// Read the verdicts in judges' answers: objects with a text `answer` on standard input, one a
    /// line; for each a line {"verdict":1|0|null} on standard output, at once and in order. Blank
    /// lines do not count. The first line that is no such object ends it.
    ParseAnswer,
    /// Show what a prompt comes to: the text and the tokens that the model is given to draw it, and
    /// to judge an image by it.
    Prompt(PromptArguments),
}

#[derive(Debug, Args)]
pub struct PromptArguments {
    /// What to draw.
    #[arg(value_name = "PROMPT")]
    pub prompt: String,
    /// A checkpoint folder, or a model of the Hugging Face Hub; without it the tiny model.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// A file with another judging question, which has one `{prompt}` in it.
    #[arg(long, value_name = "FILE")]
    pub question: Option<PathBuf>,
    /// Print one JSON object, with the tokens' ids.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PreprocessArguments {
    /// A PNG, JPEG or WebP file.
    #[arg(value_name = "IN")]
    pub image: PathBuf,
    /// The square, as PNG; must not be there yet.
    #[arg(value_name = "OUT.png")]
    pub out: PathBuf,
    /// Side of the square in pixels, 14 to 4096; 384 for Janus-Pro.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub size: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
