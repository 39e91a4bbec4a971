//! The values of made-up tensors: by seed, name and place, in pieces that know nothing of one
//! another.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use rand::RngCore;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;
use safetensors::Dtype;
use sc_core::rng::stream;

use crate::checkpoint::written::tensors::Part;

/// Values that are drawn from one stream. Part of what a seed means: another number here makes
/// other weights.
pub(super) const CHUNK: usize = 1 << 14;

/// Deviation of embeddings, biases and of the norms' factors about 1: that of transformers'
/// initialisation. Biases of 0 and factors of 1 would hide a mix-up.
const SMALL: f32 = 0.02;

/// How the values of a tensor are spread: evenly about a centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    centre: f32,
    deviation: f32,
}

impl Spread {
    /// How the values of a tensor are spread, by transformers' name. Products keep the size of
    /// what they multiply, so that nothing overflows at any depth and logits stay near 1.
    pub(super) fn of(name: &str, shape: &[usize]) -> Spread {
        let about = |centre, deviation| Spread { centre, deviation };
        if name.ends_with("quantize.embedding.weight") {
            return about(0.0, 1.0);
        }
        if name.ends_with("codebook_used") {
            return about(0.0, 0.0);
        }
        let embeddings = [
            "embed_tokens.weight",
            "position_embedding.weight",
            "generation_embeddings.weight",
            "attn_pool.latent",
        ];
        if embeddings.iter().any(|embedding| name.ends_with(embedding)) {
            return about(0.0, SMALL);
        }
        match shape {
            [] | [_] if name.contains("norm") && name.ends_with("weight") => about(1.0, SMALL),
            [] | [_] => about(0.0, SMALL),
            [_, inputs @ ..] => {
                let inputs: usize = inputs.iter().product();
                about(0.0, (inputs as f32).sqrt().recip())
            }
        }
    }
}

/// Values of one tensor of transformers' names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    name: String,
    spread: Spread,
    pub(super) count: usize,
}

impl Values {
    pub(super) fn of(Part { name, shape }: &Part) -> Values {
        Values {
            spread: Spread::of(name, shape),
            name: name.clone(),
            count: shape.iter().product(),
        }
    }

    /// Puts the values from chunk `first` on into `bytes`, little-endian, each rounded to the
    /// nearest number of `dtype`.
    pub(super) fn fill(&self, seed: u64, first: usize, dtype: Dtype, bytes: &mut [u8]) {
        let size = dtype.bitsize() / 8;
        let purpose = format!("synth {}", self.name);
        bytes
            .par_chunks_mut(CHUNK * size)
            .enumerate()
            .for_each_init(Scratch::new, |scratch, (number, bytes)| {
                let count = bytes.len() / size;
                let chunk = (first + number) as u64;
                stream(seed, &purpose, &[chunk]).fill_bytes(&mut scratch.random[..4 * count]);
                scratch.spread(self.spread, count);
                scratch.round(dtype, count, bytes);
            });
    }
}

/// What one thread works in.
struct Scratch {
    random: Vec<u8>,
    values: Vec<f32>,
    rounded: Vec<u16>,
}

impl Scratch {
    fn new() -> Scratch {
        Scratch {
            random: vec![0; 4 * CHUNK],
            values: vec![0.0; CHUNK],
            rounded: vec![0; CHUNK],
        }
    }

    fn spread(&mut self, Spread { centre, deviation }: Spread, count: usize) {
        // An even spread from −b to b deviates by b/√3.
        let bound = deviation * 3_f32.sqrt();
        let (random, _) = self.random[..4 * count].as_chunks::<4>();
        for (value, random) in self.values.iter_mut().zip(random) {
            // The upper 24 bits, as a number from −1 to 1 that f32 has exactly.
            let whole = (u32::from_le_bytes(*random) >> 8) as i32 - (1 << 23);
            *value = centre + bound * (whole as f32 / (1 << 23) as f32);
        }
    }

