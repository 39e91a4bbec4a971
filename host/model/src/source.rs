//! Where a checkpoint comes from: a folder, or bytes inside the program.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, Metadata};
use serde::Deserialize;

use crate::error::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// A safetensors header larger than this is refused by the format's own reader.
const MAX_HEADER: u64 = 100_000_000;

/// A checkpoint in Hugging Face layout.
#[derive(Clone, Debug)]
pub enum CheckpointSource {
    /// A folder.
    Directory(PathBuf),
    /// Files held by the program itself: name and bytes.
    Embedded {
        /// How messages call the checkpoint.
        name: &'static str,
        /// File names with their bytes.
        files: &'static [(&'static str, &'static [u8])],
    },
}

/// The part of `model.safetensors.index.json` that matters.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

impl CheckpointSource {
    /// How messages name the checkpoint: the folder's path or the embedded name.
    pub fn name(&self) -> String {
        match self {
            CheckpointSource::Directory(folder) => folder.display().to_string(),
            CheckpointSource::Embedded { name, .. } => (*name).to_string(),
        }
    }

    /// How messages name one of its files.
    pub(crate) fn file_name(&self, file: &str) -> String {
        match self {
            CheckpointSource::Directory(folder) => folder.join(file).display().to_string(),
            CheckpointSource::Embedded { name, .. } => format!("{name}/{file}"),
        }
    }

    /// The bytes of a file, or `None` if the checkpoint does not have it.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn read(&self, file: &str) -> Result<Option<Cow<'static, [u8]>>> {
        match self {
            CheckpointSource::Directory(folder) => {
                let path = folder.join(file);
                match std::fs::read(&path) {
                    Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Error::io("read", path)(error)),
                }
            }
            CheckpointSource::Embedded { files, .. } => Ok(files
                .iter()
                .find(|(name, _)| *name == file)
                .map(|(_, bytes)| Cow::Borrowed(*bytes))),
        }
    }

    /// The bytes of a file that a checkpoint must have.
    pub(crate) fn require(&self, file: &str) -> Result<Cow<'static, [u8]>> {
        if let CheckpointSource::Directory(folder) = self {
            // A wrong path would otherwise read as a folder that lacks a file.
            std::fs::metadata(folder).map_err(Error::io("read", folder))?;
        }
        self.read(file)?.ok_or_else(|| Error::MissingFile {
            checkpoint: self.name(),
            file: file.to_string(),
        })
    }

    fn open(&self, file: &str) -> Result<Option<Box<dyn ReadSeek>>> {
        match self {
            CheckpointSource::Directory(folder) => {
                let path = folder.join(file);
                match File::open(&path) {
                    Ok(open) => Ok(Some(Box::new(open))),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Error::io("read", path)(error)),
                }
            }
            CheckpointSource::Embedded { .. } => Ok(self
                .read(file)?
                .map(|bytes| Box::new(Cursor::new(bytes)) as Box<dyn ReadSeek>)),
        }
    }

    /// Names of the weight files: one file, or the shards of the index.
    fn weight_files(&self) -> Result<Vec<String>> {
        if let Some(bytes) = self.read(INDEX)? {
            let index: ShardIndex = parse_json(&self.file_name(INDEX), &bytes)?;
            let mut shards: Vec<String> = index.weight_map.into_values().collect();
            shards.sort();
            shards.dedup();
            if let Some(outside) = shards.iter().find(|shard| shard.contains(['/', '\\'])) {
                return Err(Error::Config {
                    file: self.file_name(INDEX),
                    field: "weight_map".into(),
                    value: format!("`{outside}`"),
                    expected: "names of files beside it".into(),
                });
            }
            return Ok(shards);
        }
        Ok(vec![SINGLE.to_string()])
    }

    /// Opens the weights and reads what tensors there are, not yet their values.
    pub(crate) fn weights(&self) -> Result<Weights> {
        let mut tensors = BTreeMap::new();
        let mut files = Vec::new();
        for (number, file) in self.weight_files()?.into_iter().enumerate() {
            let mut reader = self.open(&file)?.ok_or_else(|| Error::MissingFile {
                checkpoint: self.name(),
                file: file.clone(),
            })?;
            let shown = self.file_name(&file);
            for (name, entry) in read_header(&shown, number, reader.as_mut())? {
                tensors.insert(name, entry);
            }
            files.push((shown, reader));
        }
        Ok(Weights { tensors, files })
    }
}

/// Parses `bytes` as JSON, naming `file` in the error.
pub(crate) fn parse_json<T: for<'a> Deserialize<'a>>(file: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Json {
        file: file.to_string(),
        reason: error.to_string(),
    })
}

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
    /// The values of one tensor, in the dtype that the file has.
    pub(crate) fn load(&mut self, name: &str, device: &Device) -> Result<Tensor> {
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
        Ok(Tensor::from_raw_buffer(
            &bytes,
            entry.dtype,
            &entry.shape,
            device,
        )?)
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
