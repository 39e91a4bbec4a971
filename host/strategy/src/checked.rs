//! The check that every answer passes, whoever gives it.

use sc_core::candidate::Group;
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::plan::CurriculumDecision;
use sc_core::role::Role;
use sc_core::validate::{self, InvalidAnswer};

use crate::error::{CallError, CallFailure};
use crate::role::{
    CallContext, Curriculum, CurriculumInput, DataFilter, GateInput, PairSelection, QualityGate,
    Reply,
};
use crate::services::CandidateServices;

/// A strategy whose answers are checked before they are passed on.
pub(crate) struct Checked<S: ?Sized> {
    pub(crate) name: String,
    pub(crate) state_bytes: usize,
    pub(crate) inner: Box<S>,
}

impl<S: ?Sized> Checked<S> {
    fn check<T>(
        &self,
        role: Role,
        context: &CallContext,
        reply: Reply<T>,
        validate: impl FnOnce(&T) -> Result<(), InvalidAnswer>,
    ) -> Result<Reply<T>, CallError> {
        let failed = |failure| CallError {
            role,
            strategy: self.name.clone(),
            round: context.round,
            failure,
        };
        validate(&reply.answer).map_err(|invalid| failed(invalid.into()))?;
        if reply.state.len() > self.state_bytes {
            return Err(failed(CallFailure::StateTooLarge {
                bytes: reply.state.len(),
                limit: self.state_bytes,
            }));
        }
        Ok(reply)
    }
}

impl Curriculum for Checked<dyn Curriculum> {
    fn plan(
        &self,
        context: &CallContext,
        input: &CurriculumInput<'_>,
    ) -> Result<Reply<CurriculumDecision>, CallError> {
        let reply = self.inner.plan(context, input)?;
        self.check(
            Role::Curriculum,
            context,
            reply,
            |decision| match decision {
                CurriculumDecision::Round(plan) => validate::plan(plan, &input.bounds),
                CurriculumDecision::Stop(reason) => validate::reason("stop", reason),
            },
        )
    }
}

impl DataFilter for Checked<dyn DataFilter> {
    fn filter(
        &self,
        context: &CallContext,
        groups: &[Group],
        services: &mut dyn CandidateServices,
    ) -> Result<Reply<Vec<Vec<FilterDecision>>>, CallError> {
        let reply = self.inner.filter(context, groups, services)?;
        self.check(Role::DataFilter, context, reply, |decisions| {
            validate::decisions(decisions, groups)
        })
    }
}

impl PairSelection for Checked<dyn PairSelection> {
    fn select(
        &self,
        context: &CallContext,
        groups: &[Group],
        objective: Objective,
        services: &mut dyn CandidateServices,
    ) -> Result<Reply<Vec<Choice>>, CallError> {
        let reply = self.inner.select(context, groups, objective, services)?;
        self.check(Role::PairSelection, context, reply, |choices| {
            validate::choices(choices, groups, objective)
        })
    }
}

impl QualityGate for Checked<dyn QualityGate> {
    fn decide(
        &self,
        context: &CallContext,
        input: &GateInput<'_>,
    ) -> Result<Reply<GateDecision>, CallError> {
        let reply = self.inner.decide(context, input)?;
        self.check(Role::QualityGate, context, reply, |decision| {
            let (GateDecision::Keep { reason }
            | GateDecision::RollBack { reason }
            | GateDecision::Stop { reason }) = decision;
            validate::reason("reason", reason)
        })
    }
}
