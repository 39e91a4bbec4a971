//! One stage's steps down the gradient.

use candle_core::{DType, Tensor};
use sc_model::{JanusModel, UnifiedModel};
use sc_train::{AdamW, AdamWConfig, Schedule, TrainError};

/// Share of a stage's steps that warm up.
const WARMUP: f64 = 0.03;

/// An optimizer with its schedule.
pub(crate) struct Descent {
    optimizer: AdamW,
    schedule: Schedule,
    learning_rate: f64,
    step: usize,
}

impl Descent {
    /// A descent of `steps` over the weights whose names `trains` accepts.
    pub(crate) fn new(
        model: &JanusModel,
        trains: impl Fn(&str) -> bool,
        steps: usize,
        learning_rate: f64,
        max_gradient_norm: f64,
    ) -> Result<Descent, TrainError> {
        let weights = model
            .parameters()
            .iter()
            .filter(|(name, _, _)| trains(name))
            .map(|(name, _, var)| (name.to_owned(), var.clone()));
        let config = AdamWConfig {
            max_gradient_norm,
            ..AdamWConfig::default()
        };
        Ok(Descent {
            optimizer: AdamW::new(weights, config)?,
            schedule: Schedule {
                warmup: (WARMUP * steps as f64).round() as usize,
                total: steps,
            },
            learning_rate,
            step: 0,
        })
    }

    /// Takes a step down `loss` and answers its value.
    pub(crate) fn step(&mut self, loss: &Tensor) -> Result<f64, TrainError> {
        let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !value.is_finite() {
            return Err(TrainError::NotFinite {
                what: "loss",
                value,
                step: self.step + 1,
            });
        }
        let rate = self.learning_rate * self.schedule.factor(self.step);
        self.optimizer.step(&loss.backward()?, rate)?;
        self.step += 1;
        Ok(value)
    }
}
