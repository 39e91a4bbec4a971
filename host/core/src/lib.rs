//! The words a run is told in, and the maths of the Nonunified score.
//!
//! A run draws images for prompts ([`prompt::Prompt`]), judges them ([`candidate::Candidate`]),
//! filters and chooses what to train on ([`choice::Choice`]), and decides what happens next
//! ([`plan::RoundPlan`], [`gate::GateDecision`]). Everything that crosses from one part of the
//! program to another is a type of this crate.
//!
//! Deliberately absent: input and output, the model library and the strategy runtime. What a
//! strategy returns is data; [`validate`] is the only place that decides whether it may be used.

pub mod answer;
pub mod candidate;
pub mod choice;
pub mod co_improvement;
pub mod gate;
pub mod history;
pub mod metrics;
pub mod plan;
pub mod prompt;
pub mod rng;
pub mod roc;
pub mod role;
pub mod text;
pub mod validate;
