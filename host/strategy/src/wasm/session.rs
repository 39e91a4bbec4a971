//! One call: a fresh instance with its limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngCore;
use rand_chacha::ChaCha8Rng;
use sc_core::text::is_blank;
use thiserror::Error;
use tracing::Level;
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

use super::desk::{self, Desk, RoundAccount};
use crate::error::{CallFailure, shown};
use crate::limits::Limits;
use crate::services::{Image, MAX_QUESTION_BYTES, ModelReply, Question, Usage};

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

/// A host call, or compiled code, after the deadline.
#[derive(Debug, Error)]
#[error("the deadline has passed")]
struct DeadlinePassed;

/// Why a question was not put to the model.
pub(crate) enum AskRefusal {
    /// There is room for so many questions only.
    Quota(u32),
    Invalid(String),
    Unavailable(String),
}

/// What a call may find out about the candidates that it is about.
pub(crate) struct RoundServices {
    pub(crate) desk: Desk,
    /// Index and image hash of each candidate of each group.
    pub(crate) images: Vec<Vec<(u32, u64)>>,
    pub(crate) round: u32,
    /// Images and questions that the strategy may have in a round.
    pub(crate) image_allowance: u32,
    pub(crate) question_allowance: u32,
    pub(crate) account: Arc<RoundAccount>,
}

/// What the host keeps for one call.
pub(crate) struct HostState {
    budget: Budget,
    random: ChaCha8Rng,
    /// Strategy and role, as log lines name them.
    label: String,
    log_lines_left: u32,
    pub(crate) usage: Usage,
    deadline: Instant,
    services: Option<RoundServices>,
}

/// What the contract's imports do, whatever version they are asked in.
impl HostState {
    fn check_deadline(&self) -> wasmtime::Result<()> {
        if Instant::now() < self.deadline {
            Ok(())
        } else {
            Err(wasmtime::Error::new(DeadlinePassed))
        }
    }

    pub(crate) fn log(&mut self, level: Level, message: &str) -> wasmtime::Result<()> {
        self.check_deadline()?;
        if self.log_lines_left == 0 {
            self.usage.log_lines_dropped += 1;
            return Ok(());
        }
        self.log_lines_left -= 1;
        self.usage.log_lines += 1;
        let strategy = &self.label;
        let message = shown(message);
        // The level of an event is part of its code.
        match level {
            Level::DEBUG => tracing::debug!(target: "strategy", "{strategy}: {message}"),
            Level::WARN => tracing::warn!(target: "strategy", "{strategy}: {message}"),
            _ => tracing::info!(target: "strategy", "{strategy}: {message}"),
        }
        Ok(())
    }

    pub(crate) fn next_random(&mut self) -> wasmtime::Result<u64> {
        self.check_deadline()?;
        self.usage.random_numbers += 1;
        Ok(self.random.next_u64())
    }

    pub(crate) fn pixels(
        &mut self,
        group: u32,
        index: u32,
    ) -> wasmtime::Result<Result<Image, String>> {
        self.image(group, index, |desk| desk.pixels(group, index))
    }

    pub(crate) fn tokens(
        &mut self,
        group: u32,
        index: u32,
    ) -> wasmtime::Result<Result<Vec<u32>, String>> {
        self.image(group, index, |desk| desk.tokens(group, index))
    }

    fn image<T>(
        &mut self,
        group: u32,
        index: u32,
        look: impl FnOnce(&Desk) -> Result<T, String>,
    ) -> wasmtime::Result<Result<T, String>> {
        self.check_deadline()?;
        let Some(services) = &self.services else {
            return Ok(Err(NO_CANDIDATES.into()));
        };
        if desk::image_hash(&services.images, group, index).is_none() {
            return Ok(Err(no_candidate(group, index)));
        }
        if !services
            .account
            .take_image(services.round, services.image_allowance)
        {
            let allowance = services.image_allowance;
            return Ok(Err(format!(
                "all {allowance} images of this round have been looked at"
            )));
        }
        self.usage.images += 1;
        let began = Instant::now();
        let image = look(&services.desk);
        // What the model takes is not the strategy's time: its grant bounds it.
        self.deadline += began.elapsed();
        Ok(image)
    }

