//! One file a command.

pub mod model;
pub mod run;
pub mod score;
