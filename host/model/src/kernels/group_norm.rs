//! GroupNorm of an image, channels last, with swish after it, and the backward pass.

use candle_core::Result;
use rayon::prelude::*;

use super::conv::Image;
use super::math::sigmoid;
use super::pool::Buffer;
use super::{values, vectorised};
use crate::config::{GROUP_NORM_EPS, GROUP_NORM_GROUPS};
use crate::janus::tower::Norm;

/// A norm's weights.
pub(super) struct PackedNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Whether swish comes after it.
    swish: bool,
}

/// What an image's groups were normalised by, for each channel.
pub(super) struct Statistics {
    means: Vec<f32>,
    scales: Vec<f32>,
}

impl PackedNorm {
    pub(super) fn new(norm: &Norm, swish: bool) -> Result<PackedNorm> {
        Ok(PackedNorm {
            weight: values(&norm.weight)?,
            bias: values(&norm.bias)?,
            swish,
        })
    }

    /// Channels of a group.
    fn group(&self) -> usize {
        self.weight.len() / GROUP_NORM_GROUPS
    }

    /// Values of a group.
    fn count(&self, x: &Image) -> f64 {
        (x.side * x.side * self.group()) as f64
    }

    pub(super) fn apply(&self, x: &Image) -> (Image, Statistics) {
        let channels = self.weight.len();
        let (group, count) = (self.group(), self.count(x));
        let mut sums = vec![0.0; channels];
        channel_sums(x, &vec![0.0; channels], false, &mut sums);
        let means = by_group(&sums, group, |sum| sum / count);
        channel_sums(x, &means, true, &mut sums);
        let scales = by_group(&sums, group, |sum| {
            (sum / count + GROUP_NORM_EPS).powf(-0.5)
        });
        let factors: Vec<f32> = scales
            .iter()
            .zip(&self.weight)
            .map(|(s, w)| s * w)
            .collect();
        let mut y = Buffer::dirty(x.values.len());
        let parameters = [means.as_slice(), &factors, &self.bias];
        let task = x.lines_a_task() * x.side * channels;
        (x.values.par_chunks(task))
            .zip(y.par_chunks_mut(task))
            .for_each(|(x, y)| scale_channels(x, parameters, self.swish, y));
        let y = Image {
            side: x.side,
            values: y,
        };
        (y, Statistics { means, scales })
    }

    /// From the input and the output's gradient `dy`: adds the input's gradient to `dx`. Those of
    /// bias and weight are pushed, in this order.
    pub(super) fn backward(
        &self,
        x: &Image,
        statistics: &Statistics,
        mut dy: Image,
        dx: &mut Image,
        gradients: &mut Vec<Buffer>,
    ) {
        let Statistics { means, scales } = statistics;
        let (group, count) = (self.group(), self.count(x));
        if self.swish {
            let factors: Vec<f32> = scales
                .iter()
                .zip(&self.weight)
                .map(|(s, w)| s * w)
                .collect();
            swish_backward(&x.values, [means, &factors, &self.bias], &mut dy.values);
        }
        let channels = self.weight.len();
        let (mut sums, mut products) = (vec![0.0; channels], vec![0.0; channels]);
        pull_sums(
            &x.values,
            x.side,
            [means, scales],
            &dy.values,
            [&mut sums, &mut products],
        );
        let share = |sums: &[f64]| -> Vec<f32> {
            let weighted: Vec<f64> = sums
                .iter()
                .zip(&self.weight)
                .map(|(sum, weight)| sum * f64::from(*weight))
                .collect();
            by_group(&weighted, group, |sum| sum / count)
        };
        let (shifts, tilts) = (share(&sums), share(&products));
        let parameters = [means.as_slice(), scales, &self.weight, &shifts, &tilts];
        spread(&x.values, parameters, &dy.values, &mut dx.values);
        gradients.push(narrowed(&sums));
        gradients.push(narrowed(&products));
    }
}

fn narrowed(sums: &[f64]) -> Buffer {
    let mut values = Buffer::dirty(sums.len());
    for (value, sum) in values.iter_mut().zip(sums) {
        *value = *sum as f32;
    }
    values
}

/// What `result` makes of each group's sum, for each of its channels.
fn by_group(sums: &[f64], group: usize, result: impl Fn(f64) -> f64) -> Vec<f32> {
    sums.chunks(group)
        .flat_map(|sums| vec![result(sums.iter().sum()) as f32; sums.len()])
        .collect()
}

