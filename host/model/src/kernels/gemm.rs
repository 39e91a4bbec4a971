//! Matrix products of small matrices: tiles in registers, the right side in panels.
//!
//! For products whose sides fit the cache; each element is summed in ascending order of the inner
//! dimension, whatever the other sizes are.

/// Columns of a panel.
const PANEL: usize = 32;

/// A right-hand side: element (k, j) stands at (j / 32)·panel + k·row + j % 32.
#[derive(Clone, Copy)]
pub(crate) struct Rhs<'a> {
    data: &'a [f32],
    panel: usize,
    row: usize,
}

impl<'a> Rhs<'a> {
    /// A matrix by rows of `width`.
    pub(crate) fn rows(data: &'a [f32], width: usize) -> Rhs<'a> {
        Rhs {
            data,
            panel: PANEL,
            row: width,
        }
    }
}

/// A transposed copy of weights, in panels that stay in the cache.
pub(crate) struct Packed {
    data: Vec<f32>,
    pub(crate) inner: usize,
    pub(crate) outputs: usize,
}

impl Packed {
    /// Packs weights [out, in], several below one another.
    pub(crate) fn new(weights: &[&[f32]], inner: usize) -> Packed {
        let outputs = weights.iter().map(|weight| weight.len() / inner).sum();
        let panels = usize::div_ceil(outputs, PANEL);
        let mut data = vec![0.0; panels * inner * PANEL];
        let rows = weights.iter().flat_map(|weight| weight.chunks_exact(inner));
        for (output, row) in rows.enumerate() {
            let panel = &mut data[(output / PANEL) * inner * PANEL..][..inner * PANEL];
            for (place, value) in panel[output % PANEL..].iter_mut().step_by(PANEL).zip(row) {
                *place = *value;
            }
        }
        Packed {
            data,
            inner,
            outputs,
        }
    }

    /// Panels as the right-hand side [in, out].
    fn rhs(&self) -> Rhs<'_> {
        Rhs {
            data: &self.data,
            panel: self.inner * PANEL,
            row: PANEL,
        }
    }

    /// The right-hand side without its first rows.
    pub(crate) fn rhs_from(&self, first: usize) -> Rhs<'_> {
        Rhs {
            data: &self.data[first * PANEL..],
            ..self.rhs()
        }
    }

    /// x·Wᵀ of rows [m, in] into rows [m, out].
    pub(crate) fn apply(&self, x: &[f32], y: &mut [f32]) {
        let rows = x.len() / self.inner;
        let lhs = Lhs::rows(x, self.inner);
        gemm(
            [rows, self.outputs, self.inner],
            lhs,
            self.rhs(),
            y,
            self.outputs,
            false,
        );
    }
}

/// A left-hand side: element (i, k) stands at i·row + k·column.
#[derive(Clone, Copy)]
pub(crate) struct Lhs<'a> {
    data: &'a [f32],
    row: usize,
    column: usize,
}

impl<'a> Lhs<'a> {
    /// A matrix by rows of `width`.
    pub(crate) fn rows(data: &'a [f32], width: usize) -> Lhs<'a> {
        Lhs {
            data,
            row: width,
            column: 1,
        }
    }

    /// The transpose of a matrix by rows of `width`.
    pub(crate) fn columns(data: &'a [f32], width: usize) -> Lhs<'a> {
        Lhs {
            data,
            row: 1,
            column: width,
        }
    }
}

/// c [m, n] (rows of `width`) = a·b, or c + a·b if `add`; `sizes` are m, n and the inner one.
pub(crate) fn gemm(sizes: [usize; 3], a: Lhs, b: Rhs, c: &mut [f32], width: usize, add: bool) {
    let [m, n, inner] = sizes;
    if m == 0 || n == 0 {
        return;
    }
    let last_row = (inner - 1) * b.row + (n - 1) % PANEL;
    assert!(
        a.data.len() > (m - 1) * a.row + (inner - 1) * a.column
            && b.data.len() > (n - 1) / PANEL * b.panel + last_row
            && (b.panel == PANEL || n <= PANEL || b.panel >= inner * b.row)
            && c.len() >= (m - 1) * width + n
            && n <= width,
        "a matrix is smaller than its sizes"
    );
    let product = Product {
        m,
        n,
        inner,
        a,
        b,
        width,
        add,
    };
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            #[expect(unsafe_code, reason = "the feature was just detected")]
            // SAFETY: the processor has the feature, and the sizes were checked above.
            return unsafe { product.avx512(c) };
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            #[expect(unsafe_code, reason = "the features were just detected")]
            // SAFETY: as above.
            return unsafe { product.avx2(c) };
        }
    }
    product.portable(c);
}

