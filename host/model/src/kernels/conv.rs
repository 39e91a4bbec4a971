//! Convolutions of square images, channels last, and their backward pass.
//!
//! What one line of a kernel sees at a place is one stretch of a framed input's line, and the
//! stretches of neighbouring places overlap: a line of the output is a product for each line of
//! the kernel, read where it lies. Nothing is unfolded.

use candle_core::Result;
use rayon::prelude::*;

use super::gemm::{Lhs, Packed, Rhs, gemm};
use super::math::{add_all, add_bias, add_rows};
use super::pool::Buffer;
use super::{values, with_values};
use crate::janus::vq::Conv;

/// Values that are worth a task of their own to copy, add or normalise.
const TASK_VALUES: usize = 1 << 18;
/// Multiplications that are.
const TASK_PRODUCTS: usize = 1 << 25;

/// Lines of `line` units of work in a task of at least `task` units: an image that is small stays
/// whole, since there are others beside it.
fn lines_a_task(task: usize, line: usize) -> usize {
    task.div_ceil(line.max(1))
}

/// One image: `side`² places of channels.
pub(super) struct Image {
    pub(super) side: usize,
    pub(super) values: Buffer,
}

impl Image {
    /// Values of a line.
    fn line(&self) -> usize {
        self.values.len() / self.side
    }

    /// Lines of at least a task that handles each value a few times.
    pub(super) fn lines_a_task(&self) -> usize {
        lines_a_task(TASK_VALUES, self.line())
    }

    /// Adds another one of this size.
    pub(super) fn add(&mut self, other: &Image) {
        let task = self.lines_a_task() * self.line();
        (self.values.par_chunks_mut(task))
            .zip(other.values.par_chunks(task))
            .for_each(|(x, y)| add_all(x, y));
    }

    /// From planes, a channel after another.
    pub(super) fn from_planes(planes: &[f32], side: usize) -> Image {
        let channels = planes.len() / (side * side);
        let mut values = Buffer::dirty(planes.len());
        for (channel, plane) in planes.chunks_exact(side * side).enumerate() {
            for (place, value) in values[channel..].iter_mut().step_by(channels).zip(plane) {
                *place = *value;
            }
        }
        Image { side, values }
    }

    /// Into planes, a channel after another.
    pub(super) fn write_planes(&self, planes: &mut [f32]) {
        let places = self.side * self.side;
        let channels = self.values.len() / places;
        for (channel, plane) in planes.chunks_exact_mut(places).enumerate() {
            let places = self.values[channel..].iter().step_by(channels);
            for (value, place) in plane.iter_mut().zip(places) {
                *value = *place;
            }
        }
    }
}

/// A convolution's weights for images of `inputs` channels that are first enlarged `scale` times,
/// each place repeated.
pub(super) struct PackedConv {
    packed: Packed,
    /// [out, y, x, in].
    weight: Vec<f32>,
    bias: Vec<f32>,
    kernel: usize,
    inputs: usize,
    scale: usize,
    stride: usize,
    /// Zeros before the first and after the last place of a line, and lines of them likewise.
    frame: [usize; 2],
}

impl PackedConv {
    pub(super) fn new(conv: &Conv, scale: usize) -> Result<PackedConv> {
        let (outputs, inputs, kernel, _) = conv.weight.dims4()?;
        let taps = kernel * kernel;
        let mut weight = vec![0.0; outputs * taps * inputs];
        with_values(&conv.weight, |planes| {
            transpose_each(planes, [inputs, taps], &mut weight);
        })?;
        Ok(PackedConv {
            packed: Packed::new(&[&weight], taps * inputs),
            weight,
            bias: values(&conv.bias)?,
            kernel,
            inputs,
            scale,
            stride: conv.stride,
            frame: [conv.padding, conv.padding + conv.stride - 1],
        })
    }

    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The image enlarged, with zeros around: what [`PackedConv::apply`] reads.
    pub(super) fn framed(&self, x: Image) -> Image {
        let [near, far] = self.frame;
        let (scale, inputs) = (self.scale, self.inputs);
        if scale == 1 && near + far == 0 {
            return x;
        }
        let inner = x.side * scale;
        let side = near + inner + far;
        let mut values = Buffer::dirty(side * side * inputs);
        let lines = (values.par_chunks_exact_mut(side * inputs))
            .with_min_len(lines_a_task(TASK_VALUES, side * inputs))
            .enumerate();
        lines.for_each(|(line, out)| {
            let line = line.wrapping_sub(near);
            if line >= inner {
                return out.fill(0.0);
            }
            let (before, out) = out.split_at_mut(near * inputs);
            let (out, after) = out.split_at_mut(inner * inputs);
            before.fill(0.0);
            after.fill(0.0);
            let line = &x.values[line / scale * x.side * inputs..][..x.side * inputs];
            if scale == 1 {
                return out.copy_from_slice(line);
            }
            let repeated = out.chunks_exact_mut(scale * inputs);
            for (repeated, place) in repeated.zip(line.chunks_exact(inputs)) {
                for out in repeated.chunks_exact_mut(inputs) {
                    out.copy_from_slice(place);
                }
            }
        });
        Image { side, values }
    }

