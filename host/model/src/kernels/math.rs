//! Vector functions: exponentials, norms and gates over rows.

use super::vectorised;

/// e^x to about one unit in the last place (the method of Cephes' `expf`).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5·2²³ rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let whole = x.mul_add(std::f32::consts::LOG2_E, ROUND) - ROUND;
    let rest = whole.mul_add(-0.693_359_4, x);
    let rest = whole.mul_add(2.121_944_4e-4, rest);
    let mut sum = 1.987_569_1e-4_f32;
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        sum = sum.mul_add(rest, coefficient);
    }
    let fraction = sum.mul_add(rest * rest, rest) + 1.0;
    // 2^whole, by its exponent.
    let scale = f32::from_bits(((whole as i32 + 127) as u32) << 23);
    fraction * scale
}

/// σ(x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The Gauss error function to 5e-7 (Abramowitz & Stegun, 7.1.26).
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / 0.327_591_1_f32.mul_add(size, 1.0);
    let mut sum = 1.061_405_4_f32;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = sum.mul_add(t, coefficient);
    }
    let value = 1.0 - sum * t * exp(-size * size);
    value.copysign(x)
}

/// Exact GELU: x·Φ(x).
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Derivative of [`gelu`]: Φ(x) + x·φ(x).
#[inline(always)]
pub(crate) fn gelu_slope(x: f32) -> f32 {
    const DENSITY: f32 = 0.398_942_3;
    let cumulative = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
    (x * DENSITY).mul_add(exp(-0.5 * x * x), cumulative)
}

/// Σ a·b in eight lanes: the same order on every machine.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (a_whole, a_rest) = a.as_chunks::<8>();
    let (b_whole, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = a.mul_add(*b, *lane);
        }
    }
    let mut sum = total(lanes);
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum = a.mul_add(*b, sum);
    }
    sum
}

#[inline(always)]
fn total(lanes: [f32; 8]) -> f32 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6]))
        + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

/// Σ x.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (whole, rest) = x.as_chunks::<8>();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane += value;
        }
    }
    rest.iter().fold(total(lanes), |sum, value| sum + value)
}

/// y += factor·x.
#[inline(always)]
pub(crate) fn add_scaled(y: &mut [f32], factor: f32, x: &[f32]) {
    let (y_whole, y_rest) = y.as_chunks_mut::<8>();
    let (x_whole, x_rest) = x.as_chunks::<8>();
    for (y, x) in y_whole.iter_mut().zip(x_whole) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = factor.mul_add(*x, *y);
        }
    }
    for (y, x) in y_rest.iter_mut().zip(x_rest) {
        *y = factor.mul_add(*x, *y);
    }
}

/// Largest value.
#[inline(always)]
pub(crate) fn largest(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Turns scores into e^(score − largest) and answers their sum and the largest.
#[inline(always)]
pub(crate) fn exponentials(scores: &mut [f32]) -> (f32, f32) {
    let top = largest(scores);
    for score in scores.iter_mut() {
        *score = exp(*score - top);
    }
    (sum(scores), top)
}

vectorised! {
    /// RMSNorm of rows as wide as `weight`.
    pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
        let width = weight.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot(x, x) / width as f32 + eps).sqrt();
            for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
                *y = x * scale * weight;
            }
        }
    }
}

vectorised! {
    /// Backward of [`rms_norm`]: adds to the inputs' gradient `dx` and to the weight's.
    pub(crate) fn rms_norm_backward(
        x: &[f32],
        weight: &[f32],
        eps: f32,
        dy: &[f32],
        dx: &mut [f32],
        dweight: &mut [f32],
    ) {
        let width = weight.len();
        let rows = x.chunks_exact(width).zip(dy.chunks_exact(width));
        for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot(x, x) / width as f32 + eps).sqrt();
            let mut lanes = [0.0_f32; 8];
            for ((x, dy), weight) in x.chunks(8).zip(dy.chunks(8)).zip(weight.chunks(8)) {
                for (lane, ((x, dy), weight)) in lanes.iter_mut().zip(x.iter().zip(dy).zip(weight)) {
                    *lane = (x * dy).mul_add(*weight, *lane);
                }
            }
            let pull = total(lanes) * scale * scale * scale / width as f32;
            let places = dx.iter_mut().zip(dweight.iter_mut());
            for (((dx, dweight), (x, dy)), weight) in places.zip(x.iter().zip(dy)).zip(weight) {
                *dx += (dy * weight).mul_add(scale, -(pull * x));
                *dweight = (dy * scale).mul_add(*x, *dweight);
            }
        }
    }
}

vectorised! {
    /// LayerNorm of rows as wide as `weight`.
    pub(crate) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) {
        let width = weight.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let mean = sum(x) / width as f32;
            for (y, x) in y.iter_mut().zip(x) {
                *y = x - mean;
            }
            let scale = 1.0 / (dot(y, y) / width as f32 + eps).sqrt();
            for ((y, weight), bias) in y.iter_mut().zip(weight).zip(bias) {
                *y = (*y * scale).mul_add(*weight, *bias);
            }
        }
    }
}

