//! The files that transformers writes (models/janus).

use serde_json::{Value, json};

use crate::config::Config;
use crate::text::SpecialTokens;

/// Guidance that Janus-Pro was published with.
const GUIDANCE: f64 = 5.0;

/// The chat template that transformers applies to messages with a list of contents each: roles and
/// texts as the authors' `SeparatorStyle.DeepSeek` joins them (janus/utils/conversation.py).
const CHAT_TEMPLATE: &str = "\
{%- for message in messages -%}
{%- if message['role'] == 'user' %}{{ '<|User|>: ' }}{% else %}{{ '<|Assistant|>: ' }}{% endif -%}
{%- for content in message['content'] -%}
{%- if content['type'] == 'image' %}{{ '<image_placeholder>\\n' }}{% else %}{{ content['text'] }}{% endif -%}
{%- endfor -%}
{%- if message['role'] == 'user' %}{{ '\\n\\n' }}{% else %}{{ eos_token }}{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|Assistant|>:' }}{% endif -%}
";

/// The chat template as a file.
pub(super) fn chat_template() -> (&'static str, Vec<u8>) {
    ("chat_template.jinja", CHAT_TEMPLATE.into())
}

/// The files of JSON beside the tokenizer's.
pub(super) fn files(
    config: &Config,
    special: &SpecialTokens,
    dtype: &str,
) -> Vec<(&'static str, Value)> {
    let processor = json!({
        "num_image_tokens": config.vision.tokens(),
        "processor_class": "JanusProcessor",
        "use_default_system_prompt": true,
    });
    vec![
        ("config.json", model(config, special, dtype)),
        ("generation_config.json", generation(special)),
        ("preprocessor_config.json", preprocessor(config)),
        ("processor_config.json", processor),
    ]
}

fn model(config: &Config, special: &SpecialTokens, dtype: &str) -> Value {
    let Config {
        text, vision, vq, ..
    } = config;
    json!({
        "architectures": ["JanusForConditionalGeneration"],
        "dtype": dtype,
        "image_token_id": config.image_token_id,
        "model_type": "janus",
        "text_config": {
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": special.bos,
            "dtype": dtype,
            "eos_token_id": special.eos,
            "head_dim": text.head_dim,
            "hidden_act": "silu",
            "hidden_size": text.hidden,
            "initializer_range": 0.02,
            "intermediate_size": text.intermediate,
            "max_position_embeddings": text.positions,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": text.heads,
            "num_hidden_layers": text.layers,
            "num_key_value_heads": text.kv_heads,
            "pad_token_id": special.pad,
            "pretraining_tp": 1,
            "rms_norm_eps": text.rms_eps,
            "rope_parameters": { "rope_theta": text.rope_theta, "rope_type": "default" },
            "tie_word_embeddings": text.tied,
            "use_cache": true,
            "vocab_size": text.vocab,
        },
        "tie_word_embeddings": text.tied,
        "vision_config": {
            "attention_bias": true,
            "attention_dropout": 0.0,
            "depth": vision.aligner_depth,
            "hidden_act": "gelu",
            "hidden_dropout_rate": 0.0,
            "hidden_size": vision.hidden,
            "image_size": vision.image,
            "initializer_range": 0.02,
            "layer_norm_eps": vision.layer_norm_eps,
            "mlp_ratio": vision.intermediate as f64 / vision.hidden as f64,
            "model_type": "janus_vision_model",
            "num_attention_heads": vision.heads,
            "num_channels": vision.channels,
            "num_hidden_layers": vision.layers,
            "num_image_tokens": vision.tokens(),
            "patch_size": vision.patch,
            "projection_dim": text.hidden,
            "projection_dropout": 0.0,
            "use_qk_norm": false,
        },
        "vq_config": {
            "base_channels": vq.base,
            "channel_multiplier": vq.multipliers,
            "double_latent": false,
            "dropout": 0.0,
            "embed_dim": vq.embed,
            "hidden_act": "gelu",
            "image_token_embed_dim": text.hidden,
            "in_channels": vq.in_channels,
            "initializer_range": 0.02,
            "latent_channels": vq.latent,
            "model_type": "janus_vqgan",
            "num_embeddings": vq.codes,
            "num_hidden_layers": vq.aligner_depth,
            "num_patches": vq.side,
            "num_res_blocks": vq.res_blocks,
            "out_channels": vq.out_channels,
            "projection_dim": text.hidden,
        },
    })
}

fn generation(special: &SpecialTokens) -> Value {
    json!({
        "bos_token_id": special.bos,
        "eos_token_id": special.eos,
        "generation_kwargs": { "boi_token_id": special.begin_of_image },
        "guidance_scale": GUIDANCE,
        "pad_token_id": special.pad,
        "temperature": 1.0,
    })
}

fn preprocessor(config: &Config) -> Value {
    let size = config.vision.image;
    json!({
        "do_convert_rgb": true,
        "do_normalize": true,
        "do_rescale": true,
        "do_resize": true,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "JanusImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "min_size": 14,
        "processor_class": "JanusProcessor",
        // Bicubic, as PIL counts.
        "resample": 3,
        "rescale_factor": 1.0 / 255.0,
        "size": { "height": size, "width": size },
    })
}
