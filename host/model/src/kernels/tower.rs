//! The understanding eye for a few images at a time, without gradients.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::attention::{Heads, Span, attend};
use super::math::{add_all, gelu_all, layer_norm};
use super::mlp::{PackedLinear, PackedMlp, tensors};
use super::pool::Buffer;
use super::{values, with_values};
use crate::janus::llama::Sentence;
use crate::janus::mlp::Mlp;
use crate::janus::tower::{Block, Norm, Tower};

/// Patches that a task takes through the tower at a time.
const TASK_PATCHES: usize = 256;

struct PackedNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f32,
}

impl PackedNorm {
    fn new(norm: &Norm, eps: f64) -> Result<PackedNorm> {
        Ok(PackedNorm {
            weight: values(&norm.weight)?,
            bias: values(&norm.bias)?,
            eps: eps as f32,
        })
    }

    fn apply(&self, x: &[f32], y: &mut [f32]) {
        layer_norm(x, &self.weight, &self.bias, self.eps, y);
    }
}

struct PackedBlock {
    norm1: PackedNorm,
    query: PackedLinear,
    key_value: PackedLinear,
    projection: PackedLinear,
    norm2: PackedNorm,
    fc1: PackedLinear,
    fc2: PackedLinear,
}

impl PackedBlock {
    fn new(block: &Block, eps: f64) -> Result<PackedBlock> {
        Ok(PackedBlock {
            norm1: PackedNorm::new(&block.norm1, eps)?,
            query: PackedLinear::new(&[(&block.query).into()])?,
            key_value: PackedLinear::new(&[(&block.key).into(), (&block.value).into()])?,
            projection: PackedLinear::new(&[(&block.projection).into()])?,
            norm2: PackedNorm::new(&block.norm2, eps)?,
            fc1: PackedLinear::new(&[(&block.fc1).into()])?,
            fc2: PackedLinear::new(&[(&block.fc2).into()])?,
        })
    }

    fn forward(&self, span: Span, heads: Heads, x: &mut [f32]) {
        let rows = span.sentences.len() * span.steps;
        let mut normed = Buffer::dirty(x.len());
        self.norm1.apply(x, &mut normed);
        let queries = self.query.apply(&normed);
        let keys_values = self.key_value.apply(&normed);
        let mut attended = Buffer::dirty(x.len());
        let mut log_sums = Buffer::dirty(rows * heads.queries);
        attend(
            span,
            heads,
            &queries,
            &keys_values,
            &mut attended,
            &mut log_sums,
        );
        add_all(x, &self.projection.apply(&attended));
        self.norm2.apply(x, &mut normed);
        let mut inner = self.fc1.apply(&normed);
        gelu_all(&mut inner);
        add_all(x, &self.fc2.apply(&inner));
    }
}

/// Pixels [B, C, S, S] → the language model's inputs [B, patches, hidden]: tower and aligner.
pub(crate) fn image_features(pixels: &Tensor, tower: &Tower, aligner: &Mlp) -> Result<Tensor> {
    let config = &tower.config;
    let (batch, channels, side, _) = pixels.dims4()?;
    let patches = config.tokens();
    let embedding = PackedLinear::new(&[(&tower.patch_embedding).into()])?;
    let positions = values(&tower.positions)?;
    let blocks = (tower.blocks.iter())
        .map(|block| PackedBlock::new(block, config.layer_norm_eps))
        .collect::<Result<Vec<_>>>()?;
    let post_norm = PackedNorm::new(&tower.post_norm, config.layer_norm_eps)?;
    let aligner = PackedMlp::new(&tensors(aligner))?;
    let outputs = aligner.outputs();
    let heads = Heads {
        queries: config.heads,
        keys: config.heads,
        width: config.hidden / config.heads,
    };
    let images = (TASK_PATCHES / patches).max(1);
    let image = channels * side * side;
    let mut features = vec![0.0; batch * patches * outputs];
    with_values(pixels, |pixels| {
        pixels
            .par_chunks(images * image)
            .zip(features.par_chunks_mut(images * patches * outputs))
            .for_each(|(pixels, features)| {
                let count = pixels.len() / image;
                let sentences = vec![Sentence::default(); count];
                let span = Span::all(&sentences, patches);
                let cut = cut_patches(pixels, channels, side, config.patch);
                let mut x = embedding.apply(&cut);
                for x in x.chunks_exact_mut(positions.len()) {
                    add_all(x, &positions);
                }
                for block in &blocks {
                    block.forward(span, heads, &mut x);
                }
                let mut y = Buffer::dirty(x.len());
                post_norm.apply(&x, &mut y);
                features.copy_from_slice(&aligner.forward(&y).outputs);
            });
    })?;
    Tensor::from_vec(features, (batch, patches, outputs), pixels.device())
}

/// Rows of one patch each, in the order of the patch convolution's weights.
fn cut_patches(pixels: &[f32], channels: usize, side: usize, patch: usize) -> Buffer {
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
