//! The backward pass of a Llama layer.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::gemm::{Lhs, Rhs, gemm};
use super::graph::Backward;
use super::llama::{Heads, Rotation, Span, Task, sentences_a_task};
use super::math::{add_scaled, dot, exp, rms_norm, rms_norm_backward, swiglu_backward};
use super::pool::Buffer;
use super::{values, vectorised, with_values};
use crate::config::TextConfig;

/// Rows of a weight's gradient that one task sums.
const GRADIENT_ROWS: usize = 32;

pub(super) struct LayerBackward {
    pub(super) config: TextConfig,
    /// In the order of [`crate::janus::llama::Layer::weights`].
    pub(super) weights: [Tensor; 9],
    pub(super) tasks: Vec<Task>,
    pub(super) rotation: Rotation,
}

/// A layer's weights as [out, in].
struct Weights<'a> {
    input_norm: &'a [f32],
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    output: &'a [f32],
    post_norm: &'a [f32],
    gate: &'a [f32],
    up: &'a [f32],
    down: &'a [f32],
}

/// Inputs and output gradients of a task's products, from which the weights' gradients are summed.
struct Factors {
    input: Buffer,
    d_queries: Buffer,
    d_keys_values: Buffer,
    d_middle: Buffer,
    normed_middle: Buffer,
    d_gate_up: Buffer,
    gated: Buffer,
    d_input_norm: Vec<f32>,
    d_post_norm: Vec<f32>,
}

vectorised! {
    /// Backward of [`super::llama::attend`] for a causal span from its first step. `pull` holds
    /// the attended values' gradients; those of queries and of keys and values are added up.
    fn attend_backward(
        span: Span,
        heads: Heads,
        task: &Task,
        pull: &[f32],
        d_queries: &mut [f32],
        d_keys_values: &mut [f32],
    ) {
        let (wide, narrow) = (heads.queries * heads.width, heads.keys * heads.width);
        let repeats = heads.queries / heads.keys;
        let scale = 1.0 / (heads.width as f32).sqrt();
        for (sentence, start) in span.starts.iter().enumerate() {
            let sentence_pairs = sentence * span.capacity * 2 * narrow;
            for step in *start..span.steps {
                let row = sentence * span.steps + step;
                let pairs = sentence_pairs + start * 2 * narrow..sentence_pairs + (step + 1) * 2 * narrow;
                for head in 0..heads.queries {
                    let place = row * wide + head * heads.width;
                    let place = place..place + heads.width;
                    let query = &task.trace.queries[place.clone()];
                    let pull = &pull[place.clone()];
                    let d_query = &mut d_queries[place.clone()];
                    let mean = dot(pull, &task.trace.attended[place]);
                    let log_sum = task.trace.log_sums[row * heads.queries + head];
                    let key = head / repeats * heads.width;
                    let key = key..key + heads.width;
                    let value = narrow + key.start..narrow + key.end;
                    let known = task.keys_values[pairs.clone()].chunks_exact(2 * narrow);
                    let gradients = d_keys_values[pairs.clone()].chunks_exact_mut(2 * narrow);
                    for (pair, d_pair) in known.zip(gradients) {
                        let weight = exp(dot(query, &pair[key.clone()]) * scale - log_sum);
                        let d_score = weight * (dot(pull, &pair[value.clone()]) - mean) * scale;
                        add_scaled(d_query, d_score, &pair[key.clone()]);
                        add_scaled(&mut d_pair[key.clone()], d_score, query);
                        add_scaled(&mut d_pair[value.clone()], weight, pull);
                    }
                }
            }
        }
    }
}

vectorised! {
    /// Turns the gradients of queries and keys back from their positions.
    fn turn_back(
        span: Span,
        heads: Heads,
        rotation: &Rotation,
        d_queries: &mut [f32],
        d_keys_values: &mut [f32],
    ) {
        let (wide, narrow) = (heads.queries * heads.width, heads.keys * heads.width);
        let rows = d_queries
            .chunks_exact_mut(wide)
            .zip(d_keys_values.chunks_exact_mut(2 * narrow));
        for (row, (query, pair)) in rows.enumerate() {
            let position = (row % span.steps).saturating_sub(span.starts[row / span.steps]);
            rotation.turn(query, position, -1.0);
            rotation.turn(&mut pair[..narrow], position, -1.0);
        }
    }
}

