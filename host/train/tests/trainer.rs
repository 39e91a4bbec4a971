//! The trainer on the tiny model.

use std::cell::Cell;

use candle_core::{Device, Tensor};
use sc_core::choice::{Objective, Takes};
use sc_core::plan::Sampling;
use sc_model::{
    Answer, CheckpointSource, DrawRequest, Drawing, Error, JanusModel, Parameters, UnifiedModel,
};
use sc_train::loss::{LossSettings, TokenWeights};
use sc_train::{
    AdamWConfig, Examples, Pair, Reference, RoundTraining, StepReport, Target, TrainError,
    TrainRound, TrainSettings, Trainer, generation_path,
};

const PROMPTS: [&str; 3] = [
    "a red circle and a blue square",
    "two green rings",
    "a cross left of a triangle",
];

fn model() -> JanusModel {
    let source = CheckpointSource::Embedded {
        name: "tiny",
        files: sc_world::tiny_model(),
    };
    JanusModel::load(&source, &Device::Cpu).expect("the tiny model")
}

fn settings() -> TrainSettings {
    TrainSettings {
        batch_size: 2,
        learning_rate: 1e-3,
        warmup: 0.1,
        max_steps: 40,
        loss: LossSettings {
            nll_weight: Some(0.0),
            ..LossSettings::default()
        },
        caption_dropout: 0.0,
        optimizer: AdamWConfig::default(),
    }
}

const ROUND: TrainRound = TrainRound {
    seed: 7,
    round: 1,
    objective: Objective::Sigmoid,
    epochs: 20,
    learning_rate_scale: 1.0,
};

/// An image of the world's codes that differs by `seed`.
fn tokens(seed: u32) -> Vec<u32> {
    (0..16).map(|i| (seed * 7 + i * 5) % 31).collect()
}

fn pairs() -> Examples {
    let pairs = PROMPTS.iter().zip(0..).map(|(prompt, seed)| Pair {
        prompt: (*prompt).to_owned(),
        chosen: tokens(seed),
        rejected: tokens(seed + 10),
        weight: 1.0,
    });
    Examples::Pairs(pairs.collect())
}

fn targets(weights: [f64; 3]) -> Examples {
    let targets = PROMPTS.iter().zip(0..).zip(weights);
    Examples::Targets(
        targets
            .map(|((prompt, seed), weight)| Target {
                prompt: (*prompt).to_owned(),
                tokens: tokens(seed),
                weight,
                desirable: true,
            })
            .collect(),
    )
}

fn losses(
    model: &JanusModel,
    settings: TrainSettings,
    examples: &Examples,
) -> Result<Vec<f64>, TrainError> {
    let mut losses = Vec::new();
    let mut trainer = Trainer::new(model, settings)?;
    let round = TrainRound {
        objective: match examples {
            Examples::Pairs(_) => Objective::Sigmoid,
            Examples::Targets(_) => Objective::Sft,
        },
        ..ROUND
    };
    trainer.train(model, examples, round, &mut |step: &StepReport| {
        losses.push(step.loss);
    })?;
    Ok(losses)
}

fn nll(model: &JanusModel, seed: u32) -> f64 {
    let row = [(PROMPTS[seed as usize], &*tokens(seed))];
    let log_probs = model
        .token_log_probs(&row, &[false])
        .expect("log-probabilities");
    let sum: f32 = log_probs
        .sum_all()
        .and_then(|sum| sum.to_scalar())
        .expect("a sum");
    -f64::from(sum)
}

/// A model that counts the images of which it is asked without a gradient.
struct Counting {
    model: JanusModel,
    frozen: Cell<usize>,
}

impl UnifiedModel for Counting {
    fn device(&self) -> &Device {
        self.model.device()
    }
    fn image_tokens(&self) -> usize {
        self.model.image_tokens()
    }
    fn image_size(&self) -> usize {
        self.model.image_size()
    }
    fn image_codes(&self) -> usize {
        self.model.image_codes()
    }
    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }
    fn draw(&self, requests: &[DrawRequest], sampling: &Sampling) -> Result<Vec<Drawing>, Error> {
        self.model.draw(requests, sampling)
    }
    fn decode(&self, tokens: &[Vec<u32>]) -> Result<Tensor, Error> {
        self.model.decode(tokens)
    }
    fn judge(&self, pixels: &Tensor, prompts: &[String]) -> Result<Vec<Answer>, Error> {
        self.model.judge(pixels, prompts)
    }
    fn ask(&self, pixels: &Tensor, questions: &[String]) -> Result<Vec<Answer>, Error> {
        self.model.ask(pixels, questions)
    }
    fn verdict_log_probs(
        &self,
        pixels: &Tensor,
        prompts: &[String],
        yes: &[bool],
    ) -> Result<Tensor, Error> {
        self.model.verdict_log_probs(pixels, prompts, yes)
    }
    fn token_log_probs(
        &self,
        batch: &[(&str, &[u32])],
        caption_dropped: &[bool],
    ) -> Result<Tensor, Error> {
        self.model.token_log_probs(batch, caption_dropped)
    }
    fn frozen_token_log_probs(&self, batch: &[(&str, &[u32])]) -> Result<Tensor, Error> {
        self.frozen.set(self.frozen.get() + batch.len());
        self.model.frozen_token_log_probs(batch)
    }
}

