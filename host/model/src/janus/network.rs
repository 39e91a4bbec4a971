//! The parts of a Janus model put together, over either tracked or detached weights.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::config::Config;
use crate::error::Result;
use crate::janus::llama::Llama;
use crate::janus::mlp::Mlp;
use crate::janus::tower::Tower;
use crate::janus::vq::Vq;
use crate::ops;
use crate::parameters::{Scope, TensorSource};

/// All modules.
pub(crate) struct Network {
    pub(crate) tower: Tower,
    pub(crate) aligner: Mlp,
    pub(crate) llama: Llama,
    pub(crate) lm_head: Tensor,
    pub(crate) generation_embeddings: Tensor,
    pub(crate) generation_aligner: Mlp,
    pub(crate) generation_head: Mlp,
    pub(crate) vq: Vq,
}

impl Network {
    pub(crate) fn new(source: &dyn TensorSource, config: &Config) -> Network {
        let root = Scope::root(source);
        let model = root.at("model");
        let hidden = config.text.hidden;
        let llama = Llama::new(&model.at("language_model"), &config.text);
        Network {
            tower: Tower::new(&model.at("vision_model"), &config.vision),
            aligner: Mlp::aligner(
                &model.at("aligner"),
                config.vision.hidden,
                hidden,
                config.vision.aligner_depth,
            ),
            lm_head: if config.text.tied {
                llama.embeddings.clone()
            } else {
                root.at("lm_head")
                    .tensor("weight", &[config.text.vocab, hidden])
            },
            llama,
            generation_embeddings: model
                .at("generation_embeddings")
                .tensor("weight", &[config.vq.codes, config.vq.embed]),
            generation_aligner: Mlp::aligner(
                &model.at("generation_aligner"),
                config.vq.embed,
                hidden,
                config.vq.aligner_depth,
            ),
            generation_head: Mlp::generation_head(
                &model.at("generation_head"),
                hidden,
                config.vq.codes,
            ),
            vq: Vq::new(&model.at("vqmodel"), &config.vq),
        }
    }

    /// Names and shapes of the tensors that a checkpoint of this configuration holds.
    pub(crate) fn tensors(config: &Config) -> Result<BTreeMap<String, Vec<usize>>> {
        struct Recorder {
            blank: Tensor,
            seen: RefCell<BTreeMap<String, Vec<usize>>>,
        }
        impl TensorSource for Recorder {
            fn tensor(&self, name: &str, shape: &[usize]) -> Tensor {
                let mut seen = self.seen.borrow_mut();
                seen.insert(name.to_string(), shape.to_vec());
                self.blank.clone()
            }
        }
        let recorder = Recorder {
            blank: Tensor::zeros(1, DType::F32, &Device::Cpu)?,
            seen: RefCell::default(),
        };
        Network::new(&recorder, config);
        Ok(recorder.seen.into_inner())
    }

    /// Inputs [.., hidden] of the language model for image tokens [..].
    pub(crate) fn embed_image_tokens(&self, tokens: &Tensor) -> candle_core::Result<Tensor> {
        let mut dims = tokens.dims().to_vec();
        let (codes, _) = self.generation_embeddings.dims2()?;
        if codes < tokens.elem_count() {
            // Cheaper to align every code once than every token.
            let aligned = self
                .generation_aligner
                .forward(&self.generation_embeddings)?;
            dims.push(aligned.dim(1)?);
            return aligned
                .index_select(&tokens.flatten_all()?, 0)?
                .reshape(dims);
        }
        let embedded = self
            .generation_embeddings
            .index_select(&tokens.flatten_all()?, 0)?;
        let aligned = self.generation_aligner.forward(&embedded)?;
        dims.push(aligned.dim(1)?);
        aligned.reshape(dims)
    }

    /// Word logits [.., vocab] of hidden states.
    pub(crate) fn word_logits(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        ops::linear(hidden, &self.lm_head, None)
    }

    /// Pixels [B, C, S, S] → the language model's inputs for them [B, patches, hidden].
    pub(crate) fn image_features(&self, pixels: &Tensor) -> candle_core::Result<Tensor> {
        self.aligner.forward(&self.tower.forward(pixels)?)
    }
}
