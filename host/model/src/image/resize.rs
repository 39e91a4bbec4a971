//! Pillow's bicubic resize, byte for byte as since Pillow 13.
//!
//! The filter is as wide as a pixel of the result (antialiasing), its weights are rounded to fixed
//! point, and between the pass along rows and the one along columns the values are bytes again, so
//! that the order of the passes shows. Crates that resize differ in one of these and so in the
//! bytes, fast_image_resize by up to 17 of 255 on the reference images.

use super::{CHANNELS, Pixels};

/// Bits after the point of a weight: what 32 bits leave beside a byte and two bits for sums that
/// overshoot.
const FRACTION_BITS: u32 = 32 - 8 - 2;
/// Half of the last bit that is kept of a sum: with it, cutting off rounds.
const HALF: i32 = 1 << (FRACTION_BITS - 1);
/// Reach of the bicubic filter to either side, in pixels of what is coarser, source or result.
const REACH: f64 = 2.0;
/// The filter's free parameter, its slope at distance 1.
const SLOPE: f64 = -0.5;

/// `source` with other sides. A side that stays is not filtered.
pub(super) fn bicubic(source: &Pixels, width: usize, height: usize) -> Pixels {
    // Pillow before 13 always began with the rows. Since then an image that loses much more of its
    // height begins with the columns, for speed.
    let lost_columns = source.width.saturating_sub(width);
    let lost_rows = source.height.saturating_sub(height);
    if lost_rows > 2 * lost_columns {
        resize_rows(&resize_columns(source, height), width)
    } else {
        resize_columns(&resize_rows(source, width), height)
    }
}

/// The source pixels that a pixel of the result is summed from.
struct Window {
    /// The first of them.
    start: usize,
    /// Their weights in fixed point, which sum to about 1.
    weights: Vec<i32>,
}

/// The windows of a line of `from` pixels that becomes one of `to`.
fn windows(from: usize, to: usize) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    let width = scale.max(1.0);
    let reach = REACH * width;
    (0..to)
        .map(|position| {
            let centre = (position as f64 + 0.5) * scale;
            // Conversions to usize cut off the fraction and stop at 0.
            let start = (centre - reach + 0.5) as usize;
            let end = ((centre + reach + 0.5) as usize).min(from);
            let exact: Vec<f64> = (start..end)
                .map(|at| filter((at as f64 - centre + 0.5) * (1.0 / width)))
                .collect();
            let sum: f64 = exact.iter().sum();
            let weights = exact.iter().map(|weight| fixed_point(weight / sum));
            Window {
                start,
                weights: weights.collect(),
            }
        })
        .collect()
}

/// Keys' cubic convolution kernel.
fn filter(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((SLOPE + 2.0) * x - (SLOPE + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * SLOPE
    } else {
        0.0
    }
}

/// The nearest number in fixed point; halves go away from 0.
fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << FRACTION_BITS);
    (scaled + 0.5_f64.copysign(weight)) as i32
}

/// The byte nearest to a sum of weighted bytes that began at [`HALF`]. No such sum leaves 32 bits:
/// the absolute weights of a window add up to less than 1.5.
fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

fn resize_rows(source: &Pixels, width: usize) -> Pixels {
    if source.width == width {
        return source.clone();
    }
    let windows = windows(source.width, width);
    let mut bytes = Vec::with_capacity(width * source.height * CHANNELS);
    for row in source.bytes.chunks_exact(source.width * CHANNELS) {
        for window in &windows {
            let mut sums = [HALF; CHANNELS];
            let pixels = row[window.start * CHANNELS..].chunks_exact(CHANNELS);
            for (pixel, weight) in pixels.zip(&window.weights) {
                for (sum, byte) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*byte) * weight;
                }
            }
            bytes.extend(sums.map(to_byte));
        }
    }
    Pixels {
        width,
        height: source.height,
        bytes,
    }
}

fn resize_columns(source: &Pixels, height: usize) -> Pixels {
    if source.height == height {
        return source.clone();
    }
    let stride = source.width * CHANNELS;
    let mut bytes = Vec::with_capacity(height * stride);
    let mut sums = vec![HALF; stride];
    for window in windows(source.height, height) {
        sums.fill(HALF);
        let rows = source.bytes[window.start * stride..].chunks_exact(stride);
        for (row, weight) in rows.zip(&window.weights) {
            for (sum, byte) in sums.iter_mut().zip(row) {
                *sum += i32::from(*byte) * weight;
            }
        }
        bytes.extend(sums.iter().map(|sum| to_byte(*sum)));
    }
    Pixels {
        width: source.width,
        height,
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What keeps the sums of [`to_byte`] within 32 bits, and a plain area plain.
        #[test]
        fn the_weights_of_every_window_sum_to_one_and_stay_small(
            from in 1_usize..3000,
            to in 1_usize..3000,
        ) {
            for window in windows(from, to) {
                let one = f64::from(1 << FRACTION_BITS);
                let share = |sum: f64| sum / one;
                let weights = window.weights.iter().map(|weight| f64::from(*weight));
                prop_assert!(window.start + window.weights.len() <= from);
                let error = (share(weights.clone().sum()) - 1.0).abs();
                prop_assert!(error <= window.weights.len() as f64 / one, "{error}");
                prop_assert!(share(weights.map(f64::abs).sum()) < 1.5);
            }
        }
    }
}
