//! bf16 by the pairwise dot products of AVX512_BF16.

use std::arch::x86_64::*;
use std::ops::Range;

use super::Block;
use super::pack::{LINE, Line, SIDE, row_pairs};

/// Rows of the weight, and at most of the input, whose sums are in registers together.
const GROUP: usize = 4;
const MOST_X: usize = 6;
/// Groups of the input's rows that the weight waits for in the innermost cache.
const FEW_GROUPS: usize = 5;
/// Lines of the inner dimension after which lanes are summed up: so much of a few rows stays in
/// the innermost cache.
const LENGTH: usize = 32;
/// Rows of the weight that are packed together for the transposed product.
const DEPTH: usize = 256;
/// Rows of dy, up to three times as many, whose sums are in registers together.
pub(super) const DY_ROWS: usize = 4;

pub(super) fn available() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512bw")
}

/// x·Wᵀ for some rows of the weight, the columns of the block; `x` has the rows of
/// [`super::pack::rows`].
pub(super) fn product(
    x: &[Line],
    weight: &[u16],
    inner: usize,
    rows: Range<usize>,
    block: &mut Block,
) {
    let across = inner.div_ceil(LINE);
    assert!(
        available()
            && x.len() >= block.rows * across
            && rows.end * inner <= weight.len()
            && rows.len() <= block.width
            && block.rows * block.width <= block.values.len(),
        "matrices as large as the product's sizes"
    );
    let product = Product {
        x,
        across,
        weight,
        inner,
        rows,
    };
    #[expect(unsafe_code, reason = "the processor's features were just checked")]
    // SAFETY: the features and the sizes were checked above.
    unsafe {
        product.compute(block);
    }
}

/// A product whose sizes were checked.
struct Product<'a> {
    x: &'a [Line],
    /// Lines of a row of x.
    across: usize,
    weight: &'a [u16],
    inner: usize,
    rows: Range<usize>,
}

#[expect(unsafe_code, reason = "vector loads and stores take pointers")]
impl Product<'_> {
    /// # Safety
    /// The processor must have the features and the slices the sizes.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    unsafe fn compute(&self, block: &mut Block) {
        let groups = block.rows.div_ceil(MOST_X);
        let rows = || self.rows.clone().step_by(GROUP);
        let starts = || (0..self.across).step_by(LENGTH);
        // SAFETY: the caller's promise.
        unsafe {
            if groups <= FEW_GROUPS {
                // The weight goes by row after row, as it stands in memory.
                for row in rows() {
                    for start in starts() {
                        for group in 0..groups {
                            self.group(block, start, row, group, groups);
                        }
                    }
                }
            } else {
                // A part of the weight's rows stays in the cache for all of x.
                for start in starts() {
                    for group in 0..groups {
                        for row in rows() {
                            self.group(block, start, row, group, groups);
                        }
                    }
                }
            }
        }
    }

    /// One of x's `groups`: nearly equal ones, so that the last is no narrower than it must be.
    ///
    /// # Safety
    /// As for the whole.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    #[inline]
    unsafe fn group(
        &self,
        block: &mut Block,
        start: usize,
        row: usize,
        group: usize,
        groups: usize,
    ) {
        let [first, end] = [group, group + 1].map(|group| group * block.rows / groups);
        // SAFETY: the caller's promise.
        unsafe {
            match end - first {
                1 => self.tile::<1>(block, start, row, first),
                2 => self.tile::<2>(block, start, row, first),
                3 => self.tile::<3>(block, start, row, first),
                4 => self.tile::<4>(block, start, row, first),
                5 => self.tile::<5>(block, start, row, first),
                _ => self.tile::<MOST_X>(block, start, row, first),
            }
        }
    }

    /// Adds the share of the lines from `start` for the weight's rows from `row` and `X` rows of x
    /// from `first`.
    ///
    /// # Safety
    /// As for the whole, with all rows inside their matrices; of the weight's rows the first.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    #[inline]
    unsafe fn tile<const X: usize>(
        &self,
        block: &mut Block,
        start: usize,
        row: usize,
        first: usize,
    ) {
        let count = GROUP.min(self.rows.end - row);
        let end = self.across.min(start + LENGTH);
        // Lines that the weight's rows have whole.
        let whole = end.min(self.inner / LINE);
        let mut sums = [[_mm512_setzero_ps(); GROUP]; X];
        // SAFETY: lines below `whole` and the masked rest lie inside the rows; where fewer rows are
        // left than are computed, the last one is computed again.
        unsafe {
            let mut weights = [self.weight.as_ptr(); GROUP];
            for (i, weight) in weights.iter_mut().enumerate() {
                *weight = weight.add((row + i.min(count - 1)) * self.inner);
            }
            let x = self.x.as_ptr().add(first * self.across);
            let mut step = |k: usize, values: [__m512i; GROUP]| {
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_load_si512(x.add(i * self.across + k).cast());
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = _mm512_dpbf16_ps(*sum, pairs(value), pairs(x));
                    }
                }
            };
            for k in start..whole {
                if first == 0 {
                    // The next rows: the processor's own prefetching ends at a page, as long as a
                    // row. What lies beyond the weight is merely not found.
                    for row in weights {
                        let next = row.wrapping_add(GROUP * self.inner + k * LINE);
                        _mm_prefetch::<_MM_HINT_T1>(next.cast());
                    }
                }
                step(
                    k,
                    weights.map(|row| _mm512_loadu_si512(row.add(k * LINE).cast())),
                );
            }
            if whole < end {
                let mask = (1_u32 << (self.inner % LINE)) - 1;
                let part =
                    |row: *const u16| _mm512_maskz_loadu_epi16(mask, row.add(whole * LINE).cast());
                step(whole, weights.map(part));
            }
            for (i, sums) in sums.into_iter().enumerate() {
                let place = (first + i) * block.width + row - self.rows.start;
                let place = block.values.as_mut_ptr().add(place);
                let mask = (1_u8 << count) - 1;
                let before = _mm_maskz_loadu_ps(mask, place);
                _mm_mask_storeu_ps(place, mask, _mm_add_ps(before, totals(sums)));
            }
        }
    }
}

