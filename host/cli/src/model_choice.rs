//! Which model a command works on.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use sc_model::{Adapter, CheckpointSource, Config, JanusModel, Text, UnifiedModel, is_adapter};

use crate::args::LoadArguments;
use crate::failure::Mistake;
use crate::model_reference::ModelReference;
use crate::{hub, prompts};

/// The tiny model's name in records and messages.
pub const TINY: &str = "tiny";

/// What the authors' code draws with; for checkpoints whose `generation_config.json` says nothing.
const JANUS_PRO_GUIDANCE: f64 = 5.0;

/// A checkpoint that is on this machine.
pub struct Chosen {
    /// What it is called: a model of the hub by its commit; none: the tiny model inside the program.
    pub reference: Option<ModelReference>,
    source: CheckpointSource,
    /// The folder that was named, where it is an adapter's: the rest is then of its base.
    adapter: Option<PathBuf>,
}

impl Chosen {
    /// Finds the checkpoint; a model of the hub is downloaded unless the cache has it.
    ///
    /// # Errors
    /// When a model of the hub cannot be had.
    pub fn of(reference: Option<ModelReference>) -> anyhow::Result<Chosen> {
        let mut adapter = None;
        let reference = match reference {
            Some(ModelReference::Folder(folder)) if is_adapter(&folder) => {
                let base = base_of(&folder)?;
                adapter = Some(folder);
                base
            }
            other => other,
        };
        let (reference, source) = match reference {
            None => {
                let files = sc_world::tiny_model();
                (None, CheckpointSource::Embedded { name: TINY, files })
            }
            Some(ModelReference::Folder(folder)) => (
                Some(ModelReference::Folder(folder.clone())),
                CheckpointSource::Directory(folder),
            ),
            Some(ModelReference::Hub(asked)) => {
                let snapshot = hub::snapshot(&asked)?;
                (
                    Some(ModelReference::Hub(asked.at(&snapshot.commit))),
                    CheckpointSource::Directory(snapshot.folder),
                )
            }
        };
        Ok(Chosen {
            reference,
            source,
            adapter,
        })
    }

    /// The same for what was typed.
    ///
    /// # Errors
    /// When it names no model, or one of the hub that cannot be had.
    pub fn typed(typed: Option<&Path>) -> anyhow::Result<Chosen> {
        Chosen::of(typed.map(ModelReference::parse).transpose()?)
    }

    /// The model, with its adapter if it has one.
    ///
    /// # Errors
    /// When the checkpoint is not whole, none of the Janus family, or the adapter does not fit it;
    /// when there is no such device.
    pub fn load(&self, how: &LoadArguments) -> anyhow::Result<JanusModel> {
        let device = device(how.device.as_deref().unwrap_or("cpu"))?;
        let precision = how.dtype.unwrap_or_default().into();
        let model = JanusModel::load_as(&self.source, precision, &device)?;
        let model = match &how.question {
            Some(file) => asked_by(model, file)?,
            None => model,
        };
        match (&self.adapter, &how.adapter) {
            (Some(own), Some(other)) => Err(Mistake::error(
                format!(
                    "`--adapter {}` is given, and `--model {}` is an adapter too; expected one",
                    other.display(),
                    own.display()
                ),
                "merge one into its base with `sc-host model export`, or leave it out",
            )),
            (Some(adapter), None) | (None, Some(adapter)) => Ok(model.with_adapter(adapter)?),
            (None, None) => Ok(model),
        }
    }

    /// Its tokenizer and templates alone.
    ///
    /// # Errors
    /// When the checkpoint's configuration or tokenizer cannot be read.
    pub fn text(&self) -> anyhow::Result<Text> {
        let config = Config::read(&self.source)?;
        Ok(Text::read(&self.source, &config)?)
    }

    /// The model's name in records, which does not depend on where it lies.
    pub fn name(&self) -> String {
        match &self.reference {
            Some(reference) => reference.name(),
            None => TINY.to_owned(),
        }
    }
}

/// The model that was typed.
pub fn load(typed: Option<&Path>, how: &LoadArguments) -> anyhow::Result<JanusModel> {
    Chosen::typed(typed)?.load(how)
}

