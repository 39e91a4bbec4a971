//! Learning dynamics: does a step that improves drawing improve judging as well?
//!
//! The co-improvement of Han et al. (arXiv 2507.16663, Proposition 1) rests on generation and
//! understanding pulling at the shared weights in the same direction. To first order a step of −η·∇G
//! changes the understanding loss U by −η·⟨∇G, ∇U⟩: so the cosine of the two gradients, group of
//! layers by group of layers, says whether and where they do, and a small step says whether the first
//! order holds.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use sc_core::candidate::Verdict;
use sc_model::UnifiedModel;
use sc_train::loss::token_nll;
use sc_train::shared_path;
use serde::Serialize;

use crate::error::RunError;
use crate::evaluation::EvaluatedOn;
use crate::generation::{Order, Studio};
use crate::judge::OwnVerdict;
use crate::settings::RunSettings;
use crate::task::{LabelledImage, Task, stack};

/// Examples of a gradient's part.
const BATCH: usize = 64;

/// How long the measured step is, as a part of the norm of the shared weights.
const STEP: f64 = 1e-4;

/// What the two losses are computed on.
pub struct FixedSets {
    /// Prompt and tokens of images that the model drew and accepts, as a round trains on them.
    pub accepted: Vec<(String, Vec<u32>)>,
    /// Images with a statement that is known to be true or false.
    pub labelled: Vec<LabelledImage>,
}

impl FixedSets {
    /// Of about `count` examples each: accepted images among as many as are needed, at most four
    /// times `count`, drawn by `model` for held-out prompts, and labelled images.
    ///
    /// # Errors
    /// When the model fails.
    pub fn new(
        model: &dyn UnifiedModel,
        task: &dyn Task,
        settings: &RunSettings,
        count: usize,
    ) -> Result<FixedSets, RunError> {
        let prompts = task.evaluation_prompts(settings.seed, EvaluatedOn::Fixed, 4 * count);
        let purpose = EvaluatedOn::Fixed.draw_purpose();
        let studio = Studio {
            model,
            judge: &OwnVerdict,
            sampling: &settings.sampling,
            seed: settings.seed,
            purpose: &purpose,
        };
        let mut accepted = Vec::with_capacity(count);
        let orders = Order::several(&prompts, 1);
        studio.draw_and_judge(&orders, &mut |_| (), &mut |at, image| {
            if image.judgement.verdict == Verdict::Accepted && accepted.len() < count {
                accepted.push((prompts[at].text.clone(), image.tokens));
            }
            Ok(())
        })?;
        let labelled = task.oracle().map_or_else(Vec::new, |oracle| {
            oracle.labelled_images(settings.seed, EvaluatedOn::Fixed, count)
        });
        Ok(FixedSets { accepted, labelled })
    }
}

/// The gradients of a group of weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alignment {
    /// Such as `layer 2 attention`; `all` for everything.
    pub group: String,
    /// Weights in it.
    pub parameters: usize,
    /// Cosine of the two gradients, in −1..1: above 0 they pull the same way.
    pub cosine: f64,
    /// The same on each half of both sets, to see how far chance moves it.
    pub cosine_of_halves: [f64; 2],
    /// Norm of the generation loss's gradient.
    pub generation_norm: f64,
    /// Norm of the understanding loss's gradient.
    pub understanding_norm: f64,
}

/// The losses on the fixed sets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Losses {
    /// Mean token NLL of the accepted images.
    pub generation: f64,
    /// Mean NLL of the right answer about the labelled images.
    pub understanding: f64,
}

impl Losses {
    fn less(self, other: Losses) -> Losses {
        Losses {
            generation: self.generation - other.generation,
            understanding: self.understanding - other.understanding,
        }
    }
}

/// What holds at one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dynamics {
    /// By group of layers, in order; the last is `all`.
    pub groups: Vec<Alignment>,
    /// The losses.
    pub losses: Losses,
    /// ΔG and ΔU of a small step down the generation gradient, as measured.
    pub step: Losses,
    /// The same as the gradients predict them to first order.
    pub step_predicted: Losses,
}

/// A gradient by the weight's name, flat, in f64.
type Gradient = BTreeMap<String, Vec<f64>>;

