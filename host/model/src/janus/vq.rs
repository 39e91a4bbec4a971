//! The image tokenizer: VQGAN (Esser et al., 2021, arXiv 2012.09841) in LlamaGen's shape (Sun et
//! al., 2024, arXiv 2406.06525), encoder and decoder.
//!
//! Codes are looked up and searched l2-normalised, as the Janus authors do.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax;

use crate::config::{GROUP_NORM_EPS, GROUP_NORM_GROUPS, VqConfig};
use crate::janus::tower::Norm;
use crate::ops;
use crate::parameters::Scope;

/// How the encoder's latents find their code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeSearch {
    /// Nearest after latents and codes are l2-normalised: the Janus authors' way, and what the
    /// decoder's lookup matches.
    Normalised,
    /// Nearest as they are: the way of transformers' port. Ids can differ.
    Plain,
}

/// A convolution with bias; `padding` on all four sides.
#[derive(Clone)]
pub(crate) struct Conv {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) padding: usize,
    pub(crate) stride: usize,
}

/// GroupNorm, swish, convolution, twice, plus the input.
#[derive(Clone)]
pub(crate) struct ResBlock {
    pub(crate) norm1: Norm,
    pub(crate) conv1: Conv,
    pub(crate) norm2: Norm,
    pub(crate) conv2: Conv,
    pub(crate) shortcut: Option<Conv>,
}

/// Single-head attention over all places, plus the input.
#[derive(Clone)]
pub(crate) struct AttentionBlock {
    pub(crate) norm: Norm,
    pub(crate) query: Conv,
    pub(crate) key: Conv,
    pub(crate) value: Conv,
    pub(crate) projection: Conv,
}

/// One step of the encoder or decoder.
#[derive(Clone)]
pub(crate) enum Step {
    Res(ResBlock),
    Attention(AttentionBlock),
    /// Nearest ×2 and a convolution.
    Up(Conv),
    /// A row and column of zeros at the far sides, and a convolution of stride 2.
    Down(Conv),
}

/// A convolution in, the steps, GroupNorm, swish and a convolution out.
#[derive(Clone)]
pub(crate) struct Stack {
    pub(crate) conv_in: Conv,
    pub(crate) steps: Vec<Step>,
    pub(crate) norm_out: Norm,
    pub(crate) conv_out: Conv,
}

/// The tokenizer.
#[derive(Clone)]
pub(crate) struct Vq {
    pub(crate) config: VqConfig,
    pub(crate) codebook: Tensor,
    pub(crate) encoder: Stack,
    pub(crate) quant_conv: Conv,
    pub(crate) post_quant_conv: Conv,
    pub(crate) decoder: Stack,
}

impl Conv {
    fn new(scope: &Scope, inputs: usize, outputs: usize, kernel: usize) -> Conv {
        Conv {
            weight: scope.tensor("weight", &[outputs, inputs, kernel, kernel]),
            bias: scope.tensor("bias", &[outputs]),
            padding: kernel / 2,
            stride: 1,
        }
    }

    fn downsampling(scope: &Scope, channels: usize) -> Conv {
        Conv {
            padding: 0,
            stride: 2,
            ..Conv::new(scope, channels, channels, 3)
        }
    }

    /// Weight and bias.
    pub(crate) fn weights(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let channels = self.bias.dim(0)?;
        x.conv2d(&self.weight, self.padding, self.stride, 1, 1)?
            .broadcast_add(&self.bias.reshape((1, channels, 1, 1))?)
    }
}

fn group_norm(x: &Tensor, norm: &Norm) -> Result<Tensor> {
    ops::group_norm(
        x,
        &norm.weight,
        &norm.bias,
        GROUP_NORM_GROUPS,
        GROUP_NORM_EPS,
    )
}

impl ResBlock {
    fn new(scope: &Scope, inputs: usize, outputs: usize) -> ResBlock {
        ResBlock {
            norm1: Norm::new(&scope.at("norm1"), inputs),
            conv1: Conv::new(&scope.at("conv1"), inputs, outputs, 3),
            norm2: Norm::new(&scope.at("norm2"), outputs),
            conv2: Conv::new(&scope.at("conv2"), outputs, outputs, 3),
            shortcut: (inputs != outputs)
                .then(|| Conv::new(&scope.at("nin_shortcut"), inputs, outputs, 1)),
        }
    }

    fn weights(&self) -> Vec<&Tensor> {
        let mut weights = Vec::new();
        weights.extend(self.norm1.weights());
        weights.extend(self.conv1.weights());
        weights.extend(self.norm2.weights());
        weights.extend(self.conv2.weights());
        weights.extend(self.shortcut.iter().flat_map(Conv::weights));
        weights
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let h = self
            .conv1
            .forward(&ops::silu(&group_norm(x, &self.norm1)?)?)?;
        let h = self
            .conv2
            .forward(&ops::silu(&group_norm(&h, &self.norm2)?)?)?;
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x)? + h,
            None => x + h,
        }
    }
}

