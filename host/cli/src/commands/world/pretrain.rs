//! `sc-host world pretrain`: a tiny model from nothing.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar};
use sc_model::{Group, UnifiedModel};
use sc_pretrain::{Recipe, SOURCE_DIGEST, StageTime, Watcher};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::args::{PRETRAINED_EVALUATE, PretrainArguments};
use crate::commands::world::evaluate::{WorldFigures, evaluated, measured};
use crate::failure::Mistake;
use crate::terminal::say;
use crate::{report, watch};

/// Where the result is measured.
const GUIDANCES: [f64; 5] = [1.0, 1.5, 2.0, 3.0, 5.0];
/// The seed of that: apart from the pretraining's, so that models of several seeds are compared on
/// the same prompts.
const EVALUATION_SEED: u64 = 0;

/// How often those who see no bar are told how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// What `provenance.json` says of the checkpoint beside it.
#[derive(Serialize)]
struct Provenance<'a> {
    what: &'static str,
    trained_on: &'static str,
    command: String,
    program: &'static str,
    /// Digest of the sources that the weights depend on.
    source: &'static str,
    seed: u64,
    parameters: usize,
    dtype: &'static str,
    weights_sha256: String,
    /// Wall-clock seconds of all stages.
    seconds: f64,
    stages: &'a [StageTime],
    figures: &'a WorldFigures,
    recipe: &'a Recipe,
}

pub fn pretrain(arguments: &PretrainArguments) -> anyhow::Result<ExitCode> {
    if !(arguments.steps > 0.0 && arguments.steps <= 10.0) {
        return Err(Mistake::error(
            format!(
                "`--steps` is {:?}; expected a share above 0, at most 10",
                arguments.steps
            ),
            "1 is the whole recipe; 0.01 tries the machinery",
        ));
    }
    let n = evaluated(arguments.evaluate)?;
    let recipe = match arguments.steps {
        1.0 => Recipe::default(),
        share => Recipe::default().scaled(share),
    };
    let out = place(&arguments.out)?;
    let mut bar = Bar::new();
    let pretrained = sc_pretrain::pretrain(&out, arguments.seed, &recipe, &mut bar)?;
    bar.finish();
    let figures = measured(&pretrained.model, EVALUATION_SEED, n, &GUIDANCES)?;
    let parameters = pretrained.model.parameters();
    let times = pretrained.times.clone();
    let provenance = Provenance {
        what: "A tiny Janus that draws and judges the pictures of sc-host's tiny world.",
        trained_on: "Pictures rendered by the program for the world's training prompts. No other \
                     data, no other model's weights.",
        command: command(arguments),
        program: concat!("sc-host ", env!("CARGO_PKG_VERSION")),
        source: SOURCE_DIGEST,
        seed: arguments.seed,
        parameters: Group::ALL
            .iter()
            .map(|&group| parameters.count(group))
            .sum(),
        dtype: "float32",
        weights_sha256: digest(&pretrained.weights_file())?,
        seconds: times.iter().map(|time| time.seconds).sum(),
        stages: &times,
        figures: &figures,
        recipe: &recipe,
    };
    let mut written = serde_json::to_vec_pretty(&provenance)?;
    written.push(b'\n');
    pretrained.publish(written)?;
    if arguments.json {
        report::json_line(&provenance)?;
    } else {
        report::text(&format!("{}model: {}\n", figures.tables(), out.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was typed, but for the folder.
fn command(arguments: &PretrainArguments) -> String {
    let mut command = format!("sc-host world pretrain --seed {}", arguments.seed);
    if arguments.steps != 1.0 {
        command.push_str(&format!(" --steps {}", arguments.steps));
    }
    if arguments.evaluate != PRETRAINED_EVALUATE {
        command.push_str(&format!(" --evaluate {}", arguments.evaluate));
    }
    command
}

/// The folder that `--out` names, which stages are kept beside and which appears at the end: this
/// must be known to work before anything is trained.
fn place(out: &Path) -> anyhow::Result<PathBuf> {
    // Without a slash or a dot at the end.
    let place: PathBuf = out.components().collect();
    let refused = |problem: &str| {
        Mistake::error(
            format!(
                "`--out {}` {problem}; expected the name of a folder that is absent or empty",
                out.display()
            ),
            "name a new folder, such as `--out my-base`",
        )
    };
    if place.file_name().is_none() {
        return Err(refused("ends in no name"));
    }
    if place.is_symlink() {
        return Err(refused("is a link"));
    }
    if place.is_file() {
        return Err(refused("is a file"));
    }
    Ok(place)
}

fn digest(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path)?;
    let hex = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(hex)
}

/// Shows how far it is and how long it will still take.
struct Bar {
    bar: ProgressBar,
    began: Instant,
    /// Share of the whole work that earlier runs of the command had done.
    resumed_at: Option<f64>,
    /// The stage under way: its steps and its share of the whole work.
    name: String,
    steps: usize,
    work: Range<f64>,
    taken: usize,
    /// Loss of the recent steps.
    loss: f64,
    /// When the last line was written for those who see no bar.
    told: Instant,
}

impl Bar {
    fn new() -> Bar {
        Bar {
            bar: ProgressBar::hidden(),
            began: Instant::now(),
            resumed_at: None,
            name: String::new(),
            steps: 0,
            work: 0.0..0.0,
            taken: 0,
            loss: f64::NAN,
            told: Instant::now(),
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// `loss 0.1234, 9 minutes left`
    fn state(&self) -> String {
        let stage = self.taken as f64 / self.steps.max(1) as f64;
        let done = self.work.start + stage * (self.work.end - self.work.start);
        let since = done - self.resumed_at.unwrap_or(0.0);
        let left = self.began.elapsed().as_secs_f64() * (1.0 - done) / since.max(1e-6);
        // An estimate from a moment's work would be a guess.
        let left = if since > 0.005 {
            format!(", {} left", HumanDuration(Duration::from_secs_f64(left)))
        } else {
            String::new()
        };
        format!("loss {:.4}{left}", self.loss)
    }
}

impl Watcher for Bar {
    fn stage(&mut self, name: &str, steps: usize, work: Range<f64>) {
        self.finish();
        self.bar = watch::bar(name, "steps", steps as u64);
        if self.resumed_at.is_none() && work.start > 0.0 {
            say(&format!(
                "goes on with {name}; what comes before it is done"
            ));
        }
        self.resumed_at.get_or_insert(work.start);
        self.name = name.to_owned();
        self.steps = steps;
        self.work = work;
        self.taken = 0;
        self.loss = f64::NAN;
    }

    fn step(&mut self, loss: f64) {
        self.taken += 1;
        self.loss = if self.loss.is_nan() {
            loss
        } else {
            0.95 * self.loss + 0.05 * loss
        };
        self.bar.inc(1);
        if self.taken.is_multiple_of(10) {
            self.bar
                .set_message(format!("{}: {}", self.name, self.state()));
        }
        let finished = self.taken == self.steps;
        if finished || (self.bar.is_hidden() && self.told.elapsed() > TOLD_EVERY) {
            self.told = Instant::now();
            let line = format!(
                "{}: {} of {} steps, {}",
                self.name,
                self.taken,
                self.steps,
                self.state()
            );
            self.bar.suspend(|| say(&line));
        }
    }
}
