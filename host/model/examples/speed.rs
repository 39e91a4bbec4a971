//! Measures drawing, judging, decoding and a training step's gradients on the tiny model.
//!
//! `cargo run --release -p sc-model --example speed [CHECKPOINT] [general]`; `general` measures
//! the plain tensor operations in place of the CPU's kernels.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;
use sc_core::plan::Sampling;
use sc_core::rng::stream;
use sc_model::{CheckpointSource, DrawRequest, JanusModel, Result, UnifiedModel};

const PROMPTS: [&str; 4] = [
    "a red circle and a blue square",
    "two purple triangles and a blue square",
    "a circle left of a square",
    "four yellow circles",
];

/// Best of some runs, in seconds: the machine has other things to do.
fn best(runs: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn main() -> Result<()> {
    let (words, folders): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument == "general");
    let folder = folders.first().map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/janus-tiny-world"),
        PathBuf::from,
    );
    let mut model = JanusModel::load(&CheckpointSource::Directory(folder), &Device::Cpu)?;
    if !words.is_empty() {
        model = model.without_kernels();
    }
    let tokens = model.image_tokens();

    for (batch, guidance) in [
        (1, 1.0),
        (64, 1.0),
        (512, 1.0),
        (1, 2.0),
        (64, 2.0),
        (512, 2.0),
    ] {
        let requests: Vec<DrawRequest> = (0..batch)
            .map(|image| DrawRequest {
                prompt: PROMPTS[image % 4].into(),
                rng: stream(1, "speed", &[image as u64]),
            })
            .collect();
        let sampling = Sampling {
            temperature: 1.0,
            guidance,
        };
        let seconds = best(7, || model.draw(&requests, &sampling).map(drop))?;
        let rate = (batch * tokens) as f64 / seconds;
        println!("draw   batch {batch:3} guidance {guidance}: {rate:8.0} tokens/s");
    }

    let images: Vec<Vec<u32>> = (0..256)
        .map(|image| {
            (0..tokens)
                .map(|t| ((image * 7 + t * 3) % 31) as u32)
                .collect()
        })
        .collect();
    let seconds = best(7, || model.decode(&images).map(drop))?;
    println!("decode batch 256: {:8.0} images/s", 256.0 / seconds);
    let pixels = model.decode(&images)?;
    let prompts: Vec<String> = (0..256).map(|i| PROMPTS[i % 4].to_string()).collect();
    let seconds = best(7, || model.judge(&pixels, &prompts).map(drop))?;
    println!("judge  batch 256: {:8.0} images/s", 256.0 / seconds);

    let batch: Vec<(&str, &[u32])> = (0..64)
        .map(|i| (PROMPTS[i % 4], images[i].as_slice()))
        .collect();
    let forward = best(15, || model.token_log_probs(&batch, &[false; 64]).map(drop))?;
    let both = best(15, || {
        let loss = model.token_log_probs(&batch, &[false; 64])?.mean_all()?;
        loss.backward()?;
        Ok(())
    })?;
    let frozen = best(15, || model.frozen_token_log_probs(&batch).map(drop))?;
    println!("likelihood of 64 images: forward {:.1} ms", 1e3 * forward);
    println!(
        "likelihood of 64 images: forward and backward {:.1} ms",
        1e3 * both
    );
    println!(
        "likelihood of 64 images: without graph {:.1} ms",
        1e3 * frozen
    );
    Ok(())
}