    fn round(&mut self, dtype: Dtype, count: usize, bytes: &mut [u8]) {
        let values = &self.values[..count];
        let rounded = &mut self.rounded[..count];
        match dtype {
            Dtype::BF16 => {
                for (rounded, value) in rounded.iter_mut().zip(values) {
                    *rounded = bf16::from_f32(*value).to_bits();
                }
            }
            Dtype::F16 => {
                let halves: &mut [f16] = rounded.reinterpret_cast_mut();
                halves.convert_from_f32_slice(values);
            }
            _ => {
                let (bytes, _) = bytes.as_chunks_mut::<4>();
                for (bytes, value) in bytes.iter_mut().zip(values) {
                    *bytes = value.to_le_bytes();
                }
                return;
            }
        }
        let (bytes, _) = bytes.as_chunks_mut::<2>();
        for (bytes, rounded) in bytes.iter_mut().zip(rounded) {
            *bytes = rounded.to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str, shape: &[usize]) -> Values {
        Values::of(&Part {
            name: name.to_owned(),
            shape: shape.to_vec(),
        })
    }

    fn drawn(values: &Values, seed: u64, dtype: Dtype) -> Vec<f32> {
        let mut bytes = vec![0; values.count * dtype.bitsize() / 8];
        values.fill(seed, 0, dtype, &mut bytes);
        match dtype {
            Dtype::F32 => {
                let (numbers, _) = bytes.as_chunks();
                numbers.iter().map(|n| f32::from_le_bytes(*n)).collect()
            }
            _ => {
                let (numbers, _) = bytes.as_chunks();
                let bits = numbers.iter().map(|n| u16::from_le_bytes(*n));
                bits.map(|bits| match dtype {
                    Dtype::BF16 => bf16::from_bits(bits).to_f32(),
                    _ => f16::from_bits(bits).to_f32(),
                })
                .collect()
            }
        }
    }

    #[test]
    fn values_have_the_mean_and_deviation_that_are_meant() {
        for (name, shape, centre, deviation) in [
            ("lm_head.weight", &[400, 100][..], 0.0, 0.1),
            ("conv1.weight", &[64, 64, 3, 3], 0.0, 1.0 / 24.0),
            ("embed_tokens.weight", &[400, 100], 0.0, 0.02),
            ("input_layernorm.weight", &[30_000], 1.0, 0.02),
            ("norm1.bias", &[30_000], 0.0, 0.02),
            ("quantize.embedding.weight", &[4000, 8], 0.0, 1.0),
            ("quantize.codebook_used", &[65_536], 0.0, 0.0),
        ] {
            let drawn = drawn(&values(name, shape), 3, Dtype::F32);
            let n = drawn.len() as f64;
            let mean = drawn.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
            let square = drawn.iter().map(|v| (f64::from(*v) - mean).powi(2));
            let found = (square.sum::<f64>() / n).sqrt();
            let near = |a: f64, b: f64| (a - b).abs() <= 0.03 * deviation;
            assert!(near(mean, centre), "{name}: mean {mean}");
            assert!(near(found, deviation), "{name}: deviation {found}");
            let largest = deviation * 3_f64.sqrt() * 1.0001;
            assert!(
                drawn
                    .iter()
                    .all(|v| (f64::from(*v) - centre).abs() <= largest)
            );
        }
    }

    #[test]
    fn narrower_dtypes_hold_the_nearest_numbers() {
        let values = values("lm_head.weight", &[70, 300]);
        let exact = drawn(&values, 5, Dtype::F32);
        for (dtype, bits) in [(Dtype::BF16, 8), (Dtype::F16, 11)] {
            for (rounded, exact) in drawn(&values, 5, dtype).iter().zip(&exact) {
                // Half of the last place, or half the least step where f16 is subnormal.
                let half = (exact.abs() * 2_f32.powi(-bits)).max(2_f32.powi(-25));
                assert!((rounded - exact).abs() <= half, "{rounded} for {exact}");
            }
        }
    }

    #[test]
    fn a_value_does_not_depend_on_the_piece_that_it_is_written_in() {
        let values = values("lm_head.weight", &[3 * CHUNK + 5]);
        let whole = drawn(&values, 1, Dtype::F32);
        let mut bytes = vec![0; 4 * (CHUNK + 5)];
        values.fill(1, 2, Dtype::F32, &mut bytes);
        let (numbers, _) = bytes.as_chunks();
        let piece: Vec<f32> = numbers.iter().map(|n| f32::from_le_bytes(*n)).collect();
        assert_eq!(piece, whole[2 * CHUNK..]);
        assert_ne!(whole[..CHUNK], whole[CHUNK..2 * CHUNK]);
        assert_ne!(drawn(&values, 2, Dtype::F32), whole);
    }
}
