//! What can go wrong when a strategy is loaded.

use std::path::PathBuf;
use std::time::Duration;

use sc_core::role::Role;
use semver::Version;
use thiserror::Error;

use super::call::CallFailure;
use super::request::{GrantError, RequestError, SettingError};
use super::{did_you_mean, shown};
use crate::grant::Service;
use crate::wasm::Measure;

/// A strategy that cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The path leads nowhere.
    #[error("strategy `{path}` does not exist")]
    Missing {
        /// The path, as given.
        path: String,
    },
    /// The path is a directory, or something else that is no file.
    #[error("strategy `{path}` is a directory or device, not a file")]
    NotAFile {
        /// The path, as given.
        path: String,
    },
    /// The file cannot be read.
    #[error("strategy `{path}` cannot be read: {source}")]
    Unreadable {
        /// The path, as given.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than is loaded.
    #[error("strategy `{path}` is {bytes} bytes long; at most {limit} are loaded")]
    TooLarge {
        /// The path, as given.
        path: String,
        /// Its size.
        bytes: u64,
        /// The cap.
        limit: u64,
    },
    /// Neither a path to a component or a script nor a builtin.
    #[error("strategy `{spec}` is neither PATH.wasm, PATH.rhai, builtin:NAME nor oci:REF")]
    UnknownKind {
        /// What was given.
        spec: String,
    },
    /// No builtin has that name.
    #[error("there is no strategy `builtin:{name}`")]
    UnknownBuiltin {
        /// The name.
        name: String,
        /// The name that it was probably meant to be.
        suggestion: Option<String>,
    },
    /// Two strategies fill a role that takes one.
    #[error("`{first}` and `{second}` both fill the role {role}")]
    RoleTaken {
        /// The role.
        role: Role,
        /// The first, as given.
        first: String,
        /// The second, as given.
        second: String,
    },
    /// It wants a service that the run does not grant it.
    #[error(
        "strategy `{strategy}` wants the service `{service}`, which this run does not grant to it as {role}"
    )]
    NotGranted {
        /// The strategy.
        strategy: String,
        /// The service.
        service: Service,
        /// The role.
        role: Role,
    },
    /// The file is not the one that the configuration names.
    #[error("strategy `{path}` has the digest {found}; the configuration names {expected}")]
    Digest {
        /// The path, as given.
        path: String,
        /// The digest of the file.
        found: String,
        /// The digest that was asked for.
        expected: String,
    },
    /// It is asked to fill a role that it does not have.
    #[error("strategy `{path}` does not fill the role {role}")]
    OtherRole {
        /// The path, as given.
        path: String,
        /// The role.
        role: Role,
    },
    /// The file does not begin as WebAssembly does.
    #[error("strategy `{path}` is not WebAssembly: it does not begin with `\\0asm`")]
    NotWasm {
        /// The path, as given.
        path: String,
    },
    /// A core module where a component is needed.
    #[error("strategy `{path}` is a core WebAssembly module, not a component")]
    CoreModule {
        /// The path, as given.
        path: String,
    },
    /// Cut off, or not valid.
    #[error("strategy `{path}` is cut off or damaged: {reason}")]
    Malformed {
        /// The path, as given.
        path: String,
        /// What the decoder says.
        reason: String,
    },
    /// Made of more than is compiled.
    #[error("strategy `{path}` has {found} {measure}; at most {limit} are compiled")]
    TooMuch {
        /// The path, as given.
        path: String,
        /// What there is too much of.
        measure: Measure,
        /// How much.
        found: u64,
        /// The cap.
        limit: u64,
    },
    /// It imports, exports or aliases a component, which lets a small file ask for endless
    /// instances.
    #[error("strategy `{path}` hands components on (an import, export or alias of a component)")]
    ComponentReuse {
        /// The path, as given.
        path: String,
    },
    /// It takes too long to compile.
    #[error("strategy `{path}` is not compiled after {} s", limit.as_secs_f64())]
    CompileTime {
        /// The path, as given.
        path: String,
        /// The cap.
        limit: Duration,
    },
    /// A component that took too long to compile is still worked on.
    #[error(
        "strategy `{path}` is not compiled: the compiler is still at work on a component that took \
         too long"
    )]
    CompilerBusy {
        /// The path, as given.
        path: String,
    },
    /// Built against a version of the contract that this program does not know.
    #[error(
        "strategy `{path}` speaks version {found} of the contract `{package}`; this program speaks {supported}"
    )]
    UnknownVersion {
        /// The path, as given.
        path: String,
        /// The contract's package.
        package: &'static str,
        /// The version that it was built against.
        found: String,
        /// The versions that this program speaks.
        supported: String,
    },
    /// Built against several versions of the contract at once.
    #[error("strategy `{path}` speaks versions {first} and {second} of the contract at once")]
    MixedVersions {
        /// The path, as given.
        path: String,
        /// One version.
        first: String,
        /// Another.
        second: String,
    },
    /// It imports what no strategy is given.
    #[error("strategy `{path}` imports `{import}`, which strategies are not given")]
    UnknownImport {
        /// The path, as given.
        path: String,
        /// The import.
        import: String,
    },
    /// It runs scripts, and decides nothing by itself.
    #[error("strategy `{path}` is an interpreter of scripts; expected a strategy")]
    Interpreter {
        /// The path, as given.
        path: String,
    },
    /// It exports no role.
    #[error("strategy `{path}` fills no role")]
    NoRole {
        /// The path, as given.
        path: String,
    },
    /// It exports a role, but does not say what it is.
    #[error("strategy `{path}` does not export `{interface}`")]
    NoAbout {
        /// The path, as given.
        path: String,
        /// The interface that is missing.
        interface: String,
    },
    /// An interface has the right name but other functions or types.
    #[error("strategy `{path}` does not fit the contract: {reason}")]
    Mismatch {
        /// The path, as given.
        path: String,
        /// What differs.
        reason: String,
    },
    /// It fails before it is asked anything.
    #[error("strategy `{path}` failed while it was {phase}: {failure}")]
    Setup {
        /// The path, as given.
        path: String,
        /// What it was doing, such as `loaded`.
        phase: &'static str,
        /// What happened.
        failure: CallFailure,
    },
    /// What it says of itself cannot be used.
    #[error("strategy `{path}` describes itself badly: `{field}` is {value}; expected {expected}")]
    Description {
        /// The path, as given.
        path: String,
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// What is expected.
        expected: String,
    },
    /// The file's name cannot stand in messages.
    #[error("strategy `{path}` has a file name that cannot be shown as it is")]
    FileName {
        /// The path, with what cannot be shown replaced.
        path: String,
    },
    /// A script is wrong.
    #[error("script `{path}`{}: {message}", position(*line, *column))]
    Script {
        /// The path, as given.
        path: String,
        /// Line from 1; 0 when unknown.
        line: u32,
        /// Column from 1; 0 when unknown.
        column: u32,
        /// What is wrong.
        message: String,
    },
    /// A script is not text.
    #[error("script `{path}` is not UTF-8 at byte {at}")]
    ScriptEncoding {
        /// The path, as given.
        path: String,
        /// The first byte that is not.
        at: usize,
    },
    /// A script defines no role's function.
    #[error("script `{path}` defines no role's function")]
    ScriptNoRole {
        /// The path, as given.
        path: String,
    },
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A grant is wrong.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// Another option is wrong.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The sandbox itself cannot be set up.
    #[error("the sandbox for strategies cannot be set up: {0}")]
    Sandbox(String),
}

