//! Where a checkpoint comes from: a folder, or bytes inside the program.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, FileType, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::weights::WeightFile;
use crate::error::{Error, Result};

/// Files of weights in the order in which they are looked for: whole, and the index of shards.
const WEIGHTS: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];
/// Largest file of settings: tokenizers with a hundred thousand words have some 10 MiB.
const MAX_SETTINGS: u64 = 64 << 20;

/// A checkpoint, in transformers' or the authors' layout.
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

/// The part of an index of shards that matters.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

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

    /// The bytes of a file of settings, or `None` if the checkpoint does not have it.
    ///
    /// # Errors
    /// When the file is there but cannot be read, is no regular file, or has more than 64 MiB.
    pub fn read(&self, file: &str) -> Result<Option<Cow<'static, [u8]>>> {
        match self {
            CheckpointSource::Directory(folder) => {
                let path = folder.join(file);
                let Some(about) = regular_file(&path)? else {
                    return Ok(None);
                };
                if about.len() > MAX_SETTINGS {
                    return Err(Error::TooLarge {
                        path,
                        bytes: about.len(),
                        limit: MAX_SETTINGS,
                    });
                }
                let bytes = std::fs::read(&path).map_err(Error::io("read", path))?;
                Ok(Some(Cow::Owned(bytes)))
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

    /// Opens a file of any size.
    pub(crate) fn open(&self, file: &str) -> Result<Option<WeightFile>> {
        match self {
            CheckpointSource::Directory(folder) => {
                let path = folder.join(file);
                if regular_file(&path)?.is_none() {
                    return Ok(None);
                }
                let open = File::open(&path).map_err(Error::io("read", path))?;
                Ok(Some(WeightFile::OnDisk(open)))
            }
            CheckpointSource::Embedded { .. } => Ok(self.read(file)?.map(WeightFile::Embedded)),
        }
    }

    /// Whether the checkpoint has a file.
    pub(crate) fn has(&self, file: &str) -> Result<bool> {
        match self {
            CheckpointSource::Directory(folder) => Ok(regular_file(&folder.join(file))?.is_some()),
            CheckpointSource::Embedded { files, .. } => {
                Ok(files.iter().any(|(name, _)| *name == file))
            }
        }
    }

    /// Names of the weight files: one file, or the shards of an index.
    pub(crate) fn weight_files(&self) -> Result<Vec<String>> {
        for (whole, index) in WEIGHTS {
            if let Some(bytes) = self.read(index)? {
                return self.shards(index, &bytes);
            }
            if self.has(whole)? {
                return Ok(vec![whole.to_owned()]);
            }
        }
        Err(Error::MissingFile {
            checkpoint: self.name(),
            file: WEIGHTS.map(|(whole, _)| whole).join("` or `"),
        })
    }

    fn shards(&self, index: &str, bytes: &[u8]) -> Result<Vec<String>> {
        let file = self.file_name(index);
        let parsed: ShardIndex = parse_json(&file, bytes)?;
        let mut shards: Vec<String> = parsed.weight_map.into_values().collect();
        shards.sort();
        shards.dedup();
        match shards.iter().find(|shard| !is_plain_name(shard)) {
            Some(outside) => Err(Error::Config {
                file,
                field: "weight_map".into(),
                value: format!("`{outside}`"),
                expected: "names of files beside it".into(),
            }),
            None => Ok(shards),
        }
    }
}

/// Whether a name is that of a file in the same folder.
fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\'])
}

/// What there is to know of a regular file, or `None` if there is nothing of that path. Looked at
/// before anything is opened: a pipe would wait for ever, a device may never end.
pub(crate) fn regular_file(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(about) if about.is_file() => Ok(Some(about)),
        Ok(about) => Err(Error::NotAFile {
            path: path.to_path_buf(),
            kind: kind(about.file_type()),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn kind(of: FileType) -> &'static str {
    if of.is_dir() {
        "a directory"
    } else {
        "a pipe or device"
    }
}

/// Parses `bytes` as JSON, naming `file` and the field in the error.
pub(crate) fn parse_json<T: for<'a> Deserialize<'a>>(file: &str, bytes: &[u8]) -> Result<T> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut parser).map_err(at_its_field(file))?;
    parser.end().map_err(|error| Error::Json {
        file: file.to_string(),
        reason: error.to_string(),
    })?;
    Ok(parsed)
}

/// A parser's error by file and field.
pub(crate) fn at_its_field(
    file: &str,
) -> impl FnOnce(serde_path_to_error::Error<serde_json::Error>) -> Error {
    move |error| {
        let field = error.path().to_string();
        let error = error.into_inner();
        Error::Json {
            file: file.to_string(),
            reason: match field.as_str() {
                // The whole, or what cannot be followed so far.
                "." | "?" => error.to_string(),
                _ => format!("`{field}`: {error}"),
            },
        }
    }
}
