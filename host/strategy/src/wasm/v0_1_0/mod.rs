//! Contract 0.1.0 (`wit/0.1.0`), which is frozen: its imports, its exports, and the conversion
//! between its words and those of the run.

mod bindings;
mod convert;
mod services;

use sc_core::candidate::Group;
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::plan::CurriculumDecision;
use sc_core::role::Role;
use wasmtime::component::InstancePre;

use self::bindings::exports::sc::strategy::{
    about, curriculum, data_filter, pair_selection, quality_gate, script,
};
use super::contract::{
    Answered, Description, ExportedInterfaces, GuestExports, NoAnswer, Refusal, ScriptError, Told,
};
use super::session::{HostState, Session};
use crate::parameter::Settings;
use crate::role::{CurriculumInput, GateInput};

pub(crate) use self::services::link;

/// Where the exports of a component lie.
struct Exports {
    about: about::GuestIndices,
    curriculum: Option<curriculum::GuestIndices>,
    data_filter: Option<data_filter::GuestIndices>,
    pair_selection: Option<pair_selection::GuestIndices>,
    quality_gate: Option<quality_gate::GuestIndices>,
    script: Option<script::GuestIndices>,
}

/// Finds the exports of a component that was built against this version.
///
/// # Errors
/// When an interface that it exports lacks a function.
pub(crate) fn exports(
    pre: &InstancePre<HostState>,
    exported: &ExportedInterfaces,
) -> wasmtime::Result<Box<dyn GuestExports>> {
    /// The functions of an interface, where it is exported.
    macro_rules! indices {
        ($interface:ident, $exported:expr) => {
            $exported
                .then(|| $interface::GuestIndices::new(pre))
                .transpose()?
        };
    }
    let fills = |role| exported.roles.contains(&role);
    Ok(Box::new(Exports {
        about: about::GuestIndices::new(pre)?,
        curriculum: indices!(curriculum, fills(Role::Curriculum)),
        data_filter: indices!(data_filter, fills(Role::DataFilter)),
        pair_selection: indices!(pair_selection, fills(Role::PairSelection)),
        quality_gate: indices!(quality_gate, fills(Role::QualityGate)),
        script: indices!(script, exported.script),
    }))
}

/// Something was asked of a guest that it does not export; [`crate::StrategySet`] does not do that.
fn not_exported(what: impl std::fmt::Display) -> wasmtime::Error {
    wasmtime::Error::msg(format!("{what} is not exported"))
}

impl GuestExports for Exports {
    fn check_types(&self, session: &mut Session) -> wasmtime::Result<()> {
        let (store, instance) = (&mut session.store, &session.instance);
        self.about.load(&mut *store, instance)?;
        if let Some(role) = &self.curriculum {
            role.load(&mut *store, instance)?;
        }
        if let Some(role) = &self.data_filter {
            role.load(&mut *store, instance)?;
        }
        if let Some(role) = &self.pair_selection {
            role.load(&mut *store, instance)?;
        }
        if let Some(role) = &self.quality_gate {
            role.load(&mut *store, instance)?;
        }
        if let Some(script) = &self.script {
            script.load(&mut *store, instance)?;
        }
        Ok(())
    }

    fn load_script(
        &self,
        session: &mut Session,
        source: &str,
    ) -> wasmtime::Result<Result<(), ScriptError>> {
        let script = self.script.as_ref().ok_or_else(|| not_exported("script"))?;
        let loaded = script
            .load(&mut session.store, &session.instance)?
            .call_load(&mut session.store, source)?;
        Ok(loaded.map_err(|error| ScriptError {
            message: error.message,
            line: error.line,
            column: error.column,
        }))
    }

    fn describe(&self, session: &mut Session) -> wasmtime::Result<Description> {
        let about = self.about.load(&mut session.store, &session.instance)?;
        Ok(convert::description(
            about.call_describe(&mut session.store)?,
        ))
    }