impl LayerBackward {
    /// Gradients of one task's activations; `dx` receives the input's.
    fn task(
        &self,
        weights: &Weights,
        task: &Task,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
    ) -> Factors {
        let config = &self.config;
        let (hidden, wide) = (config.hidden, config.intermediate);
        let heads = Heads::of(config);
        let (queries, keys) = (heads.queries * heads.width, heads.keys * heads.width);
        let rows = x.len() / hidden;
        let eps = config.rms_eps as f32;
        let trace = &task.trace;
        let span = Span {
            starts: &task.starts,
            first: 0,
            steps: rows / task.starts.len(),
            capacity: rows / task.starts.len(),
            sees_all: false,
        };

        let mut gated = Buffer::dirty(rows * wide);
        let down = Rhs::rows(weights.down, wide);
        gemm(
            [rows, wide, hidden],
            Lhs::rows(dy, hidden),
            down,
            &mut gated,
            wide,
            false,
        );
        let mut d_gate_up = Buffer::dirty(rows * 2 * wide);
        swiglu_backward(&trace.gate_up, wide, &mut gated, &mut d_gate_up);
        let mut d_normed = Buffer::dirty(x.len());
        for (offset, weight, add) in [(0, weights.gate, false), (wide, weights.up, true)] {
            let lhs = Lhs::rows(&d_gate_up[offset..], 2 * wide);
            let rhs = Rhs::rows(weight, hidden);
            gemm([rows, hidden, wide], lhs, rhs, &mut d_normed, hidden, add);
        }
        let mut normed_middle = Buffer::dirty(x.len());
        rms_norm(&trace.middle, weights.post_norm, eps, &mut normed_middle);
        let mut d_middle = Buffer::dirty(x.len());
        d_middle.copy_from_slice(dy);
        let mut d_post_norm = vec![0.0; hidden];
        rms_norm_backward(
            &trace.middle,
            weights.post_norm,
            eps,
            &d_normed,
            &mut d_middle,
            &mut d_post_norm,
        );

        let mut pull = Buffer::dirty(rows * queries);
        let output = Rhs::rows(weights.output, queries);
        let lhs = Lhs::rows(&d_middle, hidden);
        gemm(
            [rows, queries, hidden],
            lhs,
            output,
            &mut pull,
            queries,
            false,
        );
        let mut d_queries = Buffer::zeros(rows * queries);
        let mut d_keys_values = Buffer::zeros(rows * 2 * keys);
        attend_backward(span, heads, task, &pull, &mut d_queries, &mut d_keys_values);
        turn_back(
            span,
            heads,
            &self.rotation,
            &mut d_queries,
            &mut d_keys_values,
        );
        let lhs = Lhs::rows(&d_queries, queries);
        let rhs = Rhs::rows(weights.query, hidden);
        gemm(
            [rows, hidden, queries],
            lhs,
            rhs,
            &mut d_normed,
            hidden,
            false,
        );
        for (offset, weight) in [(0, weights.key), (keys, weights.value)] {
            let lhs = Lhs::rows(&d_keys_values[offset..], 2 * keys);
            let rhs = Rhs::rows(weight, hidden);
            gemm([rows, hidden, keys], lhs, rhs, &mut d_normed, hidden, true);
        }
        let mut input = Buffer::dirty(x.len());
        rms_norm(x, weights.input_norm, eps, &mut input);
        dx.copy_from_slice(&d_middle);
        let mut d_input_norm = vec![0.0; hidden];
        rms_norm_backward(x, weights.input_norm, eps, &d_normed, dx, &mut d_input_norm);
        Factors {
            input,
            d_queries,
            d_keys_values,
            d_middle,
            normed_middle,
            d_gate_up,
            gated,
            d_input_norm,
            d_post_norm,
        }
    }

