//! transformers' `config.json` as written, and the checks on the way to what it means.

use serde::Deserialize;
use serde_json::Value;

use super::{Config, GROUP_NORM_GROUPS, TextConfig, VisionConfig, VqConfig};
use crate::checkpoint::names::Naming;
use crate::checkpoint::source::at_its_field;
use crate::error::{Error, Result};

/// Parses and checks transformers' configuration.
pub(super) fn parse(check: &Check, json: Value) -> Result<Config> {
    let json: ConfigJson = check.read(json)?;
    json.resolve(check, Naming::HuggingFace)
}

/// `config.json` as transformers writes it.
#[derive(Deserialize)]
pub(super) struct ConfigJson {
    pub(super) image_token_id: Option<u32>,
    pub(super) tie_word_embeddings: Option<bool>,
    #[serde(default)]
    pub(super) text_config: TextJson,
    #[serde(default)]
    pub(super) vision_config: VisionJson,
    #[serde(default)]
    pub(super) vq_config: VqJson,
}

impl ConfigJson {
    pub(super) fn resolve(self, check: &Check, naming: Naming) -> Result<Config> {
        let tied = self
            .tie_word_embeddings
            .or(self.text_config.tie_word_embeddings)
            .unwrap_or(false);
        let text = self.text_config.resolve(check, tied)?;
        let vision = self.vision_config.resolve(check, text.hidden)?;
        let tower_side = vision.image / vision.patch;
        let vq = self.vq_config.resolve(check, text.hidden, tower_side)?;
        if vq.image() != vision.image
            || vq.in_channels != vision.channels
            || vq.out_channels != vision.channels
        {
            return Err(check.error(
                "vq_config.channel_multiplier",
                format!("{:?}", vq.multipliers),
                format!(
                    "such that the decoded image ({0}×{0}×{1}) is what the tower sees \
                     ({2}×{2}×{3})",
                    vq.image(),
                    vq.out_channels,
                    vision.image,
                    vision.channels
                ),
            ));
        }
        Ok(Config {
            naming,
            text,
            vision,
            vq,
            image_token_id: self.image_token_id,
        })
    }
}

