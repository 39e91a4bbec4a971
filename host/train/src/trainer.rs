//! A round's examples through the loss and the optimizer.

use std::ops::Range;

use candle_core::{DType, Tensor, Var};
use rand::Rng;
use rand::seq::SliceRandom;
use sc_core::rng;
use sc_model::{Parameters, UnifiedModel};
use serde::{Deserialize, Serialize};

use crate::adamw::{AdamW, AdamWConfig, AdamWState};
use crate::error::TrainError;
use crate::examples::{Examples, Pair, Reference, ReferenceSums, Target};
use crate::loss::{self, PairLogProbs};
use crate::schedule::Schedule;

/// How examples are trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Examples a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of a round's steps that warm up.
    pub warmup: f64,
    /// Most steps a round, whatever the number of examples and epochs.
    pub max_steps: usize,
    /// DPO's β.
    pub beta: f64,
    /// Factor on the mean-token NLL of the chosen image that is added to DPO's loss.
    pub nll_weight: f64,
    /// SFT: probability that a caption is replaced by padding, so that guidance keeps working.
    pub caption_dropout: f64,
    /// The optimizer.
    pub optimizer: AdamWConfig,
}

/// One step, as it is reported while training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// The step of the round, from 1.
    pub step: usize,
    /// Steps in the round.
    pub steps: usize,
    /// The batch's loss.
    pub loss: f64,
    /// The gradient's global norm before clipping.
    pub gradient_norm: f64,
}

/// What training a round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Steps taken.
    pub steps: usize,
    /// Examples in the round.
    pub examples: usize,
    /// Image tokens that passed through the policy with a gradient.
    pub tokens: u64,
    /// Mean loss over the first tenth of the steps.
    pub loss_first: f64,
    /// Mean loss over the last tenth of the steps.
    pub loss_last: f64,
    /// DPO: share of the last tenth's pairs whose margin is above 0; `None` under SFT.
    pub preference_accuracy: Option<f64>,
}

/// One round of training: where in the run it stands, on which its randomness hangs, and how long
/// and how fast it goes.
#[derive(Clone, Copy, Debug)]
pub struct TrainRound {
    /// The run's seed.
    pub seed: u64,
    /// The round, from 1.
    pub round: u32,
    /// Passes over the examples.
    pub epochs: u32,
    /// Factor on the settings' learning rate.
    pub learning_rate_scale: f64,
}

/// Trains the generation path of one model; keeps the optimizer over rounds.
pub struct Trainer {
    optimizer: AdamW,
    settings: TrainSettings,
}

/// The weights that self-improvement trains, by name: the blocks and final norm of the language
/// model, the generation aligner and the generation head. The text embeddings stay: they are the
/// words that the judge reads.
pub fn generation_path(parameters: &Parameters) -> Vec<(String, Var)> {
    const PREFIXES: [&str; 4] = [
        "model.language_model.layers.",
        "model.language_model.norm.",
        "model.generation_aligner.",
        "model.generation_head.",
    ];
    parameters
        .iter()
        .filter(|(name, _, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, _, var)| (name.to_owned(), var.clone()))
        .collect()
}

/// The examples with all that is fixed over a round.
enum Objective<'a> {
    Imitate {
        targets: &'a [Target],
        weights: Vec<f64>,
    },
    Prefer {
        pairs: &'a [Pair],
        weights: Vec<f64>,
        reference: &'a ReferenceSums,
    },
}

struct BatchLoss {
    loss: Tensor,
    /// Images that passed through the policy.
    images: usize,
    /// Share of the batch's pairs with a margin above 0; `None` under SFT.
    preferred: Option<f64>,
}

/// The training of one round, which may go on in several stretches of passes with more examples
/// each time.
#[derive(Debug)]
pub struct RoundTraining {
    round: TrainRound,
    /// Passes done.
    passes: u32,
    examples: usize,
    images: usize,
    losses: Vec<f64>,
    /// Share of pairs with a margin above 0, of each step.
    preferred: Vec<f64>,
}

impl RoundTraining {
    /// Nothing is trained yet.
    pub fn begin(round: TrainRound) -> RoundTraining {
        RoundTraining {
            round,
            passes: 0,
            examples: 0,
            images: 0,
            losses: Vec::new(),
            preferred: Vec::new(),
        }
    }

    /// What it came to so far, on a model of `image_tokens` tokens an image.
    pub fn report(&self, image_tokens: usize) -> TrainReport {
        if self.losses.is_empty() {
            return TrainReport::default();
        }
        let tenth = self.losses.len().div_ceil(10);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        TrainReport {
            steps: self.losses.len(),
            examples: self.examples,
            tokens: (self.images * image_tokens) as u64,
            loss_first: mean(&self.losses[..tenth]),
            loss_last: mean(&self.losses[self.losses.len() - tenth..]),
            preference_accuracy: (!self.preferred.is_empty())
                .then(|| mean(&self.preferred[self.preferred.len().saturating_sub(tenth)..])),
        }
    }
}

