//! Safetensors files that are written as their values come: first the header, which says where
//! each tensor will lie, then part by part.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use candle_core::DType;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::json;

use super::files;
use super::tensors::{Part, StoredTensor};
use crate::error::{Error, Result};

/// Most bytes of tensors in a file, as transformers saves them: 5 GB.
pub(crate) const MOST_BYTES: usize = 5_000_000_000;
/// The file that says which shard each tensor is in.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// The dtype by its name in a file.
pub(crate) fn stored_dtype(dtype: DType) -> Result<Dtype> {
    match dtype {
        DType::BF16 => Ok(Dtype::BF16),
        DType::F16 => Ok(Dtype::F16),
        DType::F32 => Ok(Dtype::F32),
        other => Err(Error::argument("dtype", other.as_str(), "bf16, f16 or f32")),
    }
}

/// A file of weights.
pub(crate) struct Shard {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    tensors: Vec<StoredTensor>,
    /// What comes before the values.
    header: Vec<u8>,
}

/// Puts tensors into files of at most `most` bytes of values each, in their order; one that is
/// larger has a file to itself.
pub(crate) fn split(tensors: Vec<StoredTensor>, dtype: Dtype, most: usize) -> Result<Vec<Shard>> {
    let mut groups: Vec<Vec<StoredTensor>> = vec![Vec::new()];
    let mut filled = 0;
    for tensor in tensors {
        let bytes = tensor.elements() * element_bytes(dtype);
        if filled > 0 && filled + bytes > most {
            groups.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        if let Some(group) = groups.last_mut() {
            group.push(tensor);
        }
    }
    let of = groups.len();
    let named = groups.into_iter().enumerate().map(|(number, tensors)| {
        let name = match of {
            1 => "model.safetensors".to_owned(),
            _ => format!("model-{:05}-of-{of:05}.safetensors", number + 1),
        };
        let header = header(&name, &tensors, dtype)?;
        Ok(Shard {
            name,
            dtype,
            tensors,
            header,
        })
    });
    named.collect()
}

/// The index of shards; none for a single file.
pub(crate) fn index(shards: &[Shard]) -> Result<Option<Vec<u8>>> {
    if shards.len() == 1 {
        return Ok(None);
    }
    let map: BTreeMap<&str, &str> = shards
        .iter()
        .flat_map(|shard| {
            let names = shard.tensors.iter().map(|tensor| tensor.name.as_str());
            names.map(|name| (name, shard.name.as_str()))
        })
        .collect();
    let total: u64 = shards.iter().map(Shard::value_bytes).sum();
    files::pretty(
        INDEX,
        &json!({ "metadata": { "total_size": total }, "weight_map": map }),
    )
    .map(Some)
}

/// Bytes of a value.
pub(crate) fn element_bytes(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}

/// Length and text of a header: the text is padded with spaces so that the values begin at a
/// multiple of 8, as the format asks.
fn header(file: &str, tensors: &[StoredTensor], dtype: Dtype) -> Result<Vec<u8>> {
    let mut start = 0;
    let infos = tensors
        .iter()
        .map(|tensor| {
            let end = start + tensor.elements() * element_bytes(dtype);
            let info = TensorInfo {
                dtype,
                shape: tensor.shape.clone(),
                data_offsets: (start, end),
            };
            start = end;
            (tensor.name.clone(), info)
        })
        .collect();
    // transformers refuses a file that does not say which framework's layout it has.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let broken = |reason: String| Error::Weights {
        file: file.to_owned(),
        reason,
    };
    let metadata = Metadata::new(Some(format), infos).map_err(|e| broken(e.to_string()))?;
    let mut text = serde_json::to_vec(&metadata).map_err(|e| broken(e.to_string()))?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    Ok(header)
}

impl Shard {
    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.header.len() as u64 + self.value_bytes()
    }

    /// What the file begins with.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// What follows, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.tensors.iter().flat_map(|tensor| &tensor.parts)
    }

    fn value_bytes(&self) -> u64 {
        let elements: usize = self.tensors.iter().map(StoredTensor::elements).sum();
        (elements * element_bytes(self.dtype)) as u64
    }

    /// Writes the file out of whole parts; `bytes` answers those of a part in the file's dtype.
    pub(crate) fn write_parts(
        &self,
        path: &Path,
        bytes: &mut dyn FnMut(&Part) -> Result<Vec<u8>>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let failed = |error| Error::io("write", path)(error);
        let mut file = File::create_new(path).map_err(failed)?;
        file.write_all(&self.header).map_err(failed)?;
        for part in self.parts() {
            let bytes = bytes(part)?;
            file.write_all(&bytes).map_err(failed)?;
            progress(bytes.len() as u64);
        }
        // A rename must not overtake the bytes that it publishes.
        file.sync_all().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(shards: &[Shard]) -> Vec<Vec<&str>> {
        let tensors = shards.iter().map(|shard| shard.tensors.iter());
        tensors
            .map(|tensors| tensors.map(|tensor| tensor.name.as_str()).collect())
            .collect()
    }

    #[test]
    fn a_file_is_filled_until_the_next_tensor_has_no_room() {
        let tensors = [("a", 4), ("b", 4), ("c", 3), ("d", 20), ("e", 1)];
        let tensors: Vec<StoredTensor> = tensors
            .map(|(name, n)| StoredTensor::single(name, vec![n]))
            .to_vec();
        let shards = split(tensors.clone(), Dtype::F16, 16).expect("splits");
        assert_eq!(
            names(&shards),
            [vec!["a", "b"], vec!["c"], vec!["d"], vec!["e"]]
        );
        let files: Vec<&str> = shards.iter().map(|shard| shard.name.as_str()).collect();
        assert_eq!(files[0], "model-00001-of-00004.safetensors");
        assert_eq!(files[3], "model-00004-of-00004.safetensors");
        let index = index(&shards).expect("is made").expect("is there");
        let index: serde_json::Value = serde_json::from_slice(&index).expect("parses");
        assert_eq!(index["metadata"]["total_size"], 64);
        assert_eq!(index["weight_map"]["c"], "model-00002-of-00004.safetensors");

        let whole = split(tensors, Dtype::F32, 128).expect("splits");
        assert_eq!(whole.len(), 1);
        assert_eq!(whole[0].name, "model.safetensors");
        assert!(super::index(&whole).expect("is none").is_none());
    }
}
