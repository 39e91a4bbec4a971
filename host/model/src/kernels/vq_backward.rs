//! The backward pass of the image tokenizer's encoder and decoder, an image a task.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::conv::{Image, transpose_each};
use super::gemm::{Lhs, Packed, Rhs, gemm};
use super::graph::{Backward, attach};
use super::math::{add_all, dot, exponentials};
use super::pool::Buffer;
use super::vq::{
    Activated, ActivatedTrace, AttentionTrace, Chain, PackedAttention, PackedRes, Step,
};
use super::{vectorised, with_values};

/// A step that was taken, and can be gone back.
pub(super) trait Pull: Send + Sync {
    /// As [`Step::backward`].
    fn pull(&self, dy: Image, gradients: &mut Vec<Buffer>) -> Image;
}

/// A step with its trace.
pub(super) struct Recorded<S: Step> {
    pub(super) step: Arc<S>,
    pub(super) trace: S::Trace,
}

impl<S: Step> Pull for Recorded<S> {
    fn pull(&self, dy: Image, gradients: &mut Vec<Buffer>) -> Image {
        self.step.backward(&self.trace, dy, gradients)
    }
}

impl Image {
    fn zeros_like(&self) -> Image {
        Image {
            side: self.side,
            values: Buffer::zeros(self.values.len()),
        }
    }

    fn copy(&self) -> Image {
        Image {
            side: self.side,
            values: Buffer::copy_of(&self.values),
        }
    }
}

impl Activated {
    /// Adds the input's gradient to `dx`.
    fn add_backward(
        &self,
        trace: &ActivatedTrace,
        dy: &Image,
        dx: &mut Image,
        gradients: &mut Vec<Buffer>,
    ) {
        let d_normed = self.conv.apply_backward(&trace.framed, dy, gradients);
        self.norm
            .backward(&trace.x, &trace.statistics, d_normed, dx, gradients);
    }
}

impl Step for Activated {
    type Trace = ActivatedTrace;

    fn forward(&self, x: Image) -> (Image, ActivatedTrace) {
        self.apply(x)
    }

    fn backward(&self, trace: &ActivatedTrace, dy: Image, gradients: &mut Vec<Buffer>) -> Image {
        let mut dx = trace.x.zeros_like();
        self.add_backward(trace, &dy, &mut dx, gradients);
        dx
    }
}

impl Step for PackedRes {
    type Trace = [ActivatedTrace; 2];

    fn forward(&self, x: Image) -> (Image, [ActivatedTrace; 2]) {
        self.apply(x)
    }

    fn backward(
        &self,
        [first, second]: &[ActivatedTrace; 2],
        dy: Image,
        gradients: &mut Vec<Buffer>,
    ) -> Image {
        let mut dx = match &self.shortcut {
            Some(shortcut) => shortcut.apply_backward(&first.x, &dy, gradients),
            None => dy.copy(),
        };
        let mut d_middle = second.x.zeros_like();
        self.second
            .add_backward(second, &dy, &mut d_middle, gradients);
        self.first
            .add_backward(first, &d_middle, &mut dx, gradients);
        dx
    }
}

impl Step for PackedAttention {
    type Trace = AttentionTrace;

    fn forward(&self, x: Image) -> (Image, AttentionTrace) {
        self.apply(x)
    }

    fn backward(&self, trace: &AttentionTrace, dy: Image, gradients: &mut Vec<Buffer>) -> Image {
        let d_mixed = self.projection.apply_backward(&trace.mixed, &dy, gradients);
        let [d_queries, d_keys, d_values] = mix_backward(trace, &d_mixed);
        let mut d_normed = self
            .value
            .apply_backward(&trace.normed, &d_values, gradients);
        for (conv, d) in [(&self.key, d_keys), (&self.query, d_queries)] {
            let share = conv.apply_backward(&trace.normed, &d, gradients);
            add_all(&mut d_normed.values, &share.values);
        }
        let mut dx = dy;
        self.norm
            .backward(&trace.x, &trace.statistics, d_normed, &mut dx, gradients);
        dx
    }
}

/// Gradients of queries, keys and values from the attended values'.
fn mix_backward(trace: &AttentionTrace, d_mixed: &Image) -> [Image; 3] {
    let (queries, keys, values) = (&trace.queries, &trace.keys, &trace.values);
    let places = queries.side * queries.side;
    let channels = queries.values.len() / places;
    let scale = 1.0 / (channels as f32).sqrt();
    let mut weights = Buffer::dirty(places * places);
    Packed::new(&[&keys.values], channels).apply(&queries.values, &mut weights);
    let mut d_scores = Buffer::dirty(places * places);
    Packed::new(&[&values.values], channels).apply(&d_mixed.values, &mut d_scores);
    softmax_backward(scale, &mut weights, &mut d_scores);
    let product = |lhs: Lhs, rhs: &Image| {
        let mut values = Buffer::dirty(places * channels);
        let rhs = Rhs::rows(&rhs.values, channels);
        gemm(
            [places, channels, places],
            lhs,
            rhs,
            &mut values,
            channels,
            false,
        );
        Image {
            side: queries.side,
            values,
        }
    };
    [
        product(Lhs::rows(&d_scores, places), keys),
        product(Lhs::columns(&d_scores, places), queries),
        product(Lhs::columns(&weights, places), d_mixed),
    ]
}

