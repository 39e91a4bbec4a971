//! What the integration tests share.

use std::path::{Path, PathBuf};

use candle_core::Device;
use sc_model::{CheckpointSource, JanusModel};

/// A folder of the repository's test fixtures.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures")
        .join(name)
}

/// A model from a folder that must load.
pub fn load(folder: &Path) -> JanusModel {
    let source = CheckpointSource::Directory(folder.to_path_buf());
    JanusModel::load(&source, &Device::Cpu).expect("the checkpoint loads")
}
