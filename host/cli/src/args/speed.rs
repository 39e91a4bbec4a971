//! What may be typed to see how long a model takes.

use std::path::PathBuf;

use clap::Args;

use super::{Guidance, LoadArguments, TrainArguments};

#[derive(Debug, Args)]
pub struct SpeedArguments {
    /// Checkpoint folder, or a model of the hub: ORG/NAME or
    /// ORG/NAME@REVISION [default: the tiny model that comes with the program].
    #[arg(value_name = "DIR|ORG/NAME")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub load: LoadArguments,
    /// Images that are drawn at a time.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        allow_negative_numbers = true
    )]
    pub images: usize,
    /// Tokens that are drawn of each image, after its first [default: 32, or all that there are].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub tokens: Option<usize>,
    #[command(flatten)]
    pub guidance: Guidance,
    /// Only draws: nothing is decoded or judged.
    #[arg(long, conflicts_with = "step")]
    pub only_drawing: bool,
    /// Takes one step of DPO on one pair as well: see `--train`, which it needs.
    #[arg(long, requires = "train")]
    pub step: bool,
    #[command(flatten)]
    pub train: TrainArguments,
    /// Print one JSON object a measurement.
    #[arg(long)]
    pub json: bool,
}
