//! Unified multimodal models that draw, judge and train, on candle.
//!
//! [`UnifiedModel`] is what the rest of the program sees; [`JanusModel`] is its implementation
//! for the Janus family, configured wholly by a checkpoint's files.
//!
//! candle gives tensors, devices, reverse-mode gradients and the safetensors codec. Beside it
//! stand a forward pass of our own, because the fused operations of candle-nn and
//! candle-transformers end the graph without a word, and fused operations with a backward pass of
//! their own for the CPU, where candle's plain ones are slow.

mod adapter;
mod checkpoint;
mod config;
mod error;
pub mod export;
pub mod image;
pub mod info;
mod janus;
mod kernels;
mod ops;
mod parameters;
pub mod synth;
mod text;
mod unified;
pub mod verify;

pub use adapter::{Adapter, LinearShape, LoraSettings, is_adapter};
pub use checkpoint::names::Naming;
pub use checkpoint::source::CheckpointSource;
pub use config::{Config, GenerationDefaults, TextConfig, VisionConfig, VqConfig};
pub use error::{Error, Result};
pub use janus::{CodeSearch, JanusModel};
pub use parameters::{Group, Parameters, Precision};
pub use text::{Branch, SpecialTokens, Templates, Text};
pub use unified::{Answer, DrawRequest, Drawing, UnifiedModel};
