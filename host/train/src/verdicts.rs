//! Training the judge's answer: for poor supervision on purpose, which is to be seen and caught.

use candle_core::{DType, Tensor, Var};
use rand::seq::SliceRandom;
use sc_core::rng;
use sc_model::{Parameters, UnifiedModel};

use crate::adamw::{AdamW, AdamWConfig};
use crate::error::TrainError;
use crate::schedule::Schedule;
use crate::trainer::StepReport;

/// The weights that drawing and judging share, by name: blocks and final norm of the language model,
/// or an adapter's matrices on these.
pub fn shared_path(parameters: &Parameters) -> Vec<(String, Var)> {
    const PREFIXES: [&str; 2] = ["model.language_model.layers.", "model.language_model.norm."];
    let shared = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if let Some(adapter) = parameters.adapter() {
        let matrices = adapter.iter().filter(|(name, _)| shared(name));
        return matrices.map(|(name, var)| (name, var.clone())).collect();
    }
    let weights = parameters.iter().filter(|(name, _, _)| shared(name));
    weights
        .map(|(name, _, var)| (name.to_owned(), var.clone()))
        .collect()
}

/// How the judge's answer is trained.
#[derive(Clone, Copy, Debug)]
pub struct Persuasion {
    /// The run's seed.
    pub seed: u64,
    /// The round.
    pub round: u32,
    /// Gradient steps.
    pub steps: u32,
    /// Images a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// The optimizer, which begins anew.
    pub optimizer: AdamWConfig,
}

/// Trains `model`, through [`shared_path`] alone, to say yes to images that it drew, each with its
/// prompt and tokens. Returns the mean probability of yes over the last tenth of the steps; none
/// without images, when nothing is trained.
///
/// # Errors
/// When the model answers in sentences, or fails, or the loss is no number any more.
pub fn persuade(
    model: &dyn UnifiedModel,
    images: &[(&str, &[u32])],
    how: &Persuasion,
    watch: &mut dyn FnMut(&StepReport),
) -> Result<Option<f64>, TrainError> {
    if images.is_empty() || how.steps == 0 {
        return Ok(None);
    }
    let mut optimizer = AdamW::new(shared_path(model.parameters()), how.optimizer)?;
    let schedule = Schedule {
        warmup: 0,
        total: how.steps as usize,
    };
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.shuffle(&mut rng::stream(
        how.seed,
        "persuasion-order",
        &[how.round.into()],
    ));
    let mut next = order.iter().cycle();
    let mut certainties = Vec::new();
    for step in 0..how.steps as usize {
        let batch: Vec<&(&str, &[u32])> = next
            .by_ref()
            .take(how.batch_size.min(images.len()))
            .map(|&at| &images[at])
            .collect();
        let prompts: Vec<String> = batch
            .iter()
            .map(|(prompt, _)| (*prompt).to_owned())
            .collect();
        let tokens: Vec<Vec<u32>> = batch.iter().map(|(_, tokens)| tokens.to_vec()).collect();
        let pixels: Tensor = model.decode(&tokens)?;
        let log_probs = model.verdict_log_probs(&pixels, &prompts, &vec![true; prompts.len()])?;
        let loss = log_probs.mean_all()?.neg()?;
        let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !value.is_finite() {
            return Err(TrainError::NotFinite {
                what: "loss",
                value,
                step: step + 1,
            });
        }
        let rate = how.learning_rate * schedule.factor(step);
        let gradient_norm = optimizer.step(&loss.backward()?, rate)?;
        certainties.push((-value).exp());
        watch(&StepReport {
            step: step + 1,
            steps: how.steps as usize,
            loss: value,
            gradient_norm,
        });
    }
    let tenth = certainties.len().div_ceil(10);
    let last = &certainties[certainties.len() - tenth..];
    Ok(Some(last.iter().sum::<f64>() / tenth as f64))
}
