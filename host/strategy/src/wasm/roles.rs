//! The four roles of a guest.

use std::thread;

use sc_core::candidate::Group;
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::plan::CurriculumDecision;
use sc_core::role::Role;
use sc_core::validate::MAX_REASON_BYTES;

use super::contract::{Answered, NoAnswer, Told};
use super::desk;
use super::guest::Configured;
use super::session::{Allotment, RoundServices, Session};
use crate::error::{CallError, CallFailure};
use crate::grant::Service;
use crate::role::{
    CallContext, Curriculum, CurriculumInput, DataFilter, GateInput, PairSelection, QualityGate,
    Reply,
};
use crate::services::CandidateServices;

/// Choices a candidate that an answer may hold, beyond what a legitimate selection needs.
const CHOICES_A_CANDIDATE: usize = 16;
/// What a decision, a choice or a planned prompt takes as it comes out of a guest, at most.
const RECORD_BYTES: usize = 48;

/// A call of a role: what it is told, and how large its answer may be.
struct Call<'a> {
    role: Role,
    context: &'a CallContext,
    answer_bytes: usize,
}

/// The call itself, once an instance is there.
type Invoke<'a, T> = &'a (dyn Fn(&mut Session, &Told<'_>) -> wasmtime::Result<Answered<T>> + Sync);

impl Configured {
    /// Calls a role in a fresh instance.
    fn call<T>(
        &self,
        call: &Call<'_>,
        services: Option<RoundServices>,
        invoke: Invoke<'_, T>,
    ) -> Result<Reply<T>, CallError> {
        self.try_call(call, services, invoke)
            .map_err(|failure| CallError {
                role: call.role,
                strategy: self.name.clone(),
                round: call.context.round,
                failure,
            })
    }

    fn try_call<T>(
        &self,
        call: &Call<'_>,
        services: Option<RoundServices>,
        invoke: Invoke<'_, T>,
    ) -> Result<Reply<T>, CallFailure> {
        let random = call.context.random(call.role);
        let mut session = self.session(call.role, random, services)?;
        session.begin(Allotment::call(&self.program.limits, call.answer_bytes))?;
        let told = Told {
            role: call.role,
            context: call.context,
            settings: &self.settings,
        };
        match invoke(&mut session, &told) {
            Ok(Ok((answer, state))) => Ok(Reply {
                answer,
                state,
                usage: session.usage(),
            }),
            Ok(Err(NoAnswer::Refused(message))) => Err(self.program.refusal(&message)),
            Ok(Err(NoAnswer::Invalid(invalid))) => Err(invalid.into()),
            Err(error) => Err(session.failure(&error)),
        }
    }

    /// Calls a role that may look at candidates and ask the model about them. Where it may, the
    /// guest gets a thread of its own, and this one, which has the model, answers.
    fn call_with_candidates<T: Send>(
        &self,
        call: &Call<'_>,
        groups: &[Group],
        services: &mut dyn CandidateServices,
        invoke: Invoke<'_, T>,
    ) -> Result<Reply<T>, CallError> {
        let image_allowance = self.allowance(call.role, Service::Candidate);
        let question_allowance = self.allowance(call.role, Service::Model);
        if image_allowance.is_none() && question_allowance.is_none() {
            return self.call(call, None, invoke);
        }
        let (desk, requests) = desk::open();
        let round_services = RoundServices {
            desk,
            images: desk::images(groups),
            round: call.context.round,
            image_allowance: image_allowance.unwrap_or(0),
            question_allowance: question_allowance.unwrap_or(0),
            account: self.account(),
        };
        thread::scope(|scope| {
            let guest = thread::Builder::new()
                .name("strategy".into())
                .spawn_scoped(scope, || self.call(call, Some(round_services), invoke));
            let failed = |failure| CallError {
                role: call.role,
                strategy: self.name.clone(),
                round: call.context.round,
                failure,
            };
            let guest = guest.map_err(|error| failed(CallFailure::Machine(error.to_string())))?;
            // Ends when the guest's instance does.
            requests.answer(services);
            guest.join().unwrap_or_else(|_| {
                Err(failed(CallFailure::Trap(
                    "the host's side of the call panicked".into(),
                )))
            })
        })
    }
}

impl Curriculum for Configured {
    fn plan(
        &self,
        context: &CallContext,
        input: &CurriculumInput<'_>,
    ) -> Result<Reply<CurriculumDecision>, CallError> {
        let call = Call {
            role: Role::Curriculum,
            context,
            // A prompt may be drawn, and replayed several times.
            answer_bytes: input.prompts.len() * 4 * RECORD_BYTES,
        };
        self.call(&call, None, &|session, told| {
            self.program.prepared.exports.plan(session, told, input)
        })
    }
}

impl DataFilter for Configured {
    fn filter(
        &self,
        context: &CallContext,
        groups: &[Group],
        services: &mut dyn CandidateServices,
    ) -> Result<Reply<Vec<Vec<FilterDecision>>>, CallError> {
        let a_group = |group: &Group| {
            RECORD_BYTES + group.candidates.len() * (RECORD_BYTES + MAX_REASON_BYTES)
        };
        let call = Call {
            role: Role::DataFilter,
            context,
            answer_bytes: groups.iter().map(a_group).sum(),
        };
        self.call_with_candidates(&call, groups, services, &|session, told| {
            self.program.prepared.exports.filter(session, told, groups)
        })
    }
}

impl PairSelection for Configured {
    fn select(
        &self,
        context: &CallContext,
        groups: &[Group],
        objective: Objective,
        services: &mut dyn CandidateServices,
    ) -> Result<Reply<Vec<Choice>>, CallError> {
        let sizes = groups.iter().map(|group| group.candidates.len());
        let call = Call {
            role: Role::PairSelection,
            context,
            answer_bytes: sizes
                .map(|n| n * n.min(CHOICES_A_CANDIDATE) * RECORD_BYTES)
                .sum(),
        };
        self.call_with_candidates(&call, groups, services, &|session, told| {
            let exports = &self.program.prepared.exports;
            exports.select(session, told, groups, objective)
        })
    }
}

impl QualityGate for Configured {
    fn decide(
        &self,
        context: &CallContext,
        input: &GateInput<'_>,
    ) -> Result<Reply<GateDecision>, CallError> {
        let call = Call {
            role: Role::QualityGate,
            context,
            answer_bytes: 0,
        };
        self.call(&call, None, &|session, told| {
            self.program.prepared.exports.decide(session, told, input)
        })
    }
}