    fn check(
        &self,
        session: &mut Session,
        role: Role,
        settings: &Settings,
    ) -> wasmtime::Result<Result<(), Refusal>> {
        let about = self.about.load(&mut session.store, &session.instance)?;
        let checked = about.call_check(
            &mut session.store,
            convert::role(role),
            &convert::settings(settings),
        )?;
        Ok(checked.map_err(|refusal| Refusal {
            parameter: refusal.parameter,
            message: refusal.message,
        }))
    }

    fn plan(
        &self,
        session: &mut Session,
        told: &Told<'_>,
        input: &CurriculumInput<'_>,
    ) -> wasmtime::Result<Answered<CurriculumDecision>> {
        let indices = self.curriculum.as_ref();
        let lent = convert::CurriculumInputParts::new(input);
        let (prompts, past) = (lent.prompts(input), lent.past(input));
        let objectives = Objective::ALL.map(convert::objective);
        let answer = indices
            .ok_or_else(|| not_exported(told.role))?
            .load(&mut session.store, &session.instance)?
            .call_plan(
                &mut session.store,
                convert::context(told, &convert::settings(told.settings)),
                lent.input(input, &prompts, &past, &objectives),
            )?;
        Ok(match answer {
            Err(message) => Err(NoAnswer::Refused(message)),
            Ok(answer) => match convert::curriculum_decision(answer.decision) {
                Ok(decision) => Ok((decision, answer.state)),
                Err(invalid) => Err(NoAnswer::Invalid(invalid)),
            },
        })
    }

    fn filter(
        &self,
        session: &mut Session,
        told: &Told<'_>,
        groups: &[Group],
    ) -> wasmtime::Result<Answered<Vec<Vec<FilterDecision>>>> {
        let indices = self.data_filter.as_ref();
        let lent = convert::GroupParts::new(groups);
        let answer = indices
            .ok_or_else(|| not_exported(told.role))?
            .load(&mut session.store, &session.instance)?
            .call_filter(
                &mut session.store,
                convert::context(told, &convert::settings(told.settings)),
                &lent.groups(groups),
            )?;
        Ok(answer
            .map(|answer| (convert::filter_decisions(answer.decisions), answer.state))
            .map_err(NoAnswer::Refused))
    }

    fn select(
        &self,
        session: &mut Session,
        told: &Told<'_>,
        groups: &[Group],
        objective: Objective,
    ) -> wasmtime::Result<Answered<Vec<Choice>>> {
        let indices = self.pair_selection.as_ref();
        let lent = convert::GroupParts::new(groups);
        let answer = indices
            .ok_or_else(|| not_exported(told.role))?
            .load(&mut session.store, &session.instance)?
            .call_select(
                &mut session.store,
                convert::context(told, &convert::settings(told.settings)),
                &lent.groups(groups),
                convert::objective(objective),
            )?;
        Ok(answer
            .map(|answer| (convert::choices(answer.choices), answer.state))
            .map_err(NoAnswer::Refused))
    }

    fn decide(
        &self,
        session: &mut Session,
        told: &Told<'_>,
        input: &GateInput<'_>,
    ) -> wasmtime::Result<Answered<GateDecision>> {
        let indices = self.quality_gate.as_ref();
        let past = convert::PastParts::new(input.past);
        let (before, after) = (
            convert::metrics(input.before),
            convert::metrics(input.after),
        );
        let answer = indices
            .ok_or_else(|| not_exported(told.role))?
            .load(&mut session.store, &session.instance)?
            .call_decide(
                &mut session.store,
                convert::context(told, &convert::settings(told.settings)),
                quality_gate::Input {
                    before: &before,
                    after: &after,
                    past: &past.rounds(input.past),
                },
            )?;
        Ok(answer
            .map(|answer| (convert::gate_decision(answer.decision), answer.state))
            .map_err(NoAnswer::Refused))
    }
}
