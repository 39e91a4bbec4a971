//! What may be typed of the method: losses and their options.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use sc_core::choice::Objective;
use sc_run::settings::RunSettings;
use sc_train::loss::{LossSettings, TokenWeights, catalogue};

#[derive(Debug, Subcommand)]
pub enum LossCommand {
    /// Print every loss with its formula, options, defaults and source.
    List(LossListArguments),
    /// Compute a loss of given log-probabilities, to hold it against another trainer.
    Eval(LossEvalArguments),
}

#[derive(Debug, Args)]
pub struct LossListArguments {
    /// Print one JSON array.
    #[arg(long)]
    pub json: bool,
}

/// Reads one JSON object on standard input: `chosen_logps`, `rejected_logps`, `ref_chosen_logps`,
/// `ref_rejected_logps` (lists of log-probabilities of whole images), `len` (tokens an image) and,
/// if `--beta` is not given, `beta`. Of KTO the chosen images come first, then the rejected ones.
#[derive(Debug, Args)]
pub struct LossEvalArguments {
    /// The loss.
    #[arg(long, value_parser = objective())]
    pub objective: Objective,
    #[command(flatten)]
    pub options: LossOptions,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// The options of losses; those that a loss does not have are ignored by it.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct LossOptions {
    /// β, the scale of the rewards [default: by the loss, see `sc-host loss list`].
    #[arg(long, value_name = "B", allow_hyphen_values = true)]
    pub beta: Option<f64>,
    /// ε, the share of labels that sigmoid and robust take to be flipped.
    #[arg(long, value_name = "E", allow_hyphen_values = true)]
    pub label_smoothing: Option<f64>,
    /// γ, the margin that simpo asks for.
    #[arg(long, value_name = "G", allow_hyphen_values = true)]
    pub gamma: Option<f64>,
    /// Whether ipo and simpo divide log-probabilities by the number of tokens.
    #[arg(long, value_name = "BOOL")]
    pub length_normalised: Option<bool>,
    /// Factor on the NLL of the images to imitate that a preference loss adds.
    #[arg(long, value_name = "A", allow_hyphen_values = true)]
    pub nll_weight: Option<f64>,
    /// kto: factor on images to imitate.
    #[arg(long, value_name = "W", allow_hyphen_values = true)]
    pub desirable_weight: Option<f64>,
    /// kto: factor on images to avoid.
    #[arg(long, value_name = "W", allow_hyphen_values = true)]
    pub undesirable_weight: Option<f64>,
}

impl LossOptions {
    /// Puts what was typed in the place of what the settings hold.
    pub fn apply(&self, settings: &mut LossSettings) {
        let numbers = [
            (&mut settings.beta, self.beta),
            (&mut settings.label_smoothing, self.label_smoothing),
            (&mut settings.gamma, self.gamma),
            (&mut settings.nll_weight, self.nll_weight),
            (&mut settings.desirable_weight, self.desirable_weight),
            (&mut settings.undesirable_weight, self.undesirable_weight),
        ];
        for (setting, given) in numbers {
            *setting = given.or(*setting);
        }
        settings.length_normalised = self.length_normalised.or(settings.length_normalised);
    }
}

/// How a run trains.
#[derive(Debug, Default, Args)]
pub struct MethodArguments {
    /// What the generation branch is trained with, unless the curriculum decides otherwise
    /// [default: sft].
    #[arg(long, value_parser = objective())]
    pub objective: Option<Objective>,
    #[command(flatten)]
    pub loss: LossOptions,
    /// Which image tokens count how much: uniform, or rare (rare codes more) [default: uniform].
    #[arg(long, value_parser = token_weights())]
    pub token_weights: Option<TokenWeights>,
    /// Most gradient steps a round [default: 400].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max_steps: Option<usize>,
}

impl MethodArguments {
    /// Puts what was typed in the place of what the settings hold.
    pub fn apply(&self, settings: &mut RunSettings) {
        let training = &mut settings.training;
        self.loss.apply(&mut training.loss);
        let weights = &mut training.loss.token_weights;
        *weights = self.token_weights.unwrap_or(*weights);
        training.max_steps = self.max_steps.unwrap_or(training.max_steps);
    }
}

/// An objective by its name, with what each is for as help.
fn objective() -> impl TypedValueParser<Value = Objective> {
    let names = catalogue::all().into_iter().map(|loss| {
        PossibleValue::new(loss.name)
            .aliases(loss.aliases)
            .help(loss.summary)
    });
    PossibleValuesParser::new(names).try_map(|name| {
        Objective::from_name(&name).ok_or_else(|| format!("there is no objective `{name}`"))
    })
}

fn token_weights() -> impl TypedValueParser<Value = TokenWeights> {
    PossibleValuesParser::new(["uniform", "rare"]).map(|name| match &*name {
        "rare" => TokenWeights::Rare,
        _ => TokenWeights::Uniform,
    })
}
