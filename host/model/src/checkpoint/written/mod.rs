//! What a checkpoint that is written consists of, in either layout: its tensors, the shards that
//! these are put into, and the files beside them.

pub(crate) mod files;
pub(crate) mod shards;
pub(crate) mod tensors;
