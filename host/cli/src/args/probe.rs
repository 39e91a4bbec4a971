//! What may be typed after `sc-host probe`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum ProbeCommand {
    /// Measure whether the gradients of drawing and judging pull the same way, layer by layer.
    Dynamics(DynamicsArguments),
    /// Open a page on this machine to label a run's images, for `sc-host run --probe`.
    Label(LabelArguments),
}

#[derive(Debug, Args)]
pub struct LabelArguments {
    /// A run directory: the images are those that its first model drew.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Where the labels go; what is in it already is kept and not asked again
    /// [default: RUN/probe.jsonl].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Images to label, half of them accepted by the model.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        allow_negative_numbers = true
    )]
    pub images: u32,
    /// Port on the loopback address; 0: a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// Print one JSON object when the page is there, and one at the end.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DynamicsArguments {
    /// A run directory: measures the model that it began with and the last that it kept.
    #[arg(value_name = "RUN", required_unless_present = "model")]
    pub run: Option<PathBuf>,
    /// A checkpoint folder, or ORG/NAME or ORG/NAME@REVISION of the hub, in the
    /// place of a run.
    #[arg(long, value_name = "DIR|ORG/NAME", conflicts_with = "run")]
    pub model: Option<PathBuf>,
    /// Accepted images, and labelled images, that the losses are computed on.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 256,
        allow_negative_numbers = true
    )]
    pub examples: u32,
    /// Seed of every random stream [default: the run's, or 0].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// The plot, as SVG [default: RUN/dynamics.svg, or dynamics.svg].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
