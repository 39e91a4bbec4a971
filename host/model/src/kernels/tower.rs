//! The understanding eye for a few images at a time: vision tower and aligner.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::attention::{Heads, Span, attend};
use super::graph::attach;
use super::math::{add_all, layer_norm};
use super::mlp::{LinearTensors, MlpTrace, PackedLinear, PackedMlp, tensors};
use super::pool::Buffer;
use super::tower_backward::{TowerBackward, weights};
use super::{values, with_values};
use crate::config::VisionConfig;
use crate::janus::llama::Sentence;
use crate::janus::mlp::Mlp;
use crate::janus::tower::{Block, Norm, Tower};

/// Patches that a task takes through the tower at a time.
const TASK_PATCHES: usize = 256;

/// Images of a task; it depends on nothing but the model, which keeps sums of weight gradients in
/// one order.
pub(super) fn images_a_task(config: &VisionConfig) -> usize {
    (TASK_PATCHES / config.tokens()).max(1)
}

pub(super) fn heads(config: &VisionConfig) -> Heads {
    Heads {
        queries: config.heads,
        keys: config.heads,
        width: config.hidden / config.heads,
    }
}

struct PackedNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f32,
}

impl PackedNorm {
    fn new(norm: &Norm, config: &VisionConfig) -> Result<PackedNorm> {
        Ok(PackedNorm {
            weight: values(&norm.weight)?,
            bias: values(&norm.bias)?,
            eps: config.layer_norm_eps as f32,
        })
    }

    fn apply(&self, x: &[f32]) -> Buffer {
        let mut y = Buffer::dirty(x.len());
        layer_norm(x, &self.weight, &self.bias, self.eps, &mut y);
        y
    }
}

struct PackedBlock {
    norm1: PackedNorm,
    query: PackedLinear,
    key_value: PackedLinear,
    projection: PackedLinear,
    norm2: PackedNorm,
    mlp: PackedMlp,
    heads: Heads,
}

/// What a task's patches leave behind in a block; the backward pass reads it.
pub(super) struct BlockTrace {
    pub(super) x: Buffer,
    pub(super) normed: Buffer,
    pub(super) queries: Buffer,
    pub(super) keys_values: Buffer,
    pub(super) log_sums: Buffer,
    pub(super) attended: Buffer,
    pub(super) middle: Buffer,
    pub(super) normed_middle: Buffer,
    /// The first layer of the perceptron, before GELU.
    pub(super) inner: Vec<Buffer>,
}

impl PackedBlock {
    fn new(block: &Block, config: &VisionConfig) -> Result<PackedBlock> {
        Ok(PackedBlock {
            norm1: PackedNorm::new(&block.norm1, config)?,
            query: PackedLinear::new(&[LinearTensors::of(&block.query)?])?,
            key_value: PackedLinear::new(&[
                LinearTensors::of(&block.key)?,
                LinearTensors::of(&block.value)?,
            ])?,
            projection: PackedLinear::new(&[LinearTensors::of(&block.projection)?])?,
            norm2: PackedNorm::new(&block.norm2, config)?,
            mlp: PackedMlp::new(&[
                LinearTensors::of(&block.fc1)?,
                LinearTensors::of(&block.fc2)?,
            ])?,
            heads: heads(config),
        })
    }

    /// Patches x [image, patch, hidden] → the same shape.
    fn forward(&self, span: Span, x: Buffer) -> (Buffer, BlockTrace) {
        let normed = self.norm1.apply(&x);
        let queries = self.query.apply(&normed);
        let keys_values = self.key_value.apply(&normed);
        let mut attended = Buffer::dirty(x.len());
        let rows = span.sentences.len() * span.steps;
        let mut log_sums = Buffer::dirty(rows * self.heads.queries);
        attend(
            span,
            self.heads,
            &queries,
            &keys_values,
            &mut attended,
            &mut log_sums,
        );
        let mut middle = self.projection.apply(&attended);
        add_all(&mut middle, &x);
        let normed_middle = self.norm2.apply(&middle);
        let MlpTrace { inner, outputs } = self.mlp.forward(&normed_middle);
        let mut y = outputs;
        add_all(&mut y, &middle);
        let trace = BlockTrace {
            x,
            normed,
            queries,
            keys_values,
            log_sums,
            attended,
            middle,
            normed_middle,
            inner,
        };
        (y, trace)
    }
}

