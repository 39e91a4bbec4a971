//! {{summary}}
//!
//! Each decision is a module of plain Rust with its tests; `guest` connects them with the contract.

{{public_modules}}

#[cfg(target_arch = "wasm32")]
mod guest;
