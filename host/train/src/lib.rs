//! Training of the generation branch: losses, an optimizer whose state can be saved, and the
//! trainer that takes a round's examples through them.
//!
//! candle computes the gradients; everything that must be exact on resume (moments, step, order of
//! the examples) is ours. Deliberately absent: strategies, prompts' histories, files.

mod adamw;
mod error;
mod in_place;
pub mod loss;
mod schedule;
mod trainer;

pub use adamw::{AdamW, AdamWConfig, AdamWState};
pub use error::TrainError;
pub use schedule::Schedule;
pub use trainer::{
    Examples, Pair, StepReport, Target, TrainReport, TrainRound, TrainSettings, Trainer,
    generation_path,
};
