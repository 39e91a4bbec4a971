//! The engine, and compiling components within a time limit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
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
        // Nobody is shown where in the compiled code a strategy failed.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false);
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

/// Compiles one component at a time.
///
/// The compiler cannot be interrupted: where it takes too long, its thread goes on after the
/// component was refused. Nothing else is compiled until it ends, so that a file that is replaced
/// again and again during a run cannot make the host compile more and more at once.
#[derive(Default)]
pub(crate) struct Compiler {
    turn: Mutex<()>,
    /// Whether a thread works, on what is waited for or on what was refused.
    works: Arc<AtomicBool>,
}

/// Says that a thread works, until it ends, be it by a panic.
struct Working(Arc<AtomicBool>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Compiler {
    /// Compiles `bytes`, which [`super::inspect::check_bytes`] has passed.
    ///
    /// # Errors
    /// When they are not valid or not compiled in time, and while a component that was not compiled
    /// in time is still worked on.
    pub(crate) fn compile(
        &self,
        path: &str,
        engine: &Engine,
        bytes: Vec<u8>,
        limit: Duration,
    ) -> Result<Component, LoadError> {
        // The lock guards nothing that a panic could leave half done.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.works.swap(true, Ordering::Acquire) {
            return Err(LoadError::CompilerBusy {
                path: path.to_owned(),
            });
        }
        let working = Working(Arc::clone(&self.works));
        let (sender, receiver) = mpsc::channel();
        let compiling = engine.clone();
        thread::Builder::new()
            .name("strategy compiler".into())
            .spawn(move || {
                let compiled = Component::new(&compiling, bytes);
                drop(working);
                // Nobody listens any more once the limit has passed.
                let _ = sender.send(compiled);
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
}
