//! AdamW (Loshchilov & Hutter, 2019) with gradient clipping and a state that can be saved.
//!
//! candle-nn's keeps its moments and step private, so a run could not be resumed exactly nor a
//! rolled-back round be forgotten; and it neither clips nor keeps f32 moments for bf16 weights.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};

use crate::error::TrainError;

/// Settings of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay: each step multiplies a weight by 1 − learning rate × this.
    pub weight_decay: f64,
    /// Largest global gradient norm; a larger gradient is scaled down to it.
    pub max_gradient_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
        }
    }
}

struct Slot {
    name: String,
    var: Var,
    /// First and second moment, f32 or wider, of the weight's shape.
    first: Tensor,
    second: Tensor,
}

/// The optimizer over a fixed list of weights.
pub struct AdamW {
    config: AdamWConfig,
    step: u64,
    slots: Vec<Slot>,
}

/// All that an optimizer remembers: `step`, and the moments by weight.
#[derive(Clone, Debug)]
pub struct AdamWState {
    /// Steps taken so far.
    pub step: u64,
    /// `first.NAME` and `second.NAME`, of the weight's shape.
    pub moments: BTreeMap<String, Tensor>,
}

fn moment_dtype(var: &Var) -> DType {
    match var.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

impl AdamW {
    /// An optimizer of `weights`, by name, that has taken no step.
    ///
    /// # Errors
    /// When the moments cannot be allocated.
    pub fn new(
        weights: impl IntoIterator<Item = (String, Var)>,
        config: AdamWConfig,
    ) -> Result<AdamW, TrainError> {
        let slots = weights
            .into_iter()
            .map(|(name, var)| {
                let zeros = Tensor::zeros(var.shape(), moment_dtype(&var), var.device())?;
                Ok(Slot {
                    name,
                    first: zeros.clone(),
                    second: zeros,
                    var,
                })
            })
            .collect::<Result<_, TrainError>>()?;
        Ok(AdamW {
            config,
            step: 0,
            slots,
        })
    }

    /// Takes one step at `learning_rate` and returns the gradient's norm before clipping.
    ///
    /// # Errors
    /// When a weight has no gradient, or the norm is not finite; the weights are then unchanged.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f64) -> Result<f64, TrainError> {
        let found = self
            .slots
            .iter()
            .map(|slot| {
                let gradient = gradients
                    .get(&slot.var)
                    .ok_or_else(|| TrainError::NoGradient {
                        name: slot.name.clone(),
                    })?;
                Ok(gradient.to_dtype(slot.first.dtype())?)
            })
            .collect::<Result<Vec<Tensor>, TrainError>>()?;
        let norm = global_norm(&found)?;
        if !norm.is_finite() {
            return Err(TrainError::NotFinite {
                what: "gradient norm",
                value: norm,
                step: usize::try_from(self.step).unwrap_or(usize::MAX) + 1,
            });
        }
        let clip = (self.config.max_gradient_norm / (norm + 1e-6)).min(1.0);
        self.step += 1;
        let steps = self.step as f64;
        let AdamWConfig {
            beta1,
            beta2,
            epsilon,
            weight_decay,
            ..
        } = self.config;
        let first_scale = 1.0 / (1.0 - beta1.powf(steps));
        let second_scale = 1.0 / (1.0 - beta2.powf(steps));
        for (slot, gradient) in self.slots.iter_mut().zip(found) {
            let gradient = (gradient * clip)?;
            slot.first = ((&slot.first * beta1)? + (&gradient * (1.0 - beta1))?)?.detach();
            slot.second = ((&slot.second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?.detach();
            let root = ((&slot.second * second_scale)?.sqrt()? + epsilon)?;
            let update = ((&slot.first * (first_scale * learning_rate))? / root)?;
            let weight = slot.var.as_detached_tensor().to_dtype(update.dtype())?;
            let weight = ((weight * (1.0 - learning_rate * weight_decay))? - update)?;
            slot.var.set(&weight.to_dtype(slot.var.dtype())?)?;
        }
        Ok(norm)
    }

    /// What the optimizer remembers. Later steps do not change what is returned.
    pub fn state(&self) -> AdamWState {
        let moments = self
            .slots
            .iter()
            .flat_map(|slot| {
                [
                    (format!("first.{}", slot.name), slot.first.clone()),
                    (format!("second.{}", slot.name), slot.second.clone()),
                ]
            })
            .collect();
        AdamWState {
            step: self.step,
            moments,
        }
    }

    /// Goes back to `state`; the next step is then what it was after [`AdamW::state`].
    ///
    /// # Errors
    /// When `state` lacks a moment or one has another shape; nothing is changed then.
    pub fn restore(&mut self, state: &AdamWState) -> Result<(), TrainError> {
        let mut found = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let moment = |prefix: &str| {
                let name = format!("{prefix}.{}", slot.name);
                match state.moments.get(&name) {
                    None => Err(TrainError::State {
                        name,
                        problem: "is missing".to_owned(),
                    }),
                    Some(tensor) if tensor.shape() != slot.var.shape() => Err(TrainError::State {
                        name,
                        problem: format!(
                            "has shape {:?}; expected {:?}",
                            tensor.dims(),
                            slot.var.dims()
                        ),
                    }),
                    Some(tensor) => Ok(tensor
                        .to_dtype(slot.first.dtype())?
                        .to_device(slot.var.device())?),
                }
            };
            found.push((moment("first")?, moment("second")?));
        }
        for (slot, (first, second)) in self.slots.iter_mut().zip(found) {
            slot.first = first;
            slot.second = second;
        }
        self.step = state.step;
        Ok(())
    }
}

/// √Σg² over all tensors, summed on the device and read once.
fn global_norm(gradients: &[Tensor]) -> Result<f64, TrainError> {
    let squares = gradients
        .iter()
        .map(|gradient| gradient.sqr()?.sum_all()?.to_dtype(DType::F64))
        .collect::<candle_core::Result<Vec<Tensor>>>()?;
    if squares.is_empty() {
        return Ok(0.0);
    }
    Ok(Tensor::stack(&squares, 0)?
        .sum_all()?
        .to_scalar::<f64>()?
        .sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn optimizer(var: &Var) -> AdamW {
        let config = AdamWConfig {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
        };
        AdamW::new([("w".to_owned(), var.clone())], config).expect("an optimizer")
    }

    /// ½·Σ(w − target)²
    fn gradients(var: &Var, target: f64) -> GradStore {
        ((var.as_tensor() - target)
            .expect("same shape")
            .sqr()
            .expect("a square")
            * 0.5)
            .and_then(|loss| loss.sum_all()?.backward())
            .expect("a gradient")
    }

    #[test]
    fn follows_the_published_update() -> Result<(), TrainError> {
        // The update worked out by hand, in f64, with a gradient that is clipped.
        let var = Var::new(&[3.0_f64, -4.0], &Device::Cpu)?;
        let mut optimizer = optimizer(&var);
        let (mut w, mut m, mut v) = ([3.0_f64, -4.0], [0.0_f64; 2], [0.0_f64; 2]);
        for step in 1..=5 {
            let norm = optimizer.step(&gradients(&var, 1.0), 0.1)?;
            let g = [w[0] - 1.0, w[1] - 1.0];
            let expected_norm = (g[0] * g[0] + g[1] * g[1]).sqrt();
            assert!((norm - expected_norm).abs() < 1e-9);
            for i in 0..2 {
                let g = g[i] * (1.0 / (expected_norm + 1e-6)).min(1.0);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.98 * v[i] + 0.02 * g * g;
                let m_hat = m[i] / (1.0 - 0.9_f64.powi(step));
                let v_hat = v[i] / (1.0 - 0.98_f64.powi(step));
                w[i] = w[i] * (1.0 - 0.1 * 0.01) - 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
            }
            for (found, expected) in var.to_vec1::<f64>()?.iter().zip(w) {
                assert!((found - expected).abs() < 1e-12);
            }
        }
        Ok(())
    }

    #[test]
    fn a_restored_optimizer_takes_the_same_steps() -> Result<(), TrainError> {
        let var = Var::new(&[3.0_f32, -4.0], &Device::Cpu)?;
        let mut optimizer = optimizer(&var);
        for _ in 0..3 {
            optimizer.step(&gradients(&var, 1.0), 0.1)?;
        }
        let (weights, state) = (var.as_tensor().copy()?, optimizer.state());
        for _ in 0..4 {
            optimizer.step(&gradients(&var, 1.0), 0.1)?;
        }
        let straight_on = var.to_vec1::<f32>()?;
        var.set(&weights)?;
        optimizer.restore(&state)?;
        for _ in 0..4 {
            optimizer.step(&gradients(&var, 1.0), 0.1)?;
        }
        assert_eq!(straight_on, var.to_vec1::<f32>()?);
        Ok(())
    }

    #[test]
    fn refuses_what_does_not_fit() -> Result<(), TrainError> {
        let var = Var::new(&[1.0_f32], &Device::Cpu)?;
        let other = Var::new(&[2.0_f32], &Device::Cpu)?;
        let mut optimizer = optimizer(&var);
        let error = optimizer.step(&gradients(&other, 0.0), 0.1);
        assert!(matches!(error, Err(TrainError::NoGradient { name }) if name == "w"));
        let mut state = optimizer.state();
        state.moments.remove("second.w");
        let error = optimizer.restore(&state);
        assert!(matches!(error, Err(TrainError::State { name, .. }) if name == "second.w"));
        Ok(())
    }
}
