//! Linear layers, and the small multilayer perceptrons between the model's parts.

use candle_core::{Result, Tensor};

use crate::ops;
use crate::parameters::Scope;

/// A linear layer with bias.
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Linear {
    pub(crate) fn new(scope: &Scope, inputs: usize, outputs: usize) -> Linear {
        Linear {
            weight: scope.tensor("weight", &[outputs, inputs]),
            bias: scope.tensor("bias", &[outputs]),
        }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, Some(&self.bias))
    }
}

/// Linear layers with erf GELU between: the aligners and the generation head.
pub(crate) struct Mlp {
    pub(crate) layers: Vec<Linear>,
}

impl Mlp {
    /// `fc1` and `depth` − 1 `hidden_layers`.
    pub(crate) fn aligner(scope: &Scope, inputs: usize, outputs: usize, depth: usize) -> Mlp {
        let mut layers = vec![Linear::new(&scope.at("fc1"), inputs, outputs)];
        for layer in 1..depth {
            let scope = scope.at("hidden_layers").at(layer - 1);
            layers.push(Linear::new(&scope, outputs, outputs));
        }
        Mlp { layers }
    }

    /// `proj_out` and `vision_head`.
    pub(crate) fn generation_head(scope: &Scope, hidden: usize, codes: usize) -> Mlp {
        Mlp {
            layers: vec![
                Linear::new(&scope.at("proj_out"), hidden, hidden),
                Linear::new(&scope.at("vision_head"), hidden, codes),
            ],
        }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (position, layer) in self.layers.iter().enumerate() {
            if position > 0 {
                x = x.gelu_erf()?;
            }
            x = layer.forward(&x)?;
        }
        Ok(x)
    }
}
