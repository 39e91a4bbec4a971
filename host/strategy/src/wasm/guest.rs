//! A component, or a script with its interpreter, ready to be called.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use sc_core::rng;
use sc_core::role::Role;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use super::contract::{
    Description, ExportedInterfaces, GuestExports, Refusal, ScriptError, VERSIONS,
};
use super::description::{self, can_be_shown};
use super::desk::RoundAccount;
use super::inspect::check_interfaces;
use super::session::{HostState, Opening, RoundServices, Session};
use crate::error::{CallFailure, LoadError, SettingError, shown};
use crate::grant::{Grants, Service};
use crate::limits::Limits;
use crate::parameter::{Parameter, Settings};
use crate::set::BUILTIN_PREFIX;

/// A compiled component with its imports resolved.
pub(crate) struct Prepared {
    pre: InstancePre<HostState>,
    pub(crate) exports: Box<dyn GuestExports>,
    pub(crate) interfaces: ExportedInterfaces,
    /// The services that it imports.
    services: Vec<Service>,
    /// The names of all imports.
    imports: Vec<String>,
    /// The names of all exports.
    export_names: Vec<String>,
    /// The version of the contract that it speaks.
    contract: &'static str,
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
        let found = check_interfaces(path, engine, component)?;
        let mismatch = |error: wasmtime::Error| LoadError::Mismatch {
            path: path.to_owned(),
            reason: shown(&format!("{error:#}")),
        };
        let mut linker = Linker::new(engine);
        for version in &VERSIONS {
            (version.link)(&mut linker)
                .map_err(|error| LoadError::Sandbox(format!("{error:#}")))?;
        }
        let pre = linker.instantiate_pre(component).map_err(mismatch)?;
        Ok(Prepared {
            exports: (found.version.exports)(&pre, &found.exported).map_err(mismatch)?,
            interfaces: found.exported,
            services: found.services,
            imports: found.imports,
            export_names: found.exports,
            contract: found.version.number,
            pre,
        })
    }
}

/// Why a strategy failed before a role was called.
enum SetupFailure {
    Failed(&'static str, CallFailure),
    Script(ScriptError),
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

    /// A fresh instance with the script loaded.
    fn open(&self, opening: Opening) -> Result<Session, SetupFailure> {
        let mut session = Session::open(&self.prepared.pre, &self.limits, opening)
            .map_err(|failure| SetupFailure::Failed("instantiated", failure))?;
        if let Some(source) = &self.script {
            self.prepared
                .exports
                .load_script(&mut session, source)
                .map_err(|error| SetupFailure::Failed("loaded", session.failure(&error)))?
                .map_err(SetupFailure::Script)?;
        }
        Ok(session)
    }

    /// What an instance is opened with before there is a call.
    fn outside_calls(&self, label: String) -> Opening {
        Opening {
            label,
            random: rng::stream(0, "strategy outside of calls", &[]),
            log_lines: self.limits.log_lines,
            services: None,
        }
    }
}

/// A strategy that was loaded and has said what it is.
pub(crate) struct Guest {
    program: Arc<Program>,
    description: Description,
    /// The services that it imports or asks for.
    services: Vec<Service>,
    digest: String,
    bytes: usize,
}

impl Guest {
    /// Instantiates `program` once, to ask it what it is. `bytes` is the size of its file.
    ///
    /// # Errors
    /// When it fails, is wrong as a script, or describes itself badly.
    pub(crate) fn new(
        program: Program,
        file_name: &str,
        digest: String,
        bytes: usize,
    ) -> Result<Guest, LoadError> {
        let path = program.path.clone();
        let stem = file_name
            .rsplit_once('.')
            .map_or(file_name, |(stem, _)| stem);
        if !can_be_shown(stem) || file_name.starts_with(BUILTIN_PREFIX) {
            return Err(LoadError::FileName { path: shown(&path) });
        }
        let mut session = program
            .open(program.outside_calls(file_name.to_owned()))
            .map_err(|failure| failure.into_load_error(&path))?;
        let exports = &program.prepared.exports;
        exports
            .check_types(&mut session)
            .map_err(|error| LoadError::Mismatch {
                path: path.clone(),
                reason: shown(&format!("{error:#}")),
            })?;
        let mut said = exports
            .describe(&mut session)
            .map_err(|error| LoadError::Setup {
                path: path.clone(),
                phase: "asked to describe itself",
                failure: session.failure(&error),
            })?;
        if program.script.is_some() {
            if said.roles.is_empty() {
                return Err(LoadError::ScriptNoRole { path });
            }
            // A script is known by its file.
            said.name = stem.to_owned();
        }
        let exported = &program.prepared.interfaces.roles;
        let exported = program.script.is_none().then_some(exported.as_slice());
        let (description, asked_for) = description::checked(&path, said, exported)?;
        let imported = match program.script {
            // The interpreter imports all that any script may ask for.
            Some(_) => &[][..],
            None => &program.prepared.services,
        };
        let mut services: Vec<Service> = imported.iter().copied().chain(asked_for).collect();
        services.sort_unstable();
        services.dedup();
        Ok(Guest {
            program: Arc::new(program),
            description,
            services,
            digest,
            bytes,
        })
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    pub(crate) fn name(&self) -> &str {
        &self.description.name
    }

    pub(crate) fn roles(&self) -> &[Role] {
        &self.description.roles
    }

    pub(crate) fn parameters(&self) -> &[Parameter] {
        &self.description.parameters
    }

    /// The services that it imports or asks for.
    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }

