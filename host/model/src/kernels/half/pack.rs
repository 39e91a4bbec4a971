//! The layouts in which bf16 units read their operands.
//!
//! They multiply pairs of neighbours along the inner dimension, and read a vector (or a row of a
//! tile) of 16 pairs at once: a [`Line`].

use std::ops::Range;

use rayon::prelude::*;

use super::super::vectorised;

/// Lines of a tile, and pairs of a line.
pub(super) const SIDE: usize = 16;
/// Values of a line.
pub(super) const LINE: usize = 2 * SIDE;
/// Values that are worth a task of their own.
const PORTION: usize = 1 << 16;

/// Thirty-two bf16 values in a cache line of their own.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u16; LINE]);

impl Line {
    const ZERO: Line = Line([0; LINE]);
}

/// Zeroed lines.
pub(super) fn zeros(count: usize) -> Vec<Line> {
    vec![Line::ZERO; count]
}

/// The nearest bf16, ties to even; a NaN stays one.
#[inline(always)]
pub(super) fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x40;
    (if x.is_nan() { quiet } else { nearest }) as u16
}

vectorised! {
    fn round_row(row: &[f32], lines: &mut [Line]) {
        let (whole, rest) = row.as_chunks::<LINE>();
        for (line, values) in lines.iter_mut().zip(whole) {
            for (place, value) in line.0.iter_mut().zip(values) {
                *place = round(*value);
            }
        }
        if let Some(line) = lines.get_mut(whole.len()) {
            for (place, value) in line.0.iter_mut().zip(rest) {
                *place = round(*value);
            }
        }
    }
}

/// Rows of `inner` values, rounded; each filled up with zeros to whole lines, and zero rows up to a
/// multiple of `multiple`.
pub(super) fn rows(x: &[f32], inner: usize, multiple: usize) -> Vec<Line> {
    let across = inner.div_ceil(LINE);
    let count = x.len() / inner;
    let mut lines = zeros(count.next_multiple_of(multiple) * across);
    lines
        .par_chunks_mut(across)
        .zip(x.par_chunks_exact(inner))
        .with_min_len(PORTION.div_ceil(inner))
        .for_each(|(lines, row)| round_row(row, lines));
    lines
}

/// Rows of `inner` values as the right side of tiles: for every 16 rows and every line of the inner
/// dimension a tile, whose line p has the rows' pairs p.
pub(super) fn columns(x: &[f32], inner: usize) -> Vec<Line> {
    let across = inner.div_ceil(LINE);
    let rows = rows(x, inner, SIDE);
    let mut tiles = zeros(rows.len());
    tiles
        .par_chunks_mut(SIDE * across)
        .zip(rows.par_chunks(SIDE * across))
        .with_min_len(PORTION.div_ceil(SIDE * inner))
        .for_each(|(tiles, rows)| turn(rows, tiles));
    tiles
}

vectorised! {
    fn turn(rows: &[Line], tiles: &mut [Line]) {
        let across = rows.len() / SIDE;
        let (tiles, _) = tiles.as_chunks_mut::<SIDE>();
        for (step, tile) in tiles.iter_mut().enumerate() {
            for row in 0..SIDE {
                let (pairs, _) = rows[row * across + step].0.as_chunks::<2>();
                for (line, pair) in tile.iter_mut().zip(pairs) {
                    [line.0[2 * row], line.0[2 * row + 1]] = *pair;
                }
            }
        }
    }
}

/// Packs a block of a weight by rows of `inner`, its rows the inner dimension of the product: for
/// every 16 columns the lines of pairs of rows, filled up with zeros to whole tiles and to an even
/// number of them side by side. Answers the lines of 16 columns.
pub(super) fn row_pairs(
    weight: &[u16],
    inner: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    lines: &mut Vec<Line>,
) -> usize {
    let high = rows.len().next_multiple_of(LINE) / 2;
    lines.clear();
    lines.resize(columns.len().div_ceil(LINE) * 2 * high, Line::ZERO);
    let weight = &weight[rows.start * inner..rows.end * inner];
    interleave(weight, inner, columns.start, columns.len(), high, lines);
    high
}

vectorised! {
    fn interleave(
        weight: &[u16],
        inner: usize,
        first: usize,
        width: usize,
        high: usize,
        lines: &mut [Line],
    ) {
        let zeros = [0; SIDE];
        for (pair, rows) in weight.chunks(2 * inner).enumerate() {
            let upper = &rows[first..first + width];
            let lower = rows.get(inner + first..inner + first + width);
            let (upper, upper_rest) = upper.as_chunks::<SIDE>();
            for (i, upper) in upper.iter().enumerate() {
                let lower = match lower {
                    Some(lower) => lower[i * SIDE..].first_chunk().unwrap_or(&zeros),
                    None => &zeros,
                };
                interleave_line(upper, lower, &mut lines[i * high + pair]);
            }
            if !upper_rest.is_empty() {
                let (mut last, mut below) = (zeros, zeros);
                last[..upper_rest.len()].copy_from_slice(upper_rest);
                if let Some(lower) = lower {
                    let rest = &lower[upper.len() * SIDE..];
                    below[..rest.len()].copy_from_slice(rest);
                }
                interleave_line(&last, &below, &mut lines[upper.len() * high + pair]);
            }
        }
    }
}

#[inline(always)]
fn interleave_line(upper: &[u16; SIDE], lower: &[u16; SIDE], line: &mut Line) {
    for (i, (upper, lower)) in upper.iter().zip(lower).enumerate() {
        line.0[2 * i] = *upper;
        line.0[2 * i + 1] = *lower;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rounding_is_that_of_the_library(bits: u32, low in 0_u32..4) {
            // All bits, and ties with their neighbours.
            for bits in [bits, (bits & 0xffff_0000) + 0x7ffe + low] {
                let x = f32::from_bits(bits);
                prop_assert_eq!(round(x), ::half::bf16::from_f32(x).to_bits());
            }
        }

        #[test]
        fn layouts_keep_each_value_in_its_place(
            rows in 1_usize..40,
            inner in 1_usize..70,
            first in 0_usize..9,
        ) {
            let x: Vec<f32> = (0..rows * inner).map(|i| (i % 256) as f32).collect();
            let place = |i: usize, k: usize| round(x[i * inner + k]);
            let across = inner.div_ceil(LINE);
            let tiles = columns(&x, inner);
            prop_assert_eq!(tiles.len(), rows.div_ceil(SIDE) * SIDE * across);
            for i in 0..rows.next_multiple_of(SIDE) {
                for k in 0..across * LINE {
                    let tile = (i / SIDE * across + k / LINE) * SIDE;
                    let value = tiles[tile + k % LINE / 2].0[i % SIDE * 2 + k % 2];
                    let expected = if i < rows && k < inner { place(i, k) } else { 0 };
                    prop_assert_eq!(value, expected);
                }
            }

            let bits: Vec<u16> = x.iter().map(|x| round(*x)).collect();
            let (first_row, first) = (first.min(rows - 1), first.min(inner - 1));
            let mut lines = Vec::new();
            let high = row_pairs(&bits, inner, first_row..rows, first..inner, &mut lines);
            prop_assert_eq!(high % SIDE, 0);
            for (at, line) in lines.iter().enumerate() {
                for (lane, value) in line.0.iter().enumerate() {
                    let row = first_row + at % high * 2 + lane % 2;
                    let column = first + at / high * SIDE + lane / 2;
                    let expected =
                        if row < rows && column < inner { place(row, column) } else { 0 };
                    prop_assert_eq!(*value, expected);
                }
            }
        }
    }
}
