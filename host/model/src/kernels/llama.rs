//! A Llama layer over a few sentences at a time.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::attention::{Heads, Rotation, Span, attend, place};
use super::gemm::Packed;
use super::graph::attach;
use super::llama_backward::LayerBackward;
use super::math::{add_all, rms_norm, swiglu};
use super::pool::Buffer;
use super::{values, with_values};
use crate::adapter::Weight;
use crate::config::TextConfig;
use crate::janus::llama::{Layer, Llama, Padding, Sentence};

/// Steps that a task takes through a layer at a time: their activations fit the second cache.
const TASK_STEPS: usize = 256;

/// Sentences of one task. Results do not depend on it; that it depends on nothing but the width
/// keeps sums of weight gradients in one order.
pub(super) fn sentences_a_task(width: usize) -> usize {
    (TASK_STEPS / width.max(1)).max(1)
}

/// A layer's weights for [`PackedLayer::forward`].
pub(super) struct PackedLayer {
    input_norm: Vec<f32>,
    joint: Packed,
    output: Packed,
    post_norm: Vec<f32>,
    gate_up: Packed,
    down: Packed,
    heads: Heads,
    eps: f32,
}

/// What a task's steps leave behind in a layer; the backward pass reads it.
pub(super) struct Trace {
    pub(super) queries: Buffer,
    pub(super) log_sums: Buffer,
    pub(super) attended: Buffer,
    pub(super) middle: Buffer,
    pub(super) gate_up: Buffer,
}

impl PackedLayer {
    pub(super) fn new(layer: &Layer, config: &TextConfig) -> Result<PackedLayer> {
        let pack = |weights: &[&Weight], inner: usize| -> Result<Packed> {
            let weights = weights
                .iter()
                .map(|weight| values(weight.plain()?))
                .collect::<Result<Vec<_>>>()?;
            let slices: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
            Ok(Packed::new(&slices, inner))
        };
        let queries = config.heads * config.head_dim;
        Ok(PackedLayer {
            input_norm: values(&layer.input_norm)?,
            joint: pack(&[&layer.query, &layer.key, &layer.value], config.hidden)?,
            output: pack(&[&layer.output], queries)?,
            post_norm: values(&layer.post_norm)?,
            gate_up: pack(&[&layer.gate, &layer.up], config.hidden)?,
            down: pack(&[&layer.down], config.intermediate)?,
            heads: Heads::of(config),
            eps: config.rms_eps as f32,
        })
    }

    /// Steps x [sentence, step, hidden] → y, the same shape; their keys and values are written
    /// to `keys_values` [sentence, capacity, keys and values].
    pub(super) fn forward(
        &self,
        span: Span,
        rotation: &Rotation,
        x: &[f32],
        keys_values: &mut [f32],
        y: &mut [f32],
    ) -> Trace {
        let hidden = self.input_norm.len();
        let rows = x.len() / hidden;
        let heads = self.heads;
        let mut normed = Buffer::dirty(x.len());
        rms_norm(x, &self.input_norm, self.eps, &mut normed);
        let mut joint = Buffer::dirty(rows * self.joint.outputs);
        self.joint.apply(&normed, &mut joint);
        let mut trace = Trace {
            queries: Buffer::dirty(rows * heads.queries * heads.width),
            log_sums: Buffer::dirty(rows * heads.queries),
            attended: Buffer::dirty(rows * heads.queries * heads.width),
            middle: Buffer::dirty(x.len()),
            gate_up: Buffer::dirty(rows * self.gate_up.outputs),
        };
        let Trace {
            queries,
            log_sums,
            attended,
            middle,
            gate_up,
        } = &mut trace;
        place(span, heads, rotation, &joint, queries, keys_values);
        attend(span, heads, queries, keys_values, attended, log_sums);
        self.output.apply(attended, middle);
        add_all(middle, x);
        rms_norm(middle, &self.post_norm, self.eps, &mut normed);
        self.gate_up.apply(&normed, gate_up);
        let wide = self.gate_up.outputs / 2;
        let mut gated = Buffer::dirty(rows * wide);
        swiglu(gate_up, wide, &mut gated);
        self.down.apply(&gated, y);
        add_all(y, middle);
        trace
    }
}

