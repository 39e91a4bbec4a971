//! The tower against candle-transformers' SigLIP, on weights of our own.

use std::collections::HashMap;

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::siglip::{VisionConfig, VisionModel};
use sc_model::UnifiedModel;

use crate::common::{fixture, load};

#[test]
fn the_tower_is_siglip() {
    let model = load(&fixture("janus-a"));
    let vision = &model.config().vision;
    let prefix = "model.vision_model.";
    let tensors: HashMap<String, Tensor> = model
        .parameters()
        .iter()
        .filter_map(|(name, _, var)| {
            let name = name
                .strip_prefix(prefix)?
                .replace("projection_layer", "out_proj");
            Some((name, var.as_detached_tensor()))
        })
        .collect();
    let config = serde_json::json!({
        "hidden_size": vision.hidden,
        "intermediate_size": vision.intermediate,
        "num_hidden_layers": vision.layers,
        "num_attention_heads": vision.heads,
        "num_channels": vision.channels,
        "image_size": vision.image,
        "patch_size": vision.patch,
        "hidden_act": "gelu",
        "layer_norm_eps": vision.layer_norm_eps,
    });
    let config: VisionConfig = serde_json::from_value(config).expect("is a configuration");
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let siglip = VisionModel::new(&config, false, builder).expect("has our tensors");

    let side = vision.image;
    let values: Vec<f32> = (0..2 * 3 * side * side)
        .map(|i| ((i * 29 % 83) as f32 / 41.0) - 1.0)
        .collect();
    let pixels = Tensor::from_vec(values, (2, 3, side, side), &Device::Cpu).expect("fits");
    let theirs = siglip.forward(&pixels).expect("computes");
    let ours = model.vision_hidden(&pixels).expect("computes");
    let largest = |t: &Tensor| {
        let largest = t.abs().and_then(|t| t.max_all()?.to_scalar::<f32>());
        largest.expect("a number")
    };
    let difference = largest(&(&ours - &theirs).expect("equal shapes"));
    assert!(difference < 1e-5 * largest(&theirs), "{difference}");
}
