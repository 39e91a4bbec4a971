use sc_core::choice::Objective;
use thiserror::Error;

/// What can go wrong while training.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The model failed.
    #[error(transparent)]
    Model(#[from] sc_model::Error),
    /// A tensor operation failed.
    #[error("a tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// The loss or the gradient is not a number any more.
    #[error("`{what}` is {value} at step {step}; expected a finite number")]
    NotFinite {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// The value.
        value: f64,
        /// The step of the round, from 1.
        step: usize,
    },
    /// A trainable tensor got no gradient: it is not on the path that the loss sees.
    #[error("`{name}` is to be trained but gets no gradient")]
    NoGradient {
        /// The tensor.
        name: String,
    },
    /// A loss that compares with a reference got none: it would compare the policy with itself.
    #[error("`{objective}` is to be trained with, but there is no reference")]
    NoReference {
        /// The loss.
        objective: Objective,
    },
    /// A saved optimizer state does not fit the parameters.
    #[error("the optimizer state does not fit: `{name}` {problem}")]
    State {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl TrainError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            TrainError::Model(error) => error.hint(),
            TrainError::NotFinite { .. } => {
                Some("lower the learning rate (`--learning-rate`)".to_owned())
            }
            _ => None,
        }
    }
}