impl Trainer {
    /// A trainer of `model`'s generation path that has taken no step.
    ///
    /// # Errors
    /// When the optimizer's moments cannot be allocated.
    pub fn new(model: &dyn UnifiedModel, settings: TrainSettings) -> Result<Trainer, TrainError> {
        let weights = generation_path(model.parameters());
        Ok(Trainer {
            optimizer: AdamW::new(weights, settings.optimizer)?,
            settings,
        })
    }

    /// The optimizer's state, to go back to or to save.
    ///
    /// # Errors
    /// When the device runs out of memory.
    pub fn state(&self) -> Result<AdamWState, TrainError> {
        self.optimizer.state()
    }

    /// Goes back to `state`.
    ///
    /// # Errors
    /// When it does not fit the weights.
    pub fn restore(&mut self, state: &AdamWState) -> Result<(), TrainError> {
        self.optimizer.restore(state)
    }

    /// Trains `model` on `examples`, the whole round at once. Without examples nothing is trained.
    ///
    /// # Errors
    /// As [`Trainer::go_on`].
    pub fn train(
        &mut self,
        model: &dyn UnifiedModel,
        examples: &Examples,
        round: TrainRound,
        watch: &mut dyn FnMut(&StepReport),
    ) -> Result<TrainReport, TrainError> {
        let reference = self.reference(model, examples)?;
        let mut training = RoundTraining::begin(round);
        self.go_on(
            model,
            (examples, &reference),
            &mut training,
            round.epochs,
            watch,
        )?;
        Ok(training.report(model.image_tokens()))
    }

    /// Goes on with a round until `until` of its passes are done, on `examples` with their
    /// reference. Without examples nothing is trained.
    ///
    /// # Errors
    /// When the model fails or the loss is no number any more. The weights may have moved by then:
    /// the caller keeps a snapshot.
    pub fn go_on(
        &mut self,
        model: &dyn UnifiedModel,
        (examples, reference): (&Examples, &Reference),
        training: &mut RoundTraining,
        until: u32,
        watch: &mut dyn FnMut(&StepReport),
    ) -> Result<(), TrainError> {
        let first = training.passes;
        training.passes = until;
        let Some(objective) = objective(examples, reference) else {
            return Ok(());
        };
        let round = training.round;
        let done = training.losses.len();
        let batches = self.batches(examples.len(), round, first..until, done);
        // As many steps as the round will have if no more examples join it.
        let left = self.batches(examples.len(), round, first..round.epochs, done);
        let total = done + left.len();
        let schedule = Schedule {
            warmup: (self.settings.warmup * total as f64).round() as usize,
            total,
        };
        training.examples = examples.len();
        for (step, batch) in (done..).zip(&batches) {
            let batch_loss = match &objective {
                Objective::Imitate { targets, weights } => {
                    let mut dropout = rng::stream(
                        round.seed,
                        "caption-dropout",
                        &[u64::from(round.round), step as u64],
                    );
                    self.target_loss(model, targets, weights, batch, &mut dropout)?
                }
                Objective::Prefer {
                    pairs,
                    weights,
                    reference,
                } => self.pair_loss(model, pairs, weights, reference, batch)?,
            };
            let gradients = batch_loss.loss.backward()?;
            let value = batch_loss.loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            if !value.is_finite() {
                return Err(TrainError::NotFinite {
                    what: "loss",
                    value,
                    step: step + 1,
                });
            }
            let rate =
                self.settings.learning_rate * round.learning_rate_scale * schedule.factor(step);
            let gradient_norm = self.optimizer.step(&gradients, rate)?;
            training.images += batch_loss.images;
            training.losses.push(value);
            training.preferred.extend(batch_loss.preferred);
            watch(&StepReport {
                step: step + 1,
                steps: total,
                loss: value,
                gradient_norm,
            });
        }
        Ok(())
    }

    /// Indices of the examples of each step of some passes, when `done` steps of the round have been
    /// taken: every pass in an order of its own.
    fn batches(
        &self,
        examples: usize,
        round: TrainRound,
        passes: Range<u32>,
        done: usize,
    ) -> Vec<Vec<usize>> {
        let most = self.settings.max_steps.saturating_sub(done);
        let mut batches = Vec::new();
        for epoch in passes {
            if batches.len() >= most {
                break;
            }
            let mut order: Vec<usize> = (0..examples).collect();
            order.shuffle(&mut rng::stream(
                round.seed,
                "train-order",
                &[u64::from(round.round), u64::from(epoch)],
            ));
            batches.extend(
                order
                    .chunks(self.settings.batch_size)
                    .map(<[usize]>::to_vec),
            );
        }
        batches.truncate(most);
        batches
    }