/// A product whose sizes were checked.
struct Product<'a> {
    m: usize,
    n: usize,
    inner: usize,
    a: Lhs<'a>,
    b: Rhs<'a>,
    width: usize,
    add: bool,
}

impl Product<'_> {
    /// Element by element.
    fn portable(&self, c: &mut [f32]) {
        for column in 0..self.n {
            let place = column / PANEL * self.b.panel + column % PANEL;
            for row in 0..self.m {
                let mut sum = if self.add {
                    c[row * self.width + column]
                } else {
                    0.0
                };
                for k in 0..self.inner {
                    let factor = self.a.data[row * self.a.row + k * self.a.column];
                    sum = factor.mul_add(self.b.data[place + k * self.b.row], sum);
                }
                c[row * self.width + column] = sum;
            }
        }
    }
}

/// The first `count` lanes.
#[cfg(target_arch = "x86_64")]
fn mask_avx512(count: usize) -> u16 {
    (1_u32 << count.min(16)).wrapping_sub(1) as u16
}

/// The first `count` lanes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn mask_avx2(count: usize) -> std::arch::x86_64::__m256i {
    use std::arch::x86_64::{_mm256_cmpgt_epi32, _mm256_set1_epi32, _mm256_setr_epi32};
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(8) as i32), lanes)
}

/// # Safety
/// The masked lanes must be readable.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "the arguments in AVX-512's order")]
unsafe fn load_part_avx2(
    mask: std::arch::x86_64::__m256i,
    from: *const f32,
) -> std::arch::x86_64::__m256 {
    // SAFETY: the caller's promise.
    unsafe { std::arch::x86_64::_mm256_maskload_ps(from, mask) }
}