/// Measures the dynamics of `model`, which is unchanged afterwards.
///
/// # Errors
/// When a set is empty, the model answers in sentences, or fails.
pub fn dynamics(model: &dyn UnifiedModel, sets: &FixedSets) -> Result<Dynamics, RunError> {
    for (what, count) in [
        ("accepted images", sets.accepted.len()),
        ("labelled images", sets.labelled.len()),
    ] {
        if count < 2 {
            return Err(RunError::Setting {
                field: what.into(),
                value: count.to_string(),
                expected: "at least 2 of them, to take gradients on".into(),
            });
        }
    }
    let generation = [0, 1].map(|half| {
        let those = halves(&sets.accepted, half);
        gradient(model, &those, |batch| generation_loss(model, batch))
    });
    let understanding = [0, 1].map(|half| {
        let those = halves(&sets.labelled, half);
        gradient(model, &those, |batch| understanding_loss(model, batch))
    });
    let ([g0, g1], [u0, u1]) = (generation, understanding);
    let (g, u) = ([g0?, g1?], [u0?, u1?]);
    let groups = alignments(&g, &u);
    let whole = |parts: &[Gradient; 2]| mean(parts);
    let (g, u) = (whole(&g), whole(&u));
    let losses = losses(model, sets)?;
    let (step, step_predicted) = small_step(model, sets, losses, (&g, &u))?;
    Ok(Dynamics {
        groups,
        losses,
        step,
        step_predicted,
    })
}

/// Both losses on the fixed sets.
///
/// # Errors
/// When the model fails.
pub fn losses(model: &dyn UnifiedModel, sets: &FixedSets) -> Result<Losses, RunError> {
    fn over<T>(
        examples: &[T],
        loss: impl Fn(&[&T]) -> Result<Tensor, RunError>,
    ) -> Result<f64, RunError> {
        let all: Vec<&T> = examples.iter().collect();
        let mut sum = 0.0;
        for batch in all.chunks(BATCH) {
            let value = loss(batch)?.detach().to_dtype(DType::F64)?;
            sum += value.to_scalar::<f64>()? * batch.len() as f64;
        }
        Ok(sum / all.len().max(1) as f64)
    }
    Ok(Losses {
        generation: over(&sets.accepted, |batch| generation_loss(model, batch))?,
        understanding: over(&sets.labelled, |batch| understanding_loss(model, batch))?,
    })
}

/// How the losses of `after` differ from those of `before`.
pub fn change(before: Losses, after: Losses) -> Losses {
    after.less(before)
}

fn halves<T>(examples: &[T], half: usize) -> Vec<&T> {
    examples.iter().skip(half).step_by(2).collect()
}

fn generation_loss(
    model: &dyn UnifiedModel,
    batch: &[&(String, Vec<u32>)],
) -> Result<Tensor, RunError> {
    let rows: Vec<(&str, &[u32])> = batch
        .iter()
        .map(|(prompt, tokens)| (&**prompt, &**tokens))
        .collect();
    let log_probs = model.token_log_probs(&rows, &vec![false; rows.len()])?;
    Ok(token_nll(&log_probs)?.mean_all()?)
}

fn understanding_loss(
    model: &dyn UnifiedModel,
    batch: &[&LabelledImage],
) -> Result<Tensor, RunError> {
    let pixels: Vec<&[f32]> = batch.iter().map(|image| &*image.pixels).collect();
    let pixels = stack(&pixels, model.image_size(), model.device())?;
    let statements: Vec<String> = batch.iter().map(|image| image.statement.clone()).collect();
    let truths: Vec<bool> = batch.iter().map(|image| image.truth).collect();
    let log_probs = model.verdict_log_probs(&pixels, &statements, &truths)?;
    Ok(log_probs.mean_all()?.neg()?)
}

/// The gradient of the mean loss over `examples` with respect to the shared weights.
fn gradient<T>(
    model: &dyn UnifiedModel,
    examples: &[T],
    loss: impl Fn(&[T]) -> Result<Tensor, RunError>,
) -> Result<Gradient, RunError> {
    let weights = shared_path(model.parameters());
    let mut sum: Gradient = (weights.iter())
        .map(|(name, var)| (name.clone(), vec![0.0; var.elem_count()]))
        .collect();
    for batch in examples.chunks(BATCH) {
        let gradients = loss(batch)?.backward()?;
        let part = batch.len() as f64 / examples.len() as f64;
        for (name, var) in &weights {
            let (Some(gradient), Some(sum)) = (gradients.get(var), sum.get_mut(name)) else {
                continue;
            };
            let gradient = gradient.flatten_all()?.to_dtype(DType::F64)?;
            for (sum, value) in sum.iter_mut().zip(gradient.to_vec1::<f64>()?) {
                *sum += part * value;
            }
        }
    }
    Ok(sum)
}

fn mean([one, other]: &[Gradient; 2]) -> Gradient {
    let names = one.iter().zip(other.values());
    names
        .map(|((name, one), other)| {
            let both = one.iter().zip(other).map(|(a, b)| (a + b) / 2.0);
            (name.clone(), both.collect())
        })
        .collect()
}

/// ⟨a, b⟩ over the weights that are `in_group`.
fn dot(one: &Gradient, other: &Gradient, in_group: impl Fn(&str) -> bool) -> f64 {
    let those = one.iter().zip(other.values());
    those
        .filter(|((name, _), _)| in_group(name))
        .flat_map(|((_, one), other)| one.iter().zip(other))
        .map(|(a, b)| a * b)
        .sum()
}

