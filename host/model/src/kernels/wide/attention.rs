//! Softmax attention of one query over keys and values that stand head by head.

use half::bf16;

use crate::kernels::math::exponentials;
use crate::kernels::vectorised;

/// A number as a cache keeps it.
pub(super) trait Number: Copy + Send + Sync {
    fn narrow(value: f32) -> Self;
    fn widen(self) -> f32;
}

impl Number for f32 {
    fn narrow(value: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

impl Number for bf16 {
    fn narrow(value: f32) -> bf16 {
        bf16::from_f32(value)
    }

    /// A bf16 is the upper half of an f32.
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// Lanes of a sum: as many as the widest unit has, so that the order is the same on all.
const LANES: usize = 16;

#[inline(always)]
fn dot<T: Number>(query: &[f32], key: &[T]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (query, key) = (query.chunks_exact(LANES), key.chunks_exact(LANES));
    let mut rest = 0.0_f32;
    for (q, k) in query.remainder().iter().zip(key.remainder()) {
        rest = q.mul_add(k.widen(), rest);
    }
    for (query, key) in query.zip(key) {
        for lane in 0..LANES {
            lanes[lane] = query[lane].mul_add(key[lane].widen(), lanes[lane]);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The attended values of `query` over two stretches of keys and values [step, D]; `scores` is
/// working memory. A query that sees nothing attends to nothing.
#[inline(always)]
fn attend<T: Number>(
    query: &[f32],
    keys: [&[T]; 2],
    values: [&[T]; 2],
    scores: &mut Vec<f32>,
    attended: &mut [f32],
) {
    let width = query.len();
    attended.fill(0.0);
    let scale = 1.0 / (width as f32).sqrt();
    let of_stem = keys[0].len() / width;
    scores.clear();
    scores.resize(of_stem + keys[1].len() / width, 0.0);
    if scores.is_empty() {
        return;
    }
    // Loops, not iterators with closures: those would be compiled without the vector unit.
    let (stem, branch) = scores.split_at_mut(of_stem);
    for (scores, keys) in [stem, branch].into_iter().zip(keys) {
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
            *score = dot(query, key) * scale;
        }
    }
    let (sum, _) = exponentials(scores);
    let (stem, branch) = scores.split_at(of_stem);
    for (weights, values) in [stem, branch].into_iter().zip(values) {
        for (weight, value) in weights.iter().zip(values.chunks_exact(width)) {
            for (attended, value) in attended.iter_mut().zip(value) {
                *attended = weight.mul_add(value.widen(), *attended);
            }
        }
    }
    let share = 1.0 / sum;
    for value in attended {
        *value *= share;
    }
}

vectorised! {
    pub(super) fn attend_f32(
        query: &[f32],
        keys: [&[f32]; 2],
        values: [&[f32]; 2],
        scores: &mut Vec<f32>,
        attended: &mut [f32],
    ) {
        attend(query, keys, values, scores, attended);
    }
}

vectorised! {
    pub(super) fn attend_bf16(
        query: &[f32],
        keys: [&[bf16]; 2],
        values: [&[bf16]; 2],
        scores: &mut Vec<f32>,
        attended: &mut [f32],
    ) {
        attend(query, keys, values, scores, attended);
    }
}
