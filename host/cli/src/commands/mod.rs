//! One file a command.

pub mod draw;
pub mod model;
pub mod run;
pub mod score;
pub mod world;
