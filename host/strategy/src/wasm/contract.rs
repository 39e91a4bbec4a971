//! What the host asks of a guest, in the run's own words, whatever version of the contract the
//! guest was built against. Each version is a module that links its imports, finds its exports, and
//! converts; nothing outside of it knows its types.

use sc_core::candidate::Group;
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::plan::CurriculumDecision;
use sc_core::role::Role;
use sc_core::validate::InvalidAnswer;
use wasmtime::component::{InstancePre, Linker};

use super::session::{HostState, Session};
use super::v0_1_0;
use crate::parameter::{Parameter, Settings};
use crate::role::{CallContext, CurriculumInput, GateInput};

/// The contract's package, without its version.
pub(crate) const PACKAGE: &str = "sc:strategy";

/// Finds what a component exports of a version.
type FindExports =
    fn(&InstancePre<HostState>, &ExportedInterfaces) -> wasmtime::Result<Box<dyn GuestExports>>;

/// A published version of the contract.
pub(crate) struct Version {
    pub(crate) number: &'static str,
    /// Offers the services of this version to guests.
    pub(crate) link: fn(&mut Linker<HostState>) -> wasmtime::Result<()>,
    /// Finds the exports of a component that was built against it.
    pub(crate) exports: FindExports,
}

/// All versions that this program speaks, oldest first.
pub(crate) static VERSIONS: [Version; 1] = [Version {
    number: "0.1.0",
    link: v0_1_0::link,
    exports: v0_1_0::exports,
}];

/// Which interfaces of the contract a component exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExportedInterfaces {
    pub(crate) roles: Vec<Role>,
    /// Whether it is an interpreter, which learns its roles from a script.
    pub(crate) script: bool,
}

/// What a strategy says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// Who wrote it.
    pub authors: Vec<String>,
    /// Such as `MIT`; empty when unknown.
    pub licence: String,
    /// The roles that it fills.
    pub roles: Vec<Role>,
    /// The names of the services that it wants, beside those that it imports.
    pub services: Vec<String>,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
}

/// Why a strategy refuses its settings.
pub(crate) struct Refusal {
    pub(crate) parameter: Option<String>,
    pub(crate) message: String,
}

/// Where a script is wrong; line and column from 1, 0 when unknown.
pub(crate) struct ScriptError {
    pub(crate) message: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// What a role's function gives: an answer and a state, or why there is none.
pub(crate) type Answered<T> = Result<(T, Vec<u8>), NoAnswer>;

/// Why a guest that came to its end gave no answer.
pub(crate) enum NoAnswer {
    /// It said that it cannot.
    Refused(String),
    /// It named something that does not exist.
    Invalid(InvalidAnswer),
}

/// What a call is told.
pub(crate) struct Told<'a> {
    pub(crate) role: Role,
    pub(crate) context: &'a CallContext,
    pub(crate) settings: &'a Settings,
}

/// The exports of a component. Errors of the outer result are traps and exhausted limits.
pub(crate) trait GuestExports: Send + Sync {
    /// Checks the types of all exported functions, which the names alone do not show.
    fn check_types(&self, session: &mut Session) -> wasmtime::Result<()>;

    /// Hands a script's text to an interpreter.
    fn load_script(
        &self,
        session: &mut Session,
        source: &str,
    ) -> wasmtime::Result<Result<(), ScriptError>>;

    fn describe(&self, session: &mut Session) -> wasmtime::Result<Description>;

    fn check(
        &self,
        session: &mut Session,
        role: Role,
        settings: &Settings,
    ) -> wasmtime::Result<Result<(), Refusal>>;

    fn plan(
        &self,
        session: &mut Session,
        told: &Told<'_>,
        input: &CurriculumInput<'_>,
    ) -> wasmtime::Result<Answered<CurriculumDecision>>;

    fn filter(
        &self,
        session: &mut Session,
        told: &Told<'_>,
        groups: &[Group],
    ) -> wasmtime::Result<Answered<Vec<Vec<FilterDecision>>>>;

    fn select(
        &self,
        session: &mut Session,
        told: &Told<'_>,
        groups: &[Group],
        objective: Objective,
    ) -> wasmtime::Result<Answered<Vec<Choice>>>;

    fn decide(
        &self,
        session: &mut Session,
        told: &Told<'_>,
        input: &GateInput<'_>,
    ) -> wasmtime::Result<Answered<GateDecision>>;
}
