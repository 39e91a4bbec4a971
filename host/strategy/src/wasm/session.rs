//! One call: a fresh instance with its limits.

use std::time::{Duration, Instant};

use rand::RngCore;
use rand_chacha::ChaCha8Rng;
use thiserror::Error;
use wasmtime::component::{HasSelf, Instance, InstancePre, Linker};
use wasmtime::{Engine, ResourceLimiter, Store, Trap};

use super::bindings::sc::strategy::{log, random, types};
use super::compile::epochs;
use crate::error::{CallFailure, LoadError, shown};
use crate::limits::Limits;

/// Instances of core modules, tables and memories that a component may consist of. Components that
/// `wit-bindgen` makes have about five.
const MAX_PARTS: usize = 64;
/// What a table's element costs, in bytes.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// What a phase of a call may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allotment {
    pub(crate) fuel: u64,
    pub(crate) deadline: Duration,
    pub(crate) output_bytes: usize,
}

impl Allotment {
    /// What comes before a role is called.
    pub(crate) fn setup(limits: &Limits) -> Allotment {
        Allotment {
            fuel: limits.setup_fuel,
            deadline: limits.setup_deadline,
            output_bytes: limits.output_bytes,
        }
    }

    /// The call of a role whose answer to its input may be `answer_bytes` large.
    pub(crate) fn call(limits: &Limits, answer_bytes: usize) -> Allotment {
        Allotment {
            fuel: limits.fuel,
            deadline: limits.deadline,
            output_bytes: (limits.output_bytes + limits.state_bytes).saturating_add(answer_bytes),
        }
    }
}

/// Memory and tables of all instances of a store together. (Wasmtime's own limiter counts each
/// memory for itself, so that many instances together take many times the cap.)
struct Budget {
    limit: usize,
    used: usize,
    /// Whether something was refused: what the guest does next is its own reaction to that.
    refused: bool,
    /// What the machine could not give, although it is within the limit.
    machine: Option<String>,
}