/// The reference is asked for once a round, of every image once, and stays what it was: with the
/// policy in its place by accident, the loss would stay what it is where both are the same.
#[test]
fn the_reference_is_taken_once_and_the_loss_leaves_it() -> Result<(), TrainError> {
    let labelled = || {
        let Examples::Targets(mut targets) = targets([1.0; 3]) else {
            unreachable!("they are targets");
        };
        targets[1].desirable = false;
        Examples::Targets(targets)
    };
    for (objective, start) in [
        (Objective::Sigmoid, std::f64::consts::LN_2),
        (Objective::Robust, std::f64::consts::LN_2),
        (Objective::Hinge, 1.0),
        // (1 / (2β))² at β = 0.1·16
        (Objective::Ipo, (1.0_f64 / 3.2).powi(2)),
        (Objective::ApoZero, 1.0),
        (Objective::Kto, 0.5),
    ] {
        let model = Counting {
            model: model(),
            frozen: Cell::new(0),
        };
        let examples = match objective.takes() {
            Takes::Pairs => pairs(),
            _ => labelled(),
        };
        let mut losses = Vec::new();
        let mut trainer = Trainer::new(&model, settings())?;
        let round = TrainRound { objective, ..ROUND };
        trainer.train(&model, &examples, round, &mut |step| losses.push(step.loss))?;
        let images = if objective == Objective::Kto { 3 } else { 6 };
        assert_eq!(model.frozen.get(), images, "{objective}");
        assert!((losses[0] - start).abs() < 1e-6, "{objective}: {losses:?}");
        let last = losses.last().copied().unwrap_or_default();
        assert!(last < 0.6 * start, "{objective}: {losses:?}");
    }
    Ok(())
}

#[test]
fn sft_and_simpo_ask_for_no_reference() -> Result<(), TrainError> {
    for (objective, examples) in [
        (Objective::Simpo, pairs()),
        (Objective::Sft, targets([1.0; 3])),
    ] {
        let model = Counting {
            model: model(),
            frozen: Cell::new(0),
        };
        let mut trainer = Trainer::new(&model, settings())?;
        let round = TrainRound { objective, ..ROUND };
        let report = trainer.train(&model, &examples, round, &mut |_| ())?;
        assert_eq!(model.frozen.get(), 0, "{objective}");
        assert!(report.loss_last < 0.7 * report.loss_first, "{report:?}");
    }
    Ok(())
}

/// A reference that is missing is never made up for by the policy.
#[test]
fn a_missing_reference_is_refused() -> Result<(), TrainError> {
    let (model, examples) = (model(), pairs());
    let mut trainer = Trainer::new(&model, settings())?;
    let mut training = RoundTraining::begin(ROUND);
    let none = Reference::default();
    let refused = trainer.go_on(&model, (&examples, &none), &mut training, 1, &mut |_| ());
    assert!(matches!(refused, Err(TrainError::NoReference { .. })));
    Ok(())
}

/// Weighting by rarity leaves the mean weight at 1 and changes what is learnt.
#[test]
fn rare_tokens_count_more() -> Result<(), TrainError> {
    let images: [&[u32]; 2] = [
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0, 0, 0, 0, 0, 0, 0, 2, 2, 2],
    ];
    let weights = TokenWeights::Rare
        .by_code(images.into_iter(), 4)
        .expect("weights");
    let mean = images.iter().flat_map(|image| image.iter());
    let mean = mean.map(|&code| weights[code as usize]).sum::<f32>() / 20.0;
    assert!((mean - 1.0).abs() < 1e-6);
    assert!(
        weights[1] > weights[2] && weights[2] > weights[0],
        "{weights:?}"
    );
    let with = |token_weights| {
        let mut settings = settings();
        settings.loss.token_weights = token_weights;
        losses(&model(), settings, &pairs())
    };
    let (uniform, rare) = (with(TokenWeights::Uniform)?, with(TokenWeights::Rare)?);
    assert_eq!(
        uniform[0], rare[0],
        "where policy and reference are the same"
    );
    assert_ne!(uniform[1..], rare[1..]);
    Ok(())
}

#[test]
fn sft_learns_its_targets_and_weights_count() -> Result<(), TrainError> {
    let (even, heavy) = (model(), model());
    let start = nll(&even, 0);
    let settings = settings();
    losses(&even, settings, &targets([1.0, 1.0, 1.0]))?;
    assert!(nll(&even, 0) < 0.5 * start);
    losses(&heavy, settings, &targets([100.0, 1.0, 1.0]))?;
    assert!(
        nll(&heavy, 1) > nll(&even, 1),
        "a light example is learnt less"
    );
    Ok(())
}

#[test]
fn a_round_repeats_and_a_restored_trainer_goes_on_alike() -> Result<(), TrainError> {
    let examples = pairs();
    assert_eq!(
        losses(&model(), settings(), &examples)?,
        losses(&model(), settings(), &examples)?
    );

    let model = model();
    let mut trainer = Trainer::new(&model, settings())?;
    trainer.train(&model, &examples, ROUND, &mut |_| ())?;
    let second = TrainRound { round: 2, ..ROUND };
    let (state, weights) = (trainer.state()?, copies(&model));
    trainer.train(&model, &examples, second, &mut |_| ())?;
    let straight_on = values(&model);
    model.parameters().replace(&weights)?;
    trainer.restore(&state)?;
    trainer.train(&model, &examples, second, &mut |_| ())?;
    assert!(straight_on == values(&model));
    Ok(())
}

fn copies(model: &JanusModel) -> std::collections::BTreeMap<String, Tensor> {
    generation_path(model.parameters())
        .into_iter()
        .map(|(name, var)| (name, var.copy().expect("a copy")))
        .collect()
}

fn values(model: &JanusModel) -> Vec<Vec<f32>> {
    generation_path(model.parameters())
        .iter()
        .map(|(_, var)| {
            let flat = var.flatten_all().and_then(|flat| flat.to_vec1());
            flat.expect("values")
        })
        .collect()
}
