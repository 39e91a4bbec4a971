//! The Janus forward pass and its gradients against transformers' values.

use crate::common::{fixture, load};
use sc_model::verify::verify;

#[test]
fn every_expected_value_is_met() {
    let folder = fixture("janus-a");
    let report =
        verify(&load(&folder), &folder.join("expected.safetensors"), None).expect("is read");
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

#[test]
fn a_changed_value_and_an_unknown_name_fail() {
    let folder = fixture("janus-a");
    let model = load(&folder);
    let device = candle_core::Device::Cpu;
    let mut tensors = candle_core::safetensors::load(folder.join("expected.safetensors"), &device)
        .expect("is read");
    let hidden = &tensors["out.vision_hidden"];
    let mut values: Vec<f32> = hidden.flatten_all().and_then(|t| t.to_vec1()).expect("f32");
    values[7] += 1e-3;
    let changed = candle_core::Tensor::from_vec(values, hidden.shape(), &device).expect("fits");
    tensors.insert("out.vision_hidden".into(), changed.clone());
    tensors.insert("out.unheard_of".into(), changed);
    let mut tokens: Vec<Vec<i64>> = tensors["out.gen_tokens"].to_vec2().expect("ids");
    tokens[1][3] = (tokens[1][3] + 1) % 96;
    let tokens = candle_core::Tensor::new(tokens, &device).expect("fits");
    tensors.insert("out.gen_tokens".into(), tokens);

    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("expected.safetensors");
    candle_core::safetensors::save(&tensors, &path).expect("is written");
    let report = verify(&model, &path, None).expect("is read");
    assert!(!report.passed);
    let failed: Vec<&str> = report
        .tensors
        .iter()
        .filter(|tensor| !tensor.passed)
        .map(|tensor| tensor.name.as_str())
        .collect();
    // The pixels are those of the changed tokens.
    assert_eq!(
        failed,
        [
            "out.gen_pixels_nhwc",
            "out.gen_tokens",
            "out.unheard_of",
            "out.vision_hidden"
        ]
    );
    let tokens = report.tensors.iter().find(|t| t.name == "out.gen_tokens");
    assert_eq!(tokens.map(|t| (t.max_abs, t.max_rel)), Some((1.0, 1.0)));
}

#[test]
fn kernels_for_large_models_compute_the_same() {
    let folder = fixture("janus-a");
    let model = load(&folder).as_large();
    let report = verify(&model, &folder.join("expected.safetensors"), None).expect("is read");
    let failed: Vec<_> = report.tensors.iter().filter(|t| !t.passed).collect();
    assert!(report.passed, "{failed:?}");
}
