//! A whole pretraining step of the language model, data, losses, gradients and optimizer: the CPU's
//! kernels against the plain tensor operations, in the same run.
//!
//! `cargo bench -p sc-pretrain` prints milliseconds a step and the ratio; `benches/pytorch.py`
//! takes the same step in PyTorch.

use std::time::Instant;

use candle_core::Device;
use sc_model::{CheckpointSource, JanusModel};
use sc_pretrain::{LanguageTraining, PretrainError, Recipe};

/// Steps a turn.
const STEPS: usize = 3;
/// Turns that each side has.
const TURNS: usize = 4;

fn load() -> Result<JanusModel, PretrainError> {
    let source = CheckpointSource::Embedded {
        name: "tiny",
        files: sc_world::tiny_model(),
    };
    Ok(JanusModel::load(&source, &Device::Cpu)?)
}

fn main() -> Result<(), PretrainError> {
    let recipe = Recipe::default();
    println!(
        "{:28}{:>12}{:>12}{:>8}",
        "", "kernels", "plain ops", "ratio"
    );
    for (part, language) in (0..).zip(&recipe.language) {
        let (kernels, general) = (load()?, load()?.without_kernels());
        let mut fast = LanguageTraining::new(&kernels, language, &recipe.eye, 1, part)?;
        let mut plain = LanguageTraining::new(&general, language, &recipe.eye, 1, part)?;
        let (mut fastest, mut plainest) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..TURNS {
            fastest = fastest.min(milliseconds_a_step(&mut fast)?);
            plainest = plainest.min(milliseconds_a_step(&mut plain)?);
        }
        println!(
            "{:28}{fastest:>9.1} ms{plainest:>9.1} ms{:>8.1}",
            format!("pretraining step, part {}", part + 1),
            plainest / fastest
        );
    }
    Ok(())
}

fn milliseconds_a_step(training: &mut LanguageTraining<'_>) -> Result<f64, PretrainError> {
    let began = Instant::now();
    for _ in 0..STEPS {
        training.step()?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e3 / STEPS as f64)
}
