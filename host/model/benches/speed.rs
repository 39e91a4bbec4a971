//! Drawing, decoding, judging and gradients of the tiny model: the CPU's kernels against the plain
//! tensor operations, in the same run.
//!
//! `cargo bench -p sc-model` prints a row a task: both rates and their ratio. Each is the best of
//! some runs, taken in turns, so that other work on the machine disturbs both alike.

use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use sc_core::plan::Sampling;
use sc_core::rng::stream;
use sc_model::{Branch, CheckpointSource, DrawRequest, JanusModel, Result, UnifiedModel};

const PROMPTS: [&str; 4] = [
    "a red circle and a blue square",
    "two purple triangles and a blue square",
    "a circle left of a square",
    "four yellow circles",
];

/// Turns that each side has.
const TURNS: usize = 5;

struct Inputs {
    images: Vec<Vec<u32>>,
    pixels: Tensor,
    prompts: Vec<String>,
    branches: Vec<Vec<Branch>>,
}

type Task<'a> = Box<dyn Fn(&JanusModel) -> Result<()> + 'a>;

fn load() -> Result<JanusModel> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/janus-tiny-world");
    JanusModel::load(&CheckpointSource::Directory(folder), &Device::Cpu)
}

fn main() -> Result<()> {
    let (kernels, general) = (load()?, load()?.without_kernels());
    let inputs = inputs(&kernels)?;
    println!(
        "{:44}{:>12}{:>12}{:>8}",
        "", "kernels", "plain ops", "ratio"
    );
    for (name, units, task) in tasks(&inputs, kernels.image_tokens()) {
        let (mut fast, mut plain) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..TURNS {
            fast = fast.min(seconds(&kernels, &task)?);
            plain = plain.min(seconds(&general, &task)?);
        }
        println!(
            "{name:44}{:>12.0}{:>12.0}{:>8.1}",
            units / fast,
            units / plain,
            plain / fast
        );
    }
    Ok(())
}

fn seconds(model: &JanusModel, task: &Task<'_>) -> Result<f64> {
    let start = Instant::now();
    task(model)?;
    Ok(start.elapsed().as_secs_f64())
}

fn inputs(model: &JanusModel) -> Result<Inputs> {
    let images: Vec<Vec<u32>> = (0..256)
        .map(|image| {
            (0..model.image_tokens())
                .map(|token| ((image * 7 + token * 3) % 31) as u32)
                .collect()
        })
        .collect();
    Ok(Inputs {
        pixels: model.decode(&images)?,
        branches: branches(model)?,
        images,
        prompts: (0..256).map(|i| PROMPTS[i % 4].to_owned()).collect(),
    })
}

/// Each task with its name and the units of work in it.
fn tasks(inputs: &Inputs, tokens: usize) -> Vec<(String, f64, Task<'_>)> {
    let mut tasks: Vec<(String, f64, Task<'_>)> = Vec::new();
    for (batch, guidance) in [(1, 1.0), (64, 1.0), (512, 1.0), (64, 2.0), (512, 2.0)] {
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
        tasks.push((
            format!("draw, batch {batch}, guidance {guidance}: image tokens/s"),
            (batch * tokens) as f64,
            Box::new(move |model| model.draw(&requests, &sampling).map(drop)),
        ));
    }
    tasks.push((
        "decode: images/s".to_owned(),
        256.0,
        Box::new(|model| model.decode(&inputs.images).map(drop)),
    ));
    tasks.push((
        "judge: images/s".to_owned(),
        256.0,
        Box::new(|model| model.judge(&inputs.pixels, &inputs.prompts).map(drop)),
    ));
    let batch: Vec<(&str, &[u32])> = inputs
        .images
        .iter()
        .take(64)
        .enumerate()
        .map(|(i, image)| (PROMPTS[i % 4], image.as_slice()))
        .collect();
    tasks.push((
        "likelihood of 64 with its gradient: images/s".to_owned(),
        64.0,
        Box::new(move |model| {
            let loss = model.token_log_probs(&batch, &[false; 64])?.mean_all()?;
            Ok(loss.backward().map(drop)?)
        }),
    ));
    tasks.push((
        "reconstruct 8 images with gradient: images/s".to_owned(),
        8.0,
        Box::new(|model| {
            let pixels = model.reconstruct(&inputs.images[..8])?;
            Ok(pixels.sqr()?.mean_all()?.backward().map(drop)?)
        }),
    ));
    tasks.push((
        "code cosines of 8 with gradient: images/s".to_owned(),
        8.0,
        Box::new(|model| {
            let cosines = model.code_cosines(&inputs.pixels.narrow(0, 0, 8)?)?;
            Ok(cosines.sqr()?.mean_all()?.backward().map(drop)?)
        }),
    ));
    tasks.push((
        "answers about 20 with their gradient: images/s".to_owned(),
        20.0,
        Box::new(|model| {
            let pixels = inputs.pixels.narrow(0, 0, 20)?;
            let loss = model
                .branch_log_probs(&pixels, &inputs.branches)?
                .mean_all()?;
            Ok(loss.backward().map(drop)?)
        }),
    ));
    tasks.push((
        "words of 256 with their gradient: images/s".to_owned(),
        256.0,
        Box::new(|model| {
            let loss = model.feature_word_logits(&inputs.pixels)?.mean_all()?;
            Ok(loss.backward().map(drop)?)
        }),
    ));
    tasks
}

/// Six questions about each of 20 images, and a description of 32 words.
fn branches(model: &JanusModel) -> Result<Vec<Vec<Branch>>> {
    let description = "a red circle left of a blue square and ".repeat(4);
    let words: Vec<&str> = description.split(' ').take(32).collect();
    let mut branches = (0..6)
        .map(|i| {
            model
                .text()
                .branch(&format!("match {} ?", PROMPTS[i % 4]), "yes")
        })
        .collect::<Result<Vec<_>>>()?;
    branches.push(model.text().branch("describe", &words.join(" "))?);
    Ok(vec![branches; 20])
}
