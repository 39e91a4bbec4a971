//! Tests of the real program, from outside: what is typed, printed and left on disk.

mod bad_input;
mod bad_options;
mod commands;
mod debug;
mod decisions;
mod effect;
mod hub;
mod hub_refusals;
mod hub_server;
mod method;
mod pretrain;
mod probes;
mod real_models;
mod runs;
mod server;
mod sharing;
mod speed;
mod strategies;
mod support;
mod synth;
