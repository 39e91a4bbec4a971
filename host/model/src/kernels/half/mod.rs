//! Products of `f32` rows with weights in half precision, read as they stand in the checkpoint:
//! never widened, copied or packed as a whole.
//!
//! For bf16 the rows are rounded to bf16 too, products are exact and sums are in `f32`; f16 weights
//! are widened a few rows at a time and meet the rows as they are. A task takes some rows (or
//! columns) of the weight and all rows of the input, so that each value of the weight comes from
//! memory once. Each value of the result is summed in one order that depends on the kernel and the
//! inner dimension alone: not on the other rows, nor on the number of threads.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod operation;
mod pack;
mod portable;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles;

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::OnceLock;

use ::half::slice::HalfFloatSliceExt;
use ::half::{bf16, f16};
use rayon::prelude::*;

use super::pool::Buffer;
pub(crate) use operation::{is_half, linear};

/// A weight [out, in] by rows, as a checkpoint stores it.
#[derive(Clone, Copy)]
pub(crate) enum HalfWeight<'a> {
    /// Brain floats: the upper halves of `f32` values.
    BF16(&'a [bf16]),
    /// IEEE 754 half precision.
    F16(&'a [f16]),
}

impl HalfWeight<'_> {
    fn len(&self) -> usize {
        match self {
            HalfWeight::BF16(values) => values.len(),
            HalfWeight::F16(values) => values.len(),
        }
    }
}

/// Ways to the same products; their sums differ by rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kernel {
    /// Tiles of the advanced matrix extensions, bf16 only.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
    /// Pairwise dot products of AVX512_BF16, bf16 only.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// Plain Rust in `f32`.
    Portable,
}

impl Kernel {
    /// All kernels, fastest first.
    pub(crate) const ALL: &[Kernel] = &[
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Kernel::Amx,
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512,
        Kernel::Portable,
    ];

    /// Whether the running machine has it.
    pub(crate) fn available(self) -> bool {
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Kernel::Amx => tiles::available(),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => avx512::available(),
            Kernel::Portable => true,
        }
    }

    /// The machine's fastest.
    fn best() -> Kernel {
        static BEST: OnceLock<Kernel> = OnceLock::new();
        let find = || {
            Kernel::ALL
                .iter()
                .copied()
                .find(|kernel| kernel.available())
        };
        *BEST.get_or_init(|| find().unwrap_or(Kernel::Portable))
    }
}

/// x·Wᵀ of rows [m, in] into rows `y` [m, out]; for bf16 of the rows rounded to bf16. `inner` is
/// the number of inputs.
pub(crate) fn product(x: &[f32], weight: HalfWeight, inner: usize, y: &mut [f32]) {
    product_by(Kernel::best(), x, weight, inner, y);
}

/// The backward pass of [`product`] to its rows: dy·W of rows [m, out] into rows `dx` [m, in]; for
/// bf16 of the rows rounded to bf16. `inner` is the number of inputs.
pub(crate) fn product_with_transposed(
    dy: &[f32],
    weight: HalfWeight,
    inner: usize,
    dx: &mut [f32],
) {
    product_with_transposed_by(Kernel::best(), dy, weight, inner, dx);
}

/// [`product`] by a kernel that the machine has; f16 weights have the portable one alone.
pub(crate) fn product_by(
    kernel: Kernel,
    x: &[f32],
    weight: HalfWeight,
    inner: usize,
    y: &mut [f32],
) {
    let [m, outputs] = sizes(kernel, x.len(), weight, inner);
    assert_eq!(y.len(), m * outputs, "products of {m} rows with {outputs}");
    match (kernel, weight) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        (Kernel::Amx, HalfWeight::BF16(weight)) => {
            let (x, weight) = (pack::columns(x, inner), weight.reinterpret_cast());
            split(m, outputs, y, |rows, block| {
                amx::product(&x, weight, inner, rows, block);
            });
        }
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx512, HalfWeight::BF16(weight)) => {
            let (x, weight) = (pack::rows(x, inner, 1), weight.reinterpret_cast());
            split(m, outputs, y, |rows, block| {
                avx512::product(&x, weight, inner, rows, block);
            });
        }
        (_, HalfWeight::BF16(weight)) => {
            let (x, weight) = (portable::rounded(x), weight.reinterpret_cast());
            split(m, outputs, y, |rows, block| {
                portable::product::<true>(&x, weight, inner, rows, block);
            });
        }
        (_, HalfWeight::F16(weight)) => {
            let weight = weight.reinterpret_cast();
            split(m, outputs, y, |rows, block| {
                portable::product::<false>(x, weight, inner, rows, block);
            });
        }
    }
}

