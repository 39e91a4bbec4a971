//! Strategies: the decisions of a run that can be exchanged without recompiling the program.
//!
//! Each role has a trait ([`Curriculum`], [`DataFilter`], [`PairSelection`], [`QualityGate`]) that
//! takes data and returns data. Behind it stands a builtin, a WebAssembly component of the contract
//! in `wit/`, or a Rhai script, which runs inside an interpreter that is such a
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
mod grant;
mod inspection;
mod limits;
mod parameter;
pub mod record;
mod request;
mod role;
mod services;
mod set;
mod slot;
pub mod trial;
mod wasm;
mod watch;

pub use error::{CallError, CallFailure, GrantError, LoadError, RequestError, SettingError};
pub use grant::{Grants, Service};
pub use inspection::{Inspection, Kind, inspect};
pub use limits::Limits;
pub use parameter::{Parameter, Value};
pub use request::{GateCombinator, OnFailure, Policies, Requested, StrategyRequest};
pub use role::{
    CallContext, Curriculum, CurriculumInput, DataFilter, GateInput, PairSelection, QualityGate,
    Reply,
};
pub use services::{CandidateServices, Image, ModelReply, NoServices, Question, Usage};
pub use set::{StrategySet, builtin_names};
pub use slot::{Filled, Identity, Slot};
pub use wasm::{Description, Measure, Runtime, Supplied};
pub use watch::Refreshed;
