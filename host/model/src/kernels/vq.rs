//! The image tokenizer, an image a task, and some lines of it where it is large: its steps over
//! places by rows of channels, and decoding without gradients.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::attention::{Heads, Span, attend};
use super::conv::{Image, PackedConv};
use super::group_norm::{PackedNorm, Statistics};
use super::math::dot;
use super::pool::Buffer;
use super::values;
use super::vq_backward::{Pull, Recorded};
use crate::janus::llama::Sentence;
use crate::janus::tower::Norm;
use crate::janus::vq::Step as Module;
use crate::janus::vq::{AttentionBlock, Conv, ResBlock, Stack, Vq};

/// A step with its weights, over one image.
pub(super) trait Step: Send + Sync + 'static {
    /// What the backward pass reads of the forward pass.
    type Trace: Send + Sync + 'static;

    fn forward(&self, x: Image) -> (Image, Self::Trace);

    /// From the output's gradient: the input's. The weights' are pushed, the last weight's first;
    /// those of convolutions as [out, y, x, in].
    fn backward(&self, trace: &Self::Trace, dy: Image, gradients: &mut Vec<Buffer>) -> Image;
}

/// A step of any kind.
pub(super) trait AnyStep: Send + Sync {
    /// The output alone.
    fn apply(&self, x: Image) -> Image;

    /// The output, and the way back.
    fn record(self: Arc<Self>, x: Image) -> (Image, Box<dyn Pull>);
}

impl<S: Step> AnyStep for S {
    fn apply(&self, x: Image) -> Image {
        self.forward(x).0
    }

    fn record(self: Arc<Self>, x: Image) -> (Image, Box<dyn Pull>) {
        let (y, trace) = self.forward(x);
        (y, Box::new(Recorded { step: self, trace }))
    }
}

impl Step for PackedConv {
    /// The framed input.
    type Trace = Image;

    fn forward(&self, x: Image) -> (Image, Image) {
        let framed = self.framed(x);
        (self.apply(&framed), framed)
    }

    fn backward(&self, framed: &Image, dy: Image, gradients: &mut Vec<Buffer>) -> Image {
        self.apply_backward(framed, &dy, gradients)
    }
}

/// GroupNorm, swish and a convolution.
pub(super) struct Activated {
    pub(super) norm: PackedNorm,
    pub(super) conv: PackedConv,
}

pub(super) struct ActivatedTrace {
    pub(super) x: Image,
    pub(super) statistics: Statistics,
    pub(super) framed: Image,
}

impl Activated {
    fn new(norm: &Norm, conv: &Conv) -> Result<Activated> {
        Ok(Activated {
            norm: PackedNorm::new(norm, true)?,
            conv: PackedConv::new(conv, 1)?,
        })
    }

    pub(super) fn apply(&self, x: Image) -> (Image, ActivatedTrace) {
        let (normed, statistics) = self.norm.apply(&x);
        let framed = self.conv.framed(normed);
        let y = self.conv.apply(&framed);
        let trace = ActivatedTrace {
            x,
            statistics,
            framed,
        };
        (y, trace)
    }
}

/// Twice [`Activated`], plus the input.
pub(super) struct PackedRes {
    pub(super) first: Activated,
    pub(super) second: Activated,
    pub(super) shortcut: Option<PackedConv>,
}

impl PackedRes {
    fn new(block: &ResBlock) -> Result<PackedRes> {
        Ok(PackedRes {
            first: Activated::new(&block.norm1, &block.conv1)?,
            second: Activated::new(&block.norm2, &block.conv2)?,
            shortcut: (block.shortcut.as_ref())
                .map(|shortcut| PackedConv::new(shortcut, 1))
                .transpose()?,
        })
    }

    pub(super) fn apply(&self, x: Image) -> (Image, [ActivatedTrace; 2]) {
        let (middle, first) = self.first.apply(x);
        let (mut y, second) = self.second.apply(middle);
        match &self.shortcut {
            Some(shortcut) => y.add(&shortcut.apply(&first.x)),
            None => y.add(&first.x),
        }
        (y, [first, second])
    }
}

