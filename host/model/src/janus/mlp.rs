//! Linear layers, and the small multilayer perceptrons between the model's parts.

use candle_core::{Result, Tensor};

use crate::adapter::Weight;
use crate::parameters::Scope;

/// A linear layer with bias.
#[derive(Clone)]
pub(crate) struct Linear {
    pub(crate) weight: Weight,
    pub(crate) bias: Tensor,
}

impl Linear {
    pub(crate) fn new(scope: &Scope, inputs: usize, outputs: usize) -> Linear {
        Linear {
            weight: scope.weight(outputs, inputs),
            bias: scope.tensor("bias", &[outputs]),
        }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.weight.apply(x, Some(&self.bias))
    }

    pub(crate) fn merged(&self) -> Result<Linear> {
        Ok(Linear {
            weight: self.weight.merged()?,
            bias: self.bias.clone(),
        })
    }
}

/// Linear layers with erf GELU between: the aligners and the generation head.
#[derive(Clone)]
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

    /// With what an adapter adds in the weights themselves.
    pub(crate) fn merged(&self) -> Result<Mlp> {
        let layers = self.layers.iter().map(Linear::merged);
        Ok(Mlp {
            layers: layers.collect::<Result<_>>()?,
        })
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
