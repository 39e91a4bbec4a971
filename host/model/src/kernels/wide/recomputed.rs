//! Layers that can be differentiated and keep nothing but their inputs: what lies between is
//! computed again when the gradient comes (gradient checkpointing; Chen et al., 2016, arXiv
//! 1604.06174).

use candle_core::{DType, Device, Result, Tensor, Var};

use super::{Cache, Pass};
use crate::config::TextConfig;
use crate::janus::llama::{self, Layer, Llama, Padding};
use crate::kernels::attention::Rotation;
use crate::kernels::graph::{Backward, attach};
use crate::kernels::values;
use crate::ops;

/// Steps x [B, T, hidden] through all layers and the final norm, joined to the graph.
pub(crate) fn forward(x: &Tensor, llama: &Llama, padding: &Padding) -> Result<Tensor> {
    let (rows, steps, _) = x.dims3()?;
    let config = &llama.config;
    let shared = llama::Pass::new(config, padding, 0, steps, x.device())?;
    let pass = Pass {
        config,
        rotation: Rotation::new(config, steps),
        padding,
        first: 0,
        steps,
    };
    let mut x = x.clone();
    // Nothing comes after these steps: each layer's keys and values may go over the last one's.
    let mut cache = Cache::of_one_layer(config, rows, steps);
    for layer in &llama.layers {
        let y = pass.layer(layer, x.detach(), &mut cache, 0)?;
        let backward = Recomputed {
            config: config.clone(),
            layer: layer.clone(),
            pass: shared.clone(),
        };
        x = attach(&x, &layer.tracked(), values(&y)?, y.shape(), backward)?;
    }
    ops::rms_norm(&x, &llama.norm, config.rms_eps)
}

/// A layer to be computed again.
struct Recomputed {
    config: TextConfig,
    layer: Layer,
    pass: llama::Pass,
}

impl Backward for Recomputed {
    fn backward(&self, x: &Tensor, grad: &[f32]) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let x = Var::from_tensor(x)?;
        let (y, _) = self
            .layer
            .forward(x.as_tensor(), &self.config, &self.pass, None)?;
        let grad = Tensor::from_slice(grad, y.shape(), &Device::Cpu)?;
        let gradients = (y * grad)?.sum_all()?.backward()?;
        let of = |tensor: &Tensor| match gradients.get(tensor) {
            Some(gradient) => values(&gradient.to_dtype(DType::F32)?),
            None => Ok(vec![0.0; tensor.elem_count()]),
        };
        let weights = self.layer.tracked().into_iter().map(of);
        Ok((of(x.as_tensor())?, weights.collect::<Result<_>>()?))
    }
}
