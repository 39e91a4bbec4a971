use proptest::prelude::*;

use super::*;

/// Numbers of both signs and several magnitudes.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let fraction = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            fraction * [1.0, 0.125, 4.0][(state >> 5) as usize % 3]
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    BF16,
    F16,
}

/// A weight in the middle of NaNs, which show when anything beyond its ends is read and used.
struct Weight {
    bf16: Vec<bf16>,
    f16: Vec<f16>,
}

/// NaNs at each end.
const MARGIN: usize = 64;

impl Weight {
    fn new(values: &[f32]) -> Weight {
        let margin = [f32::NAN; MARGIN];
        let values = [&margin, values, &margin].concat();
        Weight {
            bf16: values.iter().map(|x| bf16::from_f32(*x)).collect(),
            f16: values.iter().map(|x| f16::from_f32(*x)).collect(),
        }
    }

    fn of(&self, format: Format) -> HalfWeight<'_> {
        match format {
            Format::BF16 => HalfWeight::BF16(&self.bf16[MARGIN..self.bf16.len() - MARGIN]),
            Format::F16 => HalfWeight::F16(&self.f16[MARGIN..self.f16.len() - MARGIN]),
        }
    }

    fn value(&self, format: Format, at: usize) -> f64 {
        match format {
            Format::BF16 => self.bf16[MARGIN + at].to_f64(),
            Format::F16 => self.f16[MARGIN + at].to_f64(),
        }
    }
}

/// What the format makes of an input.
fn input(format: Format, x: f32) -> f64 {
    match format {
        Format::BF16 => bf16::from_f32(x).to_f64(),
        Format::F16 => f64::from(x),
    }
}

/// The kernels that can be tested here; says which cannot.
fn kernels() -> Vec<Kernel> {
    static SAID: std::sync::Once = std::sync::Once::new();
    let (here, lacking): (Vec<_>, Vec<_>) = Kernel::ALL
        .iter()
        .copied()
        .partition(|kernel| kernel.available());
    SAID.call_once(|| println!("not tested, as this machine lacks them: {lacking:?}"));
    here
}

/// Whether values are as near to the exact sums as `f32` sums of so many terms must be, given each
/// one's sum of absolute terms.
fn holds(values: &[f32], terms: usize, exact: impl Fn(usize) -> (f64, f64)) -> Result<(), String> {
    for (at, value) in values.iter().enumerate() {
        let (sum, size) = exact(at);
        // Units may take values below the least normal one for zero.
        let bound = terms as f64 * (size / f64::from(1 << 24) + f64::from(f32::MIN_POSITIVE));
        let error = (f64::from(*value) - sum).abs();
        if error.is_nan() || error > bound {
            return Err(format!("at {at}: {value} for {sum} ± {bound:e}"));
        }
    }
    Ok(())
}