    /// Backward of [`PackedConv::framed`].
    fn unframed(&self, d: Image) -> Image {
        let [near, far] = self.frame;
        let (scale, inputs) = (self.scale, self.inputs);
        if scale == 1 && near + far == 0 {
            return d;
        }
        let inner = d.side - near - far;
        let side = inner / scale;
        let mut values = Buffer::zeros(side * side * inputs);
        for (line, out) in values.chunks_exact_mut(side * inputs).enumerate() {
            for line in line * scale..(line + 1) * scale {
                let from = &d.values[((near + line) * d.side + near) * inputs..][..inner * inputs];
                for (out, repeated) in out
                    .chunks_exact_mut(inputs)
                    .zip(from.chunks_exact(scale * inputs))
                {
                    add_rows(repeated, out);
                }
            }
        }
        Image { side, values }
    }

    /// The convolution of a framed image.
    pub(super) fn apply(&self, x: &Image) -> Image {
        let outputs = self.outputs();
        let taps = self.kernel * self.inputs;
        let side = (x.side - self.kernel) / self.stride + 1;
        let mut values = Buffer::dirty(side * side * outputs);
        let products = side * outputs * taps * self.kernel;
        let lines = (values.par_chunks_exact_mut(side * outputs))
            .with_min_len(lines_a_task(TASK_PRODUCTS, products))
            .enumerate();
        lines.for_each(|(line, y)| {
            for tap in 0..self.kernel {
                let at = (line * self.stride + tap) * x.side * self.inputs;
                gemm(
                    [side, outputs, taps],
                    Lhs::rows(&x.values[at..], self.stride * self.inputs),
                    self.packed.rhs_from(tap * taps),
                    y,
                    outputs,
                    tap > 0,
                );
            }
            add_bias(y, &self.bias);
        });
        Image { side, values }
    }

    /// From a framed image and the output's gradient `dy`: the gradient of the image before it
    /// was framed. Those of bias and weight (as [out, y, x, in]) are pushed, in this order.
    pub(super) fn apply_backward(
        &self,
        x: &Image,
        dy: &Image,
        gradients: &mut Vec<Buffer>,
    ) -> Image {
        let (inputs, outputs) = (self.inputs, self.outputs());
        let (step, taps) = (self.stride * inputs, self.kernel * inputs);
        let row = self.kernel * taps;
        let mut d_weight = Buffer::zeros(outputs * row);
        let mut dx = Buffer::zeros(x.values.len());
        for (line, dy) in dy.values.chunks_exact(dy.side * outputs).enumerate() {
            let places = dy.len() / outputs;
            for tap in 0..self.kernel {
                let at = (line * self.stride + tap) * x.side * inputs;
                gemm(
                    [outputs, taps, places],
                    Lhs::columns(dy, outputs),
                    Rhs::rows(&x.values[at..], step),
                    &mut d_weight[tap * taps..],
                    row,
                    true,
                );
                for seen in (0..taps).step_by(inputs) {
                    gemm(
                        [places, inputs, outputs],
                        Lhs::rows(dy, outputs),
                        Rhs::rows(&self.weight[tap * taps + seen..], row),
                        &mut dx[at + seen..],
                        step,
                        true,
                    );
                }
            }
        }
        let mut d_bias = Buffer::zeros(outputs);
        add_rows(&dy.values, &mut d_bias);
        gradients.push(d_bias);
        gradients.push(d_weight);
        self.unframed(Image {
            side: x.side,
            values: dx,
        })
    }
}

/// Transposes matrices [rows, columns] that stand one after another.
pub(super) fn transpose_each(from: &[f32], [rows, columns]: [usize; 2], to: &mut [f32]) {
    let matrices = from.chunks_exact(rows * columns);
    for (from, to) in matrices.zip(to.chunks_exact_mut(rows * columns)) {
        for (row, from) in from.chunks_exact(columns).enumerate() {
            for (to, value) in to[row..].iter_mut().step_by(rows).zip(from) {
                *to = *value;
            }
        }
    }
}
