//! What may be typed of the method: scheme, losses and their options, judges, perturbations.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use sc_core::choice::Objective;
use sc_run::RunError;
use sc_run::judge::JudgeName;
use sc_run::settings::{InterpolateAt, RunSettings, Scheme};
use sc_run::supervision::{Control, Perturbations};
use sc_train::loss::{LossSettings, TokenWeights, catalogue};

#[derive(Debug, Subcommand)]
pub enum LossCommand {
    /// Print every loss with its formula, options, defaults and source.
    List(LossListArguments),
    /// Compute a loss of given log-probabilities, to hold it against another trainer.
    ///
    /// Reads one JSON object on standard input: `chosen_logps`, `rejected_logps`, `ref_chosen_logps`,
    /// `ref_rejected_logps` (lists of log-probabilities of whole images), `len` (tokens an image) and,
    /// for where `--beta` is not given, `beta`. Of KTO the chosen images come first, then the rejected
    /// ones. The NLL term, which needs the tokens, is left out.
    Eval(LossEvalArguments),
}

#[derive(Debug, Args)]
pub struct LossListArguments {
    /// Print one JSON array.
    #[arg(long)]
    pub json: bool,
}

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

/// The options of losses.
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
    /// The first option that was typed though `objective` has none of that name.
    pub fn unused(&self, objective: Objective) -> Option<&'static str> {
        let typed = [
            ("beta", self.beta.is_some()),
            ("label-smoothing", self.label_smoothing.is_some()),
            ("gamma", self.gamma.is_some()),
            ("length-normalised", self.length_normalised.is_some()),
            ("nll-weight", self.nll_weight.is_some()),
            ("desirable-weight", self.desirable_weight.is_some()),
            ("undesirable-weight", self.undesirable_weight.is_some()),
        ];
        let has = catalogue::about(objective).options;
        let unused = |name: &str| has.iter().all(|option| option.name != name);
        let mut typed = typed.into_iter().filter(|(_, typed)| *typed);
        typed.find(|(name, _)| unused(name)).map(|(name, _)| name)
    }

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

/// A control arm, or none.
#[derive(Clone, Copy, Debug)]
pub struct ChosenControl(Option<Control>);

/// How a run goes, who judges, and what it trains with.
#[derive(Debug, Default, Args)]
pub struct MethodArguments {
    /// In which form the run goes: rounds (online), or the paper's one long round (static), in which
    /// N images are drawn once for every training prompt [default: online].
    #[arg(long, value_parser = scheme())]
    pub scheme: Option<Scheme>,
    /// What the generation branch is trained with, unless the curriculum decides otherwise
    /// [default: sft].
    #[arg(long, value_parser = objective())]
    pub objective: Option<Objective>,
    #[command(flatten)]
    pub loss: LossOptions,
    /// Which image tokens count how much: uniform, or rare (rare codes more) [default: uniform].
    #[arg(long, value_parser = token_weights())]
    pub token_weights: Option<TokenWeights>,
    /// Most gradient steps a round [default: 400; static: no limit].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max_steps: Option<usize>,
    /// Who judges the images that are to be trained on [default: margin].
    #[arg(long, value_parser = judge())]
    pub judge: Option<JudgeName>,
    /// Makes the supervision poor on purpose: swapped-pairs=SHARE, sft-on-rejected, random-verdicts,
    /// inverted or permissive=STEPS; or none, as it would be by itself. May be given several times.
    #[arg(long, value_name = "WHAT")]
    pub perturb: Vec<String>,
    /// A control arm.
    #[arg(long, value_parser = control())]
    pub control: Option<ChosenControl>,
    /// Keeps the weights this part of the way from where they began to where training brought them.
    #[arg(long, value_name = "A", allow_hyphen_values = true)]
    pub interpolate: Option<f64>,
    /// At the end of the run, or of each round before it is measured [default: run].
    #[arg(long, value_parser = interpolate_at(), requires = "interpolate")]
    pub interpolate_at: Option<InterpolateAt>,
    /// Passes after which a checkpoint is made in the middle of a round, to go on from; 0: only
    /// between rounds [default: 0; static: 1].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub checkpoint_passes: Option<u32>,
    /// Images of the model that the run begins with, on which judging before and after is compared
    /// [default: 3000, or three times what --evaluate says].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub fixed_images: Option<u32>,
}

