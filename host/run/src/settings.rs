//! The settings of a run, resolved: every default filled in, every value checked.

use sc_core::choice::{Objective, Takes};
use sc_core::plan::{PlanBounds, PlanDefaults, Sampling};
use sc_core::validate::LOWEST_TEMPERATURE;
use sc_train::loss::LossSettings;
use sc_train::{AdamWConfig, TrainSettings};
use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::supervision::Supervision;

/// Most images of one prompt that are drawn at a time, by any command.
pub const MOST_IMAGES_PER_PROMPT: u64 = 1_000;
/// Most held-out prompts that a model is evaluated on.
pub const MOST_EVALUATED: u32 = 100_000;
/// Most gradient steps of a round.
const MOST_STEPS: usize = 1_000_000;
/// Most images that are drawn at a time, by any command.
pub const MOST_IMAGES: u64 = 1_000_000;

/// In which form a run goes: the same strategies decide in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Rounds: each draws for some prompts with the model as it is then, trains on them, and is kept
    /// or not.
    #[default]
    Online,
    /// The paper's own form, as one long round: N images for every training prompt, drawn once, and
    /// many passes over those that were accepted; before which of them the prompts without an
    /// accepted image are drawn for again, with the model as it is then, the curriculum says.
    Static,
}

impl Scheme {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Online => "online",
            Scheme::Static => "static",
        }
    }
}

/// Whose weights are brought back part of the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterpolateAt {
    /// The run's: those of its end, from those that it began with.
    #[default]
    Run,
    /// Each round's, before it is measured and the gate decides.
    Round,
}

/// All that decides what a run does, beside model, task and strategies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// Seed of every random stream.
    pub seed: u64,
    /// In which form it goes.
    pub scheme: Scheme,
    /// Most rounds.
    pub rounds: u32,
    /// What to train with, unless the curriculum decides otherwise.
    pub objective: Objective,
    /// Prompts that a round draws for, unless the curriculum decides otherwise.
    pub prompts_per_round: u32,
    /// Images a prompt, unless the curriculum decides otherwise.
    pub images_per_prompt: u32,
    /// Passes over a round's examples, unless the curriculum decides otherwise.
    pub epochs: u32,
    /// Passes after which a checkpoint is made in the middle of a round; 0: only between rounds.
    pub checkpoint_passes: u32,
    /// Keeps the weights this part of the way from where they were to where training brought them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpolate: Option<f64>,
    /// When that is done.
    pub interpolate_at: InterpolateAt,
    /// How to draw; the curriculum may draw its rounds otherwise, evaluation never.
    pub sampling: Sampling,
    /// What is measured.
    pub evaluation: EvaluationSettings,
    /// How examples are trained on.
    pub training: TrainSettings,
    /// Who judges, and what is changed about the supervision on purpose.
    pub supervision: Supervision,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSettings {
    /// Own images drawn before and after the run.
    pub prompts: u32,
    /// Own images drawn before and after each round.
    pub round_prompts: u32,
    /// Labelled images judged, each time; needs an oracle.
    pub labelled: u32,
    /// Images of the model that the run begins with, which it and the last model judge; needs an
    /// oracle.
    pub fixed: u32,
}

impl RunSettings {
    /// The defaults for an objective, under a scheme, where there are `table` training prompts.
    pub fn defaults(objective: Objective, scheme: Scheme, table: u32) -> RunSettings {
        let training = TrainSettings {
            batch_size: 64,
            learning_rate: 6e-4,
            warmup: 0.05,
            max_steps: 400,
            loss: LossSettings::default(),
            caption_dropout: 0.1,
            optimizer: AdamWConfig::default(),
        };
        let online = RunSettings {
            seed: 0,
            scheme,
            rounds: 3,
            objective,
            prompts_per_round: 600,
            images_per_prompt: 5,
            epochs: 9,
            checkpoint_passes: 0,
            interpolate: None,
            interpolate_at: InterpolateAt::Run,
            sampling: Sampling::default(),
            evaluation: EvaluationSettings {
                prompts: 1000,
                round_prompts: 400,
                labelled: 1000,
                fixed: 3000,
            },
            training,
            supervision: Supervision::default(),
        };
        match scheme {
            Scheme::Online => online,
            // The paper's: N = 10, 20 passes of SFT, 30 of what takes rejected images as well.
            Scheme::Static => RunSettings {
                rounds: 1,
                prompts_per_round: table,
                images_per_prompt: 10,
                epochs: match objective.takes() {
                    Takes::Targets => 20,
                    Takes::LabelledTargets | Takes::Pairs => 30,
                },
                checkpoint_passes: 1,
                training: TrainSettings {
                    max_steps: MOST_STEPS,
                    ..training
                },
                ..online
            },
        }
    }

