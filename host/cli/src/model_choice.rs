//! Which model a command works on.

use std::path::Path;

use candle_core::Device;
use sc_model::{CheckpointSource, JanusModel};

use crate::failure::Mistake;
use crate::hub;
use crate::model_reference::ModelReference;

/// The tiny model's name in records and messages.
pub const TINY: &str = "tiny";

/// What the authors' code draws with; for checkpoints whose `generation_config.json` says nothing.
const JANUS_PRO_GUIDANCE: f64 = 5.0;

/// A checkpoint that is on this machine.
pub struct Chosen {
    /// What it is called: a model of the hub by its commit; none: the tiny model inside the program.
    pub reference: Option<ModelReference>,
    source: CheckpointSource,
}

impl Chosen {
    /// Finds the checkpoint; a model of the hub is downloaded unless the cache has it.
    ///
    /// # Errors
    /// When a model of the hub cannot be had.
    pub fn of(reference: Option<ModelReference>) -> anyhow::Result<Chosen> {
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
        Ok(Chosen { reference, source })
    }

    /// The same for what was typed.
    ///
    /// # Errors
    /// When it names no model, or one of the hub that cannot be had.
    pub fn typed(typed: Option<&Path>) -> anyhow::Result<Chosen> {
        Chosen::of(typed.map(ModelReference::parse).transpose()?)
    }

    /// The model, on the CPU.
    ///
    /// # Errors
    /// When the checkpoint is not whole, or none of the Janus family.
    pub fn load(&self) -> anyhow::Result<JanusModel> {
        Ok(JanusModel::load(&self.source, &Device::Cpu)?)
    }

    /// The model's name in records, which does not depend on where it lies.
    pub fn name(&self) -> String {
        match &self.reference {
            Some(reference) => reference.name(),
            None => TINY.to_owned(),
        }
    }
}

/// The model that was typed, on the CPU.
pub fn load(typed: Option<&Path>) -> anyhow::Result<JanusModel> {
    Chosen::typed(typed)?.load()
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
