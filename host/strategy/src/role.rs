//! One trait a role: data in, data out.

use sc_core::candidate::Group;
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::history::PromptHistory;
use sc_core::metrics::{Metric, RoundMetrics};
use sc_core::plan::{CurriculumDecision, PlanBounds, PlanDefaults};
use sc_core::prompt::Prompt;
use sc_core::rng;
use sc_core::role::Role;

use crate::error::CallError;
use crate::services::{CandidateServices, Usage};

/// What every call is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// The run's seed.
    pub seed: u64,
    /// This round, from 1.
    pub round: u32,
    /// How many rounds the run will have at most.
    pub rounds: u32,
    /// The pass over the round's examples that comes next, from 1.
    pub epoch: u32,
    /// The strategy's place among those of its role, from 0.
    pub link: u32,
    /// What this strategy returned as state at its last call; empty at first.
    pub state: Vec<u8>,
}

impl CallContext {
    /// The random sequence of this call: the same for the same seed, round, epoch, role and place,
    /// whatever kind of strategy draws from it.
    pub(crate) fn random(&self, role: Role) -> rand_chacha::ChaCha8Rng {
        let [round, epoch, link] = [self.round, self.epoch, self.link].map(u64::from);
        let indices: &[u64] = match (epoch, link) {
            // The usual case, and a stream that no other case can have.
            (1, 0) => &[round],
            _ => &[round, epoch, link],
        };
        rng::stream(self.seed, &format!("strategy {role}"), indices)
    }
}

/// An answer, and what the strategy wants to be told at its next call.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<T> {
    /// The answer, checked.
    pub answer: T,
    /// The new state.
    pub state: Vec<u8>,
    /// What the call used of the services.
    pub usage: Usage,
}

impl<T> Reply<T> {
    /// The answer of a strategy of the program's own, which keeps the state that it was given.
    pub(crate) fn stateless(answer: T, context: &CallContext) -> Reply<T> {
        Reply {
            answer,
            state: context.state.clone(),
            usage: Usage::default(),
        }
    }
}

/// What a curriculum decides from.
#[derive(Clone, Copy, Debug)]
pub struct CurriculumInput<'a> {
    /// The run's table of training prompts, by id.
    pub prompts: &'a [Prompt],
    /// The past of each, in the same order.
    pub histories: &'a [PromptHistory],
    /// The figures of past rounds, oldest first.
    pub past: &'a [RoundMetrics],
    /// What a plan must stay within.
    pub bounds: PlanBounds,
    /// What the run's settings ask for.
    pub defaults: PlanDefaults,
}

/// What a gate decides from.
#[derive(Clone, Copy, Debug)]
pub struct GateInput<'a> {
    /// The figures at the round's start.
    pub before: &'a [Metric],
    /// Those of the trained model.
    pub after: &'a [Metric],
    /// The figures of all rounds before this one, oldest first.
    pub past: &'a [RoundMetrics],
}

/// Decides which prompts the coming round draws, and how.
pub trait Curriculum: Send + Sync {
    /// Plans the round of `context`.
    ///
    /// # Errors
    /// When the strategy fails, refuses, or answers what [`sc_core::validate::plan`] forbids.
    fn plan(
        &self,
        context: &CallContext,
        input: &CurriculumInput<'_>,
    ) -> Result<Reply<CurriculumDecision>, CallError>;
}

/// Decides which candidates are fit to be trained on.
pub trait DataFilter: Send + Sync {
    /// One decision a candidate of each group, in the order given.
    ///
    /// # Errors
    /// When the strategy fails, refuses, or answers what [`sc_core::validate::decisions`] forbids.
    fn filter(
        &self,
        context: &CallContext,
        groups: &[Group],
        services: &mut dyn CandidateServices,
    ) -> Result<Reply<Vec<Vec<FilterDecision>>>, CallError>;
}

/// Decides what to train on.
pub trait PairSelection: Send + Sync {
    /// What the objective takes.
    ///
    /// # Errors
    /// When the strategy fails, refuses, or answers what [`sc_core::validate::choices`] forbids.
    fn select(
        &self,
        context: &CallContext,
        groups: &[Group],
        objective: Objective,
        services: &mut dyn CandidateServices,
    ) -> Result<Reply<Vec<Choice>>, CallError>;
}

/// Decides whether a finished round is kept.
pub trait QualityGate: Send + Sync {
    /// Compares the figures at the round's start with those of the trained model.
    ///
    /// # Errors
    /// When the strategy fails, refuses, or gives a reason that [`sc_core::validate::reason`]
    /// forbids.
    fn decide(
        &self,
        context: &CallContext,
        input: &GateInput<'_>,
    ) -> Result<Reply<GateDecision>, CallError>;
}
