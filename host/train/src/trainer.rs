//! A round's examples through the loss and the optimizer.

use std::ops::Range;

use candle_core::{DType, Tensor, Var};
use rand::seq::SliceRandom;
use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;
use sc_core::choice::Objective;
use sc_core::rng;
use sc_model::{Parameters, UnifiedModel};
use serde::{Deserialize, Serialize};

use crate::adamw::{AdamW, AdamWConfig, AdamWState};
use crate::error::TrainError;
use crate::examples::{Examples, Reference};
use crate::loss::formula::PairLogProbs;
use crate::loss::{self, Loss, LossSettings};
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
    /// Options of the loss.
    pub loss: LossSettings,
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
    /// Share of the last tenth's pairs whose margin is above 0, or, under KTO, of its images whose
    /// log-ratio has the sign that it ought to have; `None` under SFT.
    pub preference_accuracy: Option<f64>,
}

/// One round of training: where in the run it stands, on which its randomness hangs, and how long
/// and how fast it goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainRound {
    /// The run's seed.
    pub seed: u64,
    /// The round, from 1.
    pub round: u32,
    /// What it trains with.
    pub objective: Objective,
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
    if let Some(adapter) = parameters.adapter() {
        return adapter
            .iter()
            .map(|(name, var)| (name, var.clone()))
            .collect();
    }
    parameters
        .iter()
        .filter(|(name, _, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, _, var)| (name.to_owned(), var.clone()))
        .collect()
}

/// The examples with all that is fixed over a stretch.
struct Stretch<'a> {
    loss: Loss,
    examples: &'a Examples,
    reference: &'a Reference,
    /// Of the examples.
    weights: Vec<f64>,
    /// Of the codes; none where all tokens count alike.
    code_weights: Option<&'a [f32]>,
}

/// What a step leaves to chance.
struct Noise {
    /// Which captions are dropped.
    captions: ChaCha8Rng,
    /// The seed of what an adapter leaves out.
    adapter: u64,
}

struct BatchLoss {
    loss: Tensor,
    /// Images that passed through the policy.
    images: usize,
    /// Share of the batch's examples that are preferred as they ought to be; `None` under SFT.
    preferred: Option<f64>,
}

