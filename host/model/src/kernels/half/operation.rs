//! The products as a node of candle's graph.

use ::half::{bf16, f16};
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, WithDType};

use super::{HalfWeight, product, product_with_transposed};

/// Rows x [m, in] in `f32` times a weight [out, in] in half precision on the CPU → [m, out] in
/// `f32`; differentiable in both.
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, Linear)
}

struct Linear;

/// The values of a contiguous tensor.
fn values<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let values = storage.as_slice::<T>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => candle_core::bail!("a product was given a tensor that is not contiguous"),
    }
}

fn half_weight<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<HalfWeight<'a>> {
    match storage {
        CpuStorage::BF16(_) => Ok(HalfWeight::BF16(values::<bf16>(storage, layout)?)),
        CpuStorage::F16(_) => Ok(HalfWeight::F16(values::<f16>(storage, layout)?)),
        _ => candle_core::bail!("a product in half precision was given another weight"),
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "half-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, inner) = x_layout.shape().dims2()?;
        let (outputs, _) = weight_layout.shape().dims2()?;
        let mut y = vec![0.0; rows * outputs];
        let weight = half_weight(weight, weight_layout)?;
        product(values(x, x_layout)?, weight, inner, &mut y);
        Ok((CpuStorage::F32(y), Shape::from((rows, outputs))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let dx = grad.apply_op2_no_bwd(&weight.detach(), &Transposed)?;
        let of_weight = weight.track_op().then(|| {
            let product = grad.t()?.matmul(&x.detach())?;
            product.to_dtype(weight.dtype())
        });
        Ok((Some(dx), of_weight.transpose()?))
    }
}

/// dy [m, out] times the weight itself → [m, in].
struct Transposed;

impl CustomOp2 for Transposed {
    fn name(&self) -> &'static str {
        "half-linear-backward"
    }

    fn cpu_fwd(
        &self,
        dy: &CpuStorage,
        dy_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, _) = dy_layout.shape().dims2()?;
        let (_, inner) = weight_layout.shape().dims2()?;
        let mut dx = vec![0.0; rows * inner];
        let weight = half_weight(weight, weight_layout)?;
        product_with_transposed(values(dy, dy_layout)?, weight, inner, &mut dx);
        Ok((CpuStorage::F32(dx), Shape::from((rows, inner))))
    }
}

/// Whether [`linear`] takes a weight of this dtype.
pub(crate) fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::BF16 | DType::F16)
}
