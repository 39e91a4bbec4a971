//! The trainer on the tiny model.

use candle_core::Device;
use sc_model::{CheckpointSource, JanusModel, UnifiedModel};
use sc_train::{
    AdamWConfig, Examples, Pair, StepReport, Target, TrainError, TrainRound, TrainSettings,
    Trainer, generation_path,
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
        beta: 0.1,
        nll_weight: 0.0,
        caption_dropout: 0.0,
        optimizer: AdamWConfig::default(),
    }
}

const ROUND: TrainRound = TrainRound {
    seed: 7,
    round: 1,
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
    trainer.train(model, examples, ROUND, &mut |step: &StepReport| {
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

/// With the policy in the reference's place by accident, the loss would stay at log 2.
#[test]
fn dpo_begins_at_log_2_and_leaves_it() -> Result<(), TrainError> {
    let losses = losses(&model(), settings(), &pairs())?;
    assert!(
        (losses[0] - std::f64::consts::LN_2).abs() < 1e-6,
        "{}",
        losses[0]
    );
    let last = losses.last().copied().unwrap_or_default();
    assert!(last < 0.3, "{losses:?}");
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

fn copies(model: &JanusModel) -> std::collections::BTreeMap<String, candle_core::Tensor> {
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