/// [`product_with_transposed`] by a kernel that the machine has; f16 weights have the portable one
/// alone.
pub(crate) fn product_with_transposed_by(
    kernel: Kernel,
    dy: &[f32],
    weight: HalfWeight,
    inner: usize,
    dx: &mut [f32],
) {
    let [m, outputs] = sizes(kernel, dx.len(), weight, inner);
    assert_eq!(dy.len(), m * outputs, "{m} rows of {outputs} values");
    if m == 0 || outputs == 0 {
        return dx.fill(0.0);
    }
    match (kernel, weight) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        (Kernel::Amx, HalfWeight::BF16(weight)) => {
            let dy = pack::rows(dy, outputs, ROWS);
            let weight = weight.reinterpret_cast();
            split(m, inner, dx, |columns, block| {
                amx::product_with_transposed(&dy, weight, inner, columns, block);
            });
        }
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx512, HalfWeight::BF16(weight)) => {
            let dy = pack::rows(dy, outputs, avx512::DY_ROWS);
            let weight = weight.reinterpret_cast();
            split(m, inner, dx, |columns, block| {
                avx512::product_with_transposed(&dy, weight, inner, columns, block);
            });
        }
        (_, HalfWeight::BF16(weight)) => {
            let (dy, weight) = (portable::rounded(dy), weight.reinterpret_cast());
            split(m, inner, dx, |columns, block| {
                portable::product_with_transposed::<true>(&dy, weight, inner, columns, block);
            });
        }
        (_, HalfWeight::F16(weight)) => {
            let weight = weight.reinterpret_cast();
            split(m, inner, dx, |columns, block| {
                portable::product_with_transposed::<false>(dy, weight, inner, columns, block);
            });
        }
    }
}

/// Rows of `values` as wide as the weight's rows, and the weight's rows.
fn sizes(kernel: Kernel, values: usize, weight: HalfWeight, inner: usize) -> [usize; 2] {
    assert!(kernel.available(), "this machine has no kernel {kernel:?}");
    assert!(
        inner > 0 && values.is_multiple_of(inner) && weight.len().is_multiple_of(inner),
        "rows of {inner} values: {values} values, {} of the weight",
        weight.len()
    );
    [values / inner, weight.len() / inner]
}

/// Columns of a task are a multiple of this, but for the last one's.
const COLUMNS: usize = 64;
/// Columns of a task at most: their share of the weight stays in the cache of a core.
const MOST_COLUMNS: usize = 128;
/// Rows of a block are a multiple of this.
const ROWS: usize = 32;

/// A task's columns of the result: zeros at first, with rows and columns to spare for whole tiles.
struct Block {
    values: Buffer,
    rows: usize,
    /// Columns, those to spare included.
    width: usize,
}

/// Computes a result of `rows` by `width`, some columns a task.
fn split(
    rows: usize,
    width: usize,
    result: &mut [f32],
    compute: impl Fn(Range<usize>, &mut Block) + Sync,
) {
    if rows == 0 || width == 0 {
        return;
    }
    let fair = width / (4 * rayon::current_num_threads());
    let columns = (fair / COLUMNS * COLUMNS).clamp(COLUMNS, MOST_COLUMNS);
    let result = Columns::new(result, width);
    (0..width.div_ceil(columns))
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| {
            let range = task * columns..width.min((task + 1) * columns);
            let wide = range.len().next_multiple_of(COLUMNS);
            let mut block = Block {
                values: Buffer::zeros(rows.next_multiple_of(ROWS) * wide),
                rows,
                width: wide,
            };
            compute(range.clone(), &mut block);
            for (row, values) in block.values.chunks_exact(wide).take(rows).enumerate() {
                #[expect(
                    unsafe_code,
                    reason = "tasks write side by side into rows of one result"
                )]
                // SAFETY: no two tasks have a column in common.
                unsafe {
                    result.write(row, range.start, &values[..range.len()]);
                }
            }
        });
}

/// A matrix by rows whose columns are written by several threads.
struct Columns<'a> {
    start: *mut f32,
    len: usize,
    width: usize,
    values: PhantomData<&'a mut [f32]>,
}

#[expect(
    unsafe_code,
    reason = "tasks write side by side into rows of one result"
)]
// SAFETY: the matrix is borrowed for as long as this lives, and whoever writes promises that
// nobody else has these columns.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    fn new(values: &'a mut [f32], width: usize) -> Columns<'a> {
        Columns {
            start: values.as_mut_ptr(),
            len: values.len(),
            width,
            values: PhantomData,
        }
    }

    /// # Safety
    /// No other thread may write into these columns.
    #[expect(
        unsafe_code,
        reason = "tasks write side by side into rows of one result"
    )]
    unsafe fn write(&self, row: usize, column: usize, values: &[f32]) {
        let start = row * self.width + column;
        assert!(
            column + values.len() <= self.width && start + values.len() <= self.len,
            "a part of a row lies in it"
        );
        // SAFETY: inside the matrix, as just checked, and by promise nobody else's.
        unsafe {
            let to = self.start.add(start);
            to.copy_from_nonoverlapping(values.as_ptr(), values.len());
        }
    }
}

#[cfg(test)]
mod tests;
