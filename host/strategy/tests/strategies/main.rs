//! Strategies as a run uses them: builtins, components and scripts, good and bad ones.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod builtins;
mod common;
mod forms;
mod frozen;
mod limits;
mod load_errors;
mod scripts;
mod twins;