vectorised! {
    /// Turns rows of scores before their scaling into softmax's weights, and the weights'
    /// gradients `d` into the scores'.
    fn softmax_backward(scale: f32, scores: &mut [f32], d: &mut [f32]) {
        let places = scores.len().isqrt();
        for (weights, d) in scores.chunks_exact_mut(places).zip(d.chunks_exact_mut(places)) {
            for weight in weights.iter_mut() {
                *weight *= scale;
            }
            let share = 1.0 / exponentials(weights).0;
            for weight in weights.iter_mut() {
                *weight *= share;
            }
            let mean = dot(weights, d);
            for (d, weight) in d.iter_mut().zip(weights.iter()) {
                *d = *weight * (*d - mean) * scale;
            }
        }
    }
}

/// An image's steps, the first taken first.
type Tape = Vec<Box<dyn Pull>>;

struct ChainBackward {
    tapes: Vec<Tape>,
    /// Side of the output.
    side: usize,
    /// Shapes of the weights.
    shapes: Vec<Vec<usize>>,
}

impl ChainBackward {
    /// One image's way back: writes its gradient into `dx`, answers the weights'.
    fn image(&self, tape: &Tape, grad: &[f32], dx: &mut [f32]) -> Vec<Buffer> {
        let mut gradients = Vec::with_capacity(self.shapes.len());
        let dy = Image::from_planes(grad, self.side);
        let d = (tape.iter().rev()).fold(dy, |dy, step| step.pull(dy, &mut gradients));
        d.write_planes(dx);
        gradients.reverse();
        gradients
    }

    /// A weight's gradient: the images' in their order, turned to [out, in, y, x] if it is a
    /// convolution's.
    fn summed(&self, weight: usize, images: &[Vec<Buffer>]) -> Vec<f32> {
        let shape = &self.shapes[weight];
        let mut sum = vec![0.0; shape.iter().product()];
        for gradients in images {
            add_all(&mut sum, &gradients[weight]);
        }
        match shape[..] {
            [_, inputs, height, width] if height * width > 1 => {
                let mut turned = vec![0.0; sum.len()];
                transpose_each(&sum, [height * width, inputs], &mut turned);
                turned
            }
            _ => sum,
        }
    }
}

impl Backward for ChainBackward {
    fn backward(&self, x: &Tensor, grad: &[f32]) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let images = self.tapes.len();
        let mut dx = vec![0.0; x.elem_count()];
        let gradients: Vec<Vec<Buffer>> = self
            .tapes
            .par_iter()
            .zip(grad.par_chunks(grad.len() / images))
            .zip(dx.par_chunks_mut(x.elem_count() / images))
            .map(|((tape, grad), dx)| self.image(tape, grad, dx))
            .collect();
        let sums = (0..self.shapes.len())
            .into_par_iter()
            .map(|weight| self.summed(weight, &gradients))
            .collect();
        Ok((dx, sums))
    }
}

/// One image through all steps.
fn recorded(chain: &Chain, mut x: Image) -> (Image, Tape) {
    let mut tape = Vec::with_capacity(chain.steps.len());
    for step in &chain.steps {
        let (y, pull) = step.clone().record(x);
        tape.push(pull);
        x = y;
    }
    (x, tape)
}

/// Images [B, C, S, S], one at least → all steps' output [B, C', S', S'], joined to the graph.
pub(crate) fn forward(x: &Tensor, chain: &Chain) -> Result<Tensor> {
    let (batch, channels, side, _) = x.dims4()?;
    let outputs: Vec<(Image, Tape)> = with_values(x, |x| {
        x.par_chunks(channels * side * side)
            .map(|planes| recorded(chain, Image::from_planes(planes, side)))
            .collect()
    })?;
    let Some((first, _)) = outputs.first() else {
        candle_core::bail!("a batch without images");
    };
    let (side, len) = (first.side, first.values.len());
    let mut y = vec![0.0; batch * len];
    for (planes, (image, _)) in y.chunks_exact_mut(len).zip(&outputs) {
        image.write_planes(planes);
    }
    let backward = ChainBackward {
        tapes: outputs.into_iter().map(|(_, tape)| tape).collect(),
        side,
        shapes: (chain.weights.iter())
            .map(|weight| weight.dims().to_vec())
            .collect(),
    };
    let shape = (batch, len / (side * side), side, side);
    attach(x, &chain.weights, y, shape, backward)
}
