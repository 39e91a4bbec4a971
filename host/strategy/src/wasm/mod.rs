//! Strategies as WebAssembly components, and scripts inside the interpreter's component.

mod cache;
mod compile;
mod contract;
mod description;
mod desk;
mod guest;
mod inspect;
mod roles;
mod runtime;
mod session;
mod structure;
mod v0_1_0;

pub use contract::Description;
pub(crate) use guest::{Configured, Guest};
pub use runtime::{Runtime, Supplied};
pub use structure::Measure;
