//! The image tokenizer's decoder, an image a task, without gradients. Places by rows of channels,
//! so that every convolution is one product of a few unfolded lines at a time.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::attention::{Heads, Span, attend};
use super::gemm::Packed;
use super::math::{add_all, add_bias, dot, sigmoid};
use super::pool::Buffer;
use super::{values, vectorised};
use crate::config::{GROUP_NORM_EPS, GROUP_NORM_GROUPS};
use crate::janus::llama::Sentence;
use crate::janus::tower::Norm;
use crate::janus::vq::{AttentionBlock, Conv, ResBlock, Step, Vq};

/// Places that are unfolded at a time.
const UNFOLDED_PLACES: usize = 128;

/// One image: `side`² places of channels.
struct Image {
    side: usize,
    values: Buffer,
}

struct PackedConv {
    weight: Packed,
    bias: Vec<f32>,
    kernel: usize,
    inputs: usize,
}

impl PackedConv {
    fn new(conv: &Conv) -> Result<PackedConv> {
        let (outputs, inputs, kernel, _) = conv.weight.dims4()?;
        // [out, in, y, x] → [out, y, x, in], the order of unfolded places.
        let weight = conv.weight.permute((0, 2, 3, 1))?;
        let weight = values(&weight.reshape((outputs, kernel * kernel * inputs))?)?;
        Ok(PackedConv {
            weight: Packed::new(&[&weight], kernel * kernel * inputs),
            bias: values(&conv.bias)?,
            kernel,
            inputs,
        })
    }

    /// The convolution at stride 1 with zeros around, of the image enlarged `scale` times (each
    /// place repeated).
    fn apply(&self, x: &Image, scale: usize) -> Image {
        let side = x.side * scale;
        let mut y = Buffer::dirty(side * side * self.bias.len());
        if self.kernel == 1 && scale == 1 {
            self.weight.apply(&x.values, &mut y);
        } else {
            let lines = (UNFOLDED_PLACES / side).max(1);
            let unfolded = self.kernel * self.kernel * self.inputs;
            let mut columns = Buffer::dirty(lines * side * unfolded);
            for (strip, y) in y.chunks_mut(lines * side * self.bias.len()).enumerate() {
                let places = y.len() / self.bias.len();
                let columns = &mut columns[..places * unfolded];
                for (place, column) in columns.chunks_exact_mut(unfolded).enumerate() {
                    let place = strip * lines * side + place;
                    self.unfold(x, scale, (place / side, place % side), column);
                }
                self.weight.apply(columns, y);
            }
        }
        add_bias(&mut y, &self.bias);
        Image { side, values: y }
    }

    /// What the kernel sees at a place.
    fn unfold(&self, x: &Image, scale: usize, (line, place): (usize, usize), column: &mut [f32]) {
        let side = x.side * scale;
        let reach = self.kernel / 2;
        for (tap, out) in column.chunks_exact_mut(self.inputs).enumerate() {
            let from_line = (line + tap / self.kernel).wrapping_sub(reach);
            let from_place = (place + tap % self.kernel).wrapping_sub(reach);
            if from_line < side && from_place < side {
                let at = (from_line / scale * x.side + from_place / scale) * self.inputs;
                out.copy_from_slice(&x.values[at..at + self.inputs]);
            } else {
                out.fill(0.0);
            }
        }
    }
}

struct PackedNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl PackedNorm {
    fn new(norm: &Norm) -> Result<PackedNorm> {
        Ok(PackedNorm {
            weight: values(&norm.weight)?,
            bias: values(&norm.bias)?,
        })
    }

    /// GroupNorm, and swish after it where wanted.
    fn apply(&self, x: &Image, swish: bool) -> Image {
        let channels = self.weight.len();
        let group = channels / GROUP_NORM_GROUPS;
        let count = (x.side * x.side * group) as f64;
        let mut sums = vec![0.0; channels];
        channel_sums(&x.values, x.side, &vec![0.0; channels], false, &mut sums);
        let means = by_group(&sums, group, |sum| sum / count);
        channel_sums(&x.values, x.side, &means, true, &mut sums);
        let scales = by_group(&sums, group, |sum| {
            (sum / count + GROUP_NORM_EPS).powf(-0.5)
        });
        let factors: Vec<f32> = scales
            .iter()
            .zip(&self.weight)
            .map(|(s, w)| s * w)
            .collect();
        let mut y = Buffer::dirty(x.values.len());
        scale_channels(&x.values, [&means, &factors, &self.bias], swish, &mut y);
        Image {
            side: x.side,
            values: y,
        }
    }
}

/// What `result` makes of each group's sum, for each of its channels.
fn by_group(sums: &[f64], group: usize, result: impl Fn(f64) -> f64) -> Vec<f32> {
    sums.chunks(group)
        .flat_map(|sums| vec![result(sums.iter().sum()) as f32; sums.len()])
        .collect()
}

