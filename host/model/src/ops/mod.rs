//! Differentiable operations out of plain candle operations: right on every device and dtype.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops::{log_softmax, softmax};

use crate::kernels::half;

/// x·Wᵀ + b over the last dimension in f32; `weight` is [out, in] as checkpoints store it, and what
/// it is multiplied with is rounded to its dtype.
///
/// The leading dimensions are flattened: one product, where candle would otherwise make one a row
/// of the batch.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (out, width) = weight.dims2()?;
    let mut dims = x.dims().to_vec();
    let rows = x.elem_count() / width;
    let x = x.reshape((rows, width))?;
    let held = weight.dtype();
    let y = if held == x.dtype() {
        x.matmul(&weight.t()?)?
    } else if x.device().is_cpu() && x.dtype() == DType::F32 && half::is_half(held) {
        half::linear(&x, weight)?
    } else {
        x.to_dtype(held)?
            .matmul(&weight.t()?)?
            .to_dtype(x.dtype())?
    };
    let y = match bias {
        Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?)?,
        None => y,
    };
    if let Some(last) = dims.last_mut() {
        *last = out;
    }
    y.reshape(dims)
}

/// RMSNorm over the last dimension (Zhang & Sennrich, 2019).
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?.recip()?;
    x.broadcast_mul(&scale)?
        .broadcast_mul(&weight.to_dtype(x.dtype())?)
}

/// LayerNorm over the last dimension (Ba et al., 2016).
pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    normalise(x, eps)?
        .broadcast_mul(weight)?
        .broadcast_add(bias)
}

/// Zero mean and unit variance over the last dimension.
fn normalise(x: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let scale = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?
        .sqrt()?
        .recip()?;
    centred.broadcast_mul(&scale)
}

/// GroupNorm of [B, C, H, W] (Wu & He, 2018).
pub(crate) fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let grouped = x.reshape((batch, groups, channels / groups * height * width))?;
    normalise(&grouped, eps)?
        .reshape((batch, channels, height, width))?
        .broadcast_mul(&weight.reshape((1, channels, 1, 1))?)?
        .broadcast_add(&bias.reshape((1, channels, 1, 1))?)
}

/// x·σ(x).
pub(crate) fn silu(x: &Tensor) -> Result<Tensor> {
    candle_nn::ops::silu(x)
}

/// Softmax attention: `query` [B, heads, T, D], `key` and `value` [B, kv heads, S, D], `bias`
/// broadcast onto [B, heads, T, S] → [B, T, heads·D].
pub(crate) fn attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let (batch, heads, steps, width) = query.dims4()?;
    let repeats = heads / key.dim(1)?;
    let key = repeat_heads(key, repeats)?;
    let value = repeat_heads(value, repeats)?;
    let query = (query * (width as f64).powf(-0.5))?;
    let scores = query.contiguous()?.matmul(&key.t()?.contiguous()?)?;
    let scores = match bias {
        Some(bias) => scores.broadcast_add(bias)?,
        None => scores,
    };
    softmax(&scores, D::Minus1)?
        .matmul(&value.contiguous()?)?
        .transpose(1, 2)?
        .reshape((batch, steps, heads * width))
}

/// Grouped-query attention: each key and value head serves `repeats` query heads.
fn repeat_heads(x: &Tensor, repeats: usize) -> Result<Tensor> {
    if repeats == 1 {
        return Ok(x.clone());
    }
    let (batch, heads, steps, width) = x.dims4()?;
    x.unsqueeze(2)?
        .broadcast_as((batch, heads, repeats, steps, width))?
        .reshape((batch, heads * repeats, steps, width))
}

/// Rotary embedding in halves (`rotate_half`): `x` [B, heads, T, D], `cos` and `sin`
/// [B, 1, T, D/2].
pub(crate) fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let first = x.narrow(D::Minus1, 0, half)?;
    let second = x.narrow(D::Minus1, half, half)?;
    let rotated_first = (first.broadcast_mul(cos)? - second.broadcast_mul(sin)?)?;
    let rotated_second = (second.broadcast_mul(cos)? + first.broadcast_mul(sin)?)?;
    Tensor::cat(&[rotated_first, rotated_second], D::Minus1)
}

/// Log-probabilities of `targets` [..] under `logits` [.., K] → [..].
pub(crate) fn target_log_probs(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    log_softmax(logits, D::Minus1)?
        .gather(&targets.unsqueeze(D::Minus1)?, D::Minus1)?
        .squeeze(D::Minus1)
}