/// Tower and aligner, packed.
struct Eye<'a> {
    config: &'a VisionConfig,
    embedding: PackedLinear,
    positions: Vec<f32>,
    blocks: Vec<PackedBlock>,
    post_norm: PackedNorm,
    aligner: PackedMlp,
}

/// What a task of the forward pass keeps for its backward pass.
pub(super) struct Task {
    /// Rows of pixels.
    pub(super) patches: Buffer,
    pub(super) blocks: Vec<BlockTrace>,
    /// What the last block answers, and its norm.
    pub(super) last: Buffer,
    pub(super) normed: Buffer,
    /// The aligner's layers but the last, before GELU.
    pub(super) inner: Vec<Buffer>,
}

impl<'a> Eye<'a> {
    fn new(tower: &'a Tower, aligner: &Mlp) -> Result<Eye<'a>> {
        let config = &tower.config;
        Ok(Eye {
            config,
            embedding: PackedLinear::new(&[LinearTensors::of(&tower.patch_embedding)?])?,
            positions: values(&tower.positions)?,
            blocks: (tower.blocks.iter())
                .map(|block| PackedBlock::new(block, config))
                .collect::<Result<_>>()?,
            post_norm: PackedNorm::new(&tower.post_norm, config)?,
            aligner: PackedMlp::new(&tensors(aligner)?)?,
        })
    }

    /// A task's images → their features, and what the backward pass reads if there will be one.
    fn forward(&self, pixels: &[f32], traced: bool) -> (Buffer, Option<Task>) {
        let patches = cut_patches(pixels, self.config);
        let mut x = self.embedding.apply(&patches);
        for x in x.chunks_exact_mut(self.positions.len()) {
            add_all(x, &self.positions);
        }
        let sentences = vec![Sentence::default(); x.len() / self.positions.len()];
        let span = Span::all(&sentences, self.config.tokens());
        let mut blocks = Vec::new();
        for block in &self.blocks {
            let (y, trace) = block.forward(span, x);
            if traced {
                blocks.push(trace);
            }
            x = y;
        }
        let normed = self.post_norm.apply(&x);
        let MlpTrace { inner, outputs } = self.aligner.forward(&normed);
        let task = traced.then_some(Task {
            patches,
            blocks,
            last: x,
            normed,
            inner,
        });
        (outputs, task)
    }
}

/// Pixels [B, C, S, S] → the language model's inputs [B, patches, hidden]: tower and aligner.
/// Differentiable in their weights, not in the pixels.
pub(crate) fn image_features(pixels: &Tensor, tower: &Tower, aligner: &Mlp) -> Result<Tensor> {
    let config = &tower.config;
    let batch = pixels.dim(0)?;
    let eye = Eye::new(tower, aligner)?;
    let weights = weights(tower, aligner)?;
    let tracked = weights.iter().any(|weight| weight.track_op());
    let image = config.channels * config.image * config.image;
    let shape = (batch, config.tokens(), eye.aligner.outputs());
    let feature = shape.1 * shape.2;
    let images = images_a_task(config);
    let mut features = vec![0.0; batch * feature];
    let tasks: Vec<Option<Task>> = with_values(pixels, |pixels| {
        pixels
            .par_chunks(images * image)
            .zip(features.par_chunks_mut(images * feature))
            .map(|(pixels, features)| {
                let (outputs, task) = eye.forward(pixels, tracked);
                features.copy_from_slice(&outputs);
                task
            })
            .collect()
    })?;
    if !tracked {
        return Tensor::from_vec(features, shape, pixels.device());
    }
    let tasks = tasks.into_iter().flatten().collect();
    let backward = TowerBackward::new(tower, aligner, tasks)?;
    // The positions are the input that a gradient goes back to.
    attach(&tower.positions, &weights, features, shape, backward)
}

/// Rows of one patch each, in the order of the patch convolution's weights.
fn cut_patches(pixels: &[f32], config: &VisionConfig) -> Buffer {
    let VisionConfig {
        channels,
        image: side,
        patch,
        ..
    } = *config;
    let mut rows = Buffer::dirty(pixels.len());
    let across = side / patch;
    let mut lines = rows.chunks_exact_mut(patch);
    for image in pixels.chunks_exact(channels * side * side) {
        for place in 0..across * across {
            let (down, right) = (place / across * patch, place % across * patch);
            for channel in 0..channels {
                for line in 0..patch {
                    let at = (channel * side + down + line) * side + right;
                    if let Some(row) = lines.next() {
                        row.copy_from_slice(&image[at..at + patch]);
                    }
                }
            }
        }
    }
    rows
}