impl AttentionBlock {
    fn new(scope: &Scope, channels: usize) -> AttentionBlock {
        let square = |name: &str| Conv::new(&scope.at(name), channels, channels, 1);
        AttentionBlock {
            norm: Norm::new(&scope.at("norm"), channels),
            query: square("q"),
            key: square("k"),
            value: square("v"),
            projection: square("proj_out"),
        }
    }

    fn weights(&self) -> Vec<&Tensor> {
        let convs = [&self.query, &self.key, &self.value, &self.projection];
        let mut weights: Vec<&Tensor> = self.norm.weights().into();
        weights.extend(convs.into_iter().flat_map(Conv::weights));
        weights
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let h = group_norm(x, &self.norm)?;
        let flat = |conv: &Conv| conv.forward(&h)?.flatten_from(2);
        let query = flat(&self.query)?;
        let key = flat(&self.key)?;
        let value = flat(&self.value)?;
        let scores = (query.t()?.contiguous()?.matmul(&key)? * (channels as f64).powf(-0.5))?;
        let weights = softmax(&scores, D::Minus1)?;
        let mixed = value
            .matmul(&weights.t()?.contiguous()?)?
            .reshape((batch, channels, height, width))?;
        x + self.projection.forward(&mixed)?
    }
}

impl Step {
    fn weights(&self) -> Vec<&Tensor> {
        match self {
            Step::Res(block) => block.weights(),
            Step::Attention(block) => block.weights(),
            Step::Up(conv) | Step::Down(conv) => conv.weights().into(),
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Step::Res(block) => block.forward(x),
            Step::Attention(block) => block.forward(x),
            Step::Up(conv) => {
                let (_, _, height, width) = x.dims4()?;
                conv.forward(&x.upsample_nearest2d(2 * height, 2 * width)?)
            }
            Step::Down(conv) => {
                let padded = x
                    .pad_with_zeros(D::Minus1, 0, 1)?
                    .pad_with_zeros(D::Minus2, 0, 1)?;
                conv.forward(&padded)
            }
        }
    }
}

impl Stack {
    fn middle(scope: &Scope, channels: usize) -> [Step; 3] {
        let scope = scope.at("mid");
        [
            Step::Res(ResBlock::new(&scope.at("block_1"), channels, channels)),
            Step::Attention(AttentionBlock::new(&scope.at("attn_1"), channels)),
            Step::Res(ResBlock::new(&scope.at("block_2"), channels, channels)),
        ]
    }

    fn encoder(scope: &Scope, config: &VqConfig) -> Stack {
        let deepest = config.multipliers.len() - 1;
        let mut steps = Vec::new();
        let mut channels = config.base;
        for (level, multiplier) in config.multipliers.iter().enumerate() {
            let scope = scope.at("down").at(level);
            for block in 0..config.res_blocks {
                let outputs = config.base * multiplier;
                let res = ResBlock::new(&scope.at("block").at(block), channels, outputs);
                steps.push(Step::Res(res));
                channels = outputs;
                if level == deepest {
                    let attention = AttentionBlock::new(&scope.at("attn").at(block), channels);
                    steps.push(Step::Attention(attention));
                }
            }
            if level != deepest {
                let conv = Conv::downsampling(&scope.at("downsample").at("conv"), channels);
                steps.push(Step::Down(conv));
            }
        }
        steps.extend(Stack::middle(scope, channels));
        Stack {
            conv_in: Conv::new(&scope.at("conv_in"), config.in_channels, config.base, 3),
            steps,
            norm_out: Norm::new(&scope.at("norm_out"), channels),
            conv_out: Conv::new(&scope.at("conv_out"), channels, config.latent, 3),
        }
    }

    fn decoder(scope: &Scope, config: &VqConfig) -> Stack {
        let levels = config.multipliers.len();
        let mut channels = config.base * config.multipliers[levels - 1];
        let conv_in = Conv::new(&scope.at("conv_in"), config.latent, channels, 3);
        let mut steps: Vec<Step> = Stack::middle(scope, channels).into();
        // Index 0 of the names is the deepest level.
        for (index, multiplier) in config.multipliers.iter().rev().enumerate() {
            let scope = scope.at("up").at(index);
            for block in 0..=config.res_blocks {
                let outputs = config.base * multiplier;
                let res = ResBlock::new(&scope.at("block").at(block), channels, outputs);
                steps.push(Step::Res(res));
                channels = outputs;
                if index == 0 {
                    let attention = AttentionBlock::new(&scope.at("attn").at(block), channels);
                    steps.push(Step::Attention(attention));
                }
            }
            if index + 1 != levels {
                let conv = Conv::new(&scope.at("upsample").at("conv"), channels, channels, 3);
                steps.push(Step::Up(conv));
            }
        }
        Stack {
            conv_in,
            steps,
            norm_out: Norm::new(&scope.at("norm_out"), channels),
            conv_out: Conv::new(&scope.at("conv_out"), channels, config.out_channels, 3),
        }
    }

