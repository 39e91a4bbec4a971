//! The Janus forward pass and its gradients against transformers' values.

use std::path::{Path, PathBuf};

use candle_core::Device;
use sc_model::verify::verify;
use sc_model::{CheckpointSource, JanusModel};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures")
        .join(name)
}

fn load(folder: &Path) -> JanusModel {
    let source = CheckpointSource::Directory(folder.to_path_buf());
    JanusModel::load(&source, &Device::Cpu).expect("the fixture loads")
}

#[test]
fn every_expected_value_is_met() {
    let folder = fixture("janus-a");
    let report = verify(&load(&folder), &folder.join("expected.safetensors")).expect("is read");
    for tensor in &report.tensors {
        println!(
            "{:60} {:.1e} {:.1e}",
            tensor.name, tensor.max_abs, tensor.max_rel
        );
    }
    let failed: Vec<_> = report.tensors.iter().filter(|t| !t.passed).collect();
    assert!(report.passed, "{failed:#?}");
    // 43 tensors in the file, 9 of them inputs.
    assert_eq!(report.tensors.len(), 34);
}
