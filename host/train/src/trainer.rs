//! A round's examples through the loss and the optimizer.

use candle_core::{DType, Tensor, Var};
use rand::Rng;
use rand::seq::SliceRandom;
use sc_core::rng;
use sc_model::{Parameters, UnifiedModel};
use serde::{Deserialize, Serialize};

use crate::adamw::{AdamW, AdamWConfig, AdamWState};
use crate::error::TrainError;
use crate::loss::{self, PairLogProbs};
use crate::schedule::Schedule;

/// An image to imitate. Weights are relative: a round's are scaled to a mean of 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The prompt.
    pub prompt: String,
    /// The image's tokens.
    pub tokens: Vec<u32>,
    /// Weight in the loss.
    pub weight: f64,
}

/// A preferred and a dispreferred image of one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The prompt of both.
    pub prompt: String,
    /// Tokens of the preferred image.
    pub chosen: Vec<u32>,
    /// Tokens of the dispreferred image.
    pub rejected: Vec<u32>,
    /// Weight in the loss.
    pub weight: f64,
}

/// What a round is trained on; the kind of example decides the loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Examples {
    /// Supervised fine-tuning: mean-token NLL of each image.
    Targets(Vec<Target>),
    /// Direct preference optimisation, with an NLL term on the chosen image.
    Pairs(Vec<Pair>),
}

impl Examples {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Examples::Targets(targets) => targets.len(),
            Examples::Pairs(pairs) => pairs.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

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
        reference: Reference,
    },
}

struct BatchLoss {
    loss: Tensor,
    /// Images that passed through the policy.
    images: usize,
    /// Share of the batch's pairs with a margin above 0; `None` under SFT.
    preferred: Option<f64>,
}

/// Reference log-probabilities of a round's pairs, summed over tokens, \[pairs\] each, taken once
/// from the model as it is at the round's start.
struct Reference {
    chosen: Tensor,
    rejected: Tensor,
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

    /// Trains `model` on `examples`. Without examples nothing is trained.
    ///
    /// # Errors
    /// When the model fails or the loss is no number any more. The weights may have moved by then:
    /// the caller keeps a snapshot.
    pub fn train(
        &mut self,
        model: &dyn UnifiedModel,
        examples: &Examples,
        round: TrainRound,
        watch: &mut dyn FnMut(&StepReport),
    ) -> Result<TrainReport, TrainError> {
        if examples.is_empty() {
            return Ok(TrainReport::default());
        }
        let objective = self.objective(model, examples)?;
        let batches = self.batches(examples.len(), round);
        let schedule = Schedule {
            warmup: (self.settings.warmup * batches.len() as f64).round() as usize,
            total: batches.len(),
        };
        let mut losses = Vec::with_capacity(batches.len());
        let mut preferred = Vec::new();
        let mut images = 0;
        for (step, batch) in batches.iter().enumerate() {
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
            images += batch_loss.images;
            losses.push(value);
            preferred.extend(batch_loss.preferred);
            watch(&StepReport {
                step: step + 1,
                steps: batches.len(),
                loss: value,
                gradient_norm,
            });
        }
        let tenth = losses.len().div_ceil(10);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        Ok(TrainReport {
            steps: losses.len(),
            examples: examples.len(),
            tokens: (images * model.image_tokens()) as u64,
            loss_first: mean(&losses[..tenth]),
            loss_last: mean(&losses[losses.len() - tenth..]),
            preference_accuracy: (!preferred.is_empty())
                .then(|| mean(&preferred[preferred.len() - tenth..])),
        })
    }

    fn objective<'a>(
        &self,
        model: &dyn UnifiedModel,
        examples: &'a Examples,
    ) -> Result<Objective<'a>, TrainError> {
        Ok(match examples {
            Examples::Targets(targets) => Objective::Imitate {
                targets,
                weights: relative_weights(targets.iter().map(|target| target.weight)),
            },
            Examples::Pairs(pairs) => Objective::Prefer {
                pairs,
                weights: relative_weights(pairs.iter().map(|pair| pair.weight)),
                reference: self.reference(model, pairs)?,
            },
        })
    }

    /// Indices of the examples of each step: every epoch in an order of its own.
    fn batches(&self, examples: usize, round: TrainRound) -> Vec<Vec<usize>> {
        let mut batches = Vec::new();
        for epoch in 0..round.epochs {
            if batches.len() >= self.settings.max_steps {
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
        batches.truncate(self.settings.max_steps);
        batches
    }

    fn reference(&self, model: &dyn UnifiedModel, pairs: &[Pair]) -> Result<Reference, TrainError> {
        let (mut chosen, mut rejected) = (Vec::new(), Vec::new());
        for batch in pairs.chunks(self.settings.batch_size) {
            let rows = pair_rows(batch.iter());
            let sums = model.frozen_token_log_probs(&rows)?.sum(1)?;
            chosen.push(sums.narrow(0, 0, batch.len())?);
            rejected.push(sums.narrow(0, batch.len(), batch.len())?);
        }
        Ok(Reference {
            chosen: Tensor::cat(&chosen, 0)?,
            rejected: Tensor::cat(&rejected, 0)?,
        })
    }

    fn pair_loss(
        &self,
        model: &dyn UnifiedModel,
        pairs: &[Pair],
        weights: &[f64],
        reference: &Reference,
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
