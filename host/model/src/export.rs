//! A model written out whole, in either layout, with its adapter in the weights.

use std::borrow::Cow;
use std::path::Path;

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use serde_json::{Map, Value};

use crate::checkpoint::folder::NewFolder;
use crate::checkpoint::names::Naming;
use crate::checkpoint::source::parse_json;
use crate::checkpoint::written::files::{
    TOKENIZER_CONFIG, of_layout, of_the_processor, pretty, torch_name,
};
use crate::checkpoint::written::shards::{self, Shard};
use crate::checkpoint::written::tensors::read_tensors;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::janus::JanusModel;
use crate::parameters::{CARRIED_FILES, Parameters, TOKENIZER_FILES};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Bytes of all files.
    pub bytes: u64,
    /// Names of the files, in ascending order.
    pub files: Vec<String>,
}

/// Writes `model` to the folder `out`, which must be absent or empty, in a layout: safetensors in
/// the dtype that was asked for when the model was loaded, else the one that it came in (f32 where
/// it had several), its adapter merged, no more than 5 GB a file. Files of settings come along;
/// those that the other layout has otherwise are written anew. The folder appears whole or not at
/// all. `progress` is told of bytes of weights.
///
/// # Errors
/// When the folder is taken, the disk has too little room, a file cannot be read or written, a
/// weight is too large for the dtype, or the authors' layout cannot say a value that differs from
/// what their code has.
pub fn export(
    model: &JanusModel,
    layout: Naming,
    out: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Exported> {
    let config = Config {
        naming: layout,
        image_token_id: (layout == Naming::HuggingFace)
            .then_some(model.text().special.image_placeholder),
        ..model.config().clone()
    };
    if layout == Naming::Original {
        check_sayable(&config)?;
    }
    let parameters = &model.parameters;
    let dtype = parameters.export_dtype();
    let tensors = read_tensors(&config)?.into_values().collect();
    let shards = shards::split(tensors, shards::stored_dtype(dtype)?, shards::MOST_BYTES)?;
    let mut small = settings(model, &config, dtype)?;
    if let Some(index) = shards::index(&shards)? {
        small.push((shards::INDEX, index.into()));
    }
    let of_small = small.iter().map(|(_, content)| content.len() as u64);
    let bytes = shards.iter().map(Shard::bytes).chain(of_small).sum();
    let folder = NewFolder::begin(out, bytes)?;
    let mut files = Vec::new();
    folder.write_all(&small, &mut files)?;
    for shard in shards {
        let path = folder.path(&shard.name);
        shard.write_parts(
            &path,
            &mut |part| {
                let value = parameters.merged(&part.name)?.to_dtype(dtype)?;
                if !is_finite(&value)? {
                    return Err(Error::argument(
                        format!("`{}` with its adapter, in {}", part.name, dtype.as_str()),
                        "not finite",
                        "finite numbers: `--dtype f32` has room for larger ones",
                    ));
                }
                little_endian(&value)
            },
            progress,
        )?;
        files.push(shard.name);
    }
    folder.publish()?;
    files.sort();
    Ok(Exported { bytes, files })
}

/// Bytes of the weights that [`export`] writes.
pub fn weight_bytes(model: &JanusModel) -> u64 {
    let parameters = &model.parameters;
    let dtype = parameters.export_dtype();
    let weights: usize = parameters.iter().map(|(_, _, var)| var.elem_count()).sum();
    (weights * dtype.size_in_bytes()) as u64
}

/// A file of settings: its name and content.
type SmallFile = (&'static str, Cow<'static, [u8]>);

/// The files beside the weights.
fn settings(model: &JanusModel, config: &Config, dtype: DType) -> Result<Vec<SmallFile>> {
    let source = model.parameters.source();
    let same_layout = model.config().naming == config.naming;
    let carried: &[&'static str] = if same_layout {
        &CARRIED_FILES
    } else {
        &TOKENIZER_FILES
    };
    let mut files = Vec::new();
    for name in carried {
        if let Some(bytes) = source.read(name)? {
            let bytes = match *name {
                TOKENIZER_CONFIG if !same_layout && config.naming == Naming::HuggingFace => {
                    for_its_processor(&source.file_name(name), &bytes)?.into()
                }
                _ => bytes,
            };
            files.push((*name, bytes));
        }
    }
    if !same_layout {
        let written = of_layout(config, &model.text().special, torch_name(dtype))?;
        files.extend(
            written
                .into_iter()
                .map(|(name, bytes)| (name, bytes.into())),
        );
    }
    Ok(files)
}

/// The authors' `tokenizer_config.json` with what transformers' processor asks of it.
fn for_its_processor(file: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut json: Map<String, Value> = parse_json(file, bytes)?;
    for (key, value) in of_the_processor() {
        json.entry(key).or_insert(value);
    }
    pretty(file, &json)
}

/// Refuses what the authors' files have no key for.
fn check_sayable(config: &Config) -> Result<()> {
    let eps = config.vision.layer_norm_eps;
    if eps != 1e-6 {
        return Err(Error::argument(
            "vision_config.layer_norm_eps",
            eps,
            "1e-6, which is what the authors' code has; transformers' layout can say others",
        ));
    }
    Ok(())
}

impl Parameters {
    /// A weight with what the adapter adds to it, on the CPU.
    fn merged(&self, name: &str) -> Result<Tensor> {
        let var = self.get(name).ok_or_else(|| {
            Error::argument("tensor name", format!("`{name}`"), "a weight of the model")
        })?;
        let base = var.as_detached_tensor();
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let merged = match self.adapter().and_then(|a| a.detached(module)) {
            Some(added) => added.onto(&base)?,
            None => base,
        };
        Ok(merged.to_device(&Device::Cpu)?)
    }
}

fn is_finite(tensor: &Tensor) -> Result<bool> {
    // The largest of some numbers may pass over one that is none; their sum does not.
    let wide = tensor.to_dtype(DType::F32)?;
    let sum = (wide.zeros_like()? * &wide)?.sum_all()?;
    Ok(sum.to_scalar::<f32>()? == 0.0)
}

/// A tensor's values as a file has them.
fn little_endian(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let (start, end) = layout.contiguous_offsets().unwrap_or((0, 0));
    let bytes = match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => values[start..end]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
        Storage::Cpu(CpuStorage::BF16(values)) => values[start..end]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
        Storage::Cpu(CpuStorage::F16(values)) => values[start..end]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
        _ => {
            return Err(Error::argument(
                "dtype",
                tensor.dtype().as_str(),
                "bf16, f16 or f32",
            ));
        }
    };
    Ok(bytes)
}
