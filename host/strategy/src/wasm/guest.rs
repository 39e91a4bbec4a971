//! A component, or a script with its interpreter, ready to be called.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use sc_core::rng;
use sc_core::role::Role;
use sc_core::text::{is_blank, is_unseen};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};

use super::bindings::exports::sc::strategy::{
    about, curriculum, data_filter, pair_selection, quality_gate, script,
};
use super::convert;
use super::inspect::{Exports, check_interfaces};
use super::session::{HostState, Session};
use crate::error::{CallFailure, LoadError, SettingError, shown};
use crate::limits::Limits;
use crate::parameter::{Parameter, Settings, Value};
use crate::set::{BUILTIN_PREFIX, Identity};

/// Most parameters that a strategy may have.
const MAX_PARAMETERS: usize = 64;
/// Longest name of a strategy or parameter, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// A compiled component with its imports resolved.
pub(crate) struct Prepared {
    pre: InstancePre<HostState>,
    pub(crate) exports: Exports,
    about: about::GuestIndices,
    pub(crate) curriculum: Option<curriculum::GuestIndices>,
    pub(crate) data_filter: Option<data_filter::GuestIndices>,
    pub(crate) pair_selection: Option<pair_selection::GuestIndices>,
    pub(crate) quality_gate: Option<quality_gate::GuestIndices>,
    script: Option<script::GuestIndices>,
}

impl Prepared {
    /// Checks the component's imports and exports and resolves them.
    ///
    /// # Errors
    /// When they are not those of the contract.
    pub(crate) fn new(
        path: &str,
        engine: &Engine,
        component: &Component,
    ) -> Result<Prepared, LoadError> {
        let exports = check_interfaces(path, engine, component)?;
        let mismatch = |error: wasmtime::Error| LoadError::Mismatch {
            path: path.to_owned(),
            reason: shown(&format!("{error:#}")),
        };
        let pre = super::session::linker(engine)?
            .instantiate_pre(component)
            .map_err(mismatch)?;
        /// The functions of a role's interface, where it is exported.
        macro_rules! indices {
            ($interface:ident, $exported:expr) => {
                $exported
                    .then(|| $interface::GuestIndices::new(&pre))
                    .transpose()
                    .map_err(mismatch)?
            };
        }
        let fills = |role| exports.roles.contains(&role);
        Ok(Prepared {
            about: about::GuestIndices::new(&pre).map_err(mismatch)?,
            curriculum: indices!(curriculum, fills(Role::Curriculum)),
            data_filter: indices!(data_filter, fills(Role::DataFilter)),
            pair_selection: indices!(pair_selection, fills(Role::PairSelection)),
            quality_gate: indices!(quality_gate, fills(Role::QualityGate)),
            script: indices!(script, exports.script),
            exports,
            pre,
        })
    }

    /// Checks the types of all exported functions, which the names alone do not show.
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
}

/// Why a strategy failed before a role was called.
enum SetupFailure {
    Failed(&'static str, CallFailure),
    Script(script::ScriptError),
}

impl SetupFailure {
    fn into_load_error(self, path: &str) -> LoadError {
        let path = path.to_owned();
        match self {
            SetupFailure::Failed(phase, failure) => LoadError::Setup {
                path,
                phase,
                failure,
            },
            SetupFailure::Script(error) => LoadError::Script {
                path,
                line: error.line,
                column: error.column,
                message: shown(&error.message),
            },
        }
    }

    /// As the failure of a later call. The same code passed when it was loaded, so this is rare.
    fn into_call_failure(self) -> CallFailure {
        match self {
            SetupFailure::Failed(_, failure) => failure,
            SetupFailure::Script(error) => CallFailure::Script(shown(&error.message)),
        }
    }
}

/// What a strategy consists of.
pub(crate) struct Program {
    /// As the user gave it.
    pub(crate) path: String,
    pub(crate) prepared: Arc<Prepared>,
    /// A script's text, when `prepared` is the interpreter.
    pub(crate) script: Option<String>,
    pub(crate) limits: Limits,
}

impl Program {
    /// What it means that a role answers with a message. Of a script, that is how it fails.
    pub(crate) fn refusal(&self, message: &str) -> CallFailure {
        match self.script {
            Some(_) => CallFailure::Script(shown(message)),
            None => CallFailure::Refused(shown(message)),
        }
    }