fn alignments(g: &[Gradient; 2], u: &[Gradient; 2]) -> Vec<Alignment> {
    let (whole_g, whole_u) = (mean(g), mean(u));
    let mut groups: Vec<String> = Vec::new();
    let mut by_layer: Vec<&String> = whole_g.keys().collect();
    by_layer.sort_by_key(|name| layer(name));
    for name in by_layer {
        let group = group(name);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups.push("all".into());
    groups
        .into_iter()
        .map(|of| {
            let inside = |name: &str| of == "all" || group(name) == of;
            let cosine = |g: &Gradient, u: &Gradient| {
                let norms = (dot(g, g, inside) * dot(u, u, inside)).sqrt();
                if norms > 0.0 {
                    dot(g, u, inside) / norms
                } else {
                    0.0
                }
            };
            let those = whole_g.iter().filter(|(name, _)| inside(name));
            Alignment {
                parameters: those.map(|(_, values)| values.len()).sum(),
                cosine: cosine(&whole_g, &whole_u),
                cosine_of_halves: [cosine(&g[0], &u[0]), cosine(&g[1], &u[1])],
                generation_norm: dot(&whole_g, &whole_g, inside).sqrt(),
                understanding_norm: dot(&whole_u, &whole_u, inside).sqrt(),
                group: of,
            }
        })
        .collect()
}

/// The number of the layer that a weight belongs to; what comes after them all has the last.
fn layer(name: &str) -> usize {
    let after = name.split(".layers.").nth(1);
    let number = after.and_then(|rest| rest.split('.').next()?.parse().ok());
    number.unwrap_or(usize::MAX)
}

/// The group of layers of a weight, by its name in the checkpoint.
fn group(name: &str) -> String {
    let part = if name.contains(".self_attn.") {
        "attention"
    } else if name.contains(".mlp.") {
        "MLP"
    } else {
        "norms"
    };
    match layer(name) {
        usize::MAX => "final norm".into(),
        layer => format!("layer {layer} {part}"),
    }
}

/// Takes a small step down the generation gradient, measures, and goes back.
fn small_step(
    model: &dyn UnifiedModel,
    sets: &FixedSets,
    before: Losses,
    (g, u): (&Gradient, &Gradient),
) -> Result<(Losses, Losses), RunError> {
    let everywhere = |_: &str| true;
    let mut weights = BTreeMap::new();
    let mut squares = 0.0;
    for (name, var) in shared_path(model.parameters()) {
        let weight = var.as_detached_tensor().copy()?;
        squares += f64::from(
            weight
                .sqr()?
                .sum_all()?
                .to_dtype(DType::F32)?
                .to_scalar::<f32>()?,
        );
        weights.insert(name, weight);
    }
    let norm = dot(g, g, everywhere).sqrt();
    let rate = if norm > 0.0 {
        STEP * squares.sqrt() / norm
    } else {
        0.0
    };
    let mut moved = BTreeMap::new();
    for (name, weight) in &weights {
        if let Some(gradient) = g.get(name) {
            let step = Tensor::new(gradient.as_slice(), weight.device())?;
            let step = (step * rate)?
                .reshape(weight.shape())?
                .to_dtype(weight.dtype())?;
            moved.insert(name.clone(), (weight - step)?);
        }
    }
    model.parameters().replace(&moved)?;
    let after = losses(model, sets);
    model.parameters().replace(&weights)?;
    let predicted = Losses {
        generation: -rate * norm * norm,
        understanding: -rate * dot(g, u, everywhere),
    };
    Ok((after?.less(before), predicted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_by_layer_and_part() {
        let of = |name: &str| group(&format!("model.language_model.{name}"));
        assert_eq!(of("layers.2.self_attn.q_proj.weight"), "layer 2 attention");
        assert_eq!(of("layers.10.mlp.up_proj.weight"), "layer 10 MLP");
        assert_eq!(of("layers.0.input_layernorm.weight"), "layer 0 norms");
        assert_eq!(of("norm.weight"), "final norm");
    }

    #[test]
    fn cosines_are_by_group_and_of_everything() {
        let gradient = |first: [f64; 2], last: [f64; 1]| {
            BTreeMap::from([
                ("m.layers.0.mlp.up_proj.weight".to_owned(), first.to_vec()),
                ("m.norm.weight".to_owned(), last.to_vec()),
            ])
        };
        let g = gradient([1.0, 0.0], [1.0]);
        let u = gradient([1.0, 1.0], [-1.0]);
        let found = alignments(&[g.clone(), g], &[u.clone(), u]);
        let names: Vec<&str> = found.iter().map(|a| &*a.group).collect();
        assert_eq!(names, ["layer 0 MLP", "final norm", "all"]);
        assert!((found[0].cosine - 0.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(found[1].cosine, -1.0);
        assert_eq!(found[2].cosine, 0.0);
        assert_eq!(found[2].parameters, 3);
    }
}
