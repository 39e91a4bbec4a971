//! The hot paths on the CPU: whole layers as one operation with a backward pass of their own,
//! over plain `f32` slices.
//!
//! Plain candle operations on the CPU walk one thread over memory for every broadcast, transpose
//! and reduction. Here a task takes a few sentences through a whole layer while they are in the
//! cache, tasks share nothing, and every value of a row is computed from that row alone in one
//! fixed order: results do not depend on the number of threads, nor on what else is in the batch.
//!
//! Nothing here is the only way: [`crate::ops`] has the same computations for every device, and
//! tests hold the two together.

mod attention;
mod conv;
pub(crate) mod draw;
pub(crate) mod gemm;
mod gradients;
pub(crate) mod graph;
mod group_norm;
pub(crate) mod half;
pub(crate) mod llama;
mod llama_backward;
pub(crate) mod math;
mod mlp;
pub(crate) mod pool;
pub(crate) mod score;
pub(crate) mod tower;
mod tower_backward;
mod vectorised;
pub(crate) mod vq;
pub(crate) mod vq_backward;
pub(crate) mod wide;

use candle_core::{CpuStorage, Result, Storage, Tensor};

pub(crate) use vectorised::vectorised;

/// The values of a contiguous `f32` tensor on the CPU, borrowed for `read`.
pub(crate) fn with_values<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
        candle_core::bail!("a kernel for f32 on the CPU was given another tensor");
    };
    let Some((start, end)) = layout.contiguous_offsets() else {
        drop(storage);
        let contiguous = tensor.contiguous()?;
        return with_values(&contiguous, read);
    };
    Ok(read(&values[start..end]))
}

/// A copy of a tensor's values.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    with_values(tensor, <[f32]>::to_vec)
}
