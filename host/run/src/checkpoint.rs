//! All that the next round of a run needs, so that a run can go on later: after a strategy failed,
//! the machine went down, or with more rounds and other strategies.
//!
//! `checkpoints/round-N/` appears whole, by a rename, and the one before is removed after that. It
//! holds the trained weights, the optimizer, and the run's memory as JSON.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Tensor, safetensors};
use sc_core::history::PromptHistory;
use sc_core::metrics::RoundMetrics;
use sc_model::UnifiedModel;
use sc_train::AdamWState;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ask::StateOwner;
use crate::error::RunError;
use crate::evaluation::Evaluation;
use crate::event::Cost;
use crate::settings::RunSettings;
use crate::store::RunStore;
use crate::task::Task;

const FOLDER: &str = "checkpoints";
const MEMORY: &str = "memory.json";
const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";

/// What a run remembers beside weights and optimizer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {
    /// The last round that is done.
    pub(crate) round: u32,
    pub(crate) rounds_kept: u32,
    pub(crate) seed: u64,
    /// Digest of the weights that the run began with.
    pub(crate) base: String,
    pub(crate) histories: Vec<PromptHistory>,
    pub(crate) past: Vec<RoundMetrics>,
    pub(crate) states: Vec<(StateOwner, Vec<u8>)>,
    /// Figures of the model that the run began with, on the large set.
    pub(crate) before: Evaluation,
    /// Figures of the model as it stands, on the round's set.
    pub(crate) current: Evaluation,
    pub(crate) cost: Cost,
    /// Steps of the optimizer.
    pub(crate) step: u64,
    /// How long `metrics.jsonl` is: what was written after belongs to a round that is not done.
    pub(crate) metrics_bytes: u64,
}

/// A place from which a run can go on.
pub struct Checkpoint {
    pub(crate) memory: Memory,
    pub(crate) weights: BTreeMap<String, Tensor>,
    pub(crate) optimizer: AdamWState,
}

impl Checkpoint {
    /// The last one of a run, if it goes with the model that the run began with, the settings and
    /// the task.
    ///
    /// # Errors
    /// When there is none, it is damaged, or it does not go with them.
    pub fn load(
        store: &RunStore,
        model: &dyn UnifiedModel,
        settings: &RunSettings,
        task: &dyn Task,
    ) -> Result<Checkpoint, RunError> {
        let failed = |problem: String| RunError::Checkpoint {
            path: store.root().to_owned(),
            problem,
        };
        let folder = folders(store)?
            .pop()
            .ok_or_else(|| failed("it has no checkpoint".into()))?;
        let read = |name: &str| {
            let path = folder.join(name);
            let damaged = |error: &dyn std::fmt::Display| {
                failed(format!("`{}` is damaged: {error}", path.display()))
            };
            safetensors::load(&path, model.device()).map_err(|error| damaged(&error))
        };
        let path = folder.join(MEMORY);
        if !path.is_file() {
            return Err(failed(format!("`{}` is no file", path.display())));
        }
        let text = fs::read(&path).map_err(RunError::io("read", &path))?;
        let memory: Memory = serde_json::from_slice(&text)
            .map_err(|error| failed(format!("`{}` is damaged: {error}", path.display())))?;
        if memory.seed != settings.seed {
            return Err(failed(format!(
                "its seed is {}, not {}",
                memory.seed, settings.seed
            )));
        }
        if memory.histories.len() != task.training_prompts().len() {
            return Err(failed("it has other training prompts".into()));
        }
        if memory.base != digest(model)? {
            return Err(failed(
                "it began with another model than the one given now".into(),
            ));
        }
        Ok(Checkpoint {
            weights: read(WEIGHTS)?.into_iter().collect(),
            optimizer: AdamWState {
                step: memory.step,
                moments: read(OPTIMIZER)?.into_iter().collect(),
            },
            memory,
        })
    }

    /// The last round that is done.
    pub fn round(&self) -> u32 {
        self.memory.round
    }

    /// Makes this the place from which the run goes on.
    ///
    /// # Errors
    /// When it cannot be written; the one before is there then.
    pub(crate) fn save(&self, store: &RunStore) -> Result<(), RunError> {
        let older = folders(store)?;
        let parent = store.path(FOLDER);
        fs::create_dir_all(&parent).map_err(RunError::io("create", &parent))?;
        let temporary = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&parent)
            .map_err(RunError::io("create", &parent))?;
        let memory = serde_json::to_vec(&self.memory)
            .map_err(|error| RunError::io("write", parent.join(MEMORY))(error.into()))?;
        let at = |name: &str| temporary.path().join(name);
        fs::write(at(MEMORY), memory).map_err(RunError::io("write", at(MEMORY)))?;
        for (name, tensors) in [
            (WEIGHTS, &self.weights),
            (OPTIMIZER, &self.optimizer.moments),
        ] {
            let tensors: HashMap<&str, Tensor> = tensors
                .iter()
                .map(|(name, tensor)| (name.as_str(), tensor.clone()))
                .collect();
            safetensors::save(&tensors, at(name))?;
        }
        for name in [MEMORY, WEIGHTS, OPTIMIZER] {
            fs::File::open(at(name))
                .and_then(|file| file.sync_all())
                .map_err(RunError::io("write", at(name)))?;
        }
        let place = parent.join(folder_name(self.memory.round));
        // A round that was done before a crash, and is done again.
        remove(&place)?;
        let temporary = temporary.keep();
        fs::rename(&temporary, &place).map_err(RunError::io("write", &place))?;
        older
            .iter()
            .filter(|folder| **folder != place)
            .try_for_each(|folder| remove(folder))
    }
}

/// Whether a run has a checkpoint.
pub(crate) fn exists(store: &RunStore) -> bool {
    folders(store).is_ok_and(|folders| !folders.is_empty())
}

/// The digest of a model's weights, to know it again.
pub(crate) fn digest(model: &dyn UnifiedModel) -> Result<String, RunError> {
    let mut hasher = Sha256::new();
    for (name, _, var) in model.parameters().iter() {
        hasher.update(name.as_bytes());
        for value in var.as_detached_tensor().flatten_all()?.to_vec1::<f32>()? {
            hasher.update(value.to_le_bytes());
        }
    }
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn folder_name(round: u32) -> String {
    format!("round-{round:05}")
}

/// The whole checkpoints of a run, oldest first.
fn folders(store: &RunStore) -> Result<Vec<PathBuf>, RunError> {
    let parent = store.path(FOLDER);
    let entries = match fs::read_dir(&parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RunError::io("read", parent)(error)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(RunError::io("read", &parent))?;
        if entry.file_name().to_string_lossy().starts_with("round-") {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

fn remove(folder: &Path) -> Result<(), RunError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RunError::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}