vectorised! {
    /// Backward of [`layer_norm`]: adds to the inputs' gradient `dx`, and to the weight's and the
    /// bias' in `share`.
    pub(crate) fn layer_norm_backward(
        x: &[f32],
        weight: &[f32],
        eps: f32,
        dy: &[f32],
        dx: &mut [f32],
        share: &mut [Vec<f32>; 2],
    ) {
        let width = weight.len();
        let [d_weight, d_bias] = share;
        let (mut normed, mut pull) = (vec![0.0; width], vec![0.0; width]);
        let rows = x.chunks_exact(width).zip(dy.chunks_exact(width));
        for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let mean = sum(x) / width as f32;
            for (normed, x) in normed.iter_mut().zip(x) {
                *normed = x - mean;
            }
            let scale = 1.0 / (dot(&normed, &normed) / width as f32 + eps).sqrt();
            for ((normed, pull), (dy, weight)) in
                normed.iter_mut().zip(&mut pull).zip(dy.iter().zip(weight))
            {
                *normed *= scale;
                *pull = dy * weight;
            }
            // Neither a shift nor a stretch of the row changes the output.
            let shift = sum(&pull) / width as f32;
            let stretch = dot(&pull, &normed) / width as f32;
            for (dx, (pull, normed)) in dx.iter_mut().zip(pull.iter().zip(&normed)) {
                *dx = (pull - shift - stretch * normed).mul_add(scale, *dx);
            }
            let shares = d_weight.iter_mut().zip(d_bias.iter_mut());
            for ((d_weight, d_bias), (dy, normed)) in shares.zip(dy.iter().zip(&normed)) {
                *d_weight = dy.mul_add(*normed, *d_weight);
                *d_bias += dy;
            }
        }
    }
}

vectorised! {
    /// SwiGLU: rows of gates and ups `[2·W]` → silu(gate)·up `[W]`.
    pub(crate) fn swiglu(gate_up: &[f32], width: usize, y: &mut [f32]) {
        for (pair, y) in gate_up.chunks_exact(2 * width).zip(y.chunks_exact_mut(width)) {
            let (gate, up) = pair.split_at(width);
            for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                *y = gate * sigmoid(*gate) * up;
            }
        }
    }
}

vectorised! {
    /// silu(gate)·up.
    pub(crate) fn silu_product(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((gate, up), y) in gate.iter().zip(up).zip(y) {
            *y = gate * sigmoid(*gate) * up;
        }
    }
}

vectorised! {
    /// Backward of [`swiglu`]: `d` holds the output's gradient and receives the output itself,
    /// `d_gate_up` the inputs' gradient.
    pub(crate) fn swiglu_backward(
        gate_up: &[f32],
        width: usize,
        d: &mut [f32],
        d_gate_up: &mut [f32],
    ) {
        let rows = gate_up.chunks_exact(2 * width).zip(d_gate_up.chunks_exact_mut(2 * width));
        for ((pair, d_pair), d) in rows.zip(d.chunks_exact_mut(width)) {
            let (gate, up) = pair.split_at(width);
            let (d_gate, d_up) = d_pair.split_at_mut(width);
            let inputs = gate.iter().zip(up);
            let outputs = d_gate.iter_mut().zip(d_up.iter_mut());
            for ((d, (gate, up)), (d_gate, d_up)) in d.iter_mut().zip(inputs).zip(outputs) {
                let share = sigmoid(*gate);
                let silu = gate * share;
                *d_up = *d * silu;
                *d_gate = *d * up * share.mul_add(1.0 - silu, silu);
                *d = silu * up;
            }
        }
    }
}

vectorised! {
    /// Adds `bias` to rows as wide as it.
    pub(crate) fn add_bias(x: &mut [f32], bias: &[f32]) {
        for row in x.chunks_exact_mut(bias.len()) {
            for (x, bias) in row.iter_mut().zip(bias) {
                *x += bias;
            }
        }
    }
}

vectorised! {
    /// GELU of all values, in place.
    pub(crate) fn gelu_all(x: &mut [f32]) {
        for x in x {
            *x = gelu(*x);
        }
    }
}

vectorised! {
    /// x += y.
    pub(crate) fn add_all(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}

vectorised! {
    /// Adds rows up to `sum`.
    pub(crate) fn add_rows(rows: &[f32], sum: &mut [f32]) {
        for row in rows.chunks_exact(sum.len()) {
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(range: std::ops::Range<i32>, error: impl Fn(f32) -> f64) -> f64 {
        range.map(|i| error(i as f32 * 1e-3)).fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_as_exact_as_f32_allows() {
        let exp_error = worst(-80_000..80_000, |x| {
            let exact = f64::from(x).exp();
            (f64::from(exp(x)) / exact - 1.0).abs()
        });
        assert!(exp_error < 3e-7, "{exp_error}");
        // erf by its series, which converges well in this range.
        let erf_error = worst(-3_000..3_000, |x| {
            let x64 = f64::from(x);
            let (mut term, mut series) = (x64, x64);
            for n in 1..60 {
                term *= -x64 * x64 / f64::from(n);
                series += term / f64::from(2 * n + 1);
            }
            let exact = series * 2.0 / std::f64::consts::PI.sqrt();
            (f64::from(erf(x)) - exact).abs()
        });
        assert!(erf_error < 5e-7, "{erf_error}");
        let slope_error = worst(-4_000..4_000, |x| {
            let h = 1e-2;
            let secant = f64::from(gelu(x + h) - gelu(x - h)) / f64::from((x + h) - (x - h));
            (secant - f64::from(gelu_slope(x))).abs()
        });
        assert!(slope_error < 1e-4, "{slope_error}");
        assert!(exp(-1e9) >= 0.0 && exp(1e9).is_finite());
        assert_eq!(sigmoid(-1e9) + sigmoid(1e9), 1.0);
    }
}