/// The training of one round, which may go on in several stretches of passes with more examples
/// each time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundTraining {
    round: TrainRound,
    /// Passes done.
    passes: u32,
    examples: usize,
    images: usize,
    losses: Vec<f64>,
    /// Share of examples that are preferred as they ought to be, of each step.
    preferred: Vec<f64>,
    /// How much each code counts, by the examples that the round began with; none where all tokens
    /// count alike.
    code_weights: Option<Vec<f32>>,
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
            code_weights: None,
        }
    }

    /// Passes done.
    pub fn passes(&self) -> u32 {
        self.passes
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
        let reference = self.reference(model, examples, round.objective)?;
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
        if examples.is_empty() {
            return Ok(());
        }
        let round = training.round;
        let loss = self.loss(model, round.objective);
        let done = training.losses.len();
        if done == 0 {
            let images = examples.images();
            training.code_weights = loss.token_weights.by_code(images, model.image_codes());
        }
        let batches = self.batches(examples.len(), round, first..until, done);
        // As many steps as the round will have if no more examples join it.
        let left = self.batches(examples.len(), round, first..round.epochs, done);
        let total = done + left.len();
        let schedule = Schedule {
            warmup: (self.settings.warmup * total as f64).round() as usize,
            total,
        };
        training.examples = examples.len();
        let stretch = Stretch {
            loss,
            examples,
            reference,
            weights: examples.relative_weights(),
            code_weights: training.code_weights.as_deref(),
        };
        for (step, batch) in (done..).zip(&batches) {
            let chance = |purpose| {
                let place = [u64::from(round.round), step as u64];
                rng::stream(round.seed, purpose, &place)
            };
            let noise = Noise {
                captions: chance("caption-dropout"),
                adapter: chance("lora-dropout").next_u64(),
            };
            let batch_loss = self.batch_loss(model, &stretch, batch, noise)?;
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

    /// The objective with the settings' options, on the model's images.
    pub fn loss(&self, model: &dyn UnifiedModel, objective: Objective) -> Loss {
        Loss::new(objective, &self.settings.loss, model.image_tokens())
    }

    /// What the model as it is says of the images of `examples`; nothing where the objective has no
    /// reference.
    ///
    /// # Errors
    /// When the model fails.
    pub fn reference(
        &self,
        model: &dyn UnifiedModel,
        examples: &Examples,
        objective: Objective,
    ) -> Result<Reference, TrainError> {
        if examples.is_empty() || !self.loss(model, objective).needs_reference() {
            return Ok(Reference::default());
        }
        let mut parts: Vec<Vec<Tensor>> = Vec::new();
        let all: Vec<usize> = (0..examples.len()).collect();
        for batch in all.chunks(self.settings.batch_size) {
            let rows = examples.rows(batch);
            let log_probs = model.frozen_token_log_probs(&rows)?;
            let images = rows.len() / batch.len();
            parts.resize(images, Vec::new());
            for (image, part) in parts.iter_mut().enumerate() {
                part.push(log_probs.narrow(0, image * batch.len(), batch.len())?);
            }
        }
        let rows = parts.iter().map(|part| Tensor::cat(part, 0));
        Ok(Reference(rows.collect::<candle_core::Result<_>>()?))
    }

    fn batch_loss(
        &self,
        model: &dyn UnifiedModel,
        stretch: &Stretch<'_>,
        batch: &[usize],
        mut noise: Noise,
    ) -> Result<BatchLoss, TrainError> {
        let (loss, count) = (&stretch.loss, batch.len());
        let rows = stretch.examples.rows(batch);
        let drops_captions = loss.objective == Objective::Sft;
        let dropped: Vec<bool> = rows
            .iter()
            .map(|_| drops_captions && noise.captions.random_bool(self.settings.caption_dropout))
            .collect();
        let weights = stretch.token_weights(&rows, model)?;
        let weighted = |log_probs: Tensor| match &weights {
            Some(weights) => log_probs * weights,
            None => Ok(log_probs),
        };
        let log_probs = weighted(model.training_log_probs(&rows, &dropped, noise.adapter)?)?;
        let reference = (stretch.reference.rows(batch)?)
            .map(&weighted)
            .transpose()?
            .map(|log_probs| log_probs.sum(1))
            .transpose()?;
        if loss.needs_reference() && reference.is_none() {
            return Err(TrainError::NoReference {
                objective: loss.objective,
            });
        }
        let (each, preferred) = match (stretch.examples, reference) {
            (Examples::Targets(targets), Some(reference)) => {
                let kinds: Vec<bool> = batch.iter().map(|&at| targets[at].desirable).collect();
                let ratios = (log_probs.sum(1)? - reference)?;
                let signs = share(&ratios, |at, ratio| (ratio > 0.0) == kinds[at])?;
                let imitated: Vec<f32> = kinds
                    .iter()
                    .map(|&kind| f32::from(u8::from(kind)))
                    .collect();
                let imitated =
                    Tensor::new(imitated, model.device())?.to_dtype(log_probs.dtype())?;
                let nll = (loss::token_nll(&log_probs)? * imitated)?;
                let preference = loss.labelled(&ratios, &kinds)?;
                ((preference + (nll * loss.nll_weight)?)?, Some(signs))
            }
            (Examples::Targets(_), None) => (loss::token_nll(&log_probs)?, None),
            (Examples::Pairs(_), reference) => {
                let sums = log_probs.sum(1)?;
                let chosen = sums.narrow(0, 0, count)?;
                let rejected = sums.narrow(0, count, count)?;
                // Without a reference the policy's own take its place, and are not looked at.
                let fixed = reference.unwrap_or_else(|| sums.detach());
                let pairs = PairLogProbs {
                    chosen: &chosen,
                    rejected: &rejected,
                    reference_chosen: &fixed.narrow(0, 0, count)?,
                    reference_rejected: &fixed.narrow(0, count, count)?,
                };
                let preferred = share(&loss.pair_margin(&pairs)?, |_, margin| margin > 0.0)?;
                let nll = loss::token_nll(&log_probs.narrow(0, 0, count)?)?;
                let each = (loss.pairs(&pairs)? + (nll * loss.nll_weight)?)?;
                (each, Some(preferred))
            }
        };
        Ok(BatchLoss {
            loss: weighted_mean(&each, &stretch.weights, batch)?,
            images: rows.len(),
            preferred,
        })
    }
}

impl Stretch<'_> {
    /// Weights [rows, N] of the tokens of some images.
    fn token_weights(
        &self,
        rows: &[(&str, &[u32])],
        model: &dyn UnifiedModel,
    ) -> Result<Option<Tensor>, TrainError> {
        let Some(by_code) = self.code_weights else {
            return Ok(None);
        };
        let weights: Vec<f32> = (rows.iter())
            .flat_map(|(_, tokens)| tokens.iter().map(|&token| by_code[token as usize]))
            .collect();
        let shape = (rows.len(), self.loss.tokens);
        Ok(Some(Tensor::from_vec(weights, shape, model.device())?))
    }
}

/// The share of a tensor's numbers that are as they ought to be.
fn share(numbers: &Tensor, good: impl Fn(usize, f64) -> bool) -> Result<f64, TrainError> {
    let numbers = numbers.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let hits = numbers
        .iter()
        .enumerate()
        .filter(|(at, number)| good(*at, **number));
    Ok(hits.count() as f64 / numbers.len() as f64)
}

/// Mean over the batch of each example's loss times its weight.
fn weighted_mean(each: &Tensor, weights: &[f64], batch: &[usize]) -> Result<Tensor, TrainError> {
    let weights: Vec<f64> = batch.iter().map(|&index| weights[index]).collect();
    let weights = Tensor::new(weights, each.device())?.to_dtype(each.dtype())?;
    Ok((each * weights)?.mean_all()?)
}