    /// What the model as it is now says of the examples; to be taken at a round's start.
    ///
    /// # Errors
    /// When the model fails.
    pub fn reference(
        &self,
        model: &dyn UnifiedModel,
        examples: &Examples,
    ) -> Result<Reference, TrainError> {
        let pairs = match examples {
            Examples::Pairs(pairs) if !pairs.is_empty() => pairs,
            _ => return Ok(Reference::default()),
        };
        let (mut chosen, mut rejected) = (Vec::new(), Vec::new());
        for batch in pairs.chunks(self.settings.batch_size) {
            let rows = pair_rows(batch.iter());
            let sums = model.frozen_token_log_probs(&rows)?.sum(1)?;
            chosen.push(sums.narrow(0, 0, batch.len())?);
            rejected.push(sums.narrow(0, batch.len(), batch.len())?);
        }
        Ok(Reference(Some(ReferenceSums {
            chosen: Tensor::cat(&chosen, 0)?,
            rejected: Tensor::cat(&rejected, 0)?,
        })))
    }

    fn pair_loss(
        &self,
        model: &dyn UnifiedModel,
        pairs: &[Pair],
        weights: &[f64],
        reference: &ReferenceSums,
        batch: &[usize],
    ) -> Result<BatchLoss, TrainError> {
        let rows = pair_rows(batch.iter().map(|&index| &pairs[index]));
        let count = batch.len();
        let token_log_probs = model.token_log_probs(&rows, &vec![false; rows.len()])?;
        let sums = token_log_probs.sum(1)?;
        let at: Vec<u32> = batch.iter().map(|&index| index as u32).collect();
        let at = Tensor::new(at, model.device())?;
        let log_probs = PairLogProbs {
            chosen: &sums.narrow(0, 0, count)?,
            rejected: &sums.narrow(0, count, count)?,
            reference_chosen: &reference.chosen.index_select(&at, 0)?,
            reference_rejected: &reference.rejected.index_select(&at, 0)?,
        };
        let margins = log_probs.margin()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let preferred = margins.iter().filter(|&&margin| margin > 0.0).count();
        let preference = loss::dpo_sigmoid(&log_probs, self.settings.beta)?;
        let nll = loss::token_nll(&token_log_probs.narrow(0, 0, count)?)?;
        let each = (preference + (nll * self.settings.nll_weight)?)?;
        Ok(BatchLoss {
            loss: weighted_mean(&each, weights, batch)?,
            images: rows.len(),
            preferred: Some(preferred as f64 / count as f64),
        })
    }

    fn target_loss(
        &self,
        model: &dyn UnifiedModel,
        targets: &[Target],
        weights: &[f64],
        batch: &[usize],
        dropout: &mut impl Rng,
    ) -> Result<BatchLoss, TrainError> {
        let rows: Vec<(&str, &[u32])> = batch
            .iter()
            .map(|&index| (&*targets[index].prompt, &*targets[index].tokens))
            .collect();
        let dropped: Vec<bool> = rows
            .iter()
            .map(|_| dropout.random_bool(self.settings.caption_dropout))
            .collect();
        let each = loss::token_nll(&model.token_log_probs(&rows, &dropped)?)?;
        Ok(BatchLoss {
            loss: weighted_mean(&each, weights, batch)?,
            images: rows.len(),
            preferred: None,
        })
    }
}

/// The examples with all that is fixed over a stretch; none where there is nothing to train on.
fn objective<'a>(examples: &'a Examples, reference: &'a Reference) -> Option<Objective<'a>> {
    match (examples, &reference.0) {
        (Examples::Targets(targets), _) if !targets.is_empty() => Some(Objective::Imitate {
            targets,
            weights: relative_weights(targets.iter().map(|target| target.weight)),
        }),
        (Examples::Pairs(pairs), Some(reference)) => Some(Objective::Prefer {
            pairs,
            weights: relative_weights(pairs.iter().map(|pair| pair.weight)),
            reference,
        }),
        _ => None,
    }
}

/// `weights` scaled to a mean of 1.
fn relative_weights(weights: impl ExactSizeIterator<Item = f64> + Clone) -> Vec<f64> {
    let mean = weights.clone().sum::<f64>() / weights.len() as f64;
    weights.map(|weight| weight / mean).collect()
}

/// All preferred images, then all dispreferred ones in the same order.
fn pair_rows<'a>(pairs: impl Iterator<Item = &'a Pair> + Clone) -> Vec<(&'a str, &'a [u32])> {
    let chosen = pairs.clone().map(|pair| (&*pair.prompt, &*pair.chosen));
    let rejected = pairs.map(|pair| (&*pair.prompt, &*pair.rejected));
    chosen.chain(rejected).collect()
}

/// Mean over the batch of each example's loss times its weight.
fn weighted_mean(each: &Tensor, weights: &[f64], batch: &[usize]) -> Result<Tensor, TrainError> {
    let weights: Vec<f64> = batch.iter().map(|&index| weights[index]).collect();
    let weights = Tensor::new(weights, each.device())?.to_dtype(each.dtype())?;
    Ok((each * weights)?.mean_all()?)
}
