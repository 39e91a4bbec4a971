//! The backward pass of a Llama layer.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::attention::{Attended, Heads, Rotation, Span, attend_backward, turn_back};
use super::gemm::{Lhs, Rhs, gemm};
use super::gradients::{Product, sum_shares, weight_gradients};
use super::graph::Backward;
use super::llama::{Task, sentences_a_task};
use super::math::{rms_norm, rms_norm_backward, swiglu_backward};
use super::pool::Buffer;
use super::{values, with_values};
use crate::config::TextConfig;

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
    d_norms: [Vec<f32>; 2],
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
        let span = Span::causal(&task.sentences, rows / task.sentences.len());

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
        let mut d_middle = Buffer::copy_of(dy);
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
        let attended = Attended {
            queries: &trace.queries,
            keys_values: &task.keys_values,
            values: &trace.attended,
            log_sums: &trace.log_sums,
        };
        attend_backward(
            span,
            heads,
            attended,
            &pull,
            &mut d_queries,
            &mut d_keys_values,
        );
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
            d_norms: [d_input_norm, d_post_norm],
        }
    }

    /// The weights' gradients, of those that are matrices.
    fn weight_gradients(&self, factors: &[Factors], grads: &[&[f32]]) -> Vec<Vec<f32>> {
        let config = &self.config;
        let (hidden, wide) = (config.hidden, config.intermediate);
        let queries = config.heads * config.head_dim;
        let keys = config.kv_heads * config.head_dim;
        let sides = |pick: fn(&Factors) -> (&Buffer, &Buffer)| -> Vec<(&[f32], &[f32])> {
            let pairs = factors.iter().map(pick);
            pairs.map(|(d, inputs)| (&**d, &**inputs)).collect()
        };
        let of_queries = sides(|f| (&f.d_queries, &f.input));
        let of_pairs = sides(|f| (&f.d_keys_values, &f.input));
        let of_gates = sides(|f| (&f.d_gate_up, &f.normed_middle));
        let attended = (factors.iter().zip(&self.tasks))
            .map(|(f, task)| (&*f.d_middle, &*task.trace.attended))
            .collect();
        let gated = (grads.iter().zip(factors))
            .map(|(grad, f)| (*grad, &*f.gated))
            .collect();
        weight_gradients(&[
            Product::new(of_queries, queries, 0..queries, hidden),
            Product::new(of_pairs.clone(), 2 * keys, 0..keys, hidden),
            Product::new(of_pairs, 2 * keys, keys..2 * keys, hidden),
            Product::new(attended, hidden, 0..hidden, queries),
            Product::new(of_gates.clone(), 2 * wide, 0..wide, hidden),
            Product::new(of_gates, 2 * wide, wide..2 * wide, hidden),
            Product::new(gated, hidden, 0..hidden, wide),
        ])
    }
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
        let factors: Vec<Factors> = with_values(x, |x| {
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
        let norms = sum_shares(factors.into_iter().map(|f| f.d_norms.into()));
        let (mut norms, mut products) = (norms.into_iter(), products.into_iter());
        // In the order of the layer's weights.
        let mut gradients = Vec::with_capacity(self.weights.len());
        gradients.extend(norms.next());
        gradients.extend(products.by_ref().take(4));
        gradients.extend(norms);
        gradients.extend(products);
        Ok((dx, gradients))
    }
}
