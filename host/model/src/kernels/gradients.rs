//! Gradients of weights: sums over all rows of all tasks, in one order.

use std::ops::Range;

use rayon::prelude::*;

use super::gemm::{Lhs, Rhs, gemm};
use super::math::add_all;
use super::vectorised;

/// Rows of a weight's gradient that one task sums.
const GRADIENT_ROWS: usize = 32;

/// What a linear layer's gradients are summed from: its outputs' gradients and its inputs.
pub(super) struct Product<'a> {
    sides: Vec<(&'a [f32], &'a [f32])>,
    width: usize,
    outputs: Range<usize>,
    inputs: usize,
}

impl<'a> Product<'a> {
    /// From both `sides`, task by task and row by row. A row of outputs' gradients has `width`
    /// values, of which `outputs` are the layer's; one of inputs has `inputs`.
    pub(super) fn new(
        sides: Vec<(&'a [f32], &'a [f32])>,
        width: usize,
        outputs: Range<usize>,
        inputs: usize,
    ) -> Product<'a> {
        Product {
            sides,
            width,
            outputs,
            inputs,
        }
    }

    /// Some rows of the weight's gradient from `first`.
    fn weight_rows(&self, first: usize, rows: &mut [f32]) {
        for (outputs, inputs) in &self.sides {
            let steps = inputs.len() / self.inputs;
            if steps == 0 {
                continue;
            }
            let lhs = Lhs::columns(&outputs[self.outputs.start + first..], self.width);
            let rhs = Rhs::rows(inputs, self.inputs);
            let sizes = [rows.len() / self.inputs, self.inputs, steps];
            gemm(sizes, lhs, rhs, rows, self.inputs, true);
        }
    }

    /// The bias' gradient.
    pub(super) fn bias(&self) -> Vec<f32> {
        let mut sum = vec![0.0; self.outputs.len()];
        for (outputs, _) in &self.sides {
            add_columns(outputs, self.width, self.outputs.start, &mut sum);
        }
        sum
    }
}

/// The weights' gradients [out, in], each block of rows by itself.
pub(super) fn weight_gradients(products: &[Product]) -> Vec<Vec<f32>> {
    let mut gradients: Vec<Vec<f32>> = products
        .iter()
        .map(|product| vec![0.0; product.outputs.len() * product.inputs])
        .collect();
    let blocks: Vec<_> = gradients
        .iter_mut()
        .zip(products)
        .flat_map(|(gradient, product)| {
            gradient
                .chunks_mut(GRADIENT_ROWS * product.inputs)
                .enumerate()
                .map(move |(block, rows)| (block * GRADIENT_ROWS, rows, product))
        })
        .collect();
    blocks
        .into_par_iter()
        .for_each(|(first, rows, product)| product.weight_rows(first, rows));
    gradients
}

/// Adds up what the tasks have to say of the same weights, in their order.
pub(super) fn sum_shares(shares: impl IntoIterator<Item = Vec<Vec<f32>>>) -> Vec<Vec<f32>> {
    let mut shares = shares.into_iter();
    let mut sums = shares.next().unwrap_or_default();
    for share in shares {
        for (sum, share) in sums.iter_mut().zip(&share) {
            add_all(sum, share);
        }
    }
    sums
}

vectorised! {
    /// Adds rows up: of each row of `width` as many values from `offset` as `sum` has.
    fn add_columns(rows: &[f32], width: usize, offset: usize, sum: &mut [f32]) {
        for row in rows.chunks_exact(width) {
            for (sum, value) in sum.iter_mut().zip(&row[offset..]) {
                *sum += value;
            }
        }
    }
}