    /// `sha256:HEX` of its file.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Size of its file.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is a script.
    pub(crate) fn is_script(&self) -> bool {
        self.program.script.is_some()
    }

    /// What its component imports, by full names; of a script, what the interpreter does.
    pub(crate) fn imports(&self) -> &[String] {
        &self.program.prepared.imports
    }

    /// What its component exports, by full names; of a script, what the interpreter does.
    pub(crate) fn exports(&self) -> &[String] {
        &self.program.prepared.export_names
    }

    /// The version of the contract that its component speaks.
    pub(crate) fn contract(&self) -> &'static str {
        self.program.prepared.contract
    }

    /// Lets the strategy check `settings` for `role`.
    ///
    /// # Errors
    /// When it fails or refuses them.
    pub(crate) fn configure(
        &self,
        role: Role,
        settings: &Settings,
        grants: &Grants,
    ) -> Result<Configured, LoadError> {
        let path = &self.program.path;
        let label = format!("{} ({role})", self.name());
        let mut session = self
            .program
            .open(self.program.outside_calls(label))
            .map_err(|failure| failure.into_load_error(path))?;
        let checked = self
            .program
            .prepared
            .exports
            .check(&mut session, role, settings)
            .map_err(|error| LoadError::Setup {
                path: path.clone(),
                phase: "asked to check its settings",
                failure: session.failure(&error),
            })?;
        match checked {
            Ok(()) => Ok(Configured {
                program: Arc::clone(&self.program),
                name: self.name().to_owned(),
                settings: settings.clone(),
                services: self.services.clone(),
                grants: grants.clone(),
                account: Arc::default(),
            }),
            Err(refusal) => Err(self.refused(role, settings, refusal).into()),
        }
    }

    fn refused(&self, role: Role, settings: &Settings, refusal: Refusal) -> SettingError {
        let parameter = refusal.parameter.map(|name| {
            let name = shown(&name);
            match settings.0.get(&name) {
                Some(value) => format!("{name} = {value}"),
                None => name,
            }
        });
        SettingError::Refused {
            role,
            strategy: self.name().to_owned(),
            parameter,
            message: shown(&refusal.message),
        }
    }
}

/// A strategy with its settings and grants for one role.
pub(crate) struct Configured {
    pub(crate) program: Arc<Program>,
    pub(crate) name: String,
    pub(crate) settings: Settings,
    services: Vec<Service>,
    grants: Grants,
    account: Arc<RoundAccount>,
}

impl Configured {
    /// How much of a service it may use in `role`; none where it did not ask for it, even if the run
    /// grants it to others.
    pub(crate) fn allowance(&self, role: Role, service: Service) -> Option<u32> {
        let wanted = self.services.contains(&service);
        self.grants.allowance(role, service).filter(|_| wanted)
    }

    /// The account of what it has used in a round.
    pub(crate) fn account(&self) -> Arc<RoundAccount> {
        Arc::clone(&self.account)
    }

    /// A fresh instance for a call of `role`.
    ///
    /// # Errors
    /// When it fails before the role is called.
    pub(crate) fn session(
        &self,
        role: Role,
        random: ChaCha8Rng,
        services: Option<RoundServices>,
    ) -> Result<Session, CallFailure> {
        let log_lines = self.grants.allowance(role, Service::Log);
        let opening = Opening {
            label: format!("{} ({role})", self.name),
            random,
            log_lines: log_lines.unwrap_or(self.program.limits.log_lines),
            services,
        };
        self.program
            .open(opening)
            .map_err(SetupFailure::into_call_failure)
    }
}