    /// Sums the weights' gradients over the tasks, each block of rows by itself.
    fn weight_gradients(&self, factors: &[Factors], grads: &[&[f32]]) -> Vec<Vec<f32>> {
        let config = &self.config;
        let (hidden, wide) = (config.hidden, config.intermediate);
        let queries = config.heads * config.head_dim;
        let keys = config.kv_heads * config.head_dim;
        // For each product: its output gradients (rows of a width, from an offset) and its inputs.
        type Side<'a> = Vec<(&'a [f32], &'a [f32])>;
        let products: [(Side, usize, usize, usize, usize); 7] = [
            (
                pairs(factors, |f| (&f.d_queries, &f.input)),
                queries,
                0,
                queries,
                hidden,
            ),
            (
                pairs(factors, |f| (&f.d_keys_values, &f.input)),
                2 * keys,
                0,
                keys,
                hidden,
            ),
            (
                pairs(factors, |f| (&f.d_keys_values, &f.input)),
                2 * keys,
                keys,
                keys,
                hidden,
            ),
            (
                factors
                    .iter()
                    .zip(&self.tasks)
                    .map(|(f, task)| (&*f.d_middle, &*task.trace.attended))
                    .collect(),
                hidden,
                0,
                hidden,
                queries,
            ),
            (
                pairs(factors, |f| (&f.d_gate_up, &f.normed_middle)),
                2 * wide,
                0,
                wide,
                hidden,
            ),
            (
                pairs(factors, |f| (&f.d_gate_up, &f.normed_middle)),
                2 * wide,
                wide,
                wide,
                hidden,
            ),
            (
                grads
                    .iter()
                    .zip(factors)
                    .map(|(grad, f)| (*grad, &*f.gated))
                    .collect(),
                hidden,
                0,
                hidden,
                wide,
            ),
        ];
        let mut gradients: Vec<Vec<f32>> = products
            .iter()
            .map(|(_, _, _, outputs, inputs)| vec![0.0; outputs * inputs])
            .collect();
        let blocks: Vec<_> = gradients
            .iter_mut()
            .zip(&products)
            .flat_map(|(gradient, product)| {
                gradient
                    .chunks_mut(GRADIENT_ROWS * product.4)
                    .enumerate()
                    .map(move |(block, rows)| (block * GRADIENT_ROWS, rows, product))
            })
            .collect();
        blocks
            .into_par_iter()
            .for_each(|(first, block, (sides, width, offset, _, inputs))| {
                for (outputs, input) in sides {
                    let steps = input.len() / inputs;
                    let lhs = Lhs::columns(&outputs[offset + first..], *width);
                    let sizes = [block.len() / inputs, *inputs, steps];
                    gemm(sizes, lhs, Rhs::rows(input, *inputs), block, *inputs, true);
                }
            });
        gradients
    }
}

fn pairs(
    factors: &[Factors],
    pick: impl Fn(&Factors) -> (&Buffer, &Buffer),
) -> Vec<(&[f32], &[f32])> {
    factors
        .iter()
        .map(|factors| {
            let (outputs, inputs) = pick(factors);
            (&**outputs, &**inputs)
        })
        .collect()
}

fn sum_rows(rows: impl Iterator<Item = Vec<f32>>) -> Vec<f32> {
    rows.reduce(|mut sum, row| {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += value;
        }
        sum
    })
    .unwrap_or_default()
}

impl Backward for LayerBackward {
    fn backward(&self, x: &Tensor, grad: &[f32]) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let (_, width, hidden) = x.dims3()?;
        let weights = self
            .weights
            .iter()
            .map(values)
            .collect::<Result<Vec<_>>>()?;
        let weights = Weights {
            input_norm: &weights[0],
            query: &weights[1],
            key: &weights[2],
            value: &weights[3],
            output: &weights[4],
            post_norm: &weights[5],
            gate: &weights[6],
            up: &weights[7],
            down: &weights[8],
        };
        let portion = sentences_a_task(width) * width * hidden;
        let mut dx = vec![0.0; x.elem_count()];
        let mut factors: Vec<Factors> = with_values(x, |x| {
            self.tasks
                .par_iter()
                .zip(x.par_chunks(portion))
                .zip(grad.par_chunks(portion))
                .zip(dx.par_chunks_mut(portion))
                .map(|(((task, x), dy), dx)| self.task(&weights, task, x, dy, dx))
                .collect()
        })?;
        let grads: Vec<&[f32]> = grad.chunks(portion).collect();
        let products = self.weight_gradients(&factors, &grads);
        let input_norm = sum_rows(
            factors
                .iter_mut()
                .map(|f| std::mem::take(&mut f.d_input_norm)),
        );
        let post_norm = sum_rows(
            factors
                .iter_mut()
                .map(|f| std::mem::take(&mut f.d_post_norm)),
        );
        let mut products = products.into_iter();
        let mut gradients = vec![input_norm];
        gradients.extend(products.by_ref().take(4));
        gradients.push(post_norm);
        gradients.extend(products);
        Ok((dx, gradients))
    }
}
