//! The backward pass of the understanding eye.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::attention::{Attended, Span, attend_backward};
use super::gradients::{Product, sum_shares, weight_gradients};
use super::graph::Backward;
use super::math::{add_rows, layer_norm_backward};
use super::mlp::{Factors, Matrix, mlp_backward};
use super::pool::Buffer;
use super::tower::{BlockTrace, Task, heads, images_a_task};
use super::values;
use crate::config::VisionConfig;
use crate::janus::llama::Sentence;
use crate::janus::mlp::{Linear, Mlp};
use crate::janus::tower::{Block, Norm, Tower};

/// All weights but the positions, in the order of their gradients: linear layers and then norms,
/// each in the order of a forward pass.
pub(super) fn weights<'a>(tower: &'a Tower, aligner: &'a Mlp) -> Result<Vec<&'a Tensor>> {
    let of_blocks = (tower.blocks.iter()).flat_map(|block| {
        let attention = [&block.query, &block.key, &block.value, &block.projection];
        attention.into_iter().chain([&block.fc1, &block.fc2])
    });
    let linears = std::iter::once(&tower.patch_embedding)
        .chain(of_blocks)
        .chain(&aligner.layers);
    let norms = (tower.blocks.iter())
        .flat_map(|block| [&block.norm1, &block.norm2])
        .chain([&tower.post_norm]);
    let mut weights = Vec::new();
    for Linear { weight, bias } in linears {
        weights.extend([weight.plain()?, bias]);
    }
    weights.extend(norms.flat_map(|Norm { weight, bias }| [weight, bias]));
    Ok(weights)
}

/// What the backward pass reads of a block.
struct BlockWeights {
    norm1: Vec<f32>,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    projection: Matrix,
    norm2: Vec<f32>,
    mlp: [Matrix; 2],
}

impl BlockWeights {
    fn new(block: &Block) -> Result<BlockWeights> {
        let matrix = |linear: &Linear| Matrix::new(linear.weight.plain()?);
        Ok(BlockWeights {
            norm1: values(&block.norm1.weight)?,
            query: matrix(&block.query)?,
            key: matrix(&block.key)?,
            value: matrix(&block.value)?,
            projection: matrix(&block.projection)?,
            norm2: values(&block.norm2.weight)?,
            mlp: [matrix(&block.fc1)?, matrix(&block.fc2)?],
        })
    }
}

pub(super) struct TowerBackward {
    config: VisionConfig,
    blocks: Vec<BlockWeights>,
    post_norm: Vec<f32>,
    aligner: Vec<Matrix>,
    tasks: Vec<Task>,
}

/// Gradients of a norm's weight and bias.
type NormShare = [Vec<f32>; 2];

/// What the gradients of a block's linear layers are summed from, beside its trace.
struct BlockFactors {
    d_queries: Buffer,
    d_keys_values: Buffer,
    d_middle: Buffer,
    mlp: Vec<Factors>,
}

/// The same of the whole eye.
struct TaskFactors {
    d_embedded: Buffer,
    blocks: Vec<BlockFactors>,
    aligner: Vec<Factors>,
    /// Gradients of the positions and of all norms, in their order.
    share: Vec<Vec<f32>>,
}

impl TowerBackward {
    pub(super) fn new(tower: &Tower, aligner: &Mlp, tasks: Vec<Task>) -> Result<TowerBackward> {
        Ok(TowerBackward {
            config: tower.config.clone(),
            blocks: (tower.blocks.iter())
                .map(BlockWeights::new)
                .collect::<Result<_>>()?,
            post_norm: values(&tower.post_norm.weight)?,
            aligner: (aligner.layers.iter())
                .map(|layer| Matrix::new(layer.weight.plain()?))
                .collect::<Result<_>>()?,
            tasks,
        })
    }

    /// Adds the gradient of a norm's inputs to `dx`.
    fn norm(&self, x: &[f32], weight: &[f32], dy: &[f32], dx: &mut [f32]) -> NormShare {
        let mut share = [vec![0.0; weight.len()], vec![0.0; weight.len()]];
        let eps = self.config.layer_norm_eps as f32;
        layer_norm_backward(x, weight, eps, dy, dx, &mut share);
        share
    }

    /// The gradients of a block's inputs and norms, and the factors of the rest.
    fn block(
        &self,
        weights: &BlockWeights,
        trace: &BlockTrace,
        span: Span,
        dy: Buffer,
    ) -> (Buffer, [NormShare; 2], BlockFactors) {
        let mut d_middle = Buffer::copy_of(&dy);
        let (d_normed, mlp) = mlp_backward(&weights.mlp, &trace.normed_middle, &trace.inner, dy);
        let norm2 = self.norm(&trace.middle, &weights.norm2, &d_normed, &mut d_middle);

        let pull = weights.projection.pull_back(&d_middle);
        let mut d_queries = Buffer::zeros(trace.queries.len());
        let mut d_keys_values = Buffer::zeros(trace.keys_values.len());
        let attended = Attended {
            queries: &trace.queries,
            keys_values: &trace.keys_values,
            values: &trace.attended,
            log_sums: &trace.log_sums,
        };
        attend_backward(
            span,
            heads(&self.config),
            attended,
            &pull,
            &mut d_queries,
            &mut d_keys_values,
        );
        let mut d_normed = weights.query.pull_back(&d_queries);
        let keys = weights.key.outputs();
        for (weight, offset) in [(&weights.key, 0), (&weights.value, keys)] {
            weight.pull_back_onto(&d_keys_values[offset..], 2 * keys, &mut d_normed);
        }
        let mut dx = Buffer::copy_of(&d_middle);
        let norm1 = self.norm(&trace.x, &weights.norm1, &d_normed, &mut dx);
        let factors = BlockFactors {
            d_queries,
            d_keys_values,
            d_middle,
            mlp,
        };
        (dx, [norm1, norm2], factors)
    }