/// Single-head attention over all places, plus the input.
pub(super) struct PackedAttention {
    pub(super) norm: PackedNorm,
    pub(super) query: PackedConv,
    pub(super) key: PackedConv,
    pub(super) value: PackedConv,
    pub(super) projection: PackedConv,
}

pub(super) struct AttentionTrace {
    pub(super) x: Image,
    pub(super) statistics: Statistics,
    pub(super) normed: Image,
    pub(super) queries: Image,
    pub(super) keys: Image,
    pub(super) values: Image,
    pub(super) mixed: Image,
}

impl PackedAttention {
    fn new(block: &AttentionBlock) -> Result<PackedAttention> {
        Ok(PackedAttention {
            norm: PackedNorm::new(&block.norm, false)?,
            query: PackedConv::new(&block.query, 1)?,
            key: PackedConv::new(&block.key, 1)?,
            value: PackedConv::new(&block.value, 1)?,
            projection: PackedConv::new(&block.projection, 1)?,
        })
    }

    pub(super) fn apply(&self, x: Image) -> (Image, AttentionTrace) {
        let (normed, statistics) = self.norm.apply(&x);
        let (queries, keys) = (self.query.apply(&normed), self.key.apply(&normed));
        let values = self.value.apply(&normed);
        let mixed = mix(&queries, &keys, &values, self.query.outputs());
        let mut y = self.projection.apply(&mixed);
        y.add(&x);
        let trace = AttentionTrace {
            x,
            statistics,
            normed,
            queries,
            keys,
            values,
            mixed,
        };
        (y, trace)
    }
}

/// Single-head attention over all places.
fn mix(queries: &Image, keys: &Image, values: &Image, channels: usize) -> Image {
    let places = queries.side * queries.side;
    let mut pairs = Buffer::dirty(2 * places * channels);
    let sources = keys
        .values
        .chunks_exact(channels)
        .zip(values.values.chunks_exact(channels));
    for (pair, (key, value)) in pairs.chunks_exact_mut(2 * channels).zip(sources) {
        pair[..channels].copy_from_slice(key);
        pair[channels..].copy_from_slice(value);
    }
    let alone = [Sentence::default()];
    let span = Span::all(&alone, places);
    let heads = Heads {
        queries: 1,
        keys: 1,
        width: channels,
    };
    let mut mixed = Buffer::dirty(places * channels);
    let mut log_sums = Buffer::dirty(places);
    attend(
        span,
        heads,
        &queries.values,
        &pairs,
        &mut mixed,
        &mut log_sums,
    );
    Image {
        side: queries.side,
        values: mixed,
    }
}

/// The steps of an encoder or decoder, whose weights are in the order of [`Chain::weights`].
pub(crate) struct Chain<'a> {
    pub(super) steps: Vec<Arc<dyn AnyStep>>,
    pub(super) weights: Vec<&'a Tensor>,
}