impl Budget {
    fn take(&mut self, bytes: usize) -> bool {
        match self.used.checked_add(bytes) {
            Some(used) if used <= self.limit => {
                self.used = used;
                true
            }
            _ => {
                self.refused = true;
                false
            }
        }
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.take(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = desired.saturating_sub(current);
        Ok(self.take(elements.saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.machine = self.machine.take().or_else(|| of_machine(&error));
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

/// A host call after the deadline. (The deadline interrupts compiled code only.)
#[derive(Debug, Error)]
#[error("the deadline has passed")]
struct DeadlinePassed;

/// What the host keeps for one call.
pub(crate) struct HostState {
    budget: Budget,
    random: ChaCha8Rng,
    /// Strategy and role, as log lines name them.
    label: String,
    log_lines_left: u32,
    log_lines_dropped: u64,
    deadline: Instant,
}

impl HostState {
    fn check_deadline(&self) -> wasmtime::Result<()> {
        if Instant::now() < self.deadline {
            Ok(())
        } else {
            Err(wasmtime::Error::new(DeadlinePassed))
        }
    }
}

impl types::Host for HostState {}

impl log::Host for HostState {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.check_deadline()?;
        if self.log_lines_left == 0 {
            self.log_lines_dropped += 1;
            return Ok(());
        }
        self.log_lines_left -= 1;
        let strategy = &self.label;
        let message = shown(&message);
        match level {
            log::Level::Debug => tracing::debug!(target: "strategy", "{strategy}: {message}"),
            log::Level::Info => tracing::info!(target: "strategy", "{strategy}: {message}"),
            log::Level::Warn => tracing::warn!(target: "strategy", "{strategy}: {message}"),
        }
        Ok(())
    }
}

impl random::Host for HostState {
    fn next(&mut self) -> wasmtime::Result<u64> {
        self.check_deadline()?;
        Ok(self.random.next_u64())
    }
}

/// The imports of a strategy.
///
/// # Errors
/// When the bindings contradict each other.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<HostState>, LoadError> {
    let mut linker = Linker::new(engine);
    fn state(state: &mut HostState) -> &mut HostState {
        state
    }
    types::add_to_linker::<_, HasSelf<_>>(&mut linker, state)
        .and_then(|()| log::add_to_linker::<_, HasSelf<_>>(&mut linker, state))
        .and_then(|()| random::add_to_linker::<_, HasSelf<_>>(&mut linker, state))
        .map_err(|error| LoadError::Sandbox(format!("{error:#}")))?;
    Ok(linker)
}

/// A fresh instance.
pub(crate) struct Session {
    pub(crate) store: Store<HostState>,
    pub(crate) instance: Instance,
    allotment: Allotment,
}

impl Session {
    /// Instantiates a component.
    ///
    /// # Errors
    /// When it needs too much, or its start functions fail.
    pub(crate) fn open(
        pre: &InstancePre<HostState>,
        limits: &Limits,
        label: String,
        random: ChaCha8Rng,
    ) -> Result<Session, CallFailure> {
        let state = HostState {
            budget: Budget {
                limit: limits.memory_bytes,
                used: 0,
                refused: false,
                machine: None,
            },
            random,
            label,
            log_lines_left: limits.log_lines,
            log_lines_dropped: 0,
            deadline: Instant::now(),
        };
        let mut store = Store::new(pre.engine(), state);
        store.limiter(|state| &mut state.budget);
        let allotment = Allotment::setup(limits);
        begin(&mut store, allotment)?;
        let instance = pre
            .instantiate(&mut store)
            .map_err(|error| failure(&store, allotment, &error))?;
        Ok(Session {
            store,
            instance,
            allotment,
        })
    }

    /// Begins a phase with limits of its own.
    ///
    /// # Errors
    /// Never, as long as the engine counts fuel.
    pub(crate) fn begin(&mut self, allotment: Allotment) -> Result<(), CallFailure> {
        self.allotment = allotment;
        begin(&mut self.store, allotment)
    }

    /// Why a call that ended with `error` failed.
    pub(crate) fn failure(&self, error: &wasmtime::Error) -> CallFailure {
        failure(&self.store, self.allotment, error)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let state = self.store.data();
        if state.log_lines_dropped > 0 {
            tracing::warn!(
                target: "strategy",
                "{}: {} further lines dropped",
                state.label,
                state.log_lines_dropped
            );
        }
    }
}

fn begin(store: &mut Store<HostState>, allotment: Allotment) -> Result<(), CallFailure> {
    store
        .set_fuel(allotment.fuel)
        .map_err(|error| CallFailure::Trap(error.to_string()))?;
    store.set_epoch_deadline(epochs(allotment.deadline));
    store.set_hostcall_fuel(allotment.output_bytes);
    store.data_mut().deadline = Instant::now() + allotment.deadline;
    Ok(())
}

/// What the operating system says, where `error` comes from it.
fn of_machine(error: &wasmtime::Error) -> Option<String> {
    let reason = error.root_cause().to_string();
    // The error's type is that of a library which wasmtime does not pass on.
    reason.contains("(os error ").then_some(reason)
}

fn failure(store: &Store<HostState>, allotment: Allotment, error: &wasmtime::Error) -> CallFailure {
    let budget = &store.data().budget;
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            return CallFailure::OutOfFuel {
                fuel: allotment.fuel,
            };
        }
        Some(Trap::Interrupt) => {
            return CallFailure::Deadline {
                deadline: allotment.deadline,
            };
        }
        _ => {}
    }
    if error.downcast_ref::<DeadlinePassed>().is_some() {
        return CallFailure::Deadline {
            deadline: allotment.deadline,
        };
    }
    if let Some(reason) = of_machine(error).or_else(|| budget.machine.clone()) {
        return CallFailure::Machine(reason);
    }
    if budget.refused {
        return CallFailure::Memory {
            limit: budget.limit,
        };
    }
    let reason = error.root_cause().to_string();
    // The error's type is private to wasmtime; a test holds on to its wording.
    if reason.contains("fuel allocated for hostcalls") {
        return CallFailure::OutputTooLarge {
            limit: allotment.output_bytes,
        };
    }
    CallFailure::Trap(shown(&reason))
}
