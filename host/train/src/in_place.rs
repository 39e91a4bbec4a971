//! AdamW's update of one f32 weight on the CPU: a pass a tensor, without a copy.
//!
//! Made of plain tensor operations the update would walk the memory a dozen times and allocate as
//! often.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Storage, Tensor};

/// The numbers of one step.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    /// Factor on the gradient, so that its global norm keeps within bounds.
    pub(crate) clip: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    /// Learning rate over the first moment's bias correction.
    pub(crate) rate: f64,
    /// One over the second moment's bias correction.
    pub(crate) second_scale: f64,
    pub(crate) epsilon: f64,
    /// What weight decay leaves of a weight.
    pub(crate) kept: f64,
}

/// moment ← β·moment + (1 − β)·(clip·gradient)^power
struct Moment {
    beta: f32,
    /// 1 − β, which f32 would round otherwise.
    fresh: f32,
    clip: f32,
    square: bool,
}

/// weight ← kept·weight − rate·first / (√(second·scale) + ε)
struct Update {
    kept: f32,
    rate: f32,
    scale: f32,
    epsilon: f32,
}

/// Takes one step with a weight and its moments.
pub(crate) fn step(
    weight: &Tensor,
    first: &Tensor,
    second: &Tensor,
    gradient: &Tensor,
    by: &Step,
) -> Result<()> {
    let moment = |beta: f64, square| Moment {
        beta: beta as f32,
        fresh: (1.0 - beta) as f32,
        clip: by.clip as f32,
        square,
    };
    let gradient = gradient.contiguous()?;
    first.inplace_op2(&gradient, &moment(by.beta1, false))?;
    second.inplace_op2(&gradient, &moment(by.beta2, true))?;
    let update = Update {
        kept: by.kept as f32,
        rate: by.rate as f32,
        scale: by.second_scale as f32,
        epsilon: by.epsilon as f32,
    };
    weight.inplace_op3(first, second, &update)
}

/// Σ x² of an f32 tensor on the CPU, or `None` of another.
pub(crate) fn sum_of_squares(tensor: &Tensor) -> Option<f64> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return None;
    };
    let values = slice(storage, layout).ok()?;
    // Sixteen lanes, the same on every machine, each too short to lose much.
    let mut total = 0.0;
    for values in values.chunks(4096) {
        let mut lanes = [0.0_f32; 16];
        for values in values.chunks(16) {
            for (lane, value) in lanes.iter_mut().zip(values) {
                *lane += value * value;
            }
        }
        total += lanes.iter().copied().map(f64::from).sum::<f64>();
    }
    Some(total)
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => candle_core::bail!("expected contiguous f32 values on the CPU"),
    }
}

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => candle_core::bail!("expected contiguous f32 values on the CPU"),
    }
}

impl InplaceOp2 for Moment {
    fn name(&self) -> &'static str {
        "adamw-moment"
    }

    fn cpu_fwd(
        &self,
        moment: &mut CpuStorage,
        moment_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let moment = slice_mut(moment, moment_layout)?;
        let gradient = slice(gradient, gradient_layout)?;
        for (moment, gradient) in moment.iter_mut().zip(gradient) {
            let gradient = gradient * self.clip;
            let value = if self.square {
                gradient * gradient
            } else {
                gradient
            };
            *moment = *moment * self.beta + value * self.fresh;
        }
        Ok(())
    }
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "adamw-update"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        weight_layout: &Layout,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
    ) -> Result<()> {
        let weight = slice_mut(weight, weight_layout)?;
        let moments = slice(first, first_layout)?
            .iter()
            .zip(slice(second, second_layout)?);
        for (weight, (first, second)) in weight.iter_mut().zip(moments) {
            let root = (second * self.scale).sqrt() + self.epsilon;
            *weight = *weight * self.kept - first * self.rate / root;
        }
        Ok(())
    }
}
