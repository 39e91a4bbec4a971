//! Tests of the Janus family on whole checkpoints, as one program.

mod adapter;
mod branches;
mod checkpoint;
mod common;
mod export;
mod gradients;
mod hostile;
mod images;
mod layouts;
mod reference;
mod siglip;
mod synth;
mod tiny_world;