    /// A fresh instance with the script loaded, and the roles that the script defines.
    fn open(
        &self,
        label: String,
        random: ChaCha8Rng,
    ) -> Result<(Session, Option<Vec<String>>), SetupFailure> {
        const LOADED: &str = "loaded";
        let mut session = Session::open(&self.prepared.pre, &self.limits, label, random)
            .map_err(|failure| SetupFailure::Failed("instantiated", failure))?;
        let (Some(indices), Some(source)) = (&self.prepared.script, &self.script) else {
            return Ok((session, None));
        };
        let loaded = indices
            .load(&mut session.store, &session.instance)
            .and_then(|guest| guest.call_load(&mut session.store, source))
            .map_err(|error| SetupFailure::Failed(LOADED, session.failure(&error)))?;
        let roles = loaded.map_err(SetupFailure::Script)?;
        Ok((session, Some(roles)))
    }
}

/// A strategy that was loaded and has said what it is.
pub(crate) struct Guest {
    program: Arc<Program>,
    identity: Identity,
    roles: Vec<Role>,
    parameters: Vec<Parameter>,
}

impl Guest {
    /// Instantiates `program` once, to ask it what it is.
    ///
    /// # Errors
    /// When it fails, is wrong as a script, or describes itself badly.
    pub(crate) fn new(
        program: Program,
        file_name: &str,
        digest: String,
    ) -> Result<Guest, LoadError> {
        let path = program.path.clone();
        let stem = file_name
            .rsplit_once('.')
            .map_or(file_name, |(stem, _)| stem);
        if !can_be_shown(stem) || file_name.starts_with(BUILTIN_PREFIX) {
            return Err(LoadError::FileName { path: shown(&path) });
        }
        let (mut session, script_roles) = program
            .open(file_name.to_owned(), outside_calls())
            .map_err(|failure| failure.into_load_error(&path))?;
        program
            .prepared
            .check_types(&mut session)
            .map_err(|error| LoadError::Mismatch {
                path: path.clone(),
                reason: shown(&format!("{error:#}")),
            })?;
        let roles = match script_roles {
            None => program.prepared.exports.roles.clone(),
            Some(names) => {
                let roles: BTreeSet<Role> = names
                    .iter()
                    .filter_map(|name| Role::from_name(name))
                    .collect();
                if roles.is_empty() {
                    return Err(LoadError::ScriptNoRole { path });
                }
                roles.into_iter().collect()
            }
        };
        let description = program
            .prepared
            .about
            .load(&mut session.store, &session.instance)
            .and_then(|about| about.call_describe(&mut session.store))
            .map_err(|error| LoadError::Setup {
                path: path.clone(),
                phase: "asked to describe itself",
                failure: session.failure(&error),
            })?;
        // The interpreter speaks for itself; a script is known by its file.
        let name = match program.script {
            Some(_) => stem.to_owned(),
            None => description.name,
        };
        let parameters: Vec<Parameter> = description
            .parameters
            .into_iter()
            .map(convert::parameter)
            .collect();
        if program.script.is_none() {
            check_name(&path, "name", &name)?;
            if name.starts_with(BUILTIN_PREFIX) {
                let expected = format!("a name that does not begin with `{BUILTIN_PREFIX}`");
                return Err(described_badly(&path, "name", &name, &expected));
            }
        }
        check_name(&path, "version", &description.version)?;
        check_parameters(&path, &parameters)?;
        Ok(Guest {
            identity: Identity {
                name,
                source: file_name.to_owned(),
                version: description.version,
                digest: Some(digest),
                settings: BTreeMap::new(),
            },
            program: Arc::new(program),
            roles,
            parameters,
        })
    }

    pub(crate) fn roles(&self) -> Vec<Role> {
        self.roles.clone()
    }

