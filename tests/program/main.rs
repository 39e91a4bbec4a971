//! Tests of the real program, from outside: what is typed, printed and left on disk.

mod bad_input;
mod commands;
mod decisions;
mod effect;
mod pretrain;
mod runs;
mod strategies;
mod support;
