//! The products in plain Rust, for every machine and both formats.

use std::ops::Range;

use super::super::gemm::{Lhs, Rhs, gemm};
use super::super::pool::Buffer;
use super::super::vectorised;
use super::{Block, pack};

/// Rows of the weight that are widened together.
const GROUP: usize = 4;
/// Values of a row that are widened together.
const LENGTH: usize = 1024;
/// Rows of x for which the weight's are widened once: so many stay in the cache.
const MOST_X: usize = 32;
/// Rows of the weight that are widened together for the transposed product.
const DEPTH: usize = 128;
/// Sums that run side by side.
const LANES: usize = 8;

vectorised! {
    fn round_all(values: &mut [f32]) {
        for value in values {
            *value = f32::from_bits(u32::from(pack::round(*value)) << 16);
        }
    }
}

/// The nearest bf16 values.
pub(super) fn rounded(x: &[f32]) -> Buffer {
    let mut x = Buffer::copy_of(x);
    round_all(&mut x);
    x
}

/// The value of bf16's or, else, f16's bits.
#[inline(always)]
fn widen<const BF16: bool>(bits: u16) -> f32 {
    let bits = u32::from(bits);
    if BF16 {
        return f32::from_bits(bits << 16);
    }
    // The mantissa moves up by 13 bits, and the exponent's bias grows from 15 to 127; infinities
    // and NaNs have all of its bits. Denormal values have no leading one: they get it, and it is
    // taken away again in arithmetic, which normalises them.
    let size = (bits & 0x7fff) << 13;
    let exponent = size & (0x1f << 23);
    let normal = size + (112 << 23);
    let widened = if exponent == 0x1f << 23 {
        f32::from_bits(normal + (112 << 23))
    } else if exponent == 0 {
        f32::from_bits(normal + (1 << 23)) - f32::from_bits(113 << 23)
    } else {
        f32::from_bits(normal)
    };
    f32::from_bits(widened.to_bits() | (bits & 0x8000) << 16)
}

/// x·Wᵀ for some rows of the weight: the columns of the block.
pub(super) fn product<const BF16: bool>(
    x: &[f32],
    weight: &[u16],
    inner: usize,
    rows: Range<usize>,
    block: &mut Block,
) {
    let weight = &weight[rows.start * inner..rows.end * inner];
    let parts = block.values.chunks_mut(MOST_X * block.width);
    for (x, y) in x.chunks(MOST_X * inner).zip(parts) {
        if BF16 {
            product_bf16(x, weight, inner, y, block.width);
        } else {
            product_f16(x, weight, inner, y, block.width);
        }
    }
}

vectorised! {
    fn product_bf16(x: &[f32], weight: &[u16], inner: usize, y: &mut [f32], width: usize) {
        dots::<true>(x, weight, inner, y, width);
    }
}

vectorised! {
    fn product_f16(x: &[f32], weight: &[u16], inner: usize, y: &mut [f32], width: usize) {
        dots::<false>(x, weight, inner, y, width);
    }
}

#[inline(always)]
fn dots<const BF16: bool>(x: &[f32], weight: &[u16], inner: usize, y: &mut [f32], width: usize) {
    let mut wide = [[0.0_f32; LENGTH]; GROUP];
    for (group, rows) in weight.chunks(GROUP * inner).enumerate() {
        let count = rows.len() / inner;
        for start in (0..inner).step_by(LENGTH) {
            let length = LENGTH.min(inner - start);
            for (wide, row) in wide.iter_mut().zip(rows.chunks_exact(inner)) {
                for (wide, bits) in wide.iter_mut().zip(&row[start..start + length]) {
                    *wide = widen::<BF16>(*bits);
                }
            }
            let wide = wide.each_ref().map(|row| &row[..length]);
            let part = |row: usize| &x[row * inner + start..][..length];
            let mut add = |row: usize, sums: [f32; GROUP]| {
                let y = &mut y[row * width + group * GROUP..][..count];
                for (y, sum) in y.iter_mut().zip(sums) {
                    *y += sum;
                }
            };
            let m = x.len() / inner;
            for row in (0..m - m % 2).step_by(2) {
                let [first, second] = tile(wide, [part(row), part(row + 1)]);
                add(row, first);
                add(row + 1, second);
            }
            if m % 2 == 1 {
                let [last] = tile(wide, [part(m - 1)]);
                add(m - 1, last);
            }
        }
    }
}

/// The dot products of rows of equal length.
#[inline(always)]
fn tile<const X: usize>(weights: [&[f32]; GROUP], x: [&[f32]; X]) -> [[f32; GROUP]; X] {
    let length = x[0].len();
    let whole = length / LANES;
    let weight_chunks = weights.map(|row| &row.as_chunks().0[..whole]);
    let x_chunks = x.map(|row| &row.as_chunks().0[..whole]);
    let mut lanes = [[[0.0; LANES]; GROUP]; X];
    for k in 0..whole {
        // Indices, not iterators: the compiler then keeps the sums in registers.
        for i in 0..X {
            for j in 0..GROUP {
                lanes[i][j] = multiply_add(&weight_chunks[j][k], &x_chunks[i][k], lanes[i][j]);
            }
        }
    }
    let mut sums = [[0.0; GROUP]; X];
    for i in 0..X {
        for j in 0..GROUP {
            let mut sum = total(lanes[i][j]);
            for k in whole * LANES..length {
                sum = weights[j][k].mul_add(x[i][k], sum);
            }
            sums[i][j] = sum;
        }
    }
    sums
}

#[inline(always)]
fn multiply_add(a: &[f32; LANES], b: &[f32; LANES], mut c: [f32; LANES]) -> [f32; LANES] {
    for lane in 0..LANES {
        c[lane] = a[lane].mul_add(b[lane], c[lane]);
    }
    c
}

#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    for half in [4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

/// dy·W for some columns of the weight, and of the block.
pub(super) fn product_with_transposed<const BF16: bool>(
    dy: &[f32],
    weight: &[u16],
    inner: usize,
    columns: Range<usize>,
    block: &mut Block,
) {
    let outputs = weight.len() / inner;
    let mut wide = Buffer::dirty(DEPTH * columns.len());
    for start in (0..outputs).step_by(DEPTH) {
        let depth = DEPTH.min(outputs - start);
        let rows = weight[start * inner..(start + depth) * inner].chunks_exact(inner);
        for (wide, row) in wide.chunks_exact_mut(columns.len()).zip(rows) {
            if BF16 {
                widen_bf16(&row[columns.clone()], wide);
            } else {
                widen_f16(&row[columns.clone()], wide);
            }
        }
        gemm(
            [block.rows, columns.len(), depth],
            Lhs::rows(&dy[start..], outputs),
            Rhs::rows(&wide, columns.len()),
            &mut block.values,
            block.width,
            true,
        );
    }
}

vectorised! {
    fn widen_bf16(row: &[u16], to: &mut [f32]) {
        for (value, bits) in to.iter_mut().zip(row) {
            *value = widen::<true>(*bits);
        }
    }
}

vectorised! {
    fn widen_f16(row: &[u16], to: &mut [f32]) {
        for (value, bits) in to.iter_mut().zip(row) {
            *value = widen::<false>(*bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_as_by_the_library() {
        for bits in 0..=u16::MAX {
            let brain = ::half::bf16::from_bits(bits).to_f32();
            let ieee = ::half::f16::from_bits(bits).to_f32();
            // A library may make a NaN quiet.
            let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            assert!(same(widen::<true>(bits), brain), "{bits:#x}");
            assert!(same(widen::<false>(bits), ieee), "{bits:#x}");
        }
    }
}
