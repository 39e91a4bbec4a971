//! Strategies as WebAssembly components, and scripts inside the interpreter's component.

mod bindings;
mod cache;
mod compile;
mod convert;
mod guest;
mod inspect;
mod roles;
mod runtime;
mod session;
mod structure;

pub(crate) use guest::{Configured, Guest};
pub use runtime::Runtime;
pub use structure::Measure;
