//! Checkpoints on the disk: their files, the names of their tensors, and what is in them.

pub(crate) mod folder;
pub(crate) mod names;
pub(crate) mod source;
mod torch;
pub(crate) mod weights;
pub(crate) mod written;
