//! AdamW (Loshchilov & Hutter, 2019) with gradient clipping and a state that can be saved.
//!
//! candle-nn's keeps its moments and step private, so a run could not be resumed exactly nor a
//! rolled-back round be forgotten; and it neither clips nor keeps f32 moments for bf16 weights.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};

use crate::error::TrainError;
use crate::in_place::{self, Step};

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

impl Slot {
    /// A step by plain tensor operations, for every device and dtype.
    fn step(&mut self, gradient: &Tensor, by: &Step) -> Result<(), TrainError> {
        let gradient = (gradient * by.clip)?;
        self.first = ((&self.first * by.beta1)? + (&gradient * (1.0 - by.beta1))?)?.detach();
        self.second =
            ((&self.second * by.beta2)? + (gradient.sqr()? * (1.0 - by.beta2))?)?.detach();
        let root = ((&self.second * by.second_scale)?.sqrt()? + by.epsilon)?;
        let update = ((&self.first * by.rate)? / root)?;
        let weight = self.var.as_detached_tensor().to_dtype(update.dtype())?;
        let weight = ((weight * by.kept)? - update)?;
        Ok(self.var.set(&weight.to_dtype(self.var.dtype())?)?)
    }
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
                let zeros = || Tensor::zeros(var.shape(), moment_dtype(&var), var.device());
                Ok(Slot {
                    name,
                    first: zeros()?,
                    second: zeros()?,
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
        let step = Step {
            clip,
            beta1,
            beta2,
            rate: learning_rate / (1.0 - beta1.powf(steps)),
            second_scale: 1.0 / (1.0 - beta2.powf(steps)),
            epsilon,
            kept: 1.0 - learning_rate * weight_decay,
        };
        for (slot, gradient) in self.slots.iter_mut().zip(&found) {
            if slot.var.device().is_cpu() && slot.var.dtype() == DType::F32 {
                let weight = slot.var.as_tensor();
                in_place::step(weight, &slot.first, &slot.second, gradient, &step)?;
            } else {
                slot.step(gradient, &step)?;
            }
        }
        Ok(norm)
    }

    /// What the optimizer remembers, copied: later steps do not change what is returned.
    ///
    /// # Errors
    /// When the device runs out of memory.
    pub fn state(&self) -> Result<AdamWState, TrainError> {
        let mut moments = BTreeMap::new();
        for slot in &self.slots {
            moments.insert(format!("first.{}", slot.name), slot.first.copy()?);
            moments.insert(format!("second.{}", slot.name), slot.second.copy()?);
        }
        Ok(AdamWState {
            step: self.step,
            moments,
        })
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
                    // A copy, since steps change the moments in place.
                    Some(tensor) => Ok(tensor
                        .to_dtype(slot.first.dtype())?
                        .to_device(slot.var.device())?
                        .copy()?),
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
    let sums: Option<Vec<f64>> = gradients.iter().map(in_place::sum_of_squares).collect();
    if let Some(sums) = sums {
        return Ok(sums.iter().sum::<f64>().sqrt());
    }
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
    fn in_place_steps_are_those_of_plain_operations() -> Result<(), TrainError> {
        let values: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin()).collect();
        let in_place = Var::from_tensor(&Tensor::new(values.clone(), &Device::Cpu)?)?;
        let wider: Vec<f64> = values.into_iter().map(f64::from).collect();
        let plain = Var::from_tensor(&Tensor::new(wider, &Device::Cpu)?)?;
        let (mut one, mut other) = (optimizer(&in_place), optimizer(&plain));
        for _ in 0..20 {
            let norm = one.step(&gradients(&in_place, 0.3), 0.05)?;
            let expected = other.step(&gradients(&plain, 0.3), 0.05)?;
            assert!((norm / expected - 1.0).abs() < 1e-5);
        }
        let found = in_place.as_tensor().to_dtype(DType::F64)?;
        for (found, expected) in found.to_vec1::<f64>()?.iter().zip(plain.to_vec1::<f64>()?) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
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
        let (weights, state) = (var.as_tensor().copy()?, optimizer.state()?);
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
        let mut state = optimizer.state()?;
        state.moments.remove("second.w");
        let error = optimizer.restore(&state);
        assert!(matches!(error, Err(TrainError::State { name, .. }) if name == "second.w"));
        Ok(())
    }
}