fn position(line: u32, column: u32) -> String {
    match (line, column) {
        (0, _) => String::new(),
        (line, 0) => format!(", line {line}"),
        (line, column) => format!(", line {line}, column {column}"),
    }
}

const BUILD_HINT: &str =
    "build it as a component: `wit/README.md` shows how, `plugins/curriculum` is an example";

impl LoadError {
    /// Bytes that a decoder or the compiler refuses; its words may hold names from the file.
    pub(crate) fn malformed(path: &str, reason: &dyn std::fmt::Display) -> LoadError {
        LoadError::Malformed {
            path: path.to_owned(),
            reason: shown(&reason.to_string()),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            LoadError::Missing { path } if !PathBuf::from(path).is_absolute() => {
                "paths are taken from the directory that the program is started in".into()
            }
            LoadError::Missing { .. } => return None,
            LoadError::NotAFile { .. } => "name the file PATH.wasm or PATH.rhai itself".into(),
            LoadError::Unreadable { .. } => "check the file's permissions".into(),
            LoadError::TooLarge { .. } => {
                "build it for size (opt-level, strip), or split the script".into()
            }
            LoadError::UnknownKind { .. } => {
                format!("builtins: {}", crate::builtin_names().join(", "))
            }
            LoadError::UnknownBuiltin { suggestion, .. } => did_you_mean(suggestion.as_ref(), || {
                format!("builtins: {}", crate::builtin_names().join(", "))
            }),
            LoadError::RoleTaken {
                role: Role::QualityGate,
                ..
            } => "`--combine quality-gate=any-roll-back` asks them all: the most cautious decides".into(),
            LoadError::RoleTaken { .. } => "this role takes one strategy: leave the other out".into(),
            LoadError::NotGranted { service, .. } => format!(
                "if you trust it with that: `{}`{}",
                service.example(),
                match service {
                    Service::Model => " lets it ask up to 500 questions a round",
                    _ => "",
                }
            ),
            LoadError::Digest { .. } => {
                "the file has changed: put the old one back, or give it with `--strategy` anew".into()
            }
            LoadError::OtherRole { .. } => {
                "`sc-host strategy inspect FILE` says which roles it fills".into()
            }
            LoadError::NotWasm { .. } | LoadError::CoreModule { .. } => BUILD_HINT.into(),
            LoadError::Malformed { .. } => "copy or build it again".into(),
            LoadError::TooMuch {
                measure: Measure::Functions | Measure::Code,
                ..
            }
            | LoadError::CompileTime { .. } => {
                "build it with link-time optimisation, so that unused code is left out".into()
            }
            LoadError::CompilerBusy { .. } => "try it again later".into(),
            LoadError::TooMuch { measure, .. } if measure.is_of_one_function() => {
                "split its largest function, or build it with less inlining".into()
            }
            LoadError::TooMuch { .. } | LoadError::ComponentReuse { .. } => {
                "make it of one core module, as `wit-bindgen` does; `plugins/curriculum` is an example"
                    .into()
            }
            LoadError::UnknownVersion {
                found, supported, ..
            } => {
                let newer = if is_newer(found, supported) {
                    "take a newer sc-host, or "
                } else {
                    ""
                };
                format!("{newer}build it against a version that this program speaks (`wit/`)")
            }
            LoadError::MixedVersions { .. } => {
                "build it against one version alone: `wit/` has a folder for each".into()
            }
            LoadError::UnknownImport { import, .. } if import.starts_with("wasi:") => {
                "build it for wasm32-unknown-unknown: a strategy has no files, clock or network"
                    .into()
            }
            LoadError::UnknownImport { .. } => {
                format!(
                    "a strategy may import the contract's services, and nothing else: {}",
                    Service::ALL.map(Service::name).join(", ")
                )
            }
            LoadError::Interpreter { .. } => {
                "name a script, PATH.rhai: the program brings its interpreter along".into()
            }
            LoadError::NoRole { .. } => format!(
                "export one of {} from `wit/`",
                Role::ALL.map(Role::name).join(", ")
            ),
            LoadError::NoAbout { .. } => {
                "every strategy exports `about` (see `wit/`)".into()
            }
            LoadError::Mismatch { .. } => {
                "build it again against this program's `wit/`".into()
            }
            LoadError::Setup { failure, .. } => failure.hint().into(),
            LoadError::FileName { .. } => {
                "rename it: no control or format characters, no backticks, no `builtin:`".into()
            }
            LoadError::Description { .. } => "mend what its `about` says".into(),
            LoadError::Script { .. } => {
                "mend the script; `wit/README.md` says what scripts are given".into()
            }
            LoadError::ScriptEncoding { .. } => "save the script as UTF-8".into(),
            LoadError::ScriptNoRole { .. } => {
                "define one of `fn curriculum(input, context)`, `fn data_filter(groups, context)`, \
                 `fn pair_selection(groups, objective, context)`, \
                 `fn quality_gate(input, context)`"
                    .into()
            }
            LoadError::Setting(error) => error.hint(),
            LoadError::Grant(error) => error.hint(),
            LoadError::Request(error) => error.hint(),
            LoadError::Sandbox(_) => return None,
        })
    }
}

/// Whether the version `found` comes after all that are `supported`, a list with commas.
fn is_newer(found: &str, supported: &str) -> bool {
    let known = supported
        .split(", ")
        .filter_map(|version| Version::parse(version).ok());
    Version::parse(found).is_ok_and(|found| known.max().is_some_and(|known| found > known))
}
