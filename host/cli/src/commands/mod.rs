//! One file a command.

pub mod compare;
pub mod debug;
pub mod draw;
pub mod loss;
pub mod model;
pub mod probe;
pub mod replay;
pub mod run;
pub mod score;
pub mod strategy;
pub mod world;