/// Tiles of a product for one vector unit: up to `$rows` rows of one or two vectors of `$lanes`,
/// the sums in registers.
#[cfg(target_arch = "x86_64")]
macro_rules! tiles {
    (
        $feature:literal, $product:ident, $strip:ident, $tile:ident, $lanes:literal, $rows:literal,
        $zero:ident, $spread:ident, $load:ident, $store:ident, $multiply_add:ident,
        $mask:ident, $load_part:ident, $store_part:ident
    ) => {
        #[expect(unsafe_code, reason = "vector loads and stores take pointers")]
        impl Product<'_> {
            /// # Safety
            /// The processor must have the features and the slices the sizes.
            #[target_feature(enable = $feature)]
            unsafe fn $product(&self, c: &mut [f32]) {
                let mut column = 0;
                // SAFETY: the caller's promise; no vector reaches beyond column n.
                unsafe {
                    while self.n - column >= 2 * $lanes {
                        self.$strip::<2, false>(c, column);
                        column += 2 * $lanes;
                    }
                    if self.n - column >= $lanes {
                        self.$strip::<1, false>(c, column);
                        column += $lanes;
                    }
                    if self.n > column {
                        self.$strip::<1, true>(c, column);
                    }
                }
            }

            /// # Safety
            /// As for the whole, with `VECTORS` vectors from `column` inside n; with `PART` the
            /// one vector has only the columns that are left.
            #[target_feature(enable = $feature)]
            unsafe fn $strip<const VECTORS: usize, const PART: bool>(
                &self,
                c: &mut [f32],
                column: usize,
            ) {
                let mut row = 0;
                // SAFETY: the caller's promise; no tile reaches beyond row m.
                unsafe {
                    while self.m - row >= $rows {
                        self.$tile::<$rows, VECTORS, PART>(c, row, column);
                        row += $rows;
                    }
                    if self.m - row >= 4 {
                        self.$tile::<4, VECTORS, PART>(c, row, column);
                        row += 4;
                    }
                    if self.m - row >= 2 {
                        self.$tile::<2, VECTORS, PART>(c, row, column);
                        row += 2;
                    }
                    if self.m - row >= 1 {
                        self.$tile::<1, VECTORS, PART>(c, row, column);
                    }
                }
            }

            /// # Safety
            /// As for the strip, with `ROWS` rows from `row` inside m.
            #[target_feature(enable = $feature)]
            #[inline]
            unsafe fn $tile<const ROWS: usize, const VECTORS: usize, const PART: bool>(
                &self,
                c: &mut [f32],
                row: usize,
                column: usize,
            ) {
                use std::arch::x86_64::*;
                let (a_row, a_column, b_row) = (self.a.row, self.a.column, self.b.row);
                let mut sums = [[$zero(); VECTORS]; ROWS];
                let mask = $mask(self.n - column);
                // SAFETY: rows below m, columns below n (parts are masked) and k below the inner
                // size, which the slices were checked to hold.
                unsafe {
                    let load = |from: *const f32| {
                        if PART {
                            $load_part(mask, from)
                        } else {
                            $load(from)
                        }
                    };
                    let a = self.a.data.as_ptr().add(row * a_row);
                    let place = column / PANEL * self.b.panel + column % PANEL;
                    let b = self.b.data.as_ptr().add(place);
                    let c = c.as_mut_ptr().add(row * self.width + column);
                    if self.add {
                        for i in 0..ROWS {
                            for v in 0..VECTORS {
                                sums[i][v] = load(c.add(i * self.width + v * $lanes));
                            }
                        }
                    }
                    for k in 0..self.inner {
                        let mut values = [$zero(); VECTORS];
                        for v in 0..VECTORS {
                            values[v] = load(b.add(k * b_row + v * $lanes));
                        }
                        for i in 0..ROWS {
                            let factor = $spread(*a.add(i * a_row + k * a_column));
                            for v in 0..VECTORS {
                                sums[i][v] = $multiply_add(factor, values[v], sums[i][v]);
                            }
                        }
                    }
                    for i in 0..ROWS {
                        for v in 0..VECTORS {
                            let to = c.add(i * self.width + v * $lanes);
                            if PART {
                                $store_part(to, mask, sums[i][v]);
                            } else {
                                $store(to, sums[i][v]);
                            }
                        }
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tiles!(
    "avx512f",
    avx512,
    strip_avx512,
    tile_avx512,
    16,
    8,
    _mm512_setzero_ps,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_fmadd_ps,
    mask_avx512,
    _mm512_maskz_loadu_ps,
    _mm512_mask_storeu_ps
);
// Half the registers: half the rows.
#[cfg(target_arch = "x86_64")]
tiles!(
    "avx2,fma",
    avx2,
    strip_avx2,
    tile_avx2,
    8,
    4,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_fmadd_ps,
    mask_avx2,
    load_part_avx2,
    _mm256_maskstore_ps
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 37 + seed * 11) % 23) as f32 * 0.25 - 2.5)
            .collect()
    }

    proptest! {
        #[test]
        fn equals_the_definition(m in 1_usize..20, n in 1_usize..70, inner in 1_usize..9, add: bool) {
            let (a, b) = (numbers(m * inner, 1), numbers(inner * n, 2));
            let start = numbers(m * n, 3);
            let mut expected = if add { start.clone() } else { vec![0.0; m * n] };
            for i in 0..m {
                for j in 0..n {
                    for k in 0..inner {
                        expected[i * n + j] += a[i * inner + k] * b[k * n + j];
                    }
                }
            }
            let mut by_rows = start.clone();
            gemm([m, n, inner], Lhs::rows(&a, inner), Rhs::rows(&b, n), &mut by_rows, n, add);
            prop_assert_eq!(&by_rows, &expected);

            let turned: Vec<f32> =
                (0..inner * m).map(|i| a[(i % m) * inner + i / m]).collect();
            let mut by_columns = start.clone();
            gemm([m, n, inner], Lhs::columns(&turned, m), Rhs::rows(&b, n), &mut by_columns, n, add);
            prop_assert_eq!(&by_columns, &expected);

            let product = Product {
                m,
                n,
                inner,
                a: Lhs::rows(&a, inner),
                b: Rhs::rows(&b, n),
                width: n,
                add,
            };
            let mut plainly = start.clone();
            product.portable(&mut plainly);
            prop_assert_eq!(&plainly, &expected);
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
            {
                let mut narrow = start.clone();
                #[expect(unsafe_code, reason = "the features were just detected")]
                // SAFETY: the processor has the features; the sizes are those of the slices.
                unsafe {
                    product.avx2(&mut narrow);
                }
                prop_assert_eq!(&narrow, &expected);
            }

            if !add {
                let weights: Vec<f32> =
                    (0..n * inner).map(|i| b[(i % inner) * n + i / inner]).collect();
                let (first, second) = weights.split_at(n / 2 * inner);
                let mut packed = start;
                Packed::new(&[first, second], inner).apply(&a, &mut packed);
                prop_assert_eq!(&packed, &expected);
            }
        }
    }
}
