//! One node of candle's graph for an operation on one tensor and any number of weights.
//!
//! candle's custom operations take up to three tensors. Here the weights hang on a chain of
//! scalars that carries no numbers, only the dependency: candle walks back through the operation
//! first, which computes all gradients at once, and then along the chain, whose links hand each
//! weight its own.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor};

/// The backward pass of an operation.
pub(crate) trait Backward: Send + Sync + 'static {
    /// From the output's gradient: the input's gradient and one for each weight, in their order,
    /// as values of their shapes.
    fn backward(&self, x: &Tensor, grad: &[f32]) -> Result<(Vec<f32>, Vec<Vec<f32>>)>;
}

type Gradients = Arc<Mutex<Vec<Option<Vec<f32>>>>>;

/// Joins an operation's `output` on `x` and `weights` to the graph.
pub(crate) fn attach(
    x: &Tensor,
    weights: &[&Tensor],
    output: Vec<f32>,
    shape: impl Into<Shape>,
    backward: impl Backward,
) -> Result<Tensor> {
    let gradients: Gradients = Arc::default();
    let mut chain = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
    for (index, weight) in weights.iter().enumerate() {
        let link = Link {
            gradients: gradients.clone(),
            index,
        };
        chain = chain.apply_op2(weight, link)?;
    }
    let operation = Operation {
        output: Mutex::new(Some((output, shape.into()))),
        backward: Box::new(backward),
        gradients,
    };
    x.apply_op2(&chain, operation)
}

struct Operation {
    /// Computed before the node is made, taken when it is.
    output: Mutex<Option<(Vec<f32>, Shape)>>,
    backward: Box<dyn Backward>,
    gradients: Gradients,
}

impl CustomOp2 for Operation {
    fn name(&self) -> &'static str {
        "fused"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let output = self
            .output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match output {
            Some((values, shape)) => Ok((CpuStorage::F32(values), shape)),
            None => candle_core::bail!("a fused operation was applied twice"),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        chain: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let x = x.detach();
        let (dx, dweights) = super::with_values(grad, |grad| self.backward.backward(&x, grad))??;
        *self
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = dweights.into_iter().map(Some).collect();
        let dx = Tensor::from_vec(dx, x.shape(), &Device::Cpu)?;
        Ok((Some(dx), Some(chain.zeros_like()?)))
    }
}

/// One weight's place on the chain.
struct Link {
    gradients: Gradients,
    index: usize,
}

impl CustomOp2 for Link {
    fn name(&self) -> &'static str {
        "fused-weight"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }

    fn bwd(
        &self,
        chain: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let values = self
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(self.index)
            .and_then(Option::take);
        let gradient = values
            .map(|values| Tensor::from_vec(values, weight.shape(), weight.device()))
            .transpose()?;
        Ok((Some(chain.zeros_like()?), gradient))
    }
}
