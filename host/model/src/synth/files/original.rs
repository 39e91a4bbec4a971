//! The files that the authors' checkpoints have (deepseek-ai/Janus-Pro-1B and -7B).

use serde_json::{Value, json};

use super::super::ModelSize;
use crate::config::Config;

/// The files of JSON beside the tokenizer's.
pub(super) fn files(size: ModelSize, config: &Config, dtype: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("config.json", model(size, config, dtype)),
        ("preprocessor_config.json", preprocessor(config)),
        ("processor_config.json", processor(config)),
    ]
}

/// `config.json`: what it leaves out, their code knows.
fn model(size: ModelSize, config: &Config, dtype: &str) -> Value {
    let Config {
        text, vision, vq, ..
    } = config;
    let mut language = json!({
        "max_position_embeddings": text.positions,
        "model_type": "llama",
        "num_hidden_layers": text.layers,
        "torch_dtype": dtype,
        "vocab_size": text.vocab,
    });
    // The 7B has the other sizes that a Llama has where nothing is said.
    if size != ModelSize::JanusPro7B {
        language["hidden_size"] = text.hidden.into();
        language["intermediate_size"] = text.intermediate.into();
        language["num_attention_heads"] = text.heads.into();
        language["num_key_value_heads"] = text.kv_heads.into();
    }
    let mut seen = json!({
        "image_size": vision.image,
        "model_name": "siglip_large_patch16_384",
        "select_feature": "same",
        "select_layer": -1,
    });
    let mut drawn = json!({ "image_token_size": vq.codes, "n_embed": vq.embed });
    if size == ModelSize::Tiny {
        // Sizes that no code knows by a name, under the names of the authors' dataclasses.
        seen["model_name"] = "siglip_custom".into();
        seen["width"] = vision.hidden.into();
        seen["layers"] = vision.layers.into();
        seen["heads"] = vision.heads.into();
        seen["patch_size"] = vision.patch.into();
        seen["mlp_ratio"] = (vision.intermediate as f64 / vision.hidden as f64).into();
        drawn["z_channels"] = vq.latent.into();
        drawn["encoder_ch_mult"] = vq.multipliers.clone().into();
        drawn["decoder_ch_mult"] = vq.multipliers.clone().into();
    }
    let part = |class: &str, kind: &str, params: Value| json!({ "cls": class, "model_type": kind, "params": params });
    let aligner = |kind: &str, depth: usize, inputs: usize| {
        let params = json!({
            "depth": depth,
            "input_dim": inputs,
            "n_embed": text.hidden,
            "projector_type": "mlp_gelu",
        });
        part("MlpProjector", kind, params)
    };
    let head = json!({
        "image_token_embed": text.hidden,
        "image_token_size": vq.codes,
        "n_embed": text.hidden,
    });
    json!({
        "aligner_config": aligner("aligner", vision.aligner_depth, vision.hidden),
        "architectures": ["MultiModalityCausalLM"],
        "gen_aligner_config": aligner("gen_aligner", vq.aligner_depth, vq.embed),
        "gen_head_config": part("vision_head", "gen_head", head),
        "gen_vision_config": part("VQ-16", "gen_vision", drawn),
        "language_config": language,
        "model_type": "multi_modality",
        "torch_dtype": dtype,
        "vision_config": part("CLIPVisionTower", "vision", seen),
    })
}

fn preprocessor(config: &Config) -> Value {
    json!({
        "background_color": [127, 127, 127],
        "do_normalize": true,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "VLMImageProcessor",
        "image_size": config.vision.image,
        "image_std": [0.5, 0.5, 0.5],
        "min_size": 14,
        "processor_class": "VLChatProcessor",
        "rescale_factor": 1.0 / 255.0,
    })
}

fn processor(config: &Config) -> Value {
    json!({
        "add_special_token": false,
        "ignore_id": -100,
        "image_tag": "<image_placeholder>",
        "mask_prompt": true,
        "num_image_tokens": config.vision.tokens(),
        "processor_class": "VLChatProcessor",
        "sft_format": "deepseek",
    })
}