/// The model that an adapter says it is for; none: the tiny model.
fn base_of(adapter: &Path) -> anyhow::Result<Option<ModelReference>> {
    match Adapter::base_of(adapter)? {
        Some(name) if name == TINY => Ok(None),
        Some(name) => {
            let base = ModelReference::parse(Path::new(&name))?;
            if let ModelReference::Folder(folder) = &base
                && (!folder.is_dir() || is_adapter(folder))
            {
                return Err(Mistake::error(
                    format!(
                        "`{}`: `base_model_name_or_path` is `{name}`; expected the folder of a \
                         checkpoint, or a model of the hub",
                        adapter.join("adapter_config.json").display()
                    ),
                    "give its base with `--model` and the adapter with `--adapter`",
                ));
            }
            Ok(Some(base))
        }
        None => Err(Mistake::error(
            format!(
                "`{}` is an adapter that does not say what model it is for",
                adapter.display()
            ),
            "give its base with `--model` and the adapter with `--adapter`",
        )),
    }
}

/// The model with the judging question that stands in a file.
fn asked_by(model: JanusModel, file: &Path) -> anyhow::Result<JanusModel> {
    asked(file, model.with_question(&question(file)?))
}

/// The judging question in a file.
///
/// # Errors
/// When it cannot be read.
pub fn question(file: &Path) -> anyhow::Result<String> {
    let bytes = prompts::read_bounded(file)
        .map_err(|error| no_question(file, format!("cannot be read: {error}")))?;
    let question =
        String::from_utf8(bytes).map_err(|_| no_question(file, "is not UTF-8".into()))?;
    let question = question.strip_prefix('\u{feff}').unwrap_or(&question);
    Ok(question.trim().to_owned())
}

/// What asks the question of a file, or that it cannot be asked.
///
/// # Errors
/// As `asked`.
pub fn asked<T>(file: &Path, asked: sc_model::Result<T>) -> anyhow::Result<T> {
    asked.map_err(|error| no_question(file, format!("cannot be asked: {error}")))
}

fn no_question(file: &Path, what: String) -> anyhow::Error {
    Mistake::error(
        format!("`--question {}` {what}", file.display()),
        "the question is a text with one `{prompt}` in it, as in: Does this image describe \
         {prompt}? If it does, score 1; if not, score 0. Please answer in the following format: \
         The score is {your score}.",
    )
}

/// The device of a name.
fn device(name: &str) -> anyhow::Result<Device> {
    let number = match name {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => Some(0),
        other => (other.strip_prefix("cuda:")).and_then(|number| number.parse().ok()),
    };
    let Some(number) = number else {
        return Err(Mistake::error(
            format!("`--device` is `{name}`; expected cpu, cuda or cuda:N"),
            "N counts the GPUs of this machine from 0",
        ));
    };
    if !candle_core::utils::cuda_is_available() {
        return Err(Mistake::error(
            format!("`--device` is `{name}`, and this program was built without CUDA"),
            "build it with `--features cuda`, or leave `--device` out",
        ));
    }
    Device::new_cuda(number).map_err(|error| {
        Mistake::error(
            format!(
                "`--device` is `{name}`, which cannot be used: {}",
                first_line(&error)
            ),
            "`nvidia-smi` lists the GPUs of this machine",
        )
    })
}

/// Refuses to train a model whole whose weights are too coarse for it: a step would be lost in their
/// rounding.
///
/// # Errors
/// When a weight is not held in f32.
pub fn check_full_training(model: &JanusModel) -> anyhow::Result<()> {
    let mut dtypes = model.parameters().iter().map(|(_, _, var)| var.dtype());
    match dtypes.find(|dtype| *dtype != DType::F32) {
        Some(dtype) => Err(Mistake::error(
            format!(
                "`--train` is full, and the weights are held in {}; expected f32",
                dtype.as_str()
            ),
            "train an adapter with `--train lora`, or hold the weights in f32 with `--dtype f32`",
        )),
        None => Ok(()),
    }
}

/// An error without the trace that may follow it.
fn first_line(error: &dyn std::fmt::Display) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The guidance asked for, or the model's own.
pub fn guidance(model: &JanusModel, asked: Option<f64>) -> anyhow::Result<f64> {
    match asked {
        Some(guidance) if !(0.0..=100.0).contains(&guidance) => Err(Mistake::error(
            format!("`--guidance` is {guidance:?}; expected a number from 0 to 100"),
            "1 draws without guidance; Janus-Pro's own is 5",
        )),
        Some(guidance) => Ok(guidance),
        None => Ok(model
            .generation_defaults()
            .guidance_scale
            .unwrap_or(JANUS_PRO_GUIDANCE)),
    }
}
