//! Pretraining of the tiny model from nothing, on the tiny world: a model that draws worse than it
//! judges, as the method needs one.
//!
//! Stages, each a file: the image tokenizer ([`tokenizer`]: decoder, then encoder), what joins
//! images, words and codes ([`eye`]), and the language model ([`language`], taught to draw, and to
//! judge as [`judging`] has it). [`Recipe`] holds every number.
//!
//! Same seed, same recipe, same kind of machine: same weights. Deliberately absent: evaluation,
//! which is sc-run's, and printing.

mod blank;
mod descent;
mod error;
mod eye;
mod judging;
mod language;
mod material;
mod recipe;
mod stages;
mod tokenizer;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;
use sc_model::{CheckpointSource, JanusModel, UnifiedModel};

pub use error::PretrainError;
pub use language::LanguageTraining;
pub use recipe::{
    DrawingRecipe, EyeRecipe, JudgingRecipe, LanguageRecipe, Recipe, TokenizerRecipe,
};
pub use stages::StageTime;
use stages::{Plan, Progress, Stages};

/// SHA-256 over the sources that a pretrained model depends on.
pub const SOURCE_DIGEST: &str = concat!("sha256:", env!("SC_PRETRAIN_SOURCE"));

const BLANK: &str = "0-blank";

/// Who is told how far a pretraining is.
pub trait Watcher {
    /// A stage begins; `work` is the share (0–1) of the whole work that lies before its start and
    /// before its end, as well as can be told beforehand.
    fn stage(&mut self, name: &str, steps: usize, work: Range<f64>);
    /// A step was taken.
    fn step(&mut self, loss: f64);
}

/// What a stage trains.
enum Work {
    Decoder,
    Encoder,
    Eye,
    Language(usize),
}

impl Work {
    /// What a step costs, in pictures drawn in the language model's training.
    fn cost(&self, recipe: &Recipe) -> f64 {
        match self {
            Work::Decoder => 2.1 * recipe.tokenizer.batch as f64,
            Work::Encoder => 0.6 * recipe.tokenizer.batch as f64,
            Work::Eye => 0.35 * recipe.eye.images as f64,
            Work::Language(part) => {
                let language = &recipe.language[*part];
                // A judged picture has several questions and a description.
                language.drawing.samples as f64 + 4.5 * language.judging.images as f64
            }
        }
    }
}

/// A stage with the name of its checkpoint.
struct Stage {
    name: String,
    steps: usize,
    work: Work,
}

fn stages_of(recipe: &Recipe) -> Vec<Stage> {
    let tokenizer = &recipe.tokenizer;
    let mut works = vec![
        ("decoder".to_owned(), tokenizer.decoder_steps, Work::Decoder),
        ("encoder".to_owned(), tokenizer.encoder_steps, Work::Encoder),
        ("eye".to_owned(), recipe.eye.steps, Work::Eye),
    ];
    for (part, language) in recipe.language.iter().enumerate() {
        let name = format!("language-{}", part + 1);
        works.push((name, language.steps, Work::Language(part)));
    }
    (1..)
        .zip(works)
        .map(|(number, (name, steps, work))| Stage {
            name: format!("{number}-{name}"),
            steps,
            work,
        })
        .collect()
}

/// A pretrained model that is not yet in its place.
pub struct Pretrained {
    /// The model.
    pub model: JanusModel,
    /// How long each stage took, over all runs of the command.
    pub times: Vec<StageTime>,
    stages: Stages,
    last: String,
    out: PathBuf,
}

impl Pretrained {
    /// The file of the weights, until the model is published.
    pub fn weights_file(&self) -> PathBuf {
        self.stages.checkpoint(&self.last).join("model.safetensors")
    }

    /// Puts the checkpoint, with `provenance.json` in it, into its place, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn publish(self, provenance: Vec<u8>) -> Result<(), PretrainError> {
        let files = [("provenance.json", provenance)];
        self.stages.publish(&self.last, &files, &self.out)
    }
}

/// Pretrains a model that [`Pretrained::publish`] then puts into the folder `out`, absent or empty.
/// Stages are kept beside it, in `out` with `.stages` added, until then: the same call goes on
/// after the last one that was finished.
///
/// # Errors
/// When `out` is taken, the stages there are of another pretraining, or the disk refuses.
pub fn pretrain(
    out: &Path,
    seed: u64,
    recipe: &Recipe,
    watcher: &mut dyn Watcher,
) -> Result<Pretrained, PretrainError> {
    check_free(out)?;
    let plan = Plan {
        seed,
        recipe: recipe.clone(),
        source: SOURCE_DIGEST.to_owned(),
    };
    let mut folder = out.as_os_str().to_os_string();
    folder.push(".stages");
    let kept = Stages::open(PathBuf::from(folder), &plan)?;
    // A damaged record is found before a stage is taken.
    kept.times()?;
    let stages = stages_of(recipe);
    let finished = stages.iter().rposition(|stage| kept.has(&stage.name));
    let next = finished.map_or(0, |last| last + 1);
    let start = match finished {
        Some(last) => kept.checkpoint(&stages[last].name),
        None => {
            let blank = kept.checkpoint(BLANK);
            blank::write(&blank, seed)?;
            blank
        }
    };
    let model = JanusModel::load(&CheckpointSource::Directory(start), &Device::Cpu)?;
    let cost = |stages: &[Stage]| -> f64 {
        let costs = stages.iter().map(|s| s.steps as f64 * s.work.cost(recipe));
        costs.sum()
    };
    let share = |end: usize| cost(&stages[..end]) / cost(&stages);
    for (at, stage) in stages.iter().enumerate().skip(next) {
        watcher.stage(&stage.name, stage.steps, share(at)..share(at + 1));
        let began = Instant::now();
        let mut progress = Progress::new(watcher);
        take(stage, &model, recipe, seed, &mut progress)?;
        let (loss_first, loss_last) = progress.first_and_last();
        kept.note(StageTime {
            stage: stage.name.clone(),
            seconds: began.elapsed().as_secs_f64(),
            loss_first,
            loss_last,
        })?;
        model.parameters().save(&kept.checkpoint(&stage.name))?;
    }
    Ok(Pretrained {
        model,
        times: kept.times()?,
        stages: kept,
        last: stages.last().map_or(BLANK, |stage| &stage.name).to_owned(),
        out: out.to_owned(),
    })
}

fn take(
    stage: &Stage,
    model: &JanusModel,
    recipe: &Recipe,
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<(), PretrainError> {
    match stage.work {
        Work::Decoder => tokenizer::train_decoder(model, &recipe.tokenizer, seed, progress),
        Work::Encoder => tokenizer::train_encoder(model, &recipe.tokenizer, seed, progress),
        Work::Eye => eye::train(model, &recipe.eye, seed, progress),
        Work::Language(part) => {
            let language = &recipe.language[part];
            language::train(model, language, &recipe.eye, (seed, part as u64), progress)
        }
    }
}

fn check_free(out: &Path) -> Result<(), PretrainError> {
    if !out.exists() {
        return Ok(());
    }
    let mut entries = std::fs::read_dir(out).map_err(PretrainError::io("read", out))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(PretrainError::Occupied {
            path: out.to_owned(),
        }),
    }
}
