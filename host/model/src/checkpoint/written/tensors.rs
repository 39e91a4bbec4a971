//! Which tensors the files of a layout hold.

use std::collections::BTreeMap;

use crate::checkpoint::names::{Naming, Place};
use crate::config::Config;
use crate::error::Result;
use crate::janus::JanusModel;

/// Codes that the authors' image tokenizer keeps count of (`codebook_used`,
/// janus/models/vq_model.py), whatever the size of its codebook.
const CODES_COUNTED: usize = 65_536;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// What it is made of: the authors put three of transformers' tensors one after the other.
    pub(crate) parts: Vec<Part>,
}

/// A tensor by transformers' name, if they have it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

impl StoredTensor {
    /// A tensor that is the only part of itself.
    pub(crate) fn single(name: &str, shape: Vec<usize>) -> StoredTensor {
        let part = Part {
            name: name.to_owned(),
            shape: shape.clone(),
        };
        StoredTensor {
            name: name.to_owned(),
            shape,
            parts: vec![part],
        }
    }

    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The tensors that a checkpoint of this configuration holds, by ascending name.
pub(crate) fn read_tensors(config: &Config) -> Result<BTreeMap<String, StoredTensor>> {
    let mut stored: BTreeMap<String, StoredTensor> = BTreeMap::new();
    for (name, shape) in JanusModel::tensor_shapes(config)? {
        let Place {
            name: stored_name,
            third,
        } = config.naming.place(&name);
        let part = Part {
            name,
            shape: shape.clone(),
        };
        let name = stored_name;
        // Parts by ascending name are k, q, v: each third goes to its own place.
        match (third, stored.get_mut(&name)) {
            (Some(third), Some(joint)) => {
                joint.shape[0] += shape[0];
                let earlier = joint.parts.iter().take_while(|p| third_of(p) < Some(third));
                let at = earlier.count();
                joint.parts.insert(at, part);
            }
            _ => {
                let shape = stored_shape(&name, shape);
                let parts = vec![part];
                stored.insert(name.clone(), StoredTensor { name, shape, parts });
            }
        }
    }
    Ok(stored)
}

/// The same with those that the layout stores and nothing reads.
pub(crate) fn stored_tensors(config: &Config) -> Result<Vec<StoredTensor>> {
    let mut stored = read_tensors(config)?;
    if config.naming == Naming::Original {
        for tensor in unused(config) {
            stored.insert(tensor.name.clone(), tensor);
        }
    }
    Ok(stored.into_values().collect())
}

fn third_of(part: &Part) -> Option<usize> {
    Naming::Original.place(&part.name).third
}

/// The authors' positions have a leading dimension of 1.
fn stored_shape(name: &str, mut shape: Vec<usize>) -> Vec<usize> {
    if name.ends_with("pos_embed") {
        shape.insert(0, 1);
    }
    shape
}

/// What the authors' checkpoints hold and no forward pass reads: the tower's pooling head (timm's
/// `AttentionPoolLatent`), and the count of codes.
fn unused(config: &Config) -> Vec<StoredTensor> {
    let (width, wide) = (config.vision.hidden, config.vision.intermediate);
    let mut tensors = vec![
        ("latent", vec![1, 1, width]),
        ("norm.weight", vec![width]),
        ("norm.bias", vec![width]),
    ];
    for (weight, bias, outputs, inputs) in [
        ("q.weight", "q.bias", width, width),
        ("kv.weight", "kv.bias", 2 * width, width),
        ("proj.weight", "proj.bias", width, width),
        ("mlp.fc1.weight", "mlp.fc1.bias", wide, width),
        ("mlp.fc2.weight", "mlp.fc2.bias", width, wide),
    ] {
        tensors.push((weight, vec![outputs, inputs]));
        tensors.push((bias, vec![outputs]));
    }
    let pooling = tensors.into_iter().map(|(name, shape)| {
        StoredTensor::single(
            &format!("vision_model.vision_tower.attn_pool.{name}"),
            shape,
        )
    });
    let counts = "gen_vision_model.quantize.codebook_used";
    pooling
        .chain([StoredTensor::single(counts, vec![CODES_COUNTED])])
        .collect()
}
