//! bf16 by the tiles of the advanced matrix extensions.
//!
//! A tile has 16 rows of 64 bytes. The left side's tiles are loaded straight from rows: of the
//! weight in the product, which thus comes out transposed, and of dy in the backward pass.

use std::ops::Range;

use super::super::pool::Buffer;
use super::super::vectorised;
use super::Block;
use super::pack::{LINE, Line, SIDE, row_pairs, zeros};
use super::tiles::{Ahead, Left, Tiles, four_by_one, two_by_two};

/// Rows of the weight that a step goes through: four tiles.
const GROUP: usize = 4 * SIDE;
/// Packed values of x that a core keeps in its cache beside the weight; with more, the inner
/// dimension is cut.
const CACHED: usize = 1 << 19;
/// Lines of the inner dimension when it is cut.
const LENGTH: usize = 64;
/// Rows of the weight that are packed together for the transposed product.
const DEPTH: usize = 512;

/// x·Wᵀ for some rows of the weight, the columns of the block; `x` has the tiles of
/// [`super::pack::columns`].
pub(super) fn product(
    x: &[Line],
    weight: &[u16],
    inner: usize,
    rows: Range<usize>,
    block: &mut Block,
) {
    let across = inner.div_ceil(LINE);
    let panels = block.rows.div_ceil(SIDE);
    assert!(
        x.len() == panels * SIDE * across,
        "tiles of {} rows of {inner} values",
        block.rows
    );
    let weight = &weight[rows.start * inner..rows.end * inner];
    let copies = copies_of_parts(weight, inner);
    let width = panels * SIDE;
    let mut turned = Buffer::zeros(rows.len().next_multiple_of(GROUP) * width);
    // Whole rows where x stays in the cache: the next ones are then one piece of memory.
    let length = if x.len() * LINE <= CACHED {
        across
    } else {
        LENGTH
    };
    let tiles = Tiles::configure();
    for start in (0..across).step_by(length) {
        let steps = length.min(across - start);
        for panel in (0..panels).step_by(2) {
            let groups = turned.chunks_exact_mut(GROUP * width);
            for (i, turned) in groups.enumerate() {
                let left = match &copies[i] {
                    Some(copy) => Left {
                        start: copy[start..].as_ptr().cast(),
                        stride: across * size_of::<Line>(),
                    },
                    None => Left {
                        start: weight[i * GROUP * inner + start * LINE..].as_ptr().cast(),
                        stride: inner * size_of::<u16>(),
                    },
                };
                // Only what is read for the first time, and is contiguous.
                let ahead = panel == 0 && steps == across && copies[i].is_none();
                let step = Step {
                    tiles: &tiles,
                    left,
                    right: &x[panel * across * SIDE..],
                    across,
                    range: start..start + steps,
                    ahead,
                };
                step.group(&mut turned[panel * SIDE..], width, panels - panel);
            }
        }
    }
    drop(tiles);
    turn(&turned, width, block, rows.len());
}

/// For every group of the weight's rows a copy that is filled up with zeros to whole tiles, where
/// it has none.
fn copies_of_parts(weight: &[u16], inner: usize) -> Vec<Option<Vec<Line>>> {
    let across = inner.div_ceil(LINE);
    weight
        .chunks(GROUP * inner)
        .map(|rows| {
            if rows.len() == GROUP * inner && inner.is_multiple_of(LINE) {
                return None;
            }
            let mut copy = zeros(GROUP * across);
            for (lines, row) in copy.chunks_exact_mut(across).zip(rows.chunks_exact(inner)) {
                for (line, values) in lines.iter_mut().zip(row.chunks(LINE)) {
                    line.0[..values.len()].copy_from_slice(values);
                }
            }
            Some(copy)
        })
        .collect()
}

/// A group of the weight's rows and some panels of x.
struct Step<'a> {
    tiles: &'a Tiles,
    /// The group's rows, from the range on.
    left: Left,
    /// The panels, of `across` tiles each.
    right: &'a [Line],
    across: usize,
    /// The tiles that are multiplied.
    range: Range<usize>,
    /// Whether to bring the next group into the cache, which follows this one in memory.
    ahead: bool,
}

