//! The understanding eye: SigLIP's vision tower (Zhai et al., 2023, arXiv 2303.15343) as Janus
//! has it: learned positions, no class token, exact GELU, the final norm over all patches.

use candle_core::{Result, Tensor};

use crate::adapter::Weight;
use crate::config::VisionConfig;
use crate::janus::mlp::Linear;
use crate::ops;
use crate::parameters::Scope;

/// LayerNorm's parameters.
#[derive(Clone)]
pub(crate) struct Norm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Norm {
    pub(crate) fn new(scope: &Scope, width: usize) -> Norm {
        Norm {
            weight: scope.tensor("weight", &[width]),
            bias: scope.tensor("bias", &[width]),
        }
    }

    /// Weight and bias.
    pub(crate) fn weights(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }
}

/// A pre-norm transformer block.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) norm1: Norm,
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) projection: Linear,
    pub(crate) norm2: Norm,
    pub(crate) fc1: Linear,
    pub(crate) fc2: Linear,
}

/// The tower.
#[derive(Clone)]
pub(crate) struct Tower {
    pub(crate) config: VisionConfig,
    pub(crate) patch_embedding: Linear,
    pub(crate) positions: Tensor,
    pub(crate) blocks: Vec<Block>,
    pub(crate) post_norm: Norm,
}

impl Block {
    fn new(scope: &Scope, config: &VisionConfig) -> Block {
        let attention = scope.at("self_attn");
        let square = |name: &str| Linear::new(&attention.at(name), config.hidden, config.hidden);
        let mlp = scope.at("mlp");
        Block {
            norm1: Norm::new(&scope.at("layer_norm1"), config.hidden),
            query: square("q_proj"),
            key: square("k_proj"),
            value: square("v_proj"),
            projection: square("projection_layer"),
            norm2: Norm::new(&scope.at("layer_norm2"), config.hidden),
            fc1: Linear::new(&mlp.at("fc1"), config.hidden, config.intermediate),
            fc2: Linear::new(&mlp.at("fc2"), config.intermediate, config.hidden),
        }
    }

    fn merged(&self) -> Result<Block> {
        Ok(Block {
            norm1: self.norm1.clone(),
            query: self.query.merged()?,
            key: self.key.merged()?,
            value: self.value.merged()?,
            projection: self.projection.merged()?,
            norm2: self.norm2.clone(),
            fc1: self.fc1.merged()?,
            fc2: self.fc2.merged()?,
        })
    }

    fn forward(&self, x: &Tensor, config: &VisionConfig) -> Result<Tensor> {
        let (batch, steps, hidden) = x.dims3()?;
        let heads = |x: Tensor| {
            x.reshape((batch, steps, config.heads, hidden / config.heads))?
                .transpose(1, 2)
        };
        let eps = config.layer_norm_eps;
        let h = ops::layer_norm(x, &self.norm1.weight, &self.norm1.bias, eps)?;
        let attended = ops::attention(
            &heads(self.query.forward(&h)?)?,
            &heads(self.key.forward(&h)?)?,
            &heads(self.value.forward(&h)?)?,
            None,
        )?;
        let x = (x + self.projection.forward(&attended)?)?;
        let h = ops::layer_norm(&x, &self.norm2.weight, &self.norm2.bias, eps)?;
        let h = self.fc2.forward(&self.fc1.forward(&h)?.gelu_erf()?)?;
        x + h
    }
}

impl Tower {
    pub(crate) fn new(scope: &Scope, config: &VisionConfig) -> Tower {
        let embeddings = scope.at("embeddings");
        let patch = embeddings.at("patch_embedding");
        let shape = [config.hidden, config.channels, config.patch, config.patch];
        let layers = scope.at("encoder").at("layers");
        Tower {
            config: config.clone(),
            patch_embedding: Linear {
                weight: Weight::new(patch.tensor("weight", &shape), None),
                bias: patch.tensor("bias", &[config.hidden]),
            },
            positions: embeddings
                .at("position_embedding")
                .tensor("weight", &[config.tokens(), config.hidden]),
            blocks: (0..config.layers)
                .map(|layer| Block::new(&layers.at(layer), config))
                .collect(),
            post_norm: Norm::new(&scope.at("post_layernorm"), config.hidden),
        }
    }

    /// With what an adapter adds in the weights themselves.
    pub(crate) fn merged(&self) -> Result<Tower> {
        Ok(Tower {
            blocks: (self.blocks.iter())
                .map(Block::merged)
                .collect::<Result<_>>()?,
            ..self.clone()
        })
    }

    /// Pixels [B, C, S, S] in −1..1 → [B, patches, hidden], patches row by row.
    pub(crate) fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let mut x = self.embed(pixels)?;
        for block in &self.blocks {
            x = block.forward(&x, &self.config)?;
        }
        ops::layer_norm(
            &x,
            &self.post_norm.weight,
            &self.post_norm.bias,
            self.config.layer_norm_eps,
        )
    }

    /// The patch convolution, whose stride is its size, as one product; and the positions.
    pub(crate) fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let config = &self.config;
        let (batch, channels, _, _) = pixels.dims4()?;
        let side = config.image / config.patch;
        let patches = pixels
            .reshape(vec![
                batch,
                channels,
                side,
                config.patch,
                side,
                config.patch,
            ])?
            .permute([0, 2, 4, 1, 3, 5])?
            .reshape((batch, side * side, channels * config.patch * config.patch))?;
        let weight = self
            .patch_embedding
            .weight
            .plain()?
            .reshape((config.hidden, channels * config.patch * config.patch))?;
        ops::linear(&patches, &weight, Some(&self.patch_embedding.bias))?
            .broadcast_add(&self.positions)
    }
}
