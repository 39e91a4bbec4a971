//! What is finished of a pretraining, on disk: a checkpoint a stage, so that the next run of the
//! same command goes on after the last one.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Watcher;
use crate::error::PretrainError;
use crate::recipe::Recipe;

const PLAN: &str = "pretraining.json";
const TIMINGS: &str = "timings.json";
const NEW_TIMINGS: &str = "timings.json.new";
const LOCK: &str = "lock";

/// What a pretraining depends on; whatever goes on with one must have the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) recipe: Recipe,
    /// SHA-256 over the program's sources that the result depends on.
    pub(crate) source: String,
}

/// How long a stage took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Mean loss over the stage's first tenth.
    pub loss_first: f64,
    /// Mean loss over the stage's last tenth.
    pub loss_last: f64,
}

/// The folder of a pretraining's stages.
pub(crate) struct Stages {
    folder: PathBuf,
    /// Held while this process works in the folder.
    lock: File,
}

impl Stages {
    /// Opens the folder, or makes it; what is there must be of the same plan.
    pub(crate) fn open(folder: PathBuf, plan: &Plan) -> Result<Stages, PretrainError> {
        fs::create_dir_all(&folder).map_err(PretrainError::io("write", &folder))?;
        let lock = locked(&folder)?;
        let path = folder.join(PLAN);
        if path.exists() {
            let bytes = fs::read(&path).map_err(PretrainError::io("read", &path))?;
            let found: Plan =
                serde_json::from_slice(&bytes).map_err(|error| PretrainError::Damaged {
                    path: path.clone(),
                    reason: error.to_string(),
                })?;
            let differs = [
                ("seed", found.seed != plan.seed),
                ("recipe", found.recipe != plan.recipe),
                ("source", found.source != plan.source),
            ];
            if let Some((field, _)) = differs.into_iter().find(|(_, differs)| *differs) {
                return Err(PretrainError::OtherPretraining {
                    path: folder,
                    field,
                });
            }
        } else {
            let bytes = serde_json::to_vec_pretty(plan).map_err(std::io::Error::from);
            bytes
                .and_then(|bytes| fs::write(&path, bytes))
                .map_err(PretrainError::io("write", path))?;
        }
        Ok(Stages { folder, lock })
    }

    /// The folder of a stage's checkpoint.
    pub(crate) fn checkpoint(&self, stage: &str) -> PathBuf {
        self.folder.join(stage)
    }

    /// Whether a stage's checkpoint is there; it appears whole or not at all.
    pub(crate) fn has(&self, stage: &str) -> bool {
        self.checkpoint(stage).is_dir()
    }

    /// Notes how long a stage took: the file appears whole. A stage that was interrupted while it
    /// was saved is taken and noted again.
    pub(crate) fn note(&self, time: StageTime) -> Result<(), PretrainError> {
        let mut times = self.times()?;
        times.retain(|earlier| earlier.stage != time.stage);
        times.push(time);
        let (path, fresh) = (self.folder.join(TIMINGS), self.folder.join(NEW_TIMINGS));
        serde_json::to_vec_pretty(&times)
            .map_err(std::io::Error::from)
            .and_then(|bytes| fs::write(&fresh, bytes))
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(PretrainError::io("write", path))
    }

    /// How long the finished stages took, over all runs of the command.
    pub(crate) fn times(&self) -> Result<Vec<StageTime>, PretrainError> {
        let path = self.folder.join(TIMINGS);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let bytes = fs::read(&path).map_err(PretrainError::io("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|error| PretrainError::Damaged {
            path,
            reason: error.to_string(),
        })
    }

    /// Puts the last stage's checkpoint, with `files` added, in the place of `out`, which is absent
    /// or empty, and removes the folder.
    pub(crate) fn publish(
        self,
        stage: &str,
        files: &[(&str, Vec<u8>)],
        out: &Path,
    ) -> Result<(), PretrainError> {
        let checkpoint = self.checkpoint(stage);
        for (name, bytes) in files {
            let path = checkpoint.join(name);
            fs::write(&path, bytes).map_err(PretrainError::io("write", path))?;
        }
        if out.exists() {
            fs::remove_dir(out).map_err(PretrainError::io("write", out))?;
        }
        fs::rename(&checkpoint, out).map_err(PretrainError::io("write", out))?;
        drop(self.lock);
        fs::remove_dir_all(&self.folder).map_err(PretrainError::io("remove", self.folder))
    }
}

/// The folder's lock, if no other process holds it.
fn locked(folder: &Path) -> Result<File, PretrainError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(PretrainError::io("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PretrainError::Busy {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(PretrainError::io("lock", path)(error)),
    }
}

/// A stage's steps as they are taken.
pub(crate) struct Progress<'a> {
    watcher: &'a mut dyn Watcher,
    losses: Vec<f64>,
}

impl Progress<'_> {
    pub(crate) fn new(watcher: &mut dyn Watcher) -> Progress<'_> {
        Progress {
            watcher,
            losses: Vec::new(),
        }
    }

    /// Tells that a step was taken, with its loss.
    pub(crate) fn step(&mut self, loss: f64) {
        self.losses.push(loss);
        self.watcher.step(loss);
    }

    /// Mean losses of the first and the last tenth.
    pub(crate) fn first_and_last(&self) -> (f64, f64) {
        let tenth = self.losses.len().div_ceil(10);
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        (
            mean(&self.losses[..tenth]),
            mean(&self.losses[self.losses.len() - tenth..]),
        )
    }
}
