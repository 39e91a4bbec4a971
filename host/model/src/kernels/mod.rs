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
pub(crate) mod llama;
mod llama_backward;
pub(crate) mod math;
mod mlp;
pub(crate) mod pool;
pub(crate) mod score;
pub(crate) mod tower;
mod tower_backward;
pub(crate) mod vq;
pub(crate) mod vq_backward;
pub(crate) mod wide;

use candle_core::{CpuStorage, Result, Storage, Tensor};

/// Compiles a function's body for the widest vector unit that the running processor has.
///
/// The body is written in portable Rust; the same source becomes AVX-512, AVX2 and baseline code.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn portable($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn wide($($arg: $ty),*) $(-> $ret)? {
                    portable($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn narrow($($arg: $ty),*) $(-> $ret)? {
                    portable($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    #[expect(unsafe_code, reason = "the features were just detected")]
                    // SAFETY: the processor has every feature that the function is compiled for.
                    return unsafe { wide($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    #[expect(unsafe_code, reason = "the features were just detected")]
                    // SAFETY: as above.
                    return unsafe { narrow($($arg),*) };
                }
            }
            portable($($arg),*)
        }
    };
}
pub(crate) use vectorised;

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
