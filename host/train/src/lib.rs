//! Training of the generation branch: losses, an optimizer whose state can be saved, and the
//! trainer that takes a round's examples through them.
//!
//! candle computes the gradients; everything that must be exact on resume (moments, step, order of
//! the examples) is ours. Deliberately absent: strategies, prompts' histories, files.

mod adamw;
mod error;
mod examples;
mod in_place;
pub mod loss;
mod schedule;
mod trainer;
mod verdicts;

pub use adamw::{AdamW, AdamWConfig, AdamWState};
pub use error::TrainError;
pub use examples::{Examples, Pair, Reference, Target};
pub use schedule::Schedule;
pub use trainer::{
    RoundTraining, StepReport, TrainReport, TrainRound, TrainSettings, Trainer, generation_path,
};
pub use verdicts::{Persuasion, persuade, shared_path};
