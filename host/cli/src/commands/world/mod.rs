//! `sc-host world`: the tiny world.

pub mod evaluate;
pub mod pretrain;
