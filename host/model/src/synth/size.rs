//! The sizes there are.

use crate::checkpoint::names::Naming;
use crate::checkpoint::written::files::original::published_eye_and_tokenizer;
use crate::config::{Config, TextConfig, VisionConfig, VqConfig};
use crate::text::SpecialTokens;

/// Which model's sizes a made-up checkpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelSize {
    /// Some hundred thousand weights: no published model, for tests.
    Tiny,
    /// deepseek-ai/Janus-Pro-1B.
    JanusPro1B,
    /// deepseek-ai/Janus-Pro-7B.
    JanusPro7B,
}

impl ModelSize {
    /// The configuration, of a checkpoint in one of the layouts.
    pub(super) fn config(self, layout: Naming) -> Config {
        let text = self.text();
        let (vision, vq) = match self {
            ModelSize::Tiny => tiny_eye_and_tokenizer(),
            ModelSize::JanusPro1B | ModelSize::JanusPro7B => published_eye_and_tokenizer(),
        };
        Config {
            naming: layout,
            text,
            vision,
            vq,
            image_token_id: match layout {
                Naming::HuggingFace => Some(self.special_tokens().image_placeholder),
                Naming::Original => None,
            },
        }
    }

    fn text(self) -> TextConfig {
        let (hidden, intermediate, layers, heads, vocab, positions) = match self {
            ModelSize::Tiny => (64, 176, 3, 4, 512, 2048),
            ModelSize::JanusPro1B => (2048, 5632, 24, 16, 102_400, 16_384),
            ModelSize::JanusPro7B => (4096, 11_008, 30, 32, 102_400, 16_384),
        };
        TextConfig {
            hidden,
            intermediate,
            layers,
            heads,
            kv_heads: heads,
            head_dim: hidden / heads,
            vocab,
            positions,
            rms_eps: 1e-6,
            rope_theta: 1e4,
            tied: false,
        }
    }

    /// Ids of the special tokens; the two published sizes have different tokenizers.
    pub(super) fn special_tokens(self) -> SpecialTokens {
        let (bos, pad, begin_of_image, end_of_image, image_placeholder) = match self {
            ModelSize::Tiny => (500, 502, 503, 506, 507),
            ModelSize::JanusPro1B => (100_000, 100_002, 100_003, 100_580, 100_581),
            ModelSize::JanusPro7B => (100_000, 100_015, 100_016, 100_593, 100_594),
        };
        SpecialTokens {
            bos,
            eos: bos + 1,
            pad,
            begin_of_image,
            end_of_image,
            image_placeholder,
        }
    }
}

/// The same parts as small as they can be with more than one of everything. Images have the size
/// of the tiny world's.
fn tiny_eye_and_tokenizer() -> (VisionConfig, VqConfig) {
    let vision = VisionConfig {
        hidden: 48,
        intermediate: 192,
        layers: 2,
        heads: 4,
        channels: 3,
        patch: 4,
        image: 32,
        layer_norm_eps: 1e-6,
        aligner_depth: 2,
    };
    let vq = VqConfig {
        embed: 8,
        codes: 96,
        latent: 32,
        side: 8,
        in_channels: 3,
        out_channels: 3,
        base: 32,
        multipliers: vec![1, 2, 2],
        res_blocks: 1,
        aligner_depth: 2,
    };
    (vision, vq)
}
