//! What a checkpoint is, in figures.

use serde::Serialize;

use crate::janus::JanusModel;
use crate::parameters::Group;
use crate::unified::UnifiedModel;

/// Number of weights of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupInfo {
    /// The group's name in tensor names.
    pub group: &'static str,
    /// Its tensors.
    pub tensors: usize,
    /// Its weights.
    pub parameters: usize,
}

/// A special token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// Its text.
    pub token: &'static str,
    /// Its id.
    pub id: u32,
}

/// The language model's sizes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LanguageModelInfo {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the gated MLP.
    pub intermediate: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Words.
    pub vocabulary: usize,
}

/// The understanding eye's sizes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VisionInfo {
    /// Width.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads.
    pub heads: usize,
    /// Pixels per side of a patch.
    pub patch: usize,
    /// Tokens that an image takes in a question.
    pub tokens: usize,
}

/// The image tokenizer's sizes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenizerInfo {
    /// Codes.
    pub codes: usize,
    /// Width of a code.
    pub width: usize,
    /// Levels of resolution.
    pub levels: usize,
    /// Tokens of a drawn image.
    pub tokens: usize,
}

/// An adapter on the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterInfo {
    /// Rank of its products.
    pub rank: usize,
    /// Scale before the division by the rank.
    pub alpha: f64,
    /// Whether it is divided by the root of the rank.
    pub rslora: bool,
    /// Linear layers that it is on.
    pub modules: usize,
    /// Its weights.
    pub parameters: usize,
}

/// A model's description.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelInfo {
    /// The family of architectures.
    pub family: &'static str,
    /// Weights in all.
    pub parameters: usize,
    /// Dtype that the weights are stored in; `mixed` where they differ.
    pub dtype: &'static str,
    /// Pixels per side of an image.
    pub image_size: usize,
    /// The language model.
    pub language_model: LanguageModelInfo,
    /// The understanding eye.
    pub vision_model: VisionInfo,
    /// The image tokenizer.
    pub image_tokenizer: TokenizerInfo,
    /// Guidance that the checkpoint was made for, where it says so.
    pub guidance: Option<f64>,
    /// `yes-no` where a verdict is read from two words, `text` where from an answer's text.
    pub verdict: &'static str,
    /// The adapter on it, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterInfo>,
    /// Weights by group.
    pub groups: Vec<GroupInfo>,
    /// Special tokens.
    pub special_tokens: Vec<TokenInfo>,
}

/// Describes a model.
pub fn info(model: &JanusModel) -> ModelInfo {
    let (config, parameters) = (model.config(), model.parameters());
    let groups: Vec<GroupInfo> = Group::ALL
        .into_iter()
        .map(|group| GroupInfo {
            group: group.name(),
            tensors: parameters.of_groups(&[group]).count(),
            parameters: parameters.count(group),
        })
        .collect();
    ModelInfo {
        family: "janus",
        parameters: groups.iter().map(|group| group.parameters).sum(),
        dtype: parameters
            .stored_dtype()
            .map_or("mixed", |dtype| dtype.as_str()),
        image_size: model.image_size(),
        language_model: LanguageModelInfo {
            hidden: config.text.hidden,
            intermediate: config.text.intermediate,
            layers: config.text.layers,
            heads: config.text.heads,
            kv_heads: config.text.kv_heads,
            head_dim: config.text.head_dim,
            vocabulary: config.text.vocab,
        },
        vision_model: VisionInfo {
            hidden: config.vision.hidden,
            layers: config.vision.layers,
            heads: config.vision.heads,
            patch: config.vision.patch,
            tokens: config.vision.tokens(),
        },
        image_tokenizer: TokenizerInfo {
            codes: config.vq.codes,
            width: config.vq.embed,
            levels: config.vq.multipliers.len(),
            tokens: config.vq.tokens(),
        },
        guidance: model.generation_defaults().guidance_scale,
        verdict: if model.text().yes_no.is_some() {
            "yes-no"
        } else {
            "text"
        },
        adapter: parameters.adapter().map(|adapter| {
            let settings = adapter.settings();
            AdapterInfo {
                rank: settings.rank,
                alpha: settings.alpha,
                rslora: settings.rslora,
                modules: adapter.modules().count(),
                parameters: adapter.iter().map(|(_, var)| var.elem_count()).sum(),
            }
        }),
        groups,
        special_tokens: model
            .text()
            .special
            .by_text()
            .into_iter()
            .map(|(token, id)| TokenInfo { token, id })
            .collect(),
    }
}