vectorised! {
    /// Sums over all places of each channel less its mean, or of the squares of that.
    fn channel_sums(x: &[f32], side: usize, means: &[f32], squares: bool, sums: &mut [f64]) {
        let channels = means.len();
        sums.fill(0.0);
        let mut line_sums = vec![0.0_f32; channels];
        for line in x.chunks_exact(side * channels) {
            line_sums.fill(0.0);
            for place in line.chunks_exact(channels) {
                for ((sum, x), mean) in line_sums.iter_mut().zip(place).zip(means) {
                    let centred = x - mean;
                    *sum += if squares { centred * centred } else { centred };
                }
            }
            for (sum, line) in sums.iter_mut().zip(&line_sums) {
                *sum += f64::from(*line);
            }
        }
    }
}

vectorised! {
    /// (x − mean)·factor + bias by channel, and swish after it where wanted.
    fn scale_channels(x: &[f32], channels: [&[f32]; 3], swish: bool, y: &mut [f32]) {
        let [means, factors, biases] = channels;
        let width = means.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let parameters = means.iter().zip(factors).zip(biases);
            for ((x, y), ((mean, factor), bias)) in x.iter().zip(y.iter_mut()).zip(parameters) {
                *y = (x - mean).mul_add(*factor, *bias);
            }
            if swish {
                for y in y {
                    *y *= sigmoid(*y);
                }
            }
        }
    }
}

enum PackedStep {
    Res {
        norm1: PackedNorm,
        conv1: PackedConv,
        norm2: PackedNorm,
        conv2: PackedConv,
        shortcut: Option<PackedConv>,
    },
    Attention {
        norm: PackedNorm,
        query: PackedConv,
        key: PackedConv,
        value: PackedConv,
        projection: PackedConv,
    },
    Up(PackedConv),
}

impl PackedStep {
    fn new(step: &Step) -> Result<PackedStep> {
        Ok(match step {
            Step::Res(ResBlock {
                norm1,
                conv1,
                norm2,
                conv2,
                shortcut,
            }) => PackedStep::Res {
                norm1: PackedNorm::new(norm1)?,
                conv1: PackedConv::new(conv1)?,
                norm2: PackedNorm::new(norm2)?,
                conv2: PackedConv::new(conv2)?,
                shortcut: shortcut.as_ref().map(PackedConv::new).transpose()?,
            },
            Step::Attention(AttentionBlock {
                norm,
                query,
                key,
                value,
                projection,
            }) => PackedStep::Attention {
                norm: PackedNorm::new(norm)?,
                query: PackedConv::new(query)?,
                key: PackedConv::new(key)?,
                value: PackedConv::new(value)?,
                projection: PackedConv::new(projection)?,
            },
            Step::Up(conv) => PackedStep::Up(PackedConv::new(conv)?),
            Step::Down(_) => candle_core::bail!("a decoder does not downsample"),
        })
    }

    fn apply(&self, x: Image) -> Image {
        match self {
            PackedStep::Res {
                norm1,
                conv1,
                norm2,
                conv2,
                shortcut,
            } => {
                let h = conv1.apply(&norm1.apply(&x, true), 1);
                let mut h = conv2.apply(&norm2.apply(&h, true), 1);
                match shortcut {
                    Some(shortcut) => add_all(&mut h.values, &shortcut.apply(&x, 1).values),
                    None => add_all(&mut h.values, &x.values),
                }
                h
            }
            PackedStep::Attention {
                norm,
                query,
                key,
                value,
                projection,
            } => {
                let h = norm.apply(&x, false);
                let (queries, keys) = (query.apply(&h, 1), key.apply(&h, 1));
                let values = value.apply(&h, 1);
                let mixed = mix(&queries, &keys, &values, query.bias.len());
                let mut h = projection.apply(&mixed, 1);
                add_all(&mut h.values, &x.values);
                h
            }
            PackedStep::Up(conv) => conv.apply(&x, 2),
        }
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

/// Image tokens, an image after another → pixels [B, C, S, S], not clipped.
pub(crate) fn decode(tokens: &[Vec<u32>], vq: &Vq) -> Result<Tensor> {
    let config = &vq.config;
    let post_quant = PackedConv::new(&vq.post_quant_conv)?;
    let conv_in = PackedConv::new(&vq.decoder.conv_in)?;
    let steps = (vq.decoder.steps.iter())
        .map(PackedStep::new)
        .collect::<Result<Vec<_>>>()?;
    let norm_out = PackedNorm::new(&vq.decoder.norm_out)?;
    let conv_out = PackedConv::new(&vq.decoder.conv_out)?;
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
            let mut x = conv_in.apply(&post_quant.apply(&codes, 1), 1);
            for step in &steps {
                x = step.apply(x);
            }
            let x = conv_out.apply(&norm_out.apply(&x, true), 1);
            for (channel, plane) in pixels.chunks_exact_mut(side * side).enumerate() {
                for (pixel, place) in plane.iter_mut().zip(x.values.chunks_exact(channels)) {
                    *pixel = place[channel];
                }
            }
        });
    let shape = (tokens.len(), channels, side, side);
    Tensor::from_vec(pixels, shape, vq.codebook.device())
}
