//! The files that the authors' checkpoints have (deepseek-ai/Janus-Pro-1B and -7B).

use serde_json::{Value, json};

use crate::config::{Config, TextConfig, VisionConfig, VqConfig};

/// The files of JSON beside the tokenizer's.
pub(super) fn files(config: &Config, dtype: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("config.json", model(config, dtype)),
        ("preprocessor_config.json", preprocessor(config)),
        ("processor_config.json", processor(config)),
    ]
}

/// `config.json`: what it leaves out, their code knows.
fn model(config: &Config, dtype: &str) -> Value {
    let Config {
        text, vision, vq, ..
    } = config;
    let language = language(text, dtype);
    let mut seen = json!({
        "image_size": vision.image,
        "model_name": "siglip_large_patch16_384",
        "select_feature": "same",
        "select_layer": -1,
    });
    let mut drawn = json!({ "image_token_size": vq.codes, "n_embed": vq.embed });
    let (eye, tokenizer) = published_eye_and_tokenizer();
    if (vision, vq) != (&eye, &tokenizer) {
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
        "tie_word_embeddings": text.tied,
        "torch_dtype": dtype,
        "vision_config": part("CLIPVisionTower", "vision", seen),
    })
}

/// The language model's part: what a Llama has where nothing is said (`LlamaConfig`) is left out.
fn language(text: &TextConfig, dtype: &str) -> Value {
    let mut language = json!({
        "max_position_embeddings": text.positions,
        "model_type": "llama",
        "num_hidden_layers": text.layers,
        "torch_dtype": dtype,
        "vocab_size": text.vocab,
    });
    let sizes = [
        ("hidden_size", text.hidden, 4096),
        ("intermediate_size", text.intermediate, 11_008),
        ("num_attention_heads", text.heads, 32),
        ("num_key_value_heads", text.kv_heads, 32),
        ("head_dim", text.head_dim, text.hidden / text.heads),
    ];
    for (key, size, unsaid) in sizes {
        if size != unsaid {
            language[key] = size.into();
        }
    }
    for (key, number, unsaid) in [
        ("rms_norm_eps", text.rms_eps, 1e-6),
        ("rope_theta", text.rope_theta, 1e4),
    ] {
        if number != unsaid {
            language[key] = number.into();
        }
    }
    language
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

/// SigLIP-L/16 at 384 and VQ-16, which all published sizes share.
pub(crate) fn published_eye_and_tokenizer() -> (VisionConfig, VqConfig) {
    let vision = VisionConfig {
        hidden: 1024,
        intermediate: 4096,
        layers: 24,
        heads: 16,
        channels: 3,
        patch: 16,
        image: 384,
        layer_norm_eps: 1e-6,
        aligner_depth: 2,
    };
    let vq = VqConfig {
        embed: 8,
        codes: 16_384,
        latent: 256,
        side: 24,
        in_channels: 3,
        out_channels: 3,
        base: 128,
        multipliers: vec![1, 1, 2, 2, 4],
        res_blocks: 2,
        aligner_depth: 2,
    };
    (vision, vq)
}