#[derive(Default, Deserialize)]
struct RopeJson {
    rope_theta: Option<f64>,
    rope_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
pub(super) struct TextJson {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeJson>,
    rope_scaling: Option<Value>,
    hidden_act: String,
    attention_bias: bool,
    mlp_bias: bool,
    tie_word_embeddings: Option<bool>,
}

impl Default for TextJson {
    fn default() -> Self {
        TextJson {
            hidden_size: 4096,
            intermediate_size: 11008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            vocab_size: 32000,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-6,
            rope_theta: None,
            rope_parameters: None,
            rope_scaling: None,
            hidden_act: "silu".into(),
            attention_bias: false,
            mlp_bias: false,
            tie_word_embeddings: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
pub(super) struct VisionJson {
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_channels: usize,
    pub(super) patch_size: usize,
    pub(super) image_size: usize,
    pub(super) num_image_tokens: Option<usize>,
    pub(super) layer_norm_eps: f64,
    pub(super) mlp_ratio: f64,
    pub(super) hidden_act: String,
    pub(super) attention_bias: bool,
    pub(super) use_qk_norm: bool,
    pub(super) projection_dim: usize,
    pub(super) depth: usize,
}

impl Default for VisionJson {
    fn default() -> Self {
        VisionJson {
            hidden_size: 1024,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            num_channels: 3,
            patch_size: 16,
            image_size: 384,
            num_image_tokens: None,
            layer_norm_eps: 1e-6,
            mlp_ratio: 4.0,
            hidden_act: "gelu".into(),
            attention_bias: true,
            use_qk_norm: false,
            projection_dim: 2048,
            depth: 2,
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
pub(super) struct VqJson {
    pub(super) embed_dim: usize,
    pub(super) num_embeddings: usize,
    pub(super) double_latent: bool,
    pub(super) latent_channels: usize,
    /// Image tokens a side, where the layout leaves them free. transformers takes them from the
    /// tower, whatever the file says (configuration_janus.py).
    #[serde(skip)]
    pub(super) num_patches: Option<usize>,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    pub(super) base_channels: usize,
    pub(super) channel_multiplier: Vec<usize>,
    pub(super) num_res_blocks: usize,
    pub(super) projection_dim: usize,
    pub(super) image_token_embed_dim: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) hidden_act: String,
}

impl Default for VqJson {
    fn default() -> Self {
        VqJson {
            embed_dim: 8,
            num_embeddings: 16384,
            double_latent: false,
            latent_channels: 256,
            num_patches: None,
            in_channels: 3,
            out_channels: 3,
            base_channels: 128,
            channel_multiplier: vec![1, 1, 2, 2, 4],
            num_res_blocks: 2,
            projection_dim: 2048,
            image_token_embed_dim: 2048,
            num_hidden_layers: 2,
            hidden_act: "gelu".into(),
        }
    }
}

/// Checks on values of one file.
pub(super) struct Check<'a> {
    pub(super) file: &'a str,
}

impl Check<'_> {
    /// The whole as `T`.
    pub(super) fn read<T: for<'a> Deserialize<'a>>(&self, json: Value) -> Result<T> {
        serde_path_to_error::deserialize(json).map_err(at_its_field(self.file))
    }

    pub(super) fn error(
        &self,
        field: &str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Error {
        Error::Config {
            file: self.file.to_string(),
            field: field.to_string(),
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    pub(super) fn that(
        &self,
        field: &str,
        value: impl ToString,
        holds: bool,
        expected: &str,
    ) -> Result<()> {
        if holds {
            Ok(())
        } else {
            Err(self.error(field, value, expected))
        }
    }

    pub(super) fn is(&self, field: &str, value: &str, expected: &str) -> Result<()> {
        self.that(
            field,
            format!("`{value}`"),
            value == expected,
            &format!("`{expected}`"),
        )
    }

    /// Sizes up to a bound that keeps all later products of sizes inside 64 bits.
    fn size(&self, field: &str, value: usize) -> Result<usize> {
        let holds = (1..=1 << 20).contains(&value);
        self.that(field, value, holds, "a size from 1 to 1048576")?;
        Ok(value)
    }

    fn small(&self, field: &str, value: usize) -> Result<usize> {
        self.that(field, value, value <= 1024, "at most 1024")?;
        Ok(value)
    }

    fn depth(&self, field: &str, value: usize) -> Result<usize> {
        self.that(field, value, value >= 1, "at least 1")?;
        self.small(field, value)
    }

    fn positive(&self, field: &str, value: f64) -> Result<f64> {
        let holds = value.is_finite() && value > 0.0;
        self.that(field, value, holds, "a finite number above 0")?;
        Ok(value)
    }

    fn equal(&self, field: &str, value: usize, expected: usize, what: &str) -> Result<()> {
        self.that(
            field,
            value,
            value == expected,
            &format!("{expected}, {what}"),
        )
    }
}

impl TextJson {
    fn resolve(self, check: &Check, tied: bool) -> Result<TextConfig> {
        check.is("text_config.hidden_act", &self.hidden_act, "silu")?;
        for (field, value) in [
            ("text_config.attention_bias", self.attention_bias),
            ("text_config.mlp_bias", self.mlp_bias),
        ] {
            check.that(field, value, !value, "false")?;
        }
        if let Some(scaling) = self.rope_scaling.filter(|value| !value.is_null()) {
            return Err(check.error("text_config.rope_scaling", scaling, "null"));
        }
        let rope = self.rope_parameters.unwrap_or_default();
        if let Some(kind) = &rope.rope_type {
            check.is("text_config.rope_parameters.rope_type", kind, "default")?;
        }
        let hidden = check.size("text_config.hidden_size", self.hidden_size)?;
        let heads = check.size("text_config.num_attention_heads", self.num_attention_heads)?;
        let kv_heads = check.size(
            "text_config.num_key_value_heads",
            self.num_key_value_heads.unwrap_or(heads),
        )?;
        check.that(
            "text_config.num_key_value_heads",
            kv_heads,
            heads % kv_heads == 0,
            &format!("a divisor of num_attention_heads ({heads})"),
        )?;
        let head_dim = check.size(
            "text_config.head_dim",
            self.head_dim.unwrap_or(hidden / heads),
        )?;
        check.that(
            "text_config.head_dim",
            head_dim,
            head_dim.is_multiple_of(2),
            "an even number",
        )?;
        Ok(TextConfig {
            hidden,
            intermediate: check.size("text_config.intermediate_size", self.intermediate_size)?,
            layers: check.depth("text_config.num_hidden_layers", self.num_hidden_layers)?,
            heads,
            kv_heads,
            head_dim,
            vocab: check.size("text_config.vocab_size", self.vocab_size)?,
            positions: check.size(
                "text_config.max_position_embeddings",
                self.max_position_embeddings,
            )?,
            rms_eps: check.positive("text_config.rms_norm_eps", self.rms_norm_eps)?,
            rope_theta: check.positive(
                "text_config.rope_parameters.rope_theta",
                rope.rope_theta.or(self.rope_theta).unwrap_or(1e4),
            )?,
            tied,
        })
    }
}

impl VisionJson {
    fn resolve(self, check: &Check, text_hidden: usize) -> Result<VisionConfig> {
        check.is("vision_config.hidden_act", &self.hidden_act, "gelu")?;
        check.that(
            "vision_config.attention_bias",
            self.attention_bias,
            self.attention_bias,
            "true",
        )?;
        check.that(
            "vision_config.use_qk_norm",
            self.use_qk_norm,
            !self.use_qk_norm,
            "false",
        )?;
        check.equal(
            "vision_config.projection_dim",
            self.projection_dim,
            text_hidden,
            "the language model's hidden_size",
        )?;
        let hidden = check.size("vision_config.hidden_size", self.hidden_size)?;
        let heads = check.size(
            "vision_config.num_attention_heads",
            self.num_attention_heads,
        )?;
        check.that(
            "vision_config.num_attention_heads",
            heads,
            hidden % heads == 0,
            &format!("a divisor of hidden_size ({hidden})"),
        )?;
        let patch = check.size("vision_config.patch_size", self.patch_size)?;
        let image = check.size("vision_config.image_size", self.image_size)?;
        check.that(
            "vision_config.image_size",
            image,
            image % patch == 0,
            &format!("a multiple of patch_size ({patch})"),
        )?;
        let mlp_ratio = check.positive("vision_config.mlp_ratio", self.mlp_ratio)?;
        let vision = VisionConfig {
            hidden,
            // The reference truncates.
            intermediate: check.size(
                "vision_config.mlp_ratio",
                (hidden as f64 * mlp_ratio) as usize,
            )?,
            layers: check.depth("vision_config.num_hidden_layers", self.num_hidden_layers)?,
            heads,
            channels: check.size("vision_config.num_channels", self.num_channels)?,
            patch,
            image,
            layer_norm_eps: check.positive("vision_config.layer_norm_eps", self.layer_norm_eps)?,
            aligner_depth: check.depth("vision_config.depth", self.depth)?,
        };
        if let Some(tokens) = self.num_image_tokens {
            check.equal(
                "vision_config.num_image_tokens",
                tokens,
                vision.tokens(),
                "(image_size / patch_size)²",
            )?;
        }
        Ok(vision)
    }
}

impl VqJson {
    fn resolve(self, check: &Check, text_hidden: usize, tower_side: usize) -> Result<VqConfig> {
        check.is("vq_config.hidden_act", &self.hidden_act, "gelu")?;
        check.that(
            "vq_config.double_latent",
            self.double_latent,
            !self.double_latent,
            "false",
        )?;
        for (field, value) in [
            ("vq_config.projection_dim", self.projection_dim),
            (
                "vq_config.image_token_embed_dim",
                self.image_token_embed_dim,
            ),
        ] {
            check.equal(
                field,
                value,
                text_hidden,
                "the language model's hidden_size",
            )?;
        }
        let levels = self.channel_multiplier.len();
        check.that(
            "vq_config.channel_multiplier",
            format!("{:?}", self.channel_multiplier),
            (1..=12).contains(&levels),
            "1 to 12 multipliers",
        )?;
        let base = check.size("vq_config.base_channels", self.base_channels)?;
        for multiplier in &self.channel_multiplier {
            let channels = base.saturating_mul(*multiplier);
            check.that(
                "vq_config.base_channels",
                base,
                (1..=1 << 20).contains(&channels) && channels % GROUP_NORM_GROUPS == 0,
                &format!("a multiple of {GROUP_NORM_GROUPS} at every multiplier"),
            )?;
        }
        Ok(VqConfig {
            embed: check.size("vq_config.embed_dim", self.embed_dim)?,
            codes: check.size("vq_config.num_embeddings", self.num_embeddings)?,
            latent: check.size("vq_config.latent_channels", self.latent_channels)?,
            side: self.num_patches.unwrap_or(tower_side),
            in_channels: check.size("vq_config.in_channels", self.in_channels)?,
            out_channels: check.size("vq_config.out_channels", self.out_channels)?,
            base,
            multipliers: self.channel_multiplier,
            res_blocks: check.small("vq_config.num_res_blocks", self.num_res_blocks)?,
            aligner_depth: check.depth("vq_config.num_hidden_layers", self.num_hidden_layers)?,
        })
    }
}
