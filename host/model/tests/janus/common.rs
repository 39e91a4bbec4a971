//! What the integration tests share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rand::Rng;
use sc_core::rng::stream;
use sc_model::{CheckpointSource, Config, Group, JanusModel, UnifiedModel};

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

/// Copies a checkpoint's files to `folder`.
pub fn copy_checkpoint(name: &str, folder: &Path) {
    for file in [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "model.safetensors",
    ] {
        std::fs::copy(fixture(name).join(file), folder.join(file)).expect("is copied");
    }
}

/// `janus-a` with other sizes throughout — grouped-query heads of a width of their own, three
/// levels in the image tokenizer, deeper aligners, keys as older files have them — and random
/// weights.
pub fn grouped_query_checkpoint(folder: &Path) {
    copy_checkpoint("janus-a", folder);
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).expect("is read");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("parses");
    let text = &mut json["text_config"];
    text["num_attention_heads"] = 6.into();
    text["num_key_value_heads"] = 2.into();
    text["head_dim"] = 10.into();
    text["intermediate_size"] = 52.into();
    text["rope_theta"] = 500.0.into();
    text["rope_parameters"] = serde_json::Value::Null;
    json["vision_config"]["depth"] = 3.into();
    json["vision_config"]["mlp_ratio"] = 2.5.into();
    json["vision_config"]["patch_size"] = 4.into();
    json["vision_config"]["num_image_tokens"] = 9.into();
    let vq = &mut json["vq_config"];
    vq["num_hidden_layers"] = 1.into();
    // transformers takes it from the tower.
    vq["num_patches"] = 32.into();
    vq["channel_multiplier"] = serde_json::json!([1, 2, 1]);
    vq["num_res_blocks"] = 2.into();
    vq["num_embeddings"] = 50.into();
    vq["embed_dim"] = 5.into();
    let text = json.to_string();
    std::fs::write(&path, &text).expect("is written");

    let config = Config::parse("config.json", text.as_bytes()).expect("is a configuration");
    let shapes = JanusModel::tensor_shapes(&config).expect("has shapes");
    let mut chance = stream(1, "weights", &[]);
    let tensors: BTreeMap<&String, Tensor> = shapes
        .iter()
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            let inputs: usize = shape.iter().skip(1).product();
            let (centre, spread) = if name.contains("norm") && name.ends_with("weight") {
                (1.0, 0.2)
            } else {
                (0.0, 1.0 / (inputs.max(4) as f32).sqrt())
            };
            let values: Vec<f32> = (0..count)
                .map(|_| centre + spread * chance.random_range(-1.7..1.7))
                .collect();
            (
                name,
                Tensor::from_vec(values, shape.as_slice(), &Device::Cpu).expect("fits"),
            )
        })
        .collect();
    safetensors::serialize_to_file(tensors, None, &folder.join("model.safetensors"))
        .expect("is written");
}

/// Groups that answers depend on.
pub const UNDERSTANDING: [Group; 4] = [
    Group::VisionModel,
    Group::Aligner,
    Group::LanguageModel,
    Group::LmHead,
];

/// `count` images of the model's size, all different.
pub fn pixels(model: &JanusModel, count: usize) -> Tensor {
    let side = model.image_size();
    let values: Vec<f32> = (0..count * 3 * side * side)
        .map(|i| ((i * 31 % 97) as f32 / 48.0) - 1.0)
        .collect();
    Tensor::from_vec(values, (count, 3, side, side), &Device::Cpu).expect("fits")
}

/// The largest magnitude.
pub fn largest(tensor: &Tensor) -> f32 {
    let largest = tensor.abs().and_then(|t| t.max_all()?.to_scalar::<f32>());
    largest.expect("a number")
}

/// Every weight of `groups` has a gradient of `loss` that is a number and not 0.
pub fn assert_reached(model: &JanusModel, loss: &Tensor, groups: &[Group]) {
    let gradients = loss.backward().expect("a backward pass");
    let mut walked = 0;
    for (name, var) in model.parameters().of_groups(groups) {
        let gradient = gradients
            .get(var)
            .unwrap_or_else(|| panic!("`{name}` has no gradient"));
        assert_eq!(gradient.dims(), var.dims(), "{name}");
        let size = largest(gradient);
        // A bias on all keys shifts all scores of a query alike: its true gradient is 0.
        let shifts_scores = name.ends_with("k_proj.bias") || name.ends_with(".k.bias");
        assert!(
            size.is_finite() && (size > 0.0 || shifts_scores),
            "`{name}`: {size}"
        );
        walked += 1;
    }
    assert!(walked > 10);
}

/// `a` and `b` differ by no more than `limit` of the largest magnitude in `b`.
pub fn assert_close(what: &str, a: &Tensor, b: &Tensor, limit: f32) {
    let difference = largest(&(a - b).expect("equal shapes"));
    let size = largest(b);
    assert!(
        difference <= limit * size.max(1e-6),
        "{what}: {difference} of {size}"
    );
}
