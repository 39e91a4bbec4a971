//! The parts of a Janus model put together, over either tracked or detached weights.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};

use crate::adapter::{LinearShape, LowRank, Weight};
use crate::config::Config;
use crate::error::Result;
use crate::janus::llama::{COMPUTE, Llama};
use crate::janus::mlp::Mlp;
use crate::janus::tower::Tower;
use crate::janus::vq::Vq;
use crate::parameters::{Adaptation, Scope, TensorSource};

/// All modules.
#[derive(Clone)]
pub(crate) struct Network {
    /// How an adapter stands to the weights.
    pub(crate) adaptation: Adaptation,
    pub(crate) tower: Tower,
    pub(crate) aligner: Mlp,
    pub(crate) llama: Llama,
    pub(crate) lm_head: Weight,
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
            adaptation: source.adaptation(),
            tower: Tower::new(&model.at("vision_model"), &config.vision),
            aligner: Mlp::aligner(
                &model.at("aligner"),
                config.vision.hidden,
                hidden,
                config.vision.aligner_depth,
            ),
            lm_head: if config.text.tied {
                Weight::new(llama.embeddings.clone(), None)
            } else {
                root.at("lm_head").weight(config.text.vocab, hidden)
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

    /// What a checkpoint of this configuration holds.
    pub(crate) fn inventory(config: &Config) -> Result<Inventory> {
        struct Recorder {
            blank: Tensor,
            seen: RefCell<Inventory>,
        }
        impl TensorSource for Recorder {
            fn tensor(&self, name: &str, shape: &[usize]) -> Tensor {
                let mut seen = self.seen.borrow_mut();
                seen.tensors.insert(name.to_string(), shape.to_vec());
                self.blank.clone()
            }

            fn added(&self, module: &str) -> Option<LowRank> {
                self.seen.borrow_mut().linears.insert(module.to_string());
                None
            }
        }
        let recorder = Recorder {
            blank: Tensor::zeros(1, DType::F32, &Device::Cpu)?,
            seen: RefCell::default(),
        };
        Network::new(&recorder, config);
        Ok(recorder.seen.into_inner())
    }

    /// The network whose weights have in them what an adapter adds; itself where there is none.
    pub(crate) fn merged(&self) -> Result<Cow<'_, Network>> {
        if self.adaptation == Adaptation::None {
            return Ok(Cow::Borrowed(self));
        }
        Ok(Cow::Owned(Network {
            adaptation: Adaptation::None,
            tower: self.tower.merged()?,
            aligner: self.aligner.merged()?,
            llama: self.llama.merged()?,
            lm_head: self.lm_head.merged()?,
            generation_embeddings: self.generation_embeddings.clone(),
            generation_aligner: self.generation_aligner.merged()?,
            generation_head: self.generation_head.merged()?,
            vq: self.vq.clone(),
        }))
    }

    /// Inputs [.., hidden] of the language model for image tokens [..].
    pub(crate) fn embed_image_tokens(&self, tokens: &Tensor) -> candle_core::Result<Tensor> {
        let mut dims = tokens.dims().to_vec();
        let (codes, _) = self.generation_embeddings.dims2()?;
        if codes < tokens.elem_count() {
            // Cheaper to align every code once than every token.
            let codes = self.generation_embeddings.to_dtype(COMPUTE)?;
            let aligned = self.generation_aligner.forward(&codes)?;
            dims.push(aligned.dim(1)?);
            return aligned
                .index_select(&tokens.flatten_all()?, 0)?
                .reshape(dims);
        }
        let embedded = self
            .generation_embeddings
            .index_select(&tokens.flatten_all()?, 0)?
            .to_dtype(COMPUTE)?;
        let aligned = self.generation_aligner.forward(&embedded)?;
        dims.push(aligned.dim(1)?);
        aligned.reshape(dims)
    }

    /// Word logits [.., vocab] of hidden states.
    pub(crate) fn word_logits(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        self.lm_head.apply(hidden, None)
    }

    /// Pixels [B, C, S, S] → the language model's inputs for them [B, patches, hidden].
    pub(crate) fn image_features(&self, pixels: &Tensor) -> candle_core::Result<Tensor> {
        self.aligner.forward(&self.tower.forward(pixels)?)
    }
}

/// What a checkpoint of some configuration holds.
#[derive(Default)]
pub(crate) struct Inventory {
    /// Tensors with their shapes, by transformers' names.
    pub(crate) tensors: BTreeMap<String, Vec<usize>>,
    /// Modules that are linear layers.
    linears: BTreeSet<String>,
}

impl Inventory {
    /// The linear layers, which can be adapted.
    pub(crate) fn linears(&self) -> BTreeMap<String, LinearShape> {
        let shape =
            |module: &String| match *self.tensors.get(&format!("{module}.weight"))?.as_slice() {
                [outputs, inputs] => Some(LinearShape { inputs, outputs }),
                _ => None,
            };
        (self.linears.iter())
            .filter_map(|module| Some((module.clone(), shape(module)?)))
            .collect()
    }
}