/// What a task of the forward pass keeps for its backward pass.
pub(super) struct Task {
    pub(super) sentences: Vec<Sentence>,
    pub(super) keys_values: Buffer,
    pub(super) trace: Trace,
}

/// One layer over a whole batch, joined to the graph.
fn tracked_layer(
    x: &Tensor,
    layer: &Layer,
    config: &TextConfig,
    padding: &Padding,
) -> Result<Tensor> {
    let (_, width, hidden) = x.dims3()?;
    let packed = PackedLayer::new(layer, config)?;
    let rotation = Rotation::new(config, width);
    let portion = sentences_a_task(width) * width * hidden;
    let pair = 2 * config.kv_heads * config.head_dim;
    let mut y = vec![0.0; x.elem_count()];
    let tasks: Vec<Task> = with_values(x, |x| {
        padding
            .sentences
            .par_chunks(sentences_a_task(width))
            .zip(x.par_chunks(portion))
            .zip(y.par_chunks_mut(portion))
            .map(|((sentences, x), y)| {
                let span = Span::causal(sentences, width);
                let mut keys_values = Buffer::dirty(sentences.len() * width * pair);
                let trace = packed.forward(span, &rotation, x, &mut keys_values, y);
                Task {
                    sentences: sentences.to_vec(),
                    keys_values,
                    trace,
                }
            })
            .collect()
    })?;
    let weights = layer.weights()?;
    let backward = LayerBackward {
        config: config.clone(),
        weights: weights.map(Tensor::detach),
        tasks,
        rotation,
    };
    attach(x, &weights, y, x.shape(), backward)
}

/// Hidden states after all layers, without the final norm: [B, T, hidden] → the same.
pub(crate) fn forward(x: &Tensor, llama: &Llama, padding: &Padding) -> Result<Tensor> {
    let mut tracked = x.track_op();
    for layer in &llama.layers {
        tracked |= layer.weights()?.iter().any(|weight| weight.track_op());
    }
    if tracked {
        let mut x = x.clone();
        for layer in &llama.layers {
            x = tracked_layer(&x, layer, &llama.config, padding)?;
        }
        return Ok(x);
    }
    let (_, width, hidden) = x.dims3()?;
    let stack = Stack::new(llama, width)?;
    let portion = sentences_a_task(width) * width * hidden;
    let mut hidden_states = values(x)?;
    padding
        .sentences
        .par_chunks(sentences_a_task(width))
        .zip(hidden_states.par_chunks_mut(portion))
        .for_each(|(sentences, x)| {
            let span = Span::causal(sentences, width);
            let mut keys_values = Buffer::dirty(sentences.len() * width * stack.pair);
            let mut y = Buffer::dirty(x.len());
            for layer in &stack.layers {
                layer.forward(span, &stack.rotation, x, &mut keys_values, &mut y);
                x.copy_from_slice(&y);
            }
        });
    Tensor::from_vec(hidden_states, x.shape(), x.device())
}

/// All layers, packed.
pub(super) struct Stack {
    pub(super) layers: Vec<PackedLayer>,
    pub(super) rotation: Rotation,
    /// Values of one step's keys and values.
    pub(super) pair: usize,
}

impl Stack {
    pub(super) fn new(llama: &Llama, positions: usize) -> Result<Stack> {
        let config = &llama.config;
        Ok(Stack {
            layers: llama
                .layers
                .iter()
                .map(|layer| PackedLayer::new(layer, config))
                .collect::<Result<_>>()?,
            rotation: Rotation::new(config, positions),
            pair: 2 * config.kv_heads * config.head_dim,
        })
    }
}
