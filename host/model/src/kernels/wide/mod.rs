//! The language model of a large checkpoint on the CPU: one layer over all rows at a time, every
//! step of it on all cores.
//!
//! The small kernels take a few sentences through all layers while they are in the cache. Here the
//! weights are what does not fit it: they are read once for all rows, as they are stored, and never
//! copied. Between products everything is f32; keys and values are kept in bf16 where the weights
//! are, since at small batches they are most of what is read beside the weights.

mod attention;
mod cache;
mod recomputed;

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

pub(crate) use cache::Cache;
pub(crate) use recomputed::forward as tracked_forward;

use super::attention::Rotation;
use super::math::{add_all, rms_norm, silu_product};
use super::{values, with_values};
use crate::adapter::Weight;
use crate::config::TextConfig;
use crate::janus::llama::{Layer, Llama, Padding};

/// Values that a task of a step without products works on.
const TASK_VALUES: usize = 1 << 15;

/// Steps x [B, T, hidden] that follow those in `cache`, through all layers and the final norm.
pub(crate) fn forward(
    x: &Tensor,
    llama: &Llama,
    padding: &Padding,
    cache: &mut Cache,
) -> Result<Tensor> {
    let (rows, steps, _) = x.dims3()?;
    let first = cache.steps();
    cache.make_room(llama, rows, steps)?;
    let pass = Pass {
        config: &llama.config,
        rotation: Rotation::new(&llama.config, first + steps),
        padding,
        first,
        steps,
    };
    // On one of the pool's own threads: there a step's parts are handed on without a wait.
    rayon::scope(|_| {
        let mut x = x.clone();
        for (number, layer) in llama.layers.iter().enumerate() {
            x = pass.layer(layer, x, cache, number)?;
        }
        cache.advance(steps);
        normed(&x, &llama.norm, llama.config.rms_eps)
    })
}

/// What all layers of one pass share.
struct Pass<'a> {
    config: &'a TextConfig,
    rotation: Rotation,
    padding: &'a Padding,
    first: usize,
    steps: usize,
}

impl Pass<'_> {
    fn layer(&self, layer: &Layer, x: Tensor, cache: &mut Cache, number: usize) -> Result<Tensor> {
        let eps = self.config.rms_eps;
        let input = normed(&x, &layer.input_norm, eps)?;
        let product = |weight: &Weight, x: &Tensor| weight.apply(x, None);
        let queries = self.turned(&product(&layer.query, &input)?)?;
        let keys = self.turned(&product(&layer.key, &input)?)?;
        let new_values = values(&product(&layer.value, &input)?)?;
        cache.store(number, self.first, self.steps, &keys, &new_values);
        let attended = cache.attend(
            number,
            self.config.heads,
            &self.padding.sentences,
            (self.first, self.steps),
            &queries,
        );
        let width = self.config.heads * self.config.head_dim;
        let shape = (self.padding.sentences.len(), self.steps, width);
        let attended = Tensor::from_vec(attended, shape, x.device())?;
        let middle = sum(&x, &product(&layer.output, &attended)?)?;
        let input = normed(&middle, &layer.post_norm, eps)?;
        let gate = product(&layer.gate, &input)?;
        let up = product(&layer.up, &input)?;
        sum(&middle, &product(&layer.down, &gated(&gate, &up)?)?)
    }

    /// The heads of rows [B, T, heads·D] turned to their positions.
    fn turned(&self, rows: &Tensor) -> Result<Vec<f32>> {
        let mut rows_of = values(rows)?;
        let width = rows.dim(2)?;
        rows_of
            .par_chunks_mut(width)
            .enumerate()
            .for_each(|(row, heads)| {
                let sentence = &self.padding.sentences[row / self.steps];
                let position = sentence.position(self.first + row % self.steps);
                self.rotation.turn(heads, position, 1.0);
            });
        Ok(rows_of)
    }
}

/// RMSNorm of all rows.
fn normed(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let weight = values(&weight.to_dtype(DType::F32)?)?;
    let mut y = vec![0.0; x.elem_count()];
    let task = TASK_VALUES.div_ceil(weight.len()) * weight.len();
    with_values(x, |x| {
        x.par_chunks(task)
            .zip(y.par_chunks_mut(task))
            .for_each(|(x, y)| rms_norm(x, &weight, eps as f32, y));
    })?;
    Tensor::from_vec(y, x.shape(), x.device())
}

/// a + b.
fn sum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let mut sum = values(a)?;
    with_values(b, |b| {
        sum.par_chunks_mut(TASK_VALUES)
            .zip(b.par_chunks(TASK_VALUES))
            .for_each(|(sum, b)| add_all(sum, b));
    })?;
    Tensor::from_vec(sum, a.shape(), a.device())
}

/// silu(gate)·up.
fn gated(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let mut y = vec![0.0; gate.elem_count()];
    with_values(gate, |gate| {
        with_values(up, |up| {
            gate.par_chunks(TASK_VALUES)
                .zip(up.par_chunks(TASK_VALUES))
                .zip(y.par_chunks_mut(TASK_VALUES))
                .for_each(|((gate, up), y)| silu_product(gate, up, y));
        })
    })??;
    Tensor::from_vec(y, gate.shape(), gate.device())
}
