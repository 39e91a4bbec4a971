//! The four roles of a guest.

use sc_core::candidate::Group;
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::metrics::Metric;
use sc_core::plan::CurriculumDecision;
use sc_core::role::Role;
use sc_core::validate::MAX_REASON_BYTES;

use super::bindings::exports::sc::strategy::{curriculum, data_filter, pair_selection};
use super::convert;
use super::guest::Configured;
use super::session::{Allotment, Session};
use crate::error::CallError;
use crate::role::{
    CallContext, Curriculum, CurriculumInput, DataFilter, PairSelection, QualityGate, Reply,
};

/// Choices a candidate that an answer may hold, beyond what a legitimate selection needs.
const CHOICES_A_CANDIDATE: usize = 16;

impl Configured {
    /// Calls `role` in a fresh instance. `answer_bytes` is what an answer may be large; `call`
    /// gives the answer, or what the strategy says when it refuses.
    fn call<T>(
        &self,
        role: Role,
        context: &CallContext,
        answer_bytes: usize,
        call: impl FnOnce(&mut Session) -> wasmtime::Result<Result<T, String>>,
    ) -> Result<T, CallError> {
        let failed = |failure| CallError {
            role,
            strategy: self.name.clone(),
            round: context.round,
            failure,
        };
        let mut session = self.session(role, context.random(role)).map_err(failed)?;
        session
            .begin(Allotment::call(&self.program.limits, answer_bytes))
            .map_err(failed)?;
        match call(&mut session) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(message)) => Err(failed(self.program.refusal(&message))),
            Err(error) => Err(failed(session.failure(&error))),
        }
    }
}

/// A role was asked of a guest that does not export it; [`crate::StrategySet`] does not do that.
fn not_exported(role: Role) -> wasmtime::Error {
    wasmtime::Error::msg(format!("the role {role} is not exported"))
}

impl Curriculum for Configured {
    fn plan(
        &self,
        context: &CallContext,
        input: &CurriculumInput<'_>,
    ) -> Result<Reply<CurriculumDecision>, CallError> {
        let role = Role::Curriculum;
        let answer_bytes = input.prompts.len() * size_of::<curriculum::PlannedPrompt>();
        let answer = self.call(role, context, answer_bytes, |session| {
            let indices = self.program.prepared.curriculum.as_ref();
            indices
                .ok_or_else(|| not_exported(role))?
                .load(&mut session.store, &session.instance)?
                .call_plan(
                    &mut session.store,
                    &convert::context(context),
                    &convert::curriculum_input(input),
                )
        })?;
        Ok(Reply {
            answer: convert::curriculum_decision(answer.decision),
            state: answer.state,
        })
    }
}

impl DataFilter for Configured {
    fn filter(
        &self,
        context: &CallContext,
        groups: &[Group],
    ) -> Result<Reply<Vec<Vec<FilterDecision>>>, CallError> {
        let role = Role::DataFilter;
        let a_decision = size_of::<data_filter::Decision>() + MAX_REASON_BYTES;
        let answer_bytes = groups
            .iter()
            .map(|group| {
                size_of::<Vec<data_filter::Decision>>() + group.candidates.len() * a_decision
            })
            .sum();
        let answer = self.call(role, context, answer_bytes, |session| {
            let indices = self.program.prepared.data_filter.as_ref();
            indices
                .ok_or_else(|| not_exported(role))?
                .load(&mut session.store, &session.instance)?
                .call_filter(
                    &mut session.store,
                    &convert::context(context),
                    &convert::groups(groups),
                )
        })?;
        Ok(Reply {
            answer: convert::filter_decisions(answer.decisions),
            state: answer.state,
        })
    }
}

impl PairSelection for Configured {
    fn select(
        &self,
        context: &CallContext,
        groups: &[Group],
        objective: Objective,
    ) -> Result<Reply<Vec<Choice>>, CallError> {
        let role = Role::PairSelection;
        let answer_bytes = groups
            .iter()
            .map(|group| group.candidates.len())
            .map(|n| n * n.min(CHOICES_A_CANDIDATE) * size_of::<pair_selection::Choice>())
            .sum();
        let answer = self.call(role, context, answer_bytes, |session| {
            let indices = self.program.prepared.pair_selection.as_ref();
            indices
                .ok_or_else(|| not_exported(role))?
                .load(&mut session.store, &session.instance)?
                .call_select(
                    &mut session.store,
                    &convert::context(context),
                    &convert::groups(groups),
                    convert::objective(objective),
                )
        })?;
        Ok(Reply {
            answer: convert::choices(answer.choices),
            state: answer.state,
        })
    }
}

impl QualityGate for Configured {
    fn decide(
        &self,
        context: &CallContext,
        before: &[Metric],
        after: &[Metric],
    ) -> Result<Reply<GateDecision>, CallError> {
        let role = Role::QualityGate;
        let answer = self.call(role, context, 0, |session| {
            let indices = self.program.prepared.quality_gate.as_ref();
            indices
                .ok_or_else(|| not_exported(role))?
                .load(&mut session.store, &session.instance)?
                .call_decide(
                    &mut session.store,
                    &convert::context(context),
                    &convert::metrics(before),
                    &convert::metrics(after),
                )
        })?;
        Ok(Reply {
            answer: convert::gate_decision(answer.decision),
            state: answer.state,
        })
    }
}
