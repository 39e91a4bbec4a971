//! The weight files of a checkpoint: which tensors there are, and their values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use memmap2::MmapOptions;
use safetensors::tensor::{Dtype, Metadata};

use super::names::{Naming, Place, is_unused};
use super::source::CheckpointSource;
use super::torch;
use crate::error::{Error, Result};

/// A safetensors header larger than this is refused by the format's own reader.
const MAX_HEADER: usize = 100_000_000;

/// Where a tensor lies and what it is.
pub(crate) struct Entry {
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
    file: usize,
    range: Range<usize>,
}

/// A file of weights.
pub(crate) enum WeightFile {
    /// On the disk. What is read of it is mapped while it is read: the system may drop it again.
    OnDisk(File),
    /// Inside the program.
    Embedded(Cow<'static, [u8]>),
}

impl WeightFile {
    fn bytes(&self) -> std::io::Result<u64> {
        match self {
            WeightFile::OnDisk(file) => Ok(file.metadata()?.len()),
            WeightFile::Embedded(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Shows `see` a part of the file, which must be inside it.
    fn with<R>(&self, range: Range<usize>, see: impl FnOnce(&[u8]) -> R) -> std::io::Result<R> {
        match self {
            WeightFile::OnDisk(_) if range.is_empty() => Ok(see(&[])),
            WeightFile::OnDisk(file) => {
                let mut part = MmapOptions::new();
                part.offset(range.start as u64).len(range.len());
                #[expect(unsafe_code, reason = "a mapped file may be changed by others")]
                // SAFETY: the bytes are read once, as numbers of which all are valid; whoever cuts
                // the file meanwhile ends the program, not its memory's integrity.
                let part = unsafe { part.map(file) }?;
                Ok(see(&part))
            }
            WeightFile::Embedded(bytes) => bytes
                .get(range)
                .map(see)
                .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The opened weight files of a checkpoint.
pub(crate) struct Weights {
    tensors: BTreeMap<String, Entry>,
    files: Vec<(String, WeightFile)>,
    naming: Naming,
}

impl Weights {
    /// Opens the weights of a checkpoint and reads what tensors there are, not yet their values.
    pub(crate) fn open(source: &CheckpointSource, naming: Naming) -> Result<Weights> {
        Weights::open_files(source, source.weight_files()?, naming)
    }

    /// The same of the first of `files` that is there.
    pub(crate) fn open_one_of(source: &CheckpointSource, files: &[&str]) -> Result<Weights> {
        for file in files {
            if source.has(file)? {
                let file = vec![(*file).to_owned()];
                return Weights::open_files(source, file, Naming::HuggingFace);
            }
        }
        Err(Error::MissingFile {
            checkpoint: source.name(),
            file: files.join("` or `"),
        })
    }

    fn open_files(
        source: &CheckpointSource,
        names: Vec<String>,
        naming: Naming,
    ) -> Result<Weights> {
        let mut tensors: BTreeMap<String, Entry> = BTreeMap::new();
        let mut files: Vec<(String, WeightFile)> = Vec::new();
        for (number, name) in names.into_iter().enumerate() {
            let file = source.open(&name)?.ok_or_else(|| Error::MissingFile {
                checkpoint: source.name(),
                file: name.clone(),
            })?;
            let shown = source.file_name(&name);
            let entries = if name.ends_with(".bin") {
                pickled_entries(&shown, number, &file)?
            } else {
                safetensors_entries(&shown, number, &file)?
            };
            for (name, entry) in entries {
                if let Some(other) = tensors.get(&name) {
                    return Err(Error::Weights {
                        file: shown,
                        reason: format!("tensor `{name}` is in `{}` too", files[other.file].0),
                    });
                }
                tensors.insert(name, entry);
            }
            files.push((shown, file));
        }
        Ok(Weights {
            tensors,
            files,
            naming,
        })
    }

    /// A tensor by the name that it bears in the files.
    pub(crate) fn stored(&self, name: &str) -> Option<&Entry> {
        self.tensors.get(name)
    }

    /// The shape of a tensor by the name that it bears in the files; none of a missing one.
    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        self.stored(name).map_or(&[], |entry| &entry.shape)
    }

    /// Names of the files' tensors that begin so.
    pub(crate) fn stored_names(&self, beginning: &str) -> impl Iterator<Item = &str> {
        self.tensors
            .range(beginning.to_owned()..)
            .map(|(name, _)| name.as_str())
            .take_while(move |name| name.starts_with(beginning))
    }

    /// All that does not fit what is `expected` by transformers' names, a line each.
    pub(crate) fn problems(&self, expected: &BTreeMap<String, Vec<usize>>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut wanted = std::collections::BTreeSet::new();
        for (name, shape) in expected {
            let place = self.naming.place(name);
            let shape = place.stored_shape(shape);
            let found = &place.name;
            // A third of a joint tensor is told of once.
            if !wanted.insert(found.clone()) {
                continue;
            }
            match self.tensors.get(found) {
                None => problems.push(format!("`{found}` {shape:?} is missing")),
                Some(entry) if !same_shape(&entry.shape, &shape) => problems.push(format!(
                    "`{found}` has the shape {:?}, expected {shape:?}",
                    entry.shape
                )),
                Some(entry) if !entry.dtype.is_float() => problems.push(format!(
                    "`{found}` holds {}, expected floating-point numbers",
                    entry.dtype.as_str()
                )),
                Some(_) => {}
            }
        }
        for (name, entry) in &self.tensors {
            if !wanted.contains(name) && !is_unused(name) {
                problems.push(format!("`{name}` {:?} is unknown", entry.shape));
            }
        }
        problems
    }

    /// The values of the tensor of transformers' `name` in the dtype that the file has, and whether
    /// all are finite. It must be there and of the shape, as [`Weights::problems`] finds.
    pub(crate) fn load(
        &self,
        name: &str,
        shape: &[usize],
        device: &Device,
    ) -> Result<(Tensor, bool)> {
        let Place { name, third } = self.naming.place(name);
        self.load_stored(&name, third, shape, device)
    }

    /// The same of a tensor by the name that it bears in the files.
    pub(crate) fn load_stored(
        &self,
        name: &str,
        third: Option<usize>,
        shape: &[usize],
        device: &Device,
    ) -> Result<(Tensor, bool)> {
        let entry = &self.tensors[name];
        let range = match third {
            None => entry.range.clone(),
            Some(third) => {
                let part = entry.range.len() / 3;
                let start = entry.range.start + third * part;
                start..start + part
            }
        };
        let (file, bytes) = &self.files[entry.file];
        let read = bytes.with(range, |bytes| {
            let finite = all_finite(bytes, entry.dtype);
            Ok((
                Tensor::from_raw_buffer(bytes, entry.dtype, shape, device)?,
                finite,
            ))
        });
        read.map_err(|error| Error::Weights {
            file: file.clone(),
            reason: format!("tensor `{name}`: {error}"),
        })?
    }
}

impl Place {
    /// The shape of the stored tensor of which this place is of `shape`.
    fn stored_shape(&self, shape: &[usize]) -> Vec<usize> {
        let mut stored = shape.to_vec();
        if self.third.is_some()
            && let Some(rows) = stored.first_mut()
        {
            *rows *= 3;
        }
        stored
    }
}

/// The authors' positions have a leading dimension of 1.
fn same_shape(stored: &[usize], expected: &[usize]) -> bool {
    stored == expected || stored.strip_prefix(&[1]) == Some(expected)
}

/// Whether the little-endian numbers in `bytes` are finite once they are `f32`.
fn all_finite(bytes: &[u8], dtype: DType) -> bool {
    // Without an early end the loops run at the speed of the memory.
    let sixteen = |infinity: u16| {
        let (numbers, _) = bytes.as_chunks();
        !numbers.iter().fold(false, |found, number| {
            found | (u16::from_le_bytes(*number) & infinity == infinity)
        })
    };
    match dtype {
        DType::F16 => sixteen(0x7c00),
        DType::BF16 => sixteen(0x7f80),
        DType::F32 => {
            let (numbers, _) = bytes.as_chunks();
            numbers.iter().fold(true, |finite, number| {
                finite & f32::from_le_bytes(*number).is_finite()
            })
        }
        DType::F64 => {
            let (numbers, _) = bytes.as_chunks();
            numbers.iter().fold(true, |finite, number| {
                finite & (f64::from_le_bytes(*number) as f32).is_finite()
            })
        }
        _ => true,
    }
}

/// The tensors of a PyTorch file.
fn pickled_entries(shown: &str, number: usize, file: &WeightFile) -> Result<Vec<(String, Entry)>> {
    let broken = |error: std::io::Error| Error::Weights {
        file: shown.to_owned(),
        reason: error.to_string(),
    };
    let length = file.bytes().map_err(broken)? as usize;
    let tensors = file.with(0..length, |bytes| torch::tensors(shown, bytes));
    let tensors = tensors.map_err(broken)??;
    Ok(tensors
        .into_iter()
        .map(|(name, tensor)| {
            let entry = Entry {
                shape: tensor.shape,
                dtype: tensor.dtype,
                file: number,
                range: tensor.start..tensor.start + tensor.bytes,
            };
            (name, entry)
        })
        .collect())
}

/// The tensors of a safetensors file.
fn safetensors_entries(
    shown: &str,
    number: usize,
    file: &WeightFile,
) -> Result<Vec<(String, Entry)>> {
    let broken = |reason: String| Error::Weights {
        file: shown.to_string(),
        reason,
    };
    let failed = |error: std::io::Error| broken(error.to_string());
    let length = file.bytes().map_err(failed)? as usize;
    if length < 8 {
        return Err(broken(format!(
            "it is {length} bytes long, a header needs 8"
        )));
    }
    let header_bytes = file
        .with(0..8, |size| {
            size.iter()
                .rev()
                .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte))
        })
        .map_err(failed)?;
    let header_bytes = usize::try_from(header_bytes)
        .ok()
        .filter(|bytes| *bytes <= MAX_HEADER.min(length - 8))
        .ok_or_else(|| {
            broken(format!(
                "its header claims {header_bytes} bytes, the file has {length}"
            ))
        })?;
    let metadata: Metadata = file
        .with(8..8 + header_bytes, |header| serde_json::from_slice(header))
        .map_err(failed)?
        .map_err(|error| broken(format!("header: {error}")))?;
    let data_start = 8 + header_bytes;
    if data_start.checked_add(metadata.data_len()) != Some(length) {
        return Err(broken(format!(
            "its header describes {} bytes of values, the file has {}",
            metadata.data_len(),
            length - data_start
        )));
    }
    metadata
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let dtype = match info.dtype {
                Dtype::F32 => DType::F32,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                Dtype::F64 => DType::F64,
                Dtype::I64 => DType::I64,
                other => {
                    return Err(Error::ForeignWeights {
                        file: shown.to_string(),
                        reason: format!(
                            "tensor `{name}` is {other:?}; expected F32, F16, BF16 or F64"
                        ),
                    });
                }
            };
            let (start, end) = info.data_offsets;
            let entry = Entry {
                shape: info.shape.clone(),
                dtype,
                file: number,
                range: data_start + start..data_start + end,
            };
            Ok((name, entry))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_finite_are_seen_in_every_dtype() {
        let device = Device::Cpu;
        for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
            for (number, finite) in [
                (f64::NAN, false),
                (f64::INFINITY, false),
                (f64::NEG_INFINITY, false),
                (-3e4, true),
                (0.0, true),
            ] {
                let value = Tensor::new(&[1.0, number], &device)
                    .and_then(|value| value.to_dtype(dtype))
                    .expect("converts");
                let view = BTreeMap::from([("x", value)]);
                let file = safetensors::serialize(view, None).expect("is written");
                // The two values stand at the end.
                let bytes = &file[file.len() - 2 * dtype.size_in_bytes()..];
                assert_eq!(all_finite(bytes, dtype), finite, "{number} as {dtype:?}");
            }
        }
        assert!(!all_finite(&1e300f64.to_le_bytes(), DType::F64));
    }
}
