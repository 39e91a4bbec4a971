//! The rounds of a self-improvement run.
//!
//! [`improve`] tells the whole story in one function. Around it: [`task`] (what is drawn and who
//! knows the truth), [`generation`] (drawing and judging), [`evaluation`] (the figures),
//! [`store`] (the run directory) and [`event`] (what a watcher is told).
//!
//! Deliberately absent: printing, and the choice of strategies, which arrive loaded.

mod ask;
mod candidates;
mod checkpoint;
pub mod dynamics;
mod error;
pub mod evaluation;
pub mod event;
pub mod fixed;
pub mod generation;
pub mod improve;
pub mod judge;
pub mod ledger;
mod measuring;
pub mod pictures;
pub mod probe_set;
pub mod prompt_file;
mod resume;
mod round;
pub mod settings;
pub mod signals;
pub mod store;
pub mod supervision;
pub mod task;
pub mod wording;

pub use checkpoint::Checkpoint;
pub use error::RunError;