    pub(crate) fn questions_left(&mut self) -> wasmtime::Result<u32> {
        self.check_deadline()?;
        Ok(self.services.as_ref().map_or(0, |services| {
            services
                .account
                .questions_left(services.round, services.question_allowance)
        }))
    }

    pub(crate) fn ask(
        &mut self,
        questions: Vec<Question>,
    ) -> wasmtime::Result<Result<Vec<ModelReply>, AskRefusal>> {
        self.check_deadline()?;
        let Some(services) = &self.services else {
            return Ok(Err(AskRefusal::Unavailable(NO_CANDIDATES.into())));
        };
        let mut keys = Vec::with_capacity(questions.len());
        for (position, question) in questions.iter().enumerate() {
            let hash = desk::image_hash(&services.images, question.group, question.index);
            let problem = match hash {
                None => Some(no_candidate(question.group, question.index)),
                Some(_) if question.text.len() > MAX_QUESTION_BYTES => Some(format!(
                    "it is {} bytes long; expected at most {MAX_QUESTION_BYTES}",
                    question.text.len()
                )),
                Some(_) if is_blank(&question.text) => Some("it is empty".to_owned()),
                Some(_) => None,
            };
            if let Some(problem) = problem {
                let text = format!("question {position}: {problem}");
                return Ok(Err(AskRefusal::Invalid(text)));
            }
            keys.push((hash.unwrap_or_default(), question.text.clone()));
        }
        let charged = services
            .account
            .charge(services.round, services.question_allowance, keys);
        let charged = match charged {
            Ok(charged) => charged,
            Err(left) => return Ok(Err(AskRefusal::Quota(left))),
        };
        self.usage.questions += questions.len() as u64;
        self.usage.questions_charged += charged;
        if questions.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let began = Instant::now();
        let replies = services.desk.ask(questions);
        self.deadline += began.elapsed();
        Ok(replies.map_err(AskRefusal::Unavailable))
    }
}

const NO_CANDIDATES: &str = "this role has no candidates to look at";

fn no_candidate(group: u32, index: u32) -> String {
    format!("there is no candidate {index} in group {group}")
}

/// What an instance is opened with.
pub(crate) struct Opening {
    /// Strategy and role, as log lines name them.
    pub(crate) label: String,
    pub(crate) random: ChaCha8Rng,
    /// Lines that it may log.
    pub(crate) log_lines: u32,
    pub(crate) services: Option<RoundServices>,
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
        opening: Opening,
    ) -> Result<Session, CallFailure> {
        let state = HostState {
            budget: Budget {
                limit: limits.memory_bytes,
                used: 0,
                refused: false,
                machine: None,
            },
            random: opening.random,
            label: opening.label,
            log_lines_left: opening.log_lines,
            usage: Usage::default(),
            deadline: Instant::now(),
            services: opening.services,
        };
        let mut store = Store::new(pre.engine(), state);
        store.limiter(|state| &mut state.budget);
        // Every store has a deadline of its own, which the engine's one clock only reminds of.
        store.epoch_deadline_callback(|store| {
            store.data().check_deadline()?;
            Ok(UpdateDeadline::Continue(1))
        });
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

    /// What the present phase cost and used.
    pub(crate) fn usage(&self) -> Usage {
        let state = self.store.data();
        let left = self.store.get_fuel().unwrap_or(self.allotment.fuel);
        Usage {
            fuel: self.allotment.fuel.saturating_sub(left),
            memory_bytes: state.budget.used as u64,
            ..state.usage
        }
    }

    /// Why a call that ended with `error` failed.
    pub(crate) fn failure(&self, error: &wasmtime::Error) -> CallFailure {
        failure(&self.store, self.allotment, error)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let state = self.store.data();
        let dropped = state.usage.log_lines_dropped;
        if dropped > 0 {
            tracing::warn!(target: "strategy", "{}: {dropped} further lines dropped", state.label);
        }
    }
}

fn begin(store: &mut Store<HostState>, allotment: Allotment) -> Result<(), CallFailure> {
    store
        .set_fuel(allotment.fuel)
        .map_err(|error| CallFailure::Trap(error.to_string()))?;
    store.set_epoch_deadline(1);
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
    if let Some(Trap::OutOfFuel) = error.downcast_ref::<Trap>() {
        return CallFailure::OutOfFuel {
            fuel: allotment.fuel,
        };
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
