//! A whole training step of the tiny model, loss, gradient and optimizer: the CPU's kernels against
//! the plain tensor operations, in the same run.
//!
//! `cargo bench -p sc-train` prints milliseconds a step of 64 examples, and the ratio.

use std::time::Instant;

use candle_core::Device;
use sc_core::choice::Objective;
use sc_core::prompt::Split;
use sc_core::rng::stream;
use sc_model::{CheckpointSource, JanusModel};
use sc_train::loss::LossSettings;
use sc_train::{
    AdamWConfig, Examples, Pair, Target, TrainError, TrainRound, TrainSettings, Trainer,
};

/// Examples a step.
const BATCH: usize = 64;
/// Steps a turn.
const STEPS: usize = 5;
/// Turns that each side has.
const TURNS: usize = 5;

fn load() -> Result<JanusModel, TrainError> {
    let source = CheckpointSource::Embedded {
        name: "tiny",
        files: sc_world::tiny_model(),
    };
    Ok(JanusModel::load(&source, &Device::Cpu)?)
}

fn main() -> Result<(), TrainError> {
    println!(
        "{:28}{:>12}{:>12}{:>8}",
        "", "kernels", "plain ops", "ratio"
    );
    for (name, examples) in [("SFT step", targets()), ("DPO step", pairs())] {
        let (kernels, general) = (load()?, load()?.without_kernels());
        let (mut fast, mut plain) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..TURNS {
            fast = fast.min(milliseconds_a_step(&kernels, &examples)?);
            plain = plain.min(milliseconds_a_step(&general, &examples)?);
        }
        println!(
            "{name:28}{fast:>9.1} ms{plain:>9.1} ms{:>8.1}",
            plain / fast
        );
    }
    Ok(())
}

fn milliseconds_a_step(model: &JanusModel, examples: &Examples) -> Result<f64, TrainError> {
    let settings = TrainSettings {
        batch_size: BATCH,
        learning_rate: 1e-4,
        warmup: 0.0,
        max_steps: STEPS,
        loss: LossSettings::default(),
        caption_dropout: 0.1,
        optimizer: AdamWConfig::default(),
    };
    let round = TrainRound {
        seed: 1,
        round: 1,
        objective: match examples {
            Examples::Targets(_) => Objective::Sft,
            Examples::Pairs(_) => Objective::Sigmoid,
        },
        epochs: 1,
        learning_rate_scale: 1.0,
    };
    let mut trainer = Trainer::new(model, settings)?;
    // The first step comes after the reference has been computed: it is left out.
    let mut first = None;
    trainer.train(model, examples, round, &mut |_| {
        first.get_or_insert_with(Instant::now);
    })?;
    let took = first.map_or(f64::NAN, |first| first.elapsed().as_secs_f64());
    Ok(1e3 * took / (STEPS - 1) as f64)
}

/// A prompt and an image for each example of all steps.
fn drawn() -> impl Iterator<Item = (String, Vec<u32>)> {
    let mut random = stream(1, "bench-prompts", &[]);
    sc_world::sample_prompts(Split::Train, BATCH * STEPS, &mut random)
        .into_iter()
        .zip(0_u32..)
        .map(|(prompt, seed)| {
            let tokens = (0..16).map(|i| (seed * 7 + i * 5) % 31).collect();
            (prompt.text.clone(), tokens)
        })
}

fn targets() -> Examples {
    let targets = drawn().map(|(prompt, tokens)| Target {
        prompt,
        tokens,
        weight: 1.0,
        desirable: true,
    });
    Examples::Targets(targets.collect())
}

fn pairs() -> Examples {
    let pairs = drawn().map(|(prompt, chosen)| Pair {
        prompt,
        rejected: chosen.iter().rev().copied().collect(),
        chosen,
        weight: 1.0,
    });
    Examples::Pairs(pairs.collect())
}
