//! All that the next round of a run needs, so that a run can go on later: after a strategy failed,
//! the machine went down, or with more rounds and other strategies.
//!
//! `checkpoints/round-N/` appears whole, by a rename, and the one before is removed after that. It
//! holds the trained weights, the optimizer, and the run's memory as JSON. In the middle of the round
//! after N it is `round-N-pass-P`, and holds what that round has come to as well.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, safetensors};
use sc_core::history::PromptHistory;
use sc_core::metrics::RoundMetrics;
use sc_core::plan::Sampling;
use sc_model::{Adapter, UnifiedModel};
use sc_strategy::record::RoundInputs;
use sc_train::{AdamWState, Reference};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ask::StateOwner;
use crate::error::RunError;
use crate::evaluation::Evaluation;
use crate::event::Cost;
use crate::round::{Round, Snapshot};
use crate::settings::{EvaluationSettings, RunSettings, Scheme};
use crate::store::RunStore;
use crate::task::{LabelledImage, Task};

const FOLDER: &str = "checkpoints";
const MEMORY: &str = "memory.json";
/// Weights and optimizer as they are, and as they were at the round's beginning.
const NOW: &str = "now";
const START: &str = "start";
/// The round that is not over.
const ROUND: &str = "round.bin";
const REFERENCE: &str = "reference.safetensors";
/// Between round and pass in the name of a checkpoint in the middle of a round.
const MIDWAY: &str = "-pass-";
/// The optimizer's step, among its moments: no moment has such a name.
const STEP: &str = "step";

/// What a run remembers beside weights and optimizer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {
    /// The last round that is done.
    pub(crate) round: u32,
    pub(crate) rounds_kept: u32,
    pub(crate) seed: u64,
    pub(crate) scheme: Scheme,
    /// What its figures are measured on: other figures cannot be held against them.
    pub(crate) measured_on: MeasuredOn,
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
    /// How long `metrics.jsonl` is: what was written after belongs to a round that is not done.
    pub(crate) metrics_bytes: u64,
}

/// What a run's figures are measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeasuredOn {
    evaluation: EvaluationSettings,
    sampling: Sampling,
    /// Digest of a probe set; none: the task's own.
    probe: Option<String>,
}

impl MeasuredOn {
    pub(crate) fn new(settings: &RunSettings, probe: Option<&[LabelledImage]>) -> MeasuredOn {
        MeasuredOn {
            evaluation: settings.evaluation,
            sampling: settings.sampling,
            probe: probe.map(|images| {
                let mut hasher = Sha256::new();
                for image in images {
                    hasher.update((image.statement.len() as u64).to_le_bytes());
                    hasher.update(image.statement.as_bytes());
                    hasher.update([u8::from(image.truth)]);
                    for value in &image.pixels {
                        hasher.update(value.to_le_bytes());
                    }
                }
                hex(&hasher.finalize()[..6])
            }),
        }
    }
}