    /// How far each round goes, if it is to be brought back part of the way.
    pub fn interpolation_of_rounds(&self) -> Option<f64> {
        let at_rounds = self.interpolate_at == InterpolateAt::Round;
        self.interpolate.filter(|_| at_rounds)
    }

    /// The same for the run as a whole.
    pub fn interpolation_of_run(&self) -> Option<f64> {
        let at_end = self.interpolate_at == InterpolateAt::Run;
        self.interpolate.filter(|_| at_end)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Names the first setting that cannot be used.
    pub fn check(&self) -> Result<(), RunError> {
        let counts = [
            ("rounds", u64::from(self.rounds), 10_000),
            (
                "prompts_per_round",
                u64::from(self.prompts_per_round),
                100_000,
            ),
            (
                "images_per_prompt",
                u64::from(self.images_per_prompt),
                MOST_IMAGES_PER_PROMPT,
            ),
            ("images a round", self.images_per_round(), MOST_IMAGES),
            ("epochs", u64::from(self.epochs), 1_000),
            (
                "evaluation.prompts",
                u64::from(self.evaluation.prompts),
                MOST_EVALUATED.into(),
            ),
            (
                "evaluation.round_prompts",
                u64::from(self.evaluation.round_prompts),
                MOST_EVALUATED.into(),
            ),
            (
                "evaluation.labelled",
                u64::from(self.evaluation.labelled),
                MOST_EVALUATED.into(),
            ),
            (
                "evaluation.fixed",
                u64::from(self.evaluation.fixed),
                MOST_EVALUATED.into(),
            ),
            (
                "training.batch_size",
                self.training.batch_size as u64,
                100_000,
            ),
            (
                "training.max_steps",
                self.training.max_steps as u64,
                MOST_STEPS as u64,
            ),
        ];
        for (field, value, most) in counts {
            if !(1..=most).contains(&value) {
                return Err(unfit(field, value, &format!("1 to {most}")));
            }
        }
        let optimizer = &self.training.optimizer;
        let finite = [
            ("guidance", self.sampling.guidance, 0.0..=100.0),
            (
                "temperature",
                self.sampling.temperature,
                // 0 is greedy; what is almost 0 would make the logits infinite.
                if self.sampling.temperature == 0.0 {
                    0.0..=0.0
                } else {
                    LOWEST_TEMPERATURE..=10.0
                },
            ),
            (
                "training.learning_rate",
                self.training.learning_rate,
                0.0..=1.0,
            ),
            ("training.warmup", self.training.warmup, 0.0..=1.0),
            (
                "training.caption_dropout",
                self.training.caption_dropout,
                0.0..=1.0,
            ),
            ("training.optimizer.beta1", optimizer.beta1, 0.0..=0.9999),
            ("training.optimizer.beta2", optimizer.beta2, 0.0..=0.999_999),
            ("training.optimizer.epsilon", optimizer.epsilon, 1e-16..=1.0),
            (
                "training.optimizer.weight_decay",
                optimizer.weight_decay,
                0.0..=10.0,
            ),
            (
                "training.optimizer.max_gradient_norm",
                optimizer.max_gradient_norm,
                1e-6..=1e6,
            ),
        ];
        let finite = finite.map(|(field, value, range)| (field.to_owned(), value, range));
        let of_loss = self.training.loss.numbers().into_iter();
        let of_loss = of_loss.filter_map(|(name, value, range)| {
            Some((format!("training.loss.{name}"), value?, range))
        });
        for (field, value, range) in finite.into_iter().chain(of_loss) {
            if !range.contains(&value) {
                let expected = format!("a number from {} to {}", range.start(), range.end());
                return Err(unfit(&field, number(value), &expected));
            }
        }
        if let Some(part) = self.interpolate.filter(|part| !(0.0..=1.0).contains(part)) {
            return Err(unfit("interpolate", number(part), "a number from 0 to 1"));
        }
        if self.scheme == Scheme::Static && self.rounds != 1 {
            let expected = "1, as the static scheme is one long round";
            return Err(unfit("rounds", self.rounds, expected));
        }
        self.check_supervision()
    }

    fn check_supervision(&self) -> Result<(), RunError> {
        let perturb = &self.supervision.perturb;
        perturb.check()?;
        let takes = self.objective.takes();
        let fits = [
            (
                "swapped-pairs",
                perturb.swapped_pairs.is_some(),
                Takes::Pairs,
            ),
            ("sft-on-rejected", perturb.sft_on_rejected, Takes::Targets),
        ];
        for (name, asked, wants) in fits {
            if asked && takes != wants {
                let objective = self.objective;
                return Err(unfit(
                    "perturb",
                    name,
                    &format!("an objective that takes {wants}; {objective} takes {takes}"),
                ));
            }
        }
        Ok(())
    }

    fn images_per_round(&self) -> u64 {
        u64::from(self.prompts_per_round) * u64::from(self.images_per_prompt)
    }

    /// What a curriculum is told that the run would do by itself.
    pub fn plan_defaults(&self) -> PlanDefaults {
        PlanDefaults {
            prompts: self.prompts_per_round,
            images_per_prompt: self.images_per_prompt,
            sampling: self.sampling,
            objective: self.objective,
            epochs: self.epochs,
        }
    }

    /// What a plan must stay within: four times what the settings ask for.
    pub fn plan_bounds(&self, prompt_count: u32) -> PlanBounds {
        let images = self
            .prompts_per_round
            .saturating_mul(self.images_per_prompt);
        PlanBounds {
            prompt_count,
            max_images: images.saturating_mul(4),
            max_epochs: self.epochs.saturating_mul(4),
        }
    }
}

/// A number as short as it is typed.
fn number(value: f64) -> String {
    if value.is_finite() && value.abs() >= 1e9 {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

fn unfit(field: &str, value: impl ToString, expected: &str) -> RunError {
    RunError::Setting {
        field: field.to_owned(),
        value: value.to_string(),
        expected: expected.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_setting_that_cannot_be_used() {
        let check = |change: fn(&mut RunSettings)| {
            let mut settings = RunSettings::defaults(Objective::Sigmoid, Scheme::Online, 5000);
            change(&mut settings);
            settings.check().map_err(|error| error.to_string())
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(
            check(|settings| settings.rounds = 0),
            Err("`rounds` is 0; expected 1 to 10000".to_owned())
        );
        assert_eq!(
            check(|settings| settings.sampling.guidance = f64::NAN),
            Err("`guidance` is NaN; expected a number from 0 to 100".to_owned())
        );
        assert_eq!(
            check(|settings| settings.images_per_prompt = u32::MAX),
            Err("`images_per_prompt` is 4294967295; expected 1 to 1000".to_owned())
        );
        assert_eq!(
            check(|settings| settings.sampling.guidance = 1e300),
            Err("`guidance` is 1e300; expected a number from 0 to 100".to_owned())
        );
        assert_eq!(
            check(|settings| settings.evaluation.labelled = u32::MAX),
            Err("`evaluation.labelled` is 4294967295; expected 1 to 100000".to_owned())
        );
        assert_eq!(
            check(|settings| settings.supervision.perturb.sft_on_rejected = true),
            Err(
                "`perturb` is sft-on-rejected; expected an objective that takes targets; sigmoid \
                 takes pairs"
                    .to_owned()
            )
        );
        assert_eq!(
            check(|settings| settings.scheme = Scheme::Static),
            Err("`rounds` is 3; expected 1, as the static scheme is one long round".to_owned())
        );
        assert_eq!(
            check(|settings| settings.training.optimizer.max_gradient_norm = -1.0),
            Err(
                "`training.optimizer.max_gradient_norm` is -1; expected a number from 0.000001 to \
                 1000000"
                    .to_owned()
            )
        );
    }
}