/// Sums over all places of each channel less its mean, or of the squares of that: by lines, and
/// then over these.
fn channel_sums(x: &Image, means: &[f32], squares: bool, sums: &mut [f64]) {
    let channels = means.len();
    let mut of_lines = Buffer::zeros(x.side * channels);
    (x.values.par_chunks_exact(x.side * channels))
        .zip(of_lines.par_chunks_exact_mut(channels))
        .with_min_len(x.lines_a_task())
        .for_each(|(line, sums)| line_sums(line, means, squares, sums));
    sums.fill(0.0);
    for line in of_lines.chunks_exact(channels) {
        for (sum, line) in sums.iter_mut().zip(line) {
            *sum += f64::from(*line);
        }
    }
}

vectorised! {
    /// Adds a line's places to [`channel_sums`].
    fn line_sums(line: &[f32], means: &[f32], squares: bool, sums: &mut [f32]) {
        for place in line.chunks_exact(means.len()) {
            for ((sum, x), mean) in sums.iter_mut().zip(place).zip(means) {
                let centred = x - mean;
                *sum += if squares { centred * centred } else { centred };
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

vectorised! {
    /// Turns the gradient of swish's output into that of its input, which is
    /// (x − mean)·factor + bias.
    fn swish_backward(x: &[f32], channels: [&[f32]; 3], d: &mut [f32]) {
        let [means, factors, biases] = channels;
        let width = means.len();
        for (x, d) in x.chunks_exact(width).zip(d.chunks_exact_mut(width)) {
            let parameters = means.iter().zip(factors).zip(biases);
            for ((x, d), ((mean, factor), bias)) in x.iter().zip(d.iter_mut()).zip(parameters) {
                let y = (x - mean).mul_add(*factor, *bias);
                let share = sigmoid(y);
                *d *= share * y.mul_add(1.0 - share, 1.0);
            }
        }
    }
}

vectorised! {
    /// Sums over all places of each channel's gradient, and of its products with the normalised
    /// input.
    fn pull_sums(
        x: &[f32],
        side: usize,
        statistics: [&[f32]; 2],
        dy: &[f32],
        totals: [&mut [f64]; 2],
    ) {
        let [means, scales] = statistics;
        let [sums, products] = totals;
        let channels = means.len();
        let (mut line_sums, mut line_products) = (vec![0.0_f32; channels], vec![0.0_f32; channels]);
        let lines = x.chunks_exact(side * channels).zip(dy.chunks_exact(side * channels));
        for (x, dy) in lines {
            line_sums.fill(0.0);
            line_products.fill(0.0);
            for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
                let places = line_sums.iter_mut().zip(&mut line_products).zip(means);
                for (((sum, product), mean), (x, dy)) in places.zip(x.iter().zip(dy)) {
                    *sum += dy;
                    *product = (x - mean).mul_add(*dy, *product);
                }
            }
            for (sum, line) in sums.iter_mut().zip(&line_sums) {
                *sum += f64::from(*line);
            }
            for ((product, line), scale) in products.iter_mut().zip(&line_products).zip(scales) {
                *product += f64::from(*line) * f64::from(*scale);
            }
        }
    }
}

vectorised! {
    /// dx += scale·(weight·dy − mean − x̂·product) by channel, where x̂ is the normalised input and
    /// the means are over a group: of weight·dy, and of its product with x̂.
    fn spread(x: &[f32], channels: [&[f32]; 5], dy: &[f32], dx: &mut [f32]) {
        let [means, scales, weights, shifts, products] = channels;
        let width = means.len();
        let inner: Vec<f32> = scales.iter().zip(weights).map(|(s, w)| s * w).collect();
        let tilt: Vec<f32> = scales.iter().zip(products).map(|(s, p)| -s * s * p).collect();
        let shift: Vec<f32> = scales.iter().zip(shifts).map(|(s, m)| -s * m).collect();
        let rows = x.chunks_exact(width).zip(dy.chunks_exact(width));
        for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let parameters = means.iter().zip(&inner).zip(tilt.iter().zip(&shift));
            let places = dx.iter_mut().zip(x.iter().zip(dy));
            for ((dx, (x, dy)), ((mean, inner), (tilt, shift))) in places.zip(parameters) {
                *dx += dy.mul_add(*inner, (x - mean).mul_add(*tilt, *shift));
            }
        }
    }
}