impl MethodArguments {
    /// Puts what was typed in the place of what the settings hold.
    ///
    /// # Errors
    /// When a perturbation is unknown or has an unfit value.
    pub fn apply(&self, settings: &mut RunSettings) -> Result<(), RunError> {
        let training = &mut settings.training;
        self.loss.apply(&mut training.loss);
        let weights = &mut training.loss.token_weights;
        *weights = self.token_weights.unwrap_or(*weights);
        training.max_steps = self.max_steps.unwrap_or(training.max_steps);
        let supervision = &mut settings.supervision;
        supervision.judge = self.judge.unwrap_or(supervision.judge);
        if let Some(ChosenControl(control)) = self.control {
            supervision.control = control;
        }
        settings.interpolate = self.interpolate.or(settings.interpolate);
        settings.interpolate_at = self.interpolate_at.unwrap_or(settings.interpolate_at);
        let passes = &mut settings.checkpoint_passes;
        *passes = self.checkpoint_passes.unwrap_or(*passes);
        let fixed = &mut settings.evaluation.fixed;
        *fixed = self.fixed_images.unwrap_or(*fixed);
        let perturb = &mut settings.supervision.perturb;
        for text in &self.perturb {
            if text == "none" {
                *perturb = Perturbations::default();
            } else {
                perturb.add(text)?;
            }
        }
        Ok(())
    }
}

/// One of a few values by its name, each with a sentence of help.
fn named<T: Copy + Send + Sync + 'static>(
    values: Vec<(&'static str, &'static str, T)>,
) -> impl TypedValueParser<Value = T> {
    let possible = values
        .iter()
        .map(|(name, help, _)| PossibleValue::new(*name).help(*help))
        .collect::<Vec<_>>();
    PossibleValuesParser::new(possible).try_map(move |given| {
        let found = values.iter().find(|(name, _, _)| *name == given);
        let value = found.map(|(_, _, value)| *value);
        value.ok_or_else(|| format!("there is no `{given}`"))
    })
}

fn scheme() -> impl TypedValueParser<Value = Scheme> {
    named(vec![
        (
            Scheme::Online.name(),
            "Rounds: draw, judge, train, gate, and again with the model as it is then.",
            Scheme::Online,
        ),
        (
            Scheme::Static.name(),
            "The paper's: draw once for every prompt, many passes, redraw what had failed.",
            Scheme::Static,
        ),
    ])
}

pub(super) fn judge() -> impl TypedValueParser<Value = JudgeName> {
    let all = JudgeName::ALL.into_iter();
    named(
        all.map(|judge| (judge.name(), judge.summary(), judge))
            .collect(),
    )
}

fn control() -> impl TypedValueParser<Value = ChosenControl> {
    let all = Control::ALL.into_iter();
    let all = all.map(|one| (one.name(), one.summary(), ChosenControl(Some(one))));
    let none = ("none", "No control arm.", ChosenControl(None));
    named(all.chain([none]).collect())
}

fn interpolate_at() -> impl TypedValueParser<Value = InterpolateAt> {
    named(vec![
        ("run", "Once, at the end of the run.", InterpolateAt::Run),
        ("round", "At the end of each round.", InterpolateAt::Round),
    ])
}

fn token_weights() -> impl TypedValueParser<Value = TokenWeights> {
    named(vec![
        ("uniform", "All alike.", TokenWeights::Uniform),
        (
            "rare",
            "By one over the root of how often a code comes.",
            TokenWeights::Rare,
        ),
    ])
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
