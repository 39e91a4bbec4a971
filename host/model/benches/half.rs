//! Products with half-precision weights: each kernel that the machine has against candle's product
//! and against merely reading the weights, in the same run.
//!
//! `cargo bench -p sc-model --bench half` prints a row a way: GB/s of weights and GFLOP/s. Weights
//! are other ones for every product, of more bytes in all than caches hold. Each figure is the best
//! of all products in some turns, taken in turns, so that other work on the machine disturbs all
//! alike.

use std::time::Instant;

use ::half::bf16;
use ::half::slice::HalfFloatSliceExt;
use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use half::{HalfWeight, Kernel, product_by, product_with_transposed_by as transposed_by};

// The kernels, compiled as they are into the library, which keeps them to itself.
#[path = "../src/kernels/gemm.rs"]
#[expect(dead_code, reason = "the library uses more of it")]
#[cfg_attr(test, expect(unused_imports, reason = "no harness, no tests"))]
mod gemm;
#[path = "../src/kernels/half/mod.rs"]
#[expect(dead_code, reason = "the bench names its kernels")]
#[cfg_attr(test, expect(unused_imports, reason = "no harness, no tests"))]
mod half;
#[path = "../src/kernels/pool.rs"]
mod pool;
#[path = "../src/kernels/vectorised.rs"]
mod vectorised;

use vectorised::vectorised;

/// Turns that each way has.
const TURNS: usize = 7;
/// Bytes of the weights that are gone through in a turn at few rows.
const BYTES: usize = 512 << 20;

/// Outputs and inputs.
const SHAPES: [[usize; 2]; 3] = [[2048, 2048], [5632, 2048], [2048, 5632]];

/// A way to go through a weight, by its place among the weights.
type Way<'a> = (String, Box<dyn FnMut(usize) -> Result<()> + 'a>);

fn main() -> Result<()> {
    let weights: Vec<bf16> = (0..BYTES / 2)
        .map(|i| bf16::from_f32(((i * 37) % 23) as f32 * 0.01 - 0.1))
        .collect();
    println!("{:52}{:>12}{:>10}{:>10}", "", "ms", "GB/s", "GFLOP/s");
    for [outputs, inputs] in SHAPES {
        for m in [1, 2, 16, 64, 640] {
            compare([m, outputs, inputs], &weights)?;
        }
    }
    Ok(())
}

fn compare([m, outputs, inputs]: [usize; 3], weights: &[bf16]) -> Result<()> {
    let each: Vec<&[bf16]> = weights.chunks_exact(outputs * inputs).collect();
    // Many rows take long, and are not bound by memory.
    let count = if m <= 64 { each.len() } else { 2 };
    let numbers = |count: usize| -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 31) % 19) as f32 * 0.1 - 0.9)
            .collect()
    };
    let (x, dy) = (numbers(m * inputs), numbers(m * outputs));
    let mut ways: Vec<Way<'_>> = vec![(
        "reading".to_owned(),
        Box::new(|i| {
            std::hint::black_box(sum(each[i]));
            Ok(())
        }),
    )];
    let kernels = Kernel::ALL
        .iter()
        .copied()
        .filter(|kernel| kernel.available());
    for kernel in kernels {
        let (x, each) = (&x, &each);
        let mut y = vec![0.0; m * outputs];
        ways.push((
            format!("{kernel:?}"),
            Box::new(move |i| {
                product_by(kernel, x, HalfWeight::BF16(each[i]), inputs, &mut y);
                Ok(())
            }),
        ));
        if m > 16 {
            let (dy, mut dx) = (&dy, vec![0.0; m * inputs]);
            ways.push((
                format!("{kernel:?}, transposed"),
                Box::new(move |i| {
                    transposed_by(kernel, dy, HalfWeight::BF16(each[i]), inputs, &mut dx);
                    Ok(())
                }),
            ));
        }
    }
    // candle gets tensors of its own: copies of a part of the weights.
    let tensors = each[..count.min(4)]
        .iter()
        .map(|weight| Tensor::from_slice(weight, (outputs, inputs), &Device::Cpu)?.t())
        .collect::<Result<Vec<_>>>()?;
    let rows = Tensor::from_slice(&x, (m, inputs), &Device::Cpu)?;
    ways.push((
        "candle".to_owned(),
        Box::new(move |i| {
            let rows = rows.to_dtype(DType::BF16)?;
            let y = rows.matmul(&tensors[i % tensors.len()])?;
            y.to_dtype(DType::F32).map(drop)
        }),
    ));

    let mut best = vec![f64::INFINITY; ways.len()];
    for _ in 0..TURNS {
        for ((name, way), best) in ways.iter_mut().zip(&mut best) {
            let count = if name == "candle" {
                count.min(4)
            } else {
                count
            };
            for i in 0..count {
                let start = Instant::now();
                way(i)?;
                *best = best.min(start.elapsed().as_secs_f64());
            }
        }
    }
    for ((name, _), seconds) in ways.iter().zip(best) {
        let size = (outputs * inputs) as f64;
        println!(
            "{:52}{:>12.3}{:>10.1}{:>10.0}",
            format!("{m} rows, {outputs} outputs, {inputs} inputs: {name}"),
            seconds * 1e3,
            2.0 * size / seconds * 1e-9,
            if name == "reading" {
                0.0
            } else {
                2.0 * size * m as f64 / seconds * 1e-9
            },
        );
    }
    Ok(())
}

/// Reads a weight, on all threads.
fn sum(weight: &[bf16]) -> u64 {
    let bits: &[u16] = weight.reinterpret_cast();
    bits.par_chunks(1 << 18)
        .map(|part| {
            let (words, _) = part.as_chunks::<4>();
            words
                .iter()
                .map(|[a, b, c, d]| {
                    let low = u64::from(*a) | u64::from(*b) << 16;
                    low | u64::from(*c) << 32 | u64::from(*d) << 48
                })
                .fold(0, u64::wrapping_add)
        })
        .reduce(|| 0, u64::wrapping_add)
}
