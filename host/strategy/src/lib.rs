//! Strategies: the decisions of a run that can be exchanged without recompiling the program.
//!
//! Each role has a trait ([`Curriculum`], [`DataFilter`], [`PairSelection`], [`QualityGate`]) that
//! takes data and returns data. Behind it stands a builtin, a WebAssembly component of the contract
//! in `wit/strategy.wit`, or a Rhai script, which runs inside an interpreter that is such a
//! component itself: one sandbox and one set of limits ([`Limits`]) for both.
//!
//! [`StrategySet::load`] turns what the command line asks for into four strategies, configured and
//! checked before anything heavy starts. Whatever a strategy answers has passed
//! [`sc_core::validate`] when it leaves this crate.
//!
//! Deliberately absent: the model library, and any way for a strategy to reach files, the network,
//! a clock or the environment.

mod builtin;
mod checked;
mod error;
mod limits;
mod parameter;
mod role;
mod set;
mod wasm;

pub use error::{CallError, CallFailure, LoadError, SettingError};
pub use limits::Limits;
pub use parameter::{Parameter, Value};
pub use role::{
    CallContext, Curriculum, CurriculumInput, DataFilter, PairSelection, QualityGate, Reply,
};
pub use set::{Filled, Identity, StrategySet, builtin_names};
pub use wasm::{Measure, Runtime};