/// The same bits, seen as pairs of bf16.
#[target_feature(enable = "avx512f")]
#[inline]
#[expect(unsafe_code, reason = "vectors of bf16 have no safe cast")]
fn pairs(bits: __m512i) -> __m512bh {
    // SAFETY: both are 512 plain bits.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(bits) }
}

/// The sums over each vector's lanes.
#[target_feature(enable = "avx512f,avx512vl,avx512dq")]
#[inline]
fn totals(sums: [__m512; GROUP]) -> __m128 {
    let [a, b, c, d] = sums;
    let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    let lower = _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd);
    let upper = _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd);
    let quarters = _mm512_add_ps(lower, upper);
    let first = _mm_add_ps(
        _mm512_castps512_ps128(quarters),
        _mm512_extractf32x4_ps::<1>(quarters),
    );
    let second = _mm_add_ps(
        _mm512_extractf32x4_ps::<2>(quarters),
        _mm512_extractf32x4_ps::<3>(quarters),
    );
    _mm_add_ps(first, second)
}

/// dy·W for some columns of the weight, and of the block; `dy` has the rows of
/// [`super::pack::rows`], zero rows up to a multiple of [`DY_ROWS`] included.
pub(super) fn product_with_transposed(
    dy: &[Line],
    weight: &[u16],
    inner: usize,
    columns: Range<usize>,
    block: &mut Block,
) {
    let outputs = weight.len() / inner;
    let across = outputs.div_ceil(LINE);
    let m = block.rows.next_multiple_of(DY_ROWS);
    assert!(
        available()
            && dy.len() >= m * across
            && columns.len().next_multiple_of(LINE) <= block.width
            && m * block.width <= block.values.len(),
        "matrices as large as the product's sizes"
    );
    let mut lines = Vec::new();
    for start in (0..outputs).step_by(DEPTH) {
        let rows = start..outputs.min(start + DEPTH);
        let high = row_pairs(weight, inner, rows, columns.clone(), &mut lines);
        for (panel, lines) in lines.chunks_exact(2 * high).enumerate() {
            for first in (0..m).step_by(3 * DY_ROWS) {
                let place = first * block.width + panel * LINE;
                #[expect(unsafe_code, reason = "the processor's features were just checked")]
                // SAFETY: the features and the sizes were checked above; the packed rows are
                // filled up to whole lines, as those of dy are, so that these have as many.
                unsafe {
                    let dy = dy.as_ptr().add(first * across + start / LINE);
                    let dx = block.values.as_mut_ptr().add(place);
                    match m - first {
                        DY_ROWS => transposed_tile::<DY_ROWS>(dy, across, lines, dx, block.width),
                        8 => transposed_tile::<8>(dy, across, lines, dx, block.width),
                        _ => transposed_tile::<12>(dy, across, lines, dx, block.width),
                    }
                }
            }
        }
    }
}

/// Adds products of `ROWS` rows of dy with two panels of packed lines, one after the other.
///
/// # Safety
/// The processor must have the features; the rows of dy, `across` lines apart, must have as many
/// pairs as a panel has lines, and those of dx, `width` values apart, two vectors.
#[target_feature(enable = "avx512f,avx512bf16")]
#[expect(unsafe_code, reason = "vector loads and stores take pointers")]
unsafe fn transposed_tile<const ROWS: usize>(
    dy: *const Line,
    across: usize,
    lines: &[Line],
    dx: *mut f32,
    width: usize,
) {
    let (left, right) = lines.split_at(lines.len() / 2);
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    // SAFETY: the caller's promise.
    unsafe {
        for (i, [first, second]) in sums.iter_mut().enumerate() {
            *first = _mm512_loadu_ps(dx.add(i * width));
            *second = _mm512_loadu_ps(dx.add(i * width + SIDE));
        }
        for (k, (left, right)) in left.iter().zip(right).enumerate() {
            let left = pairs(_mm512_load_si512((&raw const *left).cast()));
            let right = pairs(_mm512_load_si512((&raw const *right).cast()));
            for (i, [first, second]) in sums.iter_mut().enumerate() {
                let pair = dy.add(i * across).cast::<i32>().add(k).read();
                let factors = pairs(_mm512_set1_epi32(pair));
                *first = _mm512_dpbf16_ps(*first, factors, left);
                *second = _mm512_dpbf16_ps(*second, factors, right);
            }
        }
        for (i, [first, second]) in sums.into_iter().enumerate() {
            _mm512_storeu_ps(dx.add(i * width), first);
            _mm512_storeu_ps(dx.add(i * width + SIDE), second);
        }
    }
}
