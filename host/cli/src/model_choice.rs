//! Which model a command works on.

use std::path::Path;

use candle_core::Device;
use sc_model::{CheckpointSource, JanusModel};

use crate::failure::Mistake;

/// The tiny model's name in records and messages.
const TINY: &str = "tiny";

/// What the authors' code draws with; for checkpoints whose `generation_config.json` says nothing.
const JANUS_PRO_GUIDANCE: f64 = 5.0;

/// Where the checkpoint is: the folder given, or the tiny model inside the program.
pub fn source(folder: Option<&Path>) -> CheckpointSource {
    match folder {
        Some(folder) => CheckpointSource::Directory(folder.to_owned()),
        None => CheckpointSource::Embedded {
            name: TINY,
            files: sc_world::tiny_model(),
        },
    }
}

/// The model, on the CPU.
pub fn load(folder: Option<&Path>) -> anyhow::Result<JanusModel> {
    Ok(JanusModel::load(&source(folder), &Device::Cpu)?)
}

/// The model's name without its directory, so that a record does not depend on where it lies.
pub fn name(folder: Option<&Path>) -> String {
    let Some(folder) = folder else {
        return TINY.to_owned();
    };
    // `.` and `..` have no name of their own.
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().unwrap_or(whole.as_os_str());
    name.to_string_lossy().into_owned()
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
