//! The weight files of a checkpoint: which tensors there are, and their values.

use std::collections::BTreeMap;
use std::io::SeekFrom;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, Metadata};

use crate::error::{Error, Result};
use crate::source::{CheckpointSource, ReadSeek};

/// A safetensors header larger than this is refused by the format's own reader.
const MAX_HEADER: u64 = 100_000_000;

/// Where a tensor lies and what it is.
pub(crate) struct Entry {
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
    file: usize,
    start: u64,
    bytes: usize,
}

/// The opened weight files of a checkpoint.
pub(crate) struct Weights {
    pub(crate) tensors: BTreeMap<String, Entry>,
    files: Vec<(String, Box<dyn ReadSeek>)>,
}

impl Weights {
    /// Opens the weights of a checkpoint and reads what tensors there are, not yet their values.
    pub(crate) fn open(source: &CheckpointSource) -> Result<Weights> {
        let mut tensors = BTreeMap::new();
        let mut files = Vec::new();
        for (number, file) in source.weight_files()?.into_iter().enumerate() {
            let mut reader = source.open(&file)?.ok_or_else(|| Error::MissingFile {
                checkpoint: source.name(),
                file: file.clone(),
            })?;
            let shown = source.file_name(&file);
            for (name, entry) in read_header(&shown, number, reader.as_mut())? {
                tensors.insert(name, entry);
            }
            files.push((shown, reader));
        }
        Ok(Weights { tensors, files })
    }

    /// The values of one tensor, in the dtype that the file has, and whether all are finite.
    pub(crate) fn load(&mut self, name: &str, device: &Device) -> Result<(Tensor, bool)> {
        let entry = &self.tensors[name];
        let (file, reader) = &mut self.files[entry.file];
        let mut bytes = vec![0; entry.bytes];
        reader
            .seek(SeekFrom::Start(entry.start))
            .and_then(|_| reader.read_exact(&mut bytes))
            .map_err(|error| Error::Weights {
                file: file.clone(),
                reason: format!("tensor `{name}`: {error}"),
            })?;
        let finite = all_finite(&bytes, entry.dtype);
        let values = Tensor::from_raw_buffer(&bytes, entry.dtype, &entry.shape, device)?;
        Ok((values, finite))
    }
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

fn read_header(
    file: &str,
    number: usize,
    reader: &mut dyn ReadSeek,
) -> Result<Vec<(String, Entry)>> {
    let broken = |reason: String| Error::Weights {
        file: file.to_string(),
        reason,
    };
    let length = reader
        .seek(SeekFrom::End(0))
        .map_err(|error| broken(error.to_string()))?;
    reader
        .seek(SeekFrom::Start(0))
        .map_err(|error| broken(error.to_string()))?;
    let mut size = [0; 8];
    reader
        .read_exact(&mut size)
        .map_err(|_| broken(format!("it is {length} bytes long, a header needs 8")))?;
    let header_bytes = u64::from_le_bytes(size);
    if header_bytes > MAX_HEADER || header_bytes + 8 > length {
        return Err(broken(format!(
            "its header claims {header_bytes} bytes, the file has {length}"
        )));
    }
    let mut header = vec![0; header_bytes as usize];
    reader
        .read_exact(&mut header)
        .map_err(|error| broken(error.to_string()))?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| broken(format!("header: {error}")))?;
    let data_start = 8 + header_bytes;
    if data_start.checked_add(metadata.data_len() as u64) != Some(length) {
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
                    return Err(broken(format!(
                        "tensor `{name}` is {other:?}; expected F32, F16, BF16 or F64"
                    )));
                }
            };
            let (start, end) = info.data_offsets;
            Ok((
                name,
                Entry {
                    shape: info.shape.clone(),
                    dtype,
                    file: number,
                    start: data_start + start as u64,
                    bytes: end - start,
                },
            ))
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