    /// All weights in the order of use; of each module, weight and then bias.
    pub(crate) fn weights(&self) -> Vec<&Tensor> {
        let mut weights: Vec<&Tensor> = self.conv_in.weights().into();
        weights.extend(self.steps.iter().flat_map(Step::weights));
        weights.extend(self.norm_out.weights());
        weights.extend(self.conv_out.weights());
        weights
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.conv_in.forward(x)?;
        for step in &self.steps {
            x = step.forward(&x)?;
        }
        self.conv_out
            .forward(&ops::silu(&group_norm(&x, &self.norm_out)?)?)
    }
}

impl Vq {
    pub(crate) fn new(scope: &Scope, config: &VqConfig) -> Vq {
        Vq {
            config: config.clone(),
            codebook: scope
                .at("quantize")
                .at("embedding")
                .tensor("weight", &[config.codes, config.embed]),
            encoder: Stack::encoder(&scope.at("encoder"), config),
            quant_conv: Conv::new(&scope.at("quant_conv"), config.latent, config.embed, 1),
            post_quant_conv: Conv::new(
                &scope.at("post_quant_conv"),
                config.embed,
                config.latent,
                1,
            ),
            decoder: Stack::decoder(&scope.at("decoder"), config),
        }
    }

    /// Image tokens [B, N] (row by row) → pixels [B, C, S, S], not clipped.
    pub(crate) fn decode(&self, tokens: &Tensor) -> Result<Tensor> {
        self.decode_latents(&self.look_up(tokens)?)
    }

    /// Image tokens [B, N] (row by row) → their codes, l2-normalised [B, embed, side, side].
    pub(crate) fn look_up(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, _) = tokens.dims2()?;
        let (side, embed) = (self.config.side, self.config.embed);
        l2_normalised(&self.codebook)?
            .index_select(&tokens.flatten_all()?, 0)?
            .reshape((batch, side, side, embed))?
            .permute((0, 3, 1, 2))?
            .contiguous()
    }

    /// Latents [B, embed, side, side] → cosines with every code [B, N, codes].
    pub(crate) fn cosines(&self, latents: &Tensor) -> Result<Tensor> {
        let (batch, embed, height, width) = latents.dims4()?;
        let places = latents
            .permute((0, 2, 3, 1))?
            .reshape((batch * height * width, embed))?;
        l2_normalised(&places)?
            .matmul(&l2_normalised(&self.codebook)?.t()?)?
            .reshape((batch, height * width, self.config.codes))
    }

    /// Latents [B, embed, side, side] → pixels [B, C, S, S], not clipped.
    pub(crate) fn decode_latents(&self, latents: &Tensor) -> Result<Tensor> {
        self.decoder
            .forward(&self.post_quant_conv.forward(latents)?)
    }

    /// Pixels [B, C, S, S] in −1..1 → latents [B, embed, side, side] before the code search.
    pub(crate) fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        self.quant_conv.forward(&self.encoder.forward(pixels)?)
    }

    /// Latents [B, embed, side, side] → ids of the nearest codes [B, N].
    pub(crate) fn nearest_codes(&self, latents: &Tensor, search: CodeSearch) -> Result<Tensor> {
        let (batch, embed, height, width) = latents.dims4()?;
        let places = latents
            .permute((0, 2, 3, 1))?
            .reshape((batch * height * width, embed))?;
        let (places, codes) = match search {
            CodeSearch::Normalised => (l2_normalised(&places)?, l2_normalised(&self.codebook)?),
            CodeSearch::Plain => (places, self.codebook.clone()),
        };
        // |z − e|² without |z|², which is the same for every code.
        let products = places.contiguous()?.matmul(&codes.t()?.contiguous()?)?;
        let distances = (products * -2.0)?.broadcast_add(&codes.sqr()?.sum(D::Minus1)?)?;
        distances
            .argmin(D::Minus1)?
            .reshape((batch, height * width))
    }
}

/// Rows divided by their length, which counts as 1e-12 at least (as torch's `normalize`).
fn l2_normalised(x: &Tensor) -> Result<Tensor> {
    let length = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(1e-12)?;
    x.broadcast_div(&length)
}
