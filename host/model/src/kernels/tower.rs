//! The understanding eye for a few images at a time, without gradients.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::gemm::Packed;
use super::llama::{Heads, Span, attend};
use super::math::{add_all, add_bias, gelu_all, layer_norm};
use super::pool::Buffer;
use super::{values, with_values};
use crate::janus::mlp::{Linear, Mlp};
use crate::janus::tower::{Block, Norm, Tower};

/// Patches that a task takes through the tower at a time.
const TASK_PATCHES: usize = 256;

/// Linear layers side by side on the same input.
struct PackedLinear {
    weight: Packed,
    bias: Vec<f32>,
}

impl PackedLinear {
    fn new(layers: &[&Linear]) -> Result<PackedLinear> {
        let mut weights = Vec::new();
        let mut bias = Vec::new();
        let mut inner = 0;
        for layer in layers {
            inner = layer.weight.elem_count() / layer.bias.elem_count();
            weights.push(values(&layer.weight)?);
            bias.extend(values(&layer.bias)?);
        }
        let slices: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
        Ok(PackedLinear {
            weight: Packed::new(&slices, inner),
            bias,
        })
    }

    fn apply(&self, x: &[f32], rows: usize) -> Buffer {
        let mut y = Buffer::dirty(rows * self.bias.len());
        self.weight.apply(x, &mut y);
        add_bias(&mut y, &self.bias);
        y
    }
}

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
            query: PackedLinear::new(&[&block.query])?,
            key_value: PackedLinear::new(&[&block.key, &block.value])?,
            projection: PackedLinear::new(&[&block.projection])?,
            norm2: PackedNorm::new(&block.norm2, eps)?,
            fc1: PackedLinear::new(&[&block.fc1])?,
            fc2: PackedLinear::new(&[&block.fc2])?,
        })
    }

    fn forward(&self, span: Span, heads: Heads, x: &mut [f32]) {
        let rows = span.starts.len() * span.steps;
        let mut normed = Buffer::dirty(x.len());
        self.norm1.apply(x, &mut normed);
        let queries = self.query.apply(&normed, rows);
        let keys_values = self.key_value.apply(&normed, rows);
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
        add_all(x, &self.projection.apply(&attended, rows));
        self.norm2.apply(x, &mut normed);
        let mut inner = self.fc1.apply(&normed, rows);
        gelu_all(&mut inner);
        add_all(x, &self.fc2.apply(&inner, rows));
    }
}

/// Pixels [B, C, S, S] → the language model's inputs [B, patches, hidden]: tower and aligner.
pub(crate) fn image_features(pixels: &Tensor, tower: &Tower, aligner: &Mlp) -> Result<Tensor> {
    let config = &tower.config;
    let (batch, channels, side, _) = pixels.dims4()?;
    let patches = config.tokens();
    let embedding = PackedLinear::new(&[&tower.patch_embedding])?;
    let positions = values(&tower.positions)?;
    let blocks = (tower.blocks.iter())
        .map(|block| PackedBlock::new(block, config.layer_norm_eps))
        .collect::<Result<Vec<_>>>()?;
    let post_norm = PackedNorm::new(&tower.post_norm, config.layer_norm_eps)?;
    let aligner = (aligner.layers.iter())
        .map(|layer| PackedLinear::new(&[layer]))
        .collect::<Result<Vec<_>>>()?;
    let outputs = aligner
        .last()
        .map_or(config.hidden, |layer| layer.bias.len());
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
                let starts = vec![0; count];
                let span = Span {
                    starts: &starts,
                    first: 0,
                    steps: patches,
                    capacity: patches,
                    sees_all: true,
                };
                let cut = cut_patches(pixels, channels, side, config.patch);
                let mut x = embedding.apply(&cut, count * patches);
                for x in x.chunks_exact_mut(positions.len()) {
                    add_all(x, &positions);
                }
                for block in &blocks {
                    block.forward(span, heads, &mut x);
                }
                let mut y = Buffer::dirty(x.len());
                post_norm.apply(&x, &mut y);
                for (position, layer) in aligner.iter().enumerate() {
                    if position > 0 {
                        gelu_all(&mut y);
                    }
                    y = layer.apply(&y, count * patches);
                }
                features.copy_from_slice(&y);
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