impl<'a> Chain<'a> {
    /// Pixels → latents before the code search.
    pub(crate) fn encoder(vq: &'a Vq) -> Result<Chain<'a>> {
        let mut chain = Chain::new(&vq.encoder)?;
        chain
            .steps
            .push(Arc::new(PackedConv::new(&vq.quant_conv, 1)?));
        chain.weights.extend(vq.quant_conv.weights());
        Ok(chain)
    }

    /// Latents → pixels.
    pub(crate) fn decoder(vq: &'a Vq) -> Result<Chain<'a>> {
        let mut chain = Chain::new(&vq.decoder)?;
        let post_quant = PackedConv::new(&vq.post_quant_conv, 1)?;
        chain.steps.insert(0, Arc::new(post_quant));
        chain.weights.splice(0..0, vq.post_quant_conv.weights());
        Ok(chain)
    }

    fn new(stack: &'a Stack) -> Result<Chain<'a>> {
        let mut steps: Vec<Arc<dyn AnyStep>> = vec![Arc::new(PackedConv::new(&stack.conv_in, 1)?)];
        let inner: Vec<_> = stack.steps.par_iter().map(pack).collect::<Result<_>>()?;
        steps.extend(inner);
        steps.push(Arc::new(Activated::new(&stack.norm_out, &stack.conv_out)?));
        Ok(Chain {
            steps,
            weights: stack.weights(),
        })
    }

    /// One image through all steps.
    fn apply(&self, x: Image) -> Image {
        self.steps.iter().fold(x, |x, step| step.apply(x))
    }
}

fn pack(module: &Module) -> Result<Arc<dyn AnyStep>> {
    Ok(match module {
        Module::Res(block) => Arc::new(PackedRes::new(block)?),
        Module::Attention(block) => Arc::new(PackedAttention::new(block)?),
        Module::Up(conv) => Arc::new(PackedConv::new(conv, 2)?),
        Module::Down(conv) => Arc::new(PackedConv::new(conv, 1)?),
    })
}

/// Image tokens, an image after another → pixels [B, C, S, S], not clipped, without gradients.
pub(crate) fn decode(tokens: &[Vec<u32>], vq: &Vq) -> Result<Tensor> {
    let config = &vq.config;
    let chain = Chain::decoder(vq)?;
    let mut codebook = values(&vq.codebook)?;
    for code in codebook.chunks_exact_mut(config.embed) {
        let length = dot(code, code).sqrt().max(1e-12);
        for value in code {
            *value /= length;
        }
    }
    let (side, channels) = (config.image(), config.out_channels);
    let mut pixels = vec![0.0; tokens.len() * channels * side * side];
    pixels
        .par_chunks_mut(channels * side * side)
        .zip(tokens)
        .for_each(|(pixels, tokens)| {
            let mut codes = Buffer::dirty(tokens.len() * config.embed);
            for (place, token) in codes.chunks_exact_mut(config.embed).zip(tokens) {
                place.copy_from_slice(&codebook[*token as usize * config.embed..][..config.embed]);
            }
            let codes = Image {
                side: config.side,
                values: codes,
            };
            chain.apply(codes).write_planes(pixels);
        });
    let shape = (tokens.len(), channels, side, side);
    Tensor::from_vec(pixels, shape, vq.codebook.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// A large image's lines are taken side by side; those of the fixtures' small ones never are.
    #[test]
    fn a_large_image_comes_out_as_by_plain_operations() -> Result<()> {
        const SIDE: usize = 64;
        const CHANNELS: usize = 128;
        let tensor = |shape: &[usize], scale: f32, seed: usize| {
            let count: usize = shape.iter().product();
            let values: Vec<f32> = (0..count)
                .map(|i| (((i + seed) * 37 % 101) as f32 / 50.0 - 1.0) * scale)
                .collect();
            Tensor::from_vec(values, shape, &Device::Cpu)
        };
        let norm = |seed| -> Result<Norm> {
            Ok(Norm {
                weight: tensor(&[CHANNELS], 1.0, seed)?,
                bias: tensor(&[CHANNELS], 1.0, seed + 1)?,
            })
        };
        let conv = |seed| -> Result<Conv> {
            Ok(Conv {
                weight: tensor(&[CHANNELS, CHANNELS, 3, 3], 0.05, seed)?,
                bias: tensor(&[CHANNELS], 1.0, seed + 1)?,
                padding: 1,
                stride: 1,
            })
        };
        let block = ResBlock {
            norm1: norm(1)?,
            conv1: conv(3)?,
            norm2: norm(5)?,
            conv2: conv(7)?,
            shortcut: None,
        };
        let x = tensor(&[1, CHANNELS, SIDE, SIDE], 1.0, 9)?;
        let expected = values(&block.forward(&x)?)?;
        let image = Image::from_planes(&values(&x)?, SIDE);
        assert!(
            2 * image.lines_a_task() <= SIDE,
            "there is more than one task"
        );
        let mut found = vec![0.0; expected.len()];
        (PackedRes::new(&block)?.apply(image).0).write_planes(&mut found);
        for (expected, found) in expected.iter().zip(&found) {
            assert!((expected - found).abs() < 1e-4, "{expected} and {found}");
        }
        Ok(())
    }
}
