//! The engine, and compiling components within a time limit.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use crate::error::LoadError;
use crate::limits::Limits;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(5);

/// An engine whose code counts fuel and looks at deadlines, and whose results do not depend on the
/// machine.
///
/// # Errors
/// When this machine cannot run compiled code.
pub(crate) fn engine(limits: &Limits) -> Result<Engine, LoadError> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        // Bit patterns of NaN and the relaxed operations are the only results that the standard
        // leaves to the machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_backtrace_max_frames(None);
    let engine = Engine::new(&config).map_err(|error| LoadError::Sandbox(format!("{error:#}")))?;
    let ticked = engine.weak();
    thread::Builder::new()
        .name("strategy deadlines".into())
        .spawn(move || {
            // The engine is held weakly: the thread ends with it.
            loop {
                thread::sleep(TICK);
                let Some(engine) = ticked.upgrade() else {
                    return;
                };
                engine.increment_epoch();
            }
        })
        .map_err(|error| LoadError::Sandbox(error.to_string()))?;
    Ok(engine)
}

/// Compiles `bytes`, which [`super::inspect::check_bytes`] has passed.
///
/// # Errors
/// When they are not valid, or not compiled in time. The compiler cannot be interrupted, so in the
/// second case its thread goes on until the program ends, which is what a load error leads to.
pub(crate) fn compile(
    path: &str,
    engine: &Engine,
    bytes: Vec<u8>,
    limit: Duration,
) -> Result<Component, LoadError> {
    let (sender, receiver) = mpsc::channel();
    let compiling = engine.clone();
    thread::Builder::new()
        .name("strategy compiler".into())
        .spawn(move || {
            // Nobody listens any more once the limit has passed.
            let _ = sender.send(Component::new(&compiling, bytes));
        })
        .map_err(|error| LoadError::Sandbox(error.to_string()))?;
    match receiver.recv_timeout(limit) {
        Ok(compiled) => {
            compiled.map_err(|error| LoadError::malformed(path, &format_args!("{error:#}")))
        }
        Err(_) => Err(LoadError::CompileTime {
            path: path.to_owned(),
            limit,
        }),
    }
}
