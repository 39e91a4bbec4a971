//! Files that PyTorch wrote.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use super::build::refusal;
use crate::checkpoint::torch::{TensorAt, tensors};

fn fixture(file: &str) -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.join("../../tests/fixtures").join(file)
}

fn bytes(file: &str) -> Vec<u8> {
    std::fs::read(fixture(file)).expect("the fixture is there")
}

fn value(bytes: &[u8], at: &TensorAt) -> Tensor {
    let bytes = &bytes[at.start..at.start + at.bytes];
    Tensor::from_raw_buffer(bytes, at.dtype, &at.shape, &Device::Cpu).expect("is a tensor")
}

/// The tensors of a file of `tests/fixtures/torch`, as `f64` and with their dtypes.
fn read(file: &str) -> BTreeMap<String, (DType, Vec<usize>, Vec<f64>)> {
    let bytes = bytes(&format!("torch/{file}"));
    let tensors = tensors(file, &bytes).unwrap_or_else(|error| panic!("{error}"));
    let read = |(name, at): (String, TensorAt)| {
        let value = value(&bytes, &at).to_dtype(DType::F64);
        let numbers = value.and_then(|value| value.flatten_all()?.to_vec1());
        (name, (at.dtype, at.shape, numbers.expect("are numbers")))
    };
    tensors.into_iter().map(read).collect()
}

/// `BASE` of `tests/fixtures/torch/make.py`, 4 rows of 6.
fn base() -> Vec<f64> {
    (-12..12).map(f64::from).collect()
}

/// The name in the Hugging Face layout, where it differs in its beginning only.
fn hugging_face_name(name: &str) -> Option<String> {
    let beginnings = [
        ("language_model.model.", "model.language_model."),
        ("language_model.lm_head.", "lm_head."),
        ("gen_embed.", "model.generation_embeddings."),
        (
            "gen_head.vision_head.",
            "model.generation_head.vision_head.",
        ),
        (
            "gen_vision_model.quantize.embedding.",
            "model.vqmodel.quantize.embedding.",
        ),
        ("gen_vision_model.quant_conv.", "model.vqmodel.quant_conv."),
        (
            "gen_vision_model.encoder.conv_",
            "model.vqmodel.encoder.conv_",
        ),
        (
            "vision_model.vision_tower.norm.",
            "model.vision_model.post_layernorm.",
        ),
    ];
    let other = |(from, to): (&str, &str)| Some(format!("{to}{}", name.strip_prefix(from)?));
    let renamed = beginnings.into_iter().find_map(other)?;
    (!renamed.contains("conv_blocks")).then_some(renamed)
}

#[test]
fn a_janus_checkpoint_holds_the_values_of_its_safetensors_twin() {
    let bytes = bytes("janus-a-original/pytorch_model.bin");
    let twin = candle_core::safetensors::load(fixture("janus-a/model.safetensors"), &Device::Cpu);
    let twin = twin.expect("is read");
    let tensors = tensors("pytorch_model.bin", &bytes).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(tensors.len(), 233);
    let mut compared = 0;
    for (name, at) in &tensors {
        let Some(other) = hugging_face_name(name) else {
            continue;
        };
        let expected = twin.get(&other).unwrap_or_else(|| panic!("no {other}"));
        let value = value(&bytes, at);
        assert_eq!(value.shape(), expected.shape(), "{name}");
        assert_eq!(value.dtype(), expected.dtype(), "{name}");
        let numbers = |tensor: &Tensor| tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        assert_eq!(
            numbers(&value).expect("f32"),
            numbers(expected).expect("f32"),
            "{name}"
        );
        compared += 1;
    }
    assert!(compared > 30, "only {compared} tensors have a twin");
}

#[test]
fn every_kind_of_number_is_read() {
    let tensors = read("kinds.bin");
    let expect = |name: &str, dtype, shape: &[usize], numbers: &[f64]| {
        let expected = (dtype, shape.to_vec(), numbers.to_vec());
        assert_eq!(tensors[name], expected, "{name}");
    };
    let base = base();
    for (name, dtype) in [
        ("f32", DType::F32),
        ("f16", DType::F16),
        ("bf16", DType::BF16),
        ("f64", DType::F64),
        ("i64", DType::I64),
        ("i32", DType::I32),
        ("i16", DType::I16),
        ("tied", DType::F32),
    ] {
        expect(name, dtype, &[4, 6], &base);
    }
    let positive: Vec<f64> = base.iter().map(|n| f64::from(*n > 0.0)).collect();
    let absolute: Vec<f64> = base.iter().map(|n| n.abs()).collect();
    expect("bool", DType::U8, &[4, 6], &positive);
    expect("u8", DType::U8, &[4, 6], &absolute);
    expect("scalar", DType::F32, &[], &[2.5]);
    expect("empty", DType::F32, &[0, 3], &[]);
    // Views of the storage of `f32`.
    expect("row", DType::F32, &[6], &base[12..18]);
    expect("rows", DType::F32, &[2, 6], &base[6..18]);
    expect("column", DType::F32, &[6, 1], &base[..6]);
    assert_eq!(tensors.len(), 15);
}

#[test]
fn parameters_are_read_as_tensors() {
    let tensors = read("parameters.bin");
    assert_eq!(tensors["w"], (DType::F32, vec![4, 6], base()));
    assert_eq!(
        tensors["frozen"],
        (DType::F32, vec![6], base()[..6].to_vec())
    );
}

#[test]
fn state_dicts_of_modules_are_read_in_either_protocol_and_under_their_key() {
    for file in ["module.bin", "protocol-4.bin"] {
        let tensors = read(file);
        assert_eq!(tensors["0.weight"], (DType::F32, vec![4, 6], base()));
        assert_eq!(tensors["0.bias"].2, base()[..4]);
        assert_eq!(tensors["1.running_var"].2, [1.0; 4]);
        assert_eq!(tensors["1.num_batches_tracked"].0, DType::I64);
        assert_eq!(tensors.len(), 7, "{file}");
    }
}

#[test]
fn other_files_of_pytorch_are_refused_by_what_they_are() {
    for (file, part) in [
        ("legacy.bin", "before PyTorch 1.6"),
        ("script.bin", "TorchScript"),
        (
            "whole-module.bin",
            "global `torch.nn.modules.container.Sequential`",
        ),
        ("tensor.bin", "it holds a tensor"),
        ("training.bin", "its `lr` is a number; expected a tensor"),
        (
            "transposed.bin",
            "tensor `w` of shape [6, 4] is not contiguous",
        ),
        ("expanded.bin", "its strides are [0, 1]"),
        ("negated.bin", "metadata"),
        ("i8.bin", "tensor `w` has signed 8-bit integers"),
        ("f8.bin", "global `torch._utils._rebuild_tensor_v3`"),
    ] {
        let message = refusal(&bytes(&format!("torch/{file}")), &[part]);
        assert!(message.contains("cannot take the weights"), "{message}");
    }
}