impl fmt::Display for MeasuredOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EvaluationSettings {
            prompts,
            round_prompts,
            labelled,
            fixed,
        } = self.evaluation;
        let guidance = self.sampling.guidance;
        write!(
            f,
            "{prompts} prompts, {round_prompts} a round, {fixed} fixed images, at guidance {guidance}, "
        )?;
        match &self.probe {
            Some(digest) => write!(f, "and a probe set of digest {digest}"),
            None => write!(f, "and {labelled} labelled images"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A place from which a run can go on.
pub struct Checkpoint {
    pub(crate) memory: Memory,
    pub(crate) now: Snapshot,
    /// The round that had begun, if it had.
    pub(crate) midway: Option<Midway>,
}

/// A round that is not over.
pub(crate) struct Midway {
    pub(crate) round: Round,
    /// What its strategies were asked so far.
    pub(crate) inputs: RoundInputs,
    /// Where it began.
    pub(crate) start: Snapshot,
}

impl Checkpoint {
    /// The last one of a run, if it goes with the model that the run began with, the settings, the
    /// task and the probe set.
    ///
    /// # Errors
    /// When there is none, it is damaged, or it does not go with them.
    pub fn load(
        store: &RunStore,
        model: &dyn UnifiedModel,
        settings: &RunSettings,
        task: &dyn Task,
        probe: Option<&[LabelledImage]>,
    ) -> Result<Checkpoint, RunError> {
        let failed = |problem: String| RunError::Checkpoint {
            path: store.root().to_owned(),
            problem,
        };
        let folder = folders(store)?
            .pop()
            .ok_or_else(|| failed("it has no checkpoint".into()))?;
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
        let measured_on = MeasuredOn::new(settings, probe);
        if memory.measured_on != measured_on {
            return Err(failed(format!(
                "its figures are measured on {}, not on {measured_on}",
                memory.measured_on
            )));
        }
        if memory.scheme != settings.scheme {
            return Err(failed(format!(
                "its scheme is {}, not {}",
                memory.scheme.name(),
                settings.scheme.name()
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
        let files = Files {
            store,
            folder: &folder,
            device: model.device(),
        };
        Ok(Checkpoint {
            now: files.snapshot(NOW)?,
            midway: files.midway()?,
            memory,
        })
    }

    /// The last round that is done.
    pub fn round(&self) -> u32 {
        self.memory.round
    }

    /// Whether a round had begun that is not over.
    pub fn is_midway(&self) -> bool {
        self.midway.is_some()
    }

    /// Sorted by name, the latest is the last.
    fn folder_name(&self) -> String {
        let round = self.memory.round;
        match &self.midway {
            None => format!("round-{round:05}"),
            Some(midway) => format!(
                "round-{round:05}{MIDWAY}{:05}",
                midway.round.training.passes()
            ),
        }
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
        write_snapshot(temporary.path(), NOW, &self.now)?;
        if let Some(midway) = &self.midway {
            write_snapshot(temporary.path(), START, &midway.start)?;
            let round = postcard::to_stdvec(&(&midway.round, &midway.inputs));
            let round = round.map_err(|error| {
                RunError::io("write", at(ROUND))(std::io::Error::other(error.to_string()))
            })?;
            fs::write(at(ROUND), round).map_err(RunError::io("write", at(ROUND)))?;
            let rows = midway.round.reference.tensors().iter().enumerate();
            let rows: HashMap<String, Tensor> = rows
                .map(|(at, rows)| (at.to_string(), rows.clone()))
                .collect();
            safetensors::save(&rows, at(REFERENCE))?;
        }
        let written = fs::read_dir(temporary.path());
        for entry in written.map_err(RunError::io("read", temporary.path()))? {
            let path = entry
                .map_err(RunError::io("read", temporary.path()))?
                .path();
            fs::File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(RunError::io("write", &path))?;
        }
        let place = parent.join(self.folder_name());
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

fn write_snapshot(folder: &Path, name: &str, snapshot: &Snapshot) -> Result<(), RunError> {
    let mut moments = snapshot.optimizer.moments.clone();
    let step = i64::try_from(snapshot.optimizer.step).unwrap_or(i64::MAX);
    moments.insert(STEP.into(), Tensor::new(&[step], &Device::Cpu)?);
    for (part, tensors) in [("weights", &snapshot.weights), ("optimizer", &moments)] {
        let tensors: HashMap<&str, Tensor> = tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.clone()))
            .collect();
        let path = folder.join(format!("{name}-{part}.safetensors"));
        safetensors::save(&tensors, path)?;
    }
    Ok(())
}

/// The files of a checkpoint.
struct Files<'a> {
    store: &'a RunStore,
    folder: &'a Path,
    device: &'a Device,
}

impl Files<'_> {
    fn damaged(&self, name: &str, error: &dyn fmt::Display) -> RunError {
        let path = self.folder.join(name);
        RunError::Checkpoint {
            path: self.store.root().to_owned(),
            problem: format!("`{}` is damaged: {error}", path.display()),
        }
    }

    fn tensors(&self, name: &str) -> Result<BTreeMap<String, Tensor>, RunError> {
        let tensors = safetensors::load(self.folder.join(name), self.device);
        let tensors = tensors.map_err(|error| self.damaged(name, &error))?;
        Ok(tensors.into_iter().collect())
    }

    fn snapshot(&self, name: &str) -> Result<Snapshot, RunError> {
        let weights = self.tensors(&format!("{name}-weights.safetensors"))?;
        let optimizer = format!("{name}-optimizer.safetensors");
        let mut moments = self.tensors(&optimizer)?;
        let step = moments
            .remove(STEP)
            .and_then(|step| step.to_vec1::<i64>().ok()?.first().copied())
            .and_then(|step| u64::try_from(step).ok())
            .ok_or_else(|| self.damaged(&optimizer, &"it has no step"))?;
        Ok(Snapshot {
            weights,
            optimizer: AdamWState { step, moments },
        })
    }

    fn midway(&self) -> Result<Option<Midway>, RunError> {
        let path = self.folder.join(ROUND);
        if !path.exists() {
            // What is named after a pass is of a round that is not over.
            let name = self.folder.file_name().unwrap_or_default();
            if name.to_string_lossy().contains(MIDWAY) {
                return Err(self.damaged(ROUND, &"it is missing"));
            }
            return Ok(None);
        }
        let bytes = fs::read(&path).map_err(RunError::io("read", &path))?;
        let (mut round, inputs): (Round, RoundInputs) =
            postcard::from_bytes(&bytes).map_err(|error| self.damaged(ROUND, &error))?;
        // By number: there are two at most.
        round.reference = Reference::of(self.tensors(REFERENCE)?.into_values().collect());
        Ok(Some(Midway {
            round,
            inputs,
            start: self.snapshot(START)?,
        }))
    }
}

/// Whether a run has a checkpoint.
pub(crate) fn exists(store: &RunStore) -> bool {
    folders(store).is_ok_and(|folders| !folders.is_empty())
}

/// The digest of a model's weights, to know it again.
pub(crate) fn digest(model: &dyn UnifiedModel) -> Result<String, RunError> {
    let mut hasher = Sha256::new();
    let parameters = model.parameters();
    let weights = parameters
        .iter()
        .map(|(name, _, var)| (name.to_owned(), var));
    let adapter = parameters.adapter().into_iter().flat_map(Adapter::iter);
    for (name, var) in weights.chain(adapter) {
        hasher.update(name.as_bytes());
        // In f32 all dtypes that weights are held in keep their values.
        let values = var.as_detached_tensor().to_dtype(DType::F32)?;
        for values in values.flatten_all()?.to_vec1::<f32>()?.chunks(1 << 12) {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            hasher.update(bytes);
        }
    }
    Ok(hex(&hasher.finalize()))
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