    fn task(&self, task: &Task, d_features: &[f32]) -> TaskFactors {
        let d_features = Buffer::copy_of(d_features);
        let (d_normed, aligner) =
            mlp_backward(&self.aligner, &task.normed, &task.inner, d_features);
        let mut d = Buffer::zeros(task.last.len());
        let post_norm = self.norm(&task.last, &self.post_norm, &d_normed, &mut d);
        let image = self.config.tokens() * self.config.hidden;
        let sentences = vec![Sentence::default(); d.len() / image];
        let span = Span::all(&sentences, self.config.tokens());
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let mut norms = vec![post_norm];
        for (weights, trace) in self.blocks.iter().zip(&task.blocks).rev() {
            let (dx, [norm1, norm2], factors) = self.block(weights, trace, span, d);
            d = dx;
            norms.extend([norm2, norm1]);
            blocks.push(factors);
        }
        blocks.reverse();
        let mut positions = vec![0.0; image];
        add_rows(&d, &mut positions);
        let norms = norms.into_iter().rev().flatten();
        TaskFactors {
            d_embedded: d,
            blocks,
            aligner,
            share: std::iter::once(positions).chain(norms).collect(),
        }
    }

    /// The products of all linear layers, in their order.
    fn products<'a>(&'a self, factors: &'a [TaskFactors]) -> Vec<Product<'a>> {
        let hidden = self.config.hidden;
        let tasks = || self.tasks.iter().zip(factors);
        let patch = self.config.channels * self.config.patch * self.config.patch;
        let embedding = tasks()
            .map(|(task, f)| (&*f.d_embedded, &*task.patches))
            .collect();
        let mut products = vec![Product::new(embedding, hidden, 0..hidden, patch)];
        for (block, weights) in self.blocks.iter().enumerate() {
            let sides = |pick: fn(&'a BlockTrace, &'a BlockFactors) -> [&'a Buffer; 2]| {
                let pairs = tasks().map(|(task, f)| pick(&task.blocks[block], &f.blocks[block]));
                let sides = pairs.map(|[outputs, inputs]| (&**outputs, &**inputs));
                sides.collect::<Vec<(&[f32], &[f32])>>()
            };
            let queries = sides(|trace, f| [&f.d_queries, &trace.normed]);
            let keys_values = sides(|trace, f| [&f.d_keys_values, &trace.normed]);
            let projected = sides(|trace, f| [&f.d_middle, &trace.attended]);
            products.extend([
                Product::new(queries, hidden, 0..hidden, hidden),
                Product::new(keys_values.clone(), 2 * hidden, 0..hidden, hidden),
                Product::new(keys_values, 2 * hidden, hidden..2 * hidden, hidden),
                Product::new(projected, hidden, 0..hidden, hidden),
            ]);
            let mlp = |f: &'a TaskFactors| &f.blocks[block].mlp;
            products.extend(mlp_products(&weights.mlp, factors, mlp));
        }
        products.extend(mlp_products(&self.aligner, factors, |f| &f.aligner));
        products
    }
}

/// The products of a perceptron's layers.
fn mlp_products<'a>(
    weights: &'a [Matrix],
    tasks: &'a [TaskFactors],
    factors: impl Fn(&'a TaskFactors) -> &'a Vec<Factors>,
) -> Vec<Product<'a>> {
    let layers = weights.iter().enumerate();
    layers
        .map(|(layer, weight)| weight.product(tasks.iter().map(|task| &factors(task)[layer])))
        .collect()
}

impl Backward for TowerBackward {
    /// The input is the positions.
    fn backward(&self, _: &Tensor, grad: &[f32]) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let outputs = self.aligner.last().map_or(0, Matrix::outputs);
        let portion = images_a_task(&self.config) * self.config.tokens() * outputs;
        let mut factors: Vec<TaskFactors> = self
            .tasks
            .par_iter()
            .zip(grad.par_chunks(portion))
            .map(|(task, d_features)| self.task(task, d_features))
            .collect();
        let shares: Vec<_> = (factors.iter_mut())
            .map(|factors| std::mem::take(&mut factors.share))
            .collect();
        let products = self.products(&factors);
        let biases: Vec<Vec<f32>> = products.par_iter().map(Product::bias).collect();
        let linears = weight_gradients(&products)
            .into_iter()
            .zip(biases)
            .flat_map(|(weight, bias)| [weight, bias]);
        let mut shares = sum_shares(shares).into_iter();
        let positions = shares.next().unwrap_or_default();
        Ok((positions, linears.chain(shares).collect()))
    }
}
