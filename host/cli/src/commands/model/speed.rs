//! `sc-host model speed`: how long a model takes for what a run does with it, and how much memory.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sc_core::choice::Objective;
use sc_core::plan::Sampling;
use sc_core::rng;
use sc_model::{DrawRequest, JanusModel, UnifiedModel};
use sc_run::settings::{RunSettings, Scheme};
use sc_train::{Examples, Pair, TrainRound, Trainer};
use serde::Serialize;

use crate::args::{SpeedArguments, Train};
use crate::failure::Mistake;
use crate::model_choice::Chosen;
use crate::{model_choice, report};

/// What is drawn and asked about. The words are of no account, their number hardly is.
const PROMPT: &str = "a red circle left of a blue square";
/// Tokens of an image that are timed, unless another number is asked for.
const TOKENS: usize = 32;
/// Most images at a time: as many as a portion of any batch holds.
const MOST_IMAGES: usize = 256;
/// How long something is repeated, so that its first time counts for little.
const ENOUGH: Duration = Duration::from_millis(500);

/// One thing that was timed.
#[derive(Serialize)]
struct Measured {
    what: &'static str,
    /// How often the thing was done.
    count: usize,
    unit: &'static str,
    seconds: f64,
    per_second: f64,
    /// The most memory that the process has had resident until now, in bytes; not known
    /// everywhere.
    peak_bytes: Option<u64>,
}

/// Prints measurements as they are made.
struct Reporter {
    json: bool,
}

impl Reporter {
    fn print(
        &self,
        what: &'static str,
        count: usize,
        unit: &'static str,
        seconds: f64,
    ) -> anyhow::Result<()> {
        let measured = Measured {
            what,
            count,
            unit,
            seconds,
            per_second: count as f64 / seconds,
            peak_bytes: peak_bytes(),
        };
        if self.json {
            return report::json_line(&measured);
        }
        let memory = match measured.peak_bytes {
            Some(bytes) => format!("{:7.2} GB at most", bytes as f64 * 1e-9),
            None => String::new(),
        };
        report::text(&format!(
            "{what:10} {seconds:9.3} s {:10.3} {unit}/s {memory}\n",
            measured.per_second
        ))
    }
}

pub fn speed(arguments: &SpeedArguments) -> anyhow::Result<ExitCode> {
    if !(1..=MOST_IMAGES).contains(&arguments.images) {
        return Err(Mistake::error(
            format!(
                "`--images` is {}; expected 1 to {MOST_IMAGES}",
                arguments.images
            ),
            "this is how many images are drawn side by side",
        ));
    }
    if let (None | Some(Train::Full), Some(option)) =
        (arguments.train.train, arguments.train.of_adapter())
    {
        return Err(Mistake::error(
            format!("`{option}` is given without `--train lora`"),
            "`--train lora` puts an adapter on the model, as a run would",
        ));
    }
    let reporter = Reporter {
        json: arguments.json,
    };
    let chosen = Chosen::typed(arguments.model.as_deref())?;
    let start = Instant::now();
    let model = chosen.load(&arguments.load)?;
    let loading = start.elapsed().as_secs_f64();
    let model = match arguments.train.train {
        Some(_) if model.parameters().adapter().is_some() => {
            return Err(Mistake::error(
                "`--train` is given, and the model has an adapter; expected one or the other",
                "a step is timed on a new adapter: name the base alone, or leave `--train` out",
            ));
        }
        Some(Train::Lora) => {
            let settings = arguments.train.lora();
            model.with_new_adapter(&settings, &chosen.name(), 0)?
        }
        Some(Train::Full) => {
            model_choice::check_full_training(&model)?;
            model
        }
        None => model,
    };
    let after_first = model.image_tokens() - 1;
    let tokens = arguments.tokens.unwrap_or(TOKENS.min(after_first));
    if tokens == 0 || tokens > after_first {
        return Err(Mistake::error(
            format!("`--tokens` is {tokens}; expected 1 to {after_first}"),
            "this is how many tokens of each image are drawn after its first",
        ));
    }
    let sampling = Sampling {
        guidance: model_choice::guidance(&model, arguments.guidance.guidance)?,
        ..Sampling::default()
    };
    reporter.print("loading", 1, "models", loading)?;
    time_drawing(&model, &sampling, [arguments.images, tokens], &reporter)?;
    if !arguments.only_drawing {
        let image = image(&model, 0);
        let pixels = model.decode(std::slice::from_ref(&image))?;
        let decoding = seconds(|| Ok(model.decode(std::slice::from_ref(&image)).map(drop)?))?;
        reporter.print("decoding", 1, "images", decoding)?;
        let prompt = [PROMPT.to_owned()];
        let judging = seconds(|| Ok(model.judge(&pixels, &prompt).map(drop)?))?;
        reporter.print("judging", 1, "images", judging)?;
    }
    if arguments.step {
        reporter.print("DPO step", 1, "steps", seconds(|| take_step(&model))?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prompt and first token by themselves, and the tokens after them.
fn time_drawing(
    model: &JanusModel,
    sampling: &Sampling,
    [images, tokens]: [usize; 2],
    reporter: &Reporter,
) -> anyhow::Result<()> {
    let requests: Vec<DrawRequest> = (0..images as u64)
        .map(|image| DrawRequest {
            prompt: PROMPT.to_owned(),
            rng: rng::stream(0, "speed", &[image]),
        })
        .collect();
    let draw = |tokens: usize| {
        seconds(|| Ok((model.draw_beginnings(&requests, sampling, tokens)).map(drop)?))
    };
    let prompts = draw(1)?;
    reporter.print("prompts", requests.len(), "prompts", prompts)?;
    let drawing = draw(1 + tokens)? - prompts;
    reporter.print("drawing", requests.len() * tokens, "tokens", drawing)
}

/// The mean time that something takes, done again and again where it takes little.
fn seconds(mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (start, mut times) = (Instant::now(), 0.0);
    loop {
        work()?;
        times += 1.0;
        if start.elapsed() >= ENOUGH {
            return Ok(start.elapsed().as_secs_f64() / times);
        }
    }
}

/// Tokens of an image that shows nothing.
fn image(model: &JanusModel, number: u32) -> Vec<u32> {
    let codes = model.image_codes() as u32;
    (0..model.image_tokens() as u32)
        .map(|place| (place * 7 + number) % codes)
        .collect()
}

/// One step of DPO on one pair, its reference included.
fn take_step(model: &JanusModel) -> anyhow::Result<()> {
    let settings = RunSettings::defaults(Objective::Sigmoid, Scheme::Online, 1).training;
    let pairs = Examples::Pairs(vec![Pair {
        prompt: PROMPT.to_owned(),
        chosen: image(model, 0),
        rejected: image(model, 1),
        weight: 1.0,
    }]);
    let round = TrainRound {
        seed: 0,
        round: 1,
        objective: Objective::Sigmoid,
        epochs: 1,
        learning_rate_scale: 1.0,
    };
    Trainer::new(model, settings)?.train(model, &pairs, round, &mut |_| {})?;
    Ok(())
}

/// The most memory that this process has had resident, where the system says so.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
