//! A Llama layer over a few sentences at a time.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::gemm::Packed;
use super::graph::attach;
use super::llama_backward::LayerBackward;
use super::math::{add_all, add_scaled, dot, exponentials, rms_norm, swiglu};
use super::pool::Buffer;
use super::{values, vectorised, with_values};
use crate::config::TextConfig;
use crate::janus::llama::{Layer, Llama, Padding, rope_frequencies};

/// Steps that a task takes through a layer at a time: their activations fit the second cache.
const TASK_STEPS: usize = 256;

/// Sentences of one task. Results do not depend on it; that it depends on nothing but the width
/// keeps sums of weight gradients in one order.
pub(super) fn sentences_a_task(width: usize) -> usize {
    (TASK_STEPS / width.max(1)).max(1)
}

/// Rotations by position.
pub(super) struct Rotation {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Rotation {
    pub(super) fn new(config: &TextConfig, positions: usize) -> Rotation {
        let frequencies = rope_frequencies(config);
        let angles = (0..positions)
            .flat_map(|position| frequencies.iter().map(move |f| position as f32 * f));
        let (sin, cos) = angles.map(f32::sin_cos).unzip();
        Rotation {
            cos,
            sin,
            half: frequencies.len(),
        }
    }

    /// Turns heads that stand side by side to `position`, or back if `direction` is −1.
    #[inline(always)]
    pub(super) fn turn(&self, heads: &mut [f32], position: usize, direction: f32) {
        let cos = &self.cos[position * self.half..][..self.half];
        let sin = &self.sin[position * self.half..][..self.half];
        for head in heads.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
                let sin = sin * direction;
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

/// Where the steps of a task stand in their sentences.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    /// First step of each sentence that is no padding.
    pub(super) starts: &'a [usize],
    /// Steps that came before, whose keys and values are known.
    pub(super) first: usize,
    /// Steps now.
    pub(super) steps: usize,
    /// Steps that a sentence's keys and values have room for.
    pub(super) capacity: usize,
    /// Whether a step sees the later ones too, as in the vision tower.
    pub(super) sees_all: bool,
}

/// Heads of an attention.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) width: usize,
}

impl Heads {
    pub(super) fn of(config: &TextConfig) -> Heads {
        Heads {
            queries: config.heads,
            keys: config.kv_heads,
            width: config.head_dim,
        }
    }
}

vectorised! {
    /// Softmax attention of queries [sentence, step, head·width] over keys and values [sentence,
    /// capacity, keys and then values]; `log_sums` [sentence, step, head] receives the logarithm
    /// of each softmax's sum. Padding steps attend to nothing: zeros.
    pub(super) fn attend(
        span: Span,
        heads: Heads,
        queries: &[f32],
        keys_values: &[f32],
        attended: &mut [f32],
        log_sums: &mut [f32],
    ) {
        let (wide, narrow) = (heads.queries * heads.width, heads.keys * heads.width);
        let repeats = heads.queries / heads.keys;
        let scale = 1.0 / (heads.width as f32).sqrt();
        let mut scores = vec![0.0; span.first + span.steps];
        attended.fill(0.0);
        log_sums.fill(0.0);
        for (sentence, start) in span.starts.iter().enumerate() {
            let pairs = &keys_values[sentence * span.capacity * 2 * narrow..];
            for step in 0..span.steps {
                let here = span.first + step;
                if here < *start {
                    continue;
                }
                let end = if span.sees_all { span.first + span.steps } else { here + 1 };
                let pairs = &pairs[start * 2 * narrow..end * 2 * narrow];
                let row = sentence * span.steps + step;
                for head in 0..heads.queries {
                    let query = &queries[row * wide + head * heads.width..][..heads.width];
                    let shared = head / repeats * heads.width;
                    let scores = &mut scores[..end - start];
                    for (score, pair) in scores.iter_mut().zip(pairs.chunks_exact(2 * narrow)) {
                        *score = dot(query, &pair[shared..shared + heads.width]) * scale;
                    }
                    let (sum, top) = exponentials(scores);
                    log_sums[row * heads.queries + head] = top + sum.ln();
                    let out = &mut attended[row * wide + head * heads.width..][..heads.width];
                    for (weight, pair) in scores.iter().zip(pairs.chunks_exact(2 * narrow)) {
                        add_scaled(out, *weight, &pair[narrow + shared..][..heads.width]);
                    }
                    let share = 1.0 / sum;
                    for value in out {
                        *value *= share;
                    }
                }
            }
        }
    }
}

vectorised! {
    /// Splits rows of queries, keys and values and turns the first two to their positions.
    fn place(
        span: Span,
        heads: Heads,
        rotation: &Rotation,
        joint: &[f32],
        queries: &mut [f32],
        keys_values: &mut [f32],
    ) {
        let (wide, narrow) = (heads.queries * heads.width, heads.keys * heads.width);
        for (row, joint) in joint.chunks_exact(wide + 2 * narrow).enumerate() {
            let (sentence, step) = (row / span.steps, row % span.steps);
            let here = span.first + step;
            let position = here.saturating_sub(span.starts[sentence]);
            let query = &mut queries[row * wide..][..wide];
            query.copy_from_slice(&joint[..wide]);
            rotation.turn(query, position, 1.0);
            let pair = &mut keys_values[(sentence * span.capacity + here) * 2 * narrow..];
            let pair = &mut pair[..2 * narrow];
            pair.copy_from_slice(&joint[wide..]);
            rotation.turn(&mut pair[..narrow], position, 1.0);
        }
    }
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
        let pack = |weights: &[&Tensor], inner: usize| -> Result<Packed> {
            let weights = weights
                .iter()
                .map(|weight| values(weight))
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
    pub(super) starts: Vec<usize>,
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
    let sentences = sentences_a_task(width);
    let pair = 2 * config.kv_heads * config.head_dim;
    let mut y = vec![0.0; x.elem_count()];
    let tasks: Vec<Task> = with_values(x, |x| {
        padding
            .starts
            .par_chunks(sentences)
            .zip(x.par_chunks(sentences * width * hidden))
            .zip(y.par_chunks_mut(sentences * width * hidden))
            .map(|((starts, x), y)| {
                let span = Span {
                    starts,
                    first: 0,
                    steps: width,
                    capacity: width,
                    sees_all: false,
                };
                let mut keys_values = Buffer::dirty(starts.len() * width * pair);
                let trace = packed.forward(span, &rotation, x, &mut keys_values, y);
                Task {
                    starts: starts.to_vec(),
                    keys_values,
                    trace,
                }
            })
            .collect()
    })?;
    let weights = layer.weights();
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
    let tracked = llama
        .layers
        .iter()
        .any(|layer| layer.weights().iter().any(|weight| weight.is_variable()));
    if tracked {
        let mut x = x.clone();
        for layer in &llama.layers {
            x = tracked_layer(&x, layer, &llama.config, padding)?;
        }
        return Ok(x);
    }
    let (_, width, hidden) = x.dims3()?;
    let stack = Stack::new(llama, width)?;
    let sentences = sentences_a_task(width);
    let mut hidden_states = values(x)?;
    padding
        .starts
        .par_chunks(sentences)
        .zip(hidden_states.par_chunks_mut(sentences * width * hidden))
        .for_each(|(starts, x)| {
            let span = Span {
                starts,
                first: 0,
                steps: width,
                capacity: width,
                sees_all: false,
            };
            let mut keys_values = Buffer::dirty(starts.len() * width * stack.pair);
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
