//! A digest of the sources that a pretrained model depends on, for its provenance.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

const CRATES: [&str; 5] = ["core", "model", "pretrain", "train", "world"];
/// Settings of the checkpoint, beside the sources.
const SETTINGS: &str = "pretrain/checkpoint";

fn main() -> std::io::Result<()> {
    let host = Path::new("..");
    let mut files = Vec::new();
    let sources = CRATES.map(|name| host.join(name).join("src"));
    for folder in sources.into_iter().chain([host.join(SETTINGS)]) {
        println!("cargo::rerun-if-changed={}", folder.display());
        collect(&folder, &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let content = fs::read(&file)?;
        hasher.update(file.to_string_lossy().replace('\\', "/"));
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    let digest: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!("cargo::rustc-env=SC_PRETRAIN_SOURCE={digest}");
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