impl Step<'_> {
    /// Adds up for two panels, or one if no more are left, in `c`, whose rows are as wide as
    /// `width`.
    fn group(&self, c: &mut [f32], width: usize, panels: usize) {
        let steps = self.range.len();
        let first = &self.right[self.range.start * SIDE..];
        let stride = width * size_of::<f32>();
        let ahead = |part: usize, parts: usize| Ahead {
            // What is brought into the cache need not be inside the weight.
            start: (self.left.start)
                .wrapping_add((GROUP + part * GROUP / parts) * self.left.stride),
            lines: if self.ahead { GROUP / parts } else { 0 },
        };
        if panels == 1 {
            assert!(first.len() >= steps * SIDE && c.len() >= (GROUP - 1) * width + SIDE);
            #[expect(unsafe_code, reason = "tiles are loaded by address")]
            // SAFETY: the left side has a whole group of rows with these tiles; the others were
            // checked just now.
            unsafe {
                let (right, c) = (first.as_ptr(), c.as_mut_ptr());
                four_by_one(self.tiles, self.left, right, steps, c, stride, ahead(0, 1));
            }
            return;
        }
        let second = &first[self.across * SIDE..];
        assert!(second.len() >= steps * SIDE && c.len() >= (GROUP - 1) * width + 2 * SIDE);
        for half in 0..2 {
            let row = half * 2 * SIDE;
            let left = Left {
                start: self.left.start.wrapping_add(row * self.left.stride),
                stride: self.left.stride,
            };
            let right = [first.as_ptr(), second.as_ptr()];
            let c = c[row * width..].as_mut_ptr();
            #[expect(unsafe_code, reason = "tiles are loaded by address")]
            // SAFETY: as above.
            unsafe {
                two_by_two(self.tiles, left, right, steps, c, stride, ahead(half, 2));
            }
        }
    }
}

/// Writes the transpose of the first `columns` rows into the block.
fn turn(turned: &[f32], width: usize, block: &mut Block, columns: usize) {
    for (i, rows) in block.values.chunks_mut(SIDE * block.width).enumerate() {
        let count = block.rows.saturating_sub(i * SIDE).min(SIDE);
        let rows = &mut rows[..count * block.width];
        if count > 0 {
            turn_rows(&turned[i * SIDE..], width, rows, block.width, columns);
        }
    }
}

vectorised! {
    fn turn_rows(
        turned: &[f32],
        width: usize,
        rows: &mut [f32],
        row_width: usize,
        columns: usize,
    ) {
        for first in (0..columns).step_by(SIDE) {
            let last = columns.min(first + SIDE);
            for (i, row) in rows.chunks_exact_mut(row_width).enumerate() {
                for (column, value) in (first..last).zip(&mut row[first..last]) {
                    *value = turned[column * width + i];
                }
            }
        }
    }
}

/// dy·W for some columns of the weight, and of the block; `dy` has the rows of
/// [`super::pack::rows`], zero rows up to a multiple of 32 included.
pub(super) fn product_with_transposed(
    dy: &[Line],
    weight: &[u16],
    inner: usize,
    columns: Range<usize>,
    block: &mut Block,
) {
    let outputs = weight.len() / inner;
    let across = outputs.div_ceil(LINE);
    let m = block.rows.next_multiple_of(2 * SIDE);
    let width = block.width;
    assert!(
        dy.len() >= m * across
            && columns.len().next_multiple_of(LINE) <= width
            && m * width <= block.values.len(),
        "matrices as large as the product's sizes"
    );
    let ahead = Ahead {
        start: std::ptr::null(),
        lines: 0,
    };
    let mut lines = Vec::new();
    let tiles = Tiles::configure();
    for start in (0..outputs).step_by(DEPTH) {
        let rows = start..outputs.min(start + DEPTH);
        let high = row_pairs(weight, inner, rows, columns.clone(), &mut lines);
        for first in (0..m).step_by(2 * SIDE) {
            let left = Left {
                start: dy[first * across + start / LINE..].as_ptr().cast(),
                stride: across * size_of::<Line>(),
            };
            for (panel, lines) in lines.chunks_exact(2 * high).enumerate() {
                let (upper, lower) = lines.split_at(high);
                let right = [upper.as_ptr(), lower.as_ptr()];
                let c = block.values[first * width + panel * LINE..].as_mut_ptr();
                let stride = width * size_of::<f32>();
                #[expect(unsafe_code, reason = "tiles are loaded by address")]
                // SAFETY: the sizes were checked above; the packed rows are filled up to whole
                // tiles, as those of dy are, so that these have as many.
                unsafe {
                    two_by_two(&tiles, left, right, high / SIDE, c, stride, ahead);
                }
            }
        }
    }
}
