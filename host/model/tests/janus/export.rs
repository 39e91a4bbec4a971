//! Models written out for other programs: both layouts, with an adapter in the weights.

use std::path::Path;

use candle_core::{DType, Device};
use sc_model::export::export;
use sc_model::verify::verify;
use sc_model::{CheckpointSource, JanusModel, Naming, UnifiedModel};

use crate::common::{fixture, load};

fn check(folder: &Path, expected: &str) {
    let file = fixture(expected).join("expected.safetensors");
    let inputs = fixture("janus-a").join("expected.safetensors");
    let report = verify(&load(folder), &file, Some(&inputs)).expect("is read");
    let failed: Vec<_> = report.tensors.iter().filter(|t| !t.passed).collect();
    assert!(report.passed, "{failed:?}");
}

#[test]
fn every_layout_becomes_every_other() {
    for from in ["janus-a", "janus-a-original"] {
        for layout in [Naming::HuggingFace, Naming::Original] {
            let place = tempfile::tempdir().expect("a temporary folder");
            let out = place.path().join("out");
            let mut told = 0;
            let written = export(&load(&fixture(from)), layout, &out, &mut |n| told += n);
            let written = written.expect("is written");
            assert!(written.files.contains(&"model.safetensors".to_owned()));
            assert!(told > 3_000_000 && told < written.bytes);
            let model = load(&out);
            assert_eq!(model.config().naming, layout);
            check(&out, "janus-a");
            // What is there is not written over.
            assert!(export(&model, layout, &out, &mut |_| ()).is_err());
        }
    }
}

#[test]
fn an_adapter_goes_into_the_weights() {
    for layout in [Naming::HuggingFace, Naming::Original] {
        let model = load(&fixture("janus-a"))
            .with_adapter(&fixture("janus-a-lora"))
            .expect("fits");
        let place = tempfile::tempdir().expect("a temporary folder");
        let out = place.path().join("out");
        export(&model, layout, &out, &mut |_| ()).expect("is written");
        assert!(load(&out).parameters().adapter().is_none());
        check(&out, "janus-a-lora");
        let adapter = place.path().join("adapter");
        model.export_adapter(&adapter).expect("is written");
        let again = load(&fixture("janus-a")).with_adapter(&adapter);
        assert_eq!(
            again
                .expect("fits")
                .parameters()
                .adapter()
                .map(|a| a.modules().count()),
            Some(21)
        );
    }
}

#[test]
fn a_dtype_that_was_asked_for_is_written() {
    let source = CheckpointSource::Directory(fixture("janus-a"));
    let place = tempfile::tempdir().expect("a temporary folder");
    let out = place.path().join("out");
    let model = JanusModel::load_as(&source, sc_model::Precision::BF16, &Device::Cpu);
    export(
        &model.expect("loads"),
        Naming::HuggingFace,
        &out,
        &mut |_| (),
    )
    .expect("is written");
    assert_eq!(load(&out).parameters().stored_dtype(), Some(DType::BF16));
}

/// The image tokenizer is held in f32 whatever was asked for: what is too large shows when written.
#[test]
fn a_weight_without_room_in_the_dtype_is_named() {
    let source = CheckpointSource::Directory(fixture("janus-a"));
    let place = tempfile::tempdir().expect("a temporary folder");
    let out = place.path().join("out");
    let model = JanusModel::load_as(&source, sc_model::Precision::F16, &Device::Cpu);
    let model = model.expect("loads");
    let name = "model.vqmodel.decoder.conv_in.bias";
    let bias = model.parameters().get(name).expect("is there");
    let large = bias.affine(0.0, 1e6).expect("computes");
    bias.set(&large).expect("is set");
    let error = export(&model, Naming::Original, &out, &mut |_| ()).expect_err("is refused");
    for part in [name, "f16", "finite"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(!out.exists());
}
