//! Which files of a repository are those of a Janus checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::client::shortened;
use super::error::HubError;

/// Largest file of settings, and largest index; a checkpoint with a larger one is not read either.
pub const MOST_SETTINGS: u64 = 64 << 20;

/// Without these there is no checkpoint.
pub const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];

/// What a checkpoint may have beside its weights.
pub const OPTIONAL: [&str; 8] = [
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.json",
    "chat_template.jinja",
    "templates.json",
];

/// Forms that weights have, the best first: of several that are there the first is taken.
pub const WEIGHTS: [Weights; 4] = [
    Weights::Shards("model.safetensors.index.json"),
    Weights::Whole("model.safetensors"),
    Weights::Shards("pytorch_model.bin.index.json"),
    Weights::Whole("pytorch_model.bin"),
];

/// One form of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// One file.
    Whole(&'static str),
    /// The files that an index names.
    Shards(&'static str),
}

impl Weights {
    /// The file by which they are known.
    pub fn file(self) -> &'static str {
        match self {
            Weights::Whole(file) | Weights::Shards(file) => file,
        }
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that the index at `path` names.
///
/// # Errors
/// When it is no index, or names what is no plain file beside it.
pub fn shards(path: &Path) -> Result<Vec<String>, HubError> {
    let shown = || {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let about = std::fs::metadata(path).map_err(HubError::io("read", path))?;
    if about.len() > MOST_SETTINGS {
        return Err(HubError::TooLarge {
            file: shown(),
            bytes: about.len(),
            limit: MOST_SETTINGS,
        });
    }
    let bytes = std::fs::read(path).map_err(HubError::io("read", path))?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|error| HubError::answer(&shown(), shortened(&error.to_string())))?;
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort();
    shards.dedup();
    match shards.iter().find(|shard| !is_plain(shard)) {
        Some(name) => Err(HubError::UnsafeName {
            index: shown(),
            name: shortened(name),
        }),
        None if shards.is_empty() => Err(HubError::answer(&shown(), "it names no file")),
        None => Ok(shards),
    }
}

/// Whether a name is that of a file in the same folder, and stands in an address as it is.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=200).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(index: &str) -> Result<Vec<String>, HubError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors.index.json");
        std::fs::write(&path, index).expect("written");
        shards(&path)
    }

    #[test]
    fn an_index_names_plain_files() {
        let two = read(
            r#"{"weight_map": {"a": "y-2.bin", "b": "x_1.bin", "c": "y-2.bin"}, "metadata": 0}"#,
        );
        assert_eq!(two.ok(), Some(vec!["x_1.bin".into(), "y-2.bin".into()]));
        for name in [
            "../../x", "/x", "a/b", "a\\\\b", "..", ".", "", ".x", "C:x", "a b", "a?b", "a%2Fb",
        ] {
            let found = read(&format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#));
            assert!(
                matches!(found, Err(HubError::UnsafeName { .. })),
                "{name}: {found:?}"
            );
        }
        for broken in [
            "",
            "[]",
            "{}",
            r#"{"weight_map": {"a": 1}}"#,
            r#"{"weight_map": {}}"#,
        ] {
            let found = read(broken);
            assert!(
                matches!(found, Err(HubError::Answer { .. })),
                "{broken}: {found:?}"
            );
        }
    }
}