/// Both products by a kernel against their definitions.
fn check(
    kernel: Kernel,
    format: Format,
    [m, outputs, inner]: [usize; 3],
    seed: u32,
) -> Result<(), String> {
    let (x, dy) = (numbers(m * inner, seed), numbers(m * outputs, seed ^ 1));
    let weight = Weight::new(&numbers(outputs * inner, seed ^ 2));
    let w = |o: usize, k: usize| weight.value(format, o * inner + k);
    // What was there before does not matter.
    let (mut y, mut dx) = (vec![f32::NAN; m * outputs], vec![f32::NAN; m * inner]);
    product_by(kernel, &x, weight.of(format), inner, &mut y);
    product_with_transposed_by(kernel, &dy, weight.of(format), inner, &mut dx);
    let total = |terms: &mut dyn Iterator<Item = f64>| {
        terms.fold((0.0, 0.0), |(sum, size), term| {
            (sum + term, size + term.abs())
        })
    };
    holds(&y, inner, |at| {
        let (i, o) = (at / outputs, at % outputs);
        total(&mut (0..inner).map(|k| input(format, x[i * inner + k]) * w(o, k)))
    })
    .map_err(|error| format!("{kernel:?} {format:?} product {error}"))?;
    holds(&dx, outputs, |at| {
        let (i, k) = (at / inner, at % inner);
        total(&mut (0..outputs).map(|o| input(format, dy[i * outputs + o]) * w(o, k)))
    })
    .map_err(|error| format!("{kernel:?} {format:?} transposed {error}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_equal_their_definitions(
        m in 1_usize..36,
        outputs in 1_usize..200,
        inner in 1_usize..150,
        seed: u32,
    ) {
        for kernel in kernels() {
            for format in [Format::BF16, Format::F16] {
                let checked = check(kernel, format, [m, outputs, inner], seed);
                prop_assert!(checked.is_ok(), "{:?}", checked);
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others_nor_on_threads(
        m in 2_usize..40,
        outputs in 1_usize..150,
        inner in 1_usize..100,
        row in 0_usize..40,
        seed: u32,
    ) {
        let row = row % m;
        let (x, dy) = (numbers(m * inner, seed), numbers(m * outputs, seed ^ 1));
        let weight = Weight::new(&numbers(outputs * inner, seed ^ 2));
        for kernel in kernels() {
            for format in [Format::BF16, Format::F16] {
                let both = |x: &[f32], dy: &[f32]| {
                    let mut y = vec![0.0; x.len() / inner * outputs];
                    let mut dx = vec![0.0; x.len()];
                    product_by(kernel, x, weight.of(format), inner, &mut y);
                    product_with_transposed_by(kernel, dy, weight.of(format), inner, &mut dx);
                    (y, dx)
                };
                let (y, dx) = both(&x, &dy);
                let (of_y, of_x) = (row * outputs..(row + 1) * outputs, row * inner..(row + 1) * inner);
                let alone = both(&x[of_x.clone()], &dy[of_y.clone()]);
                prop_assert_eq!((&y[of_y], &dx[of_x]), (&alone.0[..], &alone.1[..]));
                let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
                let pool = pool.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(pool.install(|| both(&x, &dy)), (y, dx));
            }
        }
    }
}

/// Sizes at which the inner dimension is cut into blocks, and the input into several.
#[test]
fn products_of_many_terms_equal_their_definitions() -> Result<(), String> {
    for kernel in kernels() {
        for format in [Format::BF16, Format::F16] {
            for sizes in [
                [3, 70, 2_500],
                [1, 300, 4_100],
                [270, 66, 2_080],
                [5, 1_300, 40],
            ] {
                check(kernel, format, sizes, 7)?;
            }
        }
    }
    Ok(())
}

/// A row's result at a size where the inner dimension is cut for many rows only.
#[test]
fn cutting_the_inner_dimension_changes_nothing() {
    let (m, inner, outputs) = (272, 2_080, 80);
    let x = numbers(m * inner, 1);
    let weight = Weight::new(&numbers(outputs * inner, 2));
    for kernel in kernels() {
        let (mut all, mut last) = (vec![0.0; m * outputs], vec![0.0; outputs]);
        product_by(kernel, &x, weight.of(Format::BF16), inner, &mut all);
        product_by(
            kernel,
            &x[(m - 1) * inner..],
            weight.of(Format::BF16),
            inner,
            &mut last,
        );
        assert_eq!(all[(m - 1) * outputs..], last, "{kernel:?}");
    }
}

/// An infinity or a NaN reaches its own row or column of the result and no other: none is read
/// beyond a row's end.
#[test]
fn what_is_not_a_number_stays_in_its_place() {
    let [m, outputs, inner] = [3, 70, 37];
    for kernel in kernels() {
        for format in [Format::BF16, Format::F16] {
            let mut values = numbers(outputs * inner, 3);
            let bad = outputs / 2;
            values[bad * inner] = f32::INFINITY;
            values[bad * inner + inner - 1] = f32::NAN;
            let weight = Weight::new(&values);
            let mut y = vec![0.0; m * outputs];
            product_by(
                kernel,
                &numbers(m * inner, 4),
                weight.of(format),
                inner,
                &mut y,
            );
            for (at, y) in y.iter().enumerate() {
                assert_eq!(
                    y.is_finite(),
                    at % outputs != bad,
                    "{kernel:?} {format:?} {at}"
                );
            }
            let mut dx = vec![0.0; m * inner];
            let dy = numbers(m * outputs, 5);
            product_with_transposed_by(kernel, &dy, weight.of(format), inner, &mut dx);
            for (at, dx) in dx.iter().enumerate() {
                let column = at % inner;
                let finite = column != 0 && column != inner - 1;
                assert_eq!(dx.is_finite(), finite, "{kernel:?} {format:?} {at}");
            }
        }
    }
}

#[test]
fn nothing_times_anything_is_nothing() {
    let weight = Weight::new(&numbers(6, 1));
    for kernel in kernels() {
        for format in [Format::BF16, Format::F16] {
            product_by(kernel, &[], weight.of(format), 3, &mut []);
            product_with_transposed_by(kernel, &[], weight.of(format), 3, &mut []);
            let none = Weight::new(&[]);
            product_by(kernel, &[1.0; 3], none.of(format), 3, &mut []);
            let mut dx = [1.0; 3];
            product_with_transposed_by(kernel, &[], none.of(format), 3, &mut dx);
            assert_eq!(dx, [0.0; 3]);
        }
    }
}

#[test]
#[should_panic(expected = "rows of 3 values")]
fn a_weight_of_another_width_is_refused() {
    let weight = Weight::new(&[1.0; 7]);
    product(&[1.0; 3], weight.of(Format::BF16), 3, &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "products of 1 rows with 2")]
fn a_result_of_another_size_is_refused() {
    let weight = Weight::new(&[1.0; 6]);
    product(&[1.0; 3], weight.of(Format::BF16), 3, &mut [0.0; 3]);
}

#[test]
#[should_panic(expected = "2 rows of 2 values")]
fn a_gradient_of_another_size_is_refused() {
    let weight = Weight::new(&[1.0; 6]);
    product_with_transposed(&[1.0; 3], weight.of(Format::BF16), 3, &mut [0.0; 6]);
}