    pub(crate) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Who this is, without settings.
    pub(crate) fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// Lets the strategy check `settings` for `role`.
    ///
    /// # Errors
    /// When it fails or refuses them.
    pub(crate) fn configure(
        &self,
        role: Role,
        settings: &Settings,
    ) -> Result<Configured, LoadError> {
        let configured = Configured {
            program: Arc::clone(&self.program),
            name: self.identity.name.clone(),
            settings: convert::settings(settings),
        };
        let path = &self.program.path;
        let refused = configured
            .open(role, outside_calls())
            .map_err(|failure| failure.into_load_error(path))?
            .1;
        match refused {
            None => Ok(configured),
            Some(message) => Err(SettingError::Refused {
                role,
                strategy: self.identity.name.clone(),
                message: shown(&message),
            }
            .into()),
        }
    }
}

/// A strategy with its settings for one role.
pub(crate) struct Configured {
    pub(crate) program: Arc<Program>,
    pub(crate) name: String,
    settings: Vec<about::Setting>,
}

impl Configured {
    /// A fresh instance, configured; and what it says if it refuses its settings.
    fn open(
        &self,
        role: Role,
        random: ChaCha8Rng,
    ) -> Result<(Session, Option<String>), SetupFailure> {
        let (mut session, _) = self
            .program
            .open(format!("{} ({role})", self.name), random)?;
        let configured = self
            .program
            .prepared
            .about
            .load(&mut session.store, &session.instance)
            .and_then(|about| about.call_configure(&mut session.store, &self.settings))
            .map_err(|error| SetupFailure::Failed("configured", session.failure(&error)))?;
        Ok((session, configured.err()))
    }

    /// A fresh instance for a call of `role`.
    ///
    /// # Errors
    /// When it fails before the role is called.
    pub(crate) fn session(&self, role: Role, random: ChaCha8Rng) -> Result<Session, CallFailure> {
        match self.open(role, random) {
            Ok((session, None)) => Ok(session),
            Ok((_, Some(message))) => Err(self.program.refusal(&message)),
            Err(failure) => Err(failure.into_call_failure()),
        }
    }
}

/// The random sequence outside of a role's call, where there is no run yet.
fn outside_calls() -> ChaCha8Rng {
    rng::stream(0, "strategy outside of calls", &[])
}

fn described_badly(path: &str, field: &str, value: &str, expected: &str) -> LoadError {
    LoadError::Description {
        path: path.to_owned(),
        field: field.to_owned(),
        value: format!("`{}`", shown(value)),
        expected: expected.to_owned(),
    }
}

/// Whether `name` can stand in a message, between backticks.
fn can_be_shown(name: &str) -> bool {
    !is_blank(name) && !name.chars().any(|c| c == '`' || is_unseen(c))
}

fn check_name(path: &str, field: &str, name: &str) -> Result<(), LoadError> {
    if name.len() > MAX_NAME_BYTES || !can_be_shown(name) {
        return Err(described_badly(
            path,
            field,
            name,
            &format!(
                "1 to {MAX_NAME_BYTES} bytes without control or format characters and backticks"
            ),
        ));
    }
    Ok(())
}

fn check_parameters(path: &str, parameters: &[Parameter]) -> Result<(), LoadError> {
    if parameters.len() > MAX_PARAMETERS {
        return Err(described_badly(
            path,
            "parameters",
            &format!("{} long", parameters.len()),
            &format!("at most {MAX_PARAMETERS}"),
        ));
    }
    let mut names = BTreeSet::new();
    for (position, parameter) in parameters.iter().enumerate() {
        let field = |name: &str| format!("parameters[{position}].{name}");
        let is_key = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.len() <= MAX_NAME_BYTES
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if !is_key(&parameter.name) || !names.insert(&parameter.name) {
            return Err(described_badly(
                path,
                &field("name"),
                &parameter.name,
                "a snake-case name, each once",
            ));
        }
        let finite = parameter.default.as_f64().is_none_or(f64::is_finite);
        let short = !matches!(&parameter.default, Value::Text(text) if text.len() > 1000);
        if !finite || !short || !parameter.admits(&parameter.default) {
            return Err(described_badly(
                path,
                &field("default"),
                &parameter.default.to_string(),
                "a value within the parameter's own range",
            ));
        }
    }
    Ok(())
}
