//! What can go wrong with a strategy, when it is loaded and when it is called.

use std::path::PathBuf;
use std::time::Duration;

use sc_core::role::Role;
use sc_core::validate::InvalidAnswer;
use thiserror::Error;

use crate::wasm::Measure;

/// Longest text of a strategy that is shown, in characters.
const MAX_SHOWN: usize = 400;

/// A strategy's text as it may be shown.
pub(crate) fn shown(text: &str) -> String {
    sc_core::text::printable(text, MAX_SHOWN)
}

/// Why a call failed, apart from who was called.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum CallFailure {
    /// The strategy's code trapped; the reason is the runtime's.
    #[error("it trapped: {0}")]
    Trap(String),
    /// It computed for longer than its fuel lasts.
    #[error("it ran out of fuel ({fuel} units)")]
    OutOfFuel {
        /// The fuel that it was given.
        fuel: u64,
    },
    /// It took longer than its deadline.
    #[error("it ran past its deadline of {} s", deadline.as_secs_f64())]
    Deadline {
        /// The time that it was given.
        deadline: Duration,
    },
    /// It asked for more memory than it may have.
    #[error("it asked for more than its {} MiB of memory", limit >> 20)]
    Memory {
        /// The cap, in bytes.
        limit: usize,
    },
    /// It handed over more data than an answer may hold.
    #[error("it handed over more than {limit} bytes")]
    OutputTooLarge {
        /// The cap for this call, in bytes.
        limit: usize,
    },
    /// Its state is larger than is stored.
    #[error("its state is {bytes} bytes long; at most {limit} are kept")]
    StateTooLarge {
        /// Size of the state.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
    /// The machine could not give it what the limits allow.
    #[error("this machine could not give it memory: {0}")]
    Machine(String),
    /// The script failed, or threw; the text says where.
    #[error("its script failed: {0}")]
    Script(String),
    /// It said itself that it cannot answer.
    #[error("it refused: {0}")]
    Refused(String),
    /// Its answer breaks the contract.
    #[error("its answer is invalid: {0}")]
    Invalid(#[from] InvalidAnswer),
}

impl CallFailure {
    fn hint(&self) -> &'static str {
        match self {
            CallFailure::Trap(_) => {
                "a trap is a crash inside the strategy: mend it, or run without it"
            }
            CallFailure::OutOfFuel { .. } | CallFailure::Deadline { .. } => {
                "look for a loop that does not end, or for work that grows with the square of the candidates"
            }
            CallFailure::Memory { .. } => {
                "keep less at once; a call's memory is freed when it ends"
            }
            CallFailure::OutputTooLarge { .. } => {
                "answer with what the contract asks for, in short texts"
            }
            CallFailure::StateTooLarge { .. } => "keep only what the next round needs",
            CallFailure::Machine(_) => {
                "this is not the strategy's fault: end other programs, or raise the limit on memory (`ulimit`)"
            }
            CallFailure::Script(_) => {
                "mend the script at that place; what it throws is its own way to refuse"
            }
            CallFailure::Refused(_) => {
                "the reason is the strategy's own: ask its author, or run without it"
            }
            CallFailure::Invalid(_) => "`wit/README.md` says what each role must answer",
        }
    }
}

/// A call of a role that failed.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("strategy `{strategy}`, asked as {role} in round {round}, failed: {failure}")]
pub struct CallError {
    /// What it was asked for.
    pub role: Role,
    /// The strategy's name.
    pub strategy: String,
    /// The round, from 1.
    pub round: u32,
    /// What happened.
    pub failure: CallFailure,
}

impl CallError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(self.failure.hint().to_owned())
    }
}

/// What is wrong with a `--set`.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SettingError {
    /// Not of the form `ROLE.key=value`.
    #[error("`--set {given}` does not read as ROLE.key=value")]
    Syntax {
        /// What was given.
        given: String,
    },
    /// The part before the dot names no role.
    #[error("`--set {given}`: `{role}` is no role")]
    UnknownRole {
        /// What was given.
        given: String,
        /// Its role.
        role: String,
        /// The role that it was probably meant to be.
        suggestion: Option<String>,
    },
    /// The same parameter is given twice.
    #[error("`--set {role}.{key}` is given twice")]
    Twice {
        /// The role.
        role: Role,
        /// The key.
        key: String,
    },
    /// The role's strategy has no such parameter.
    #[error("`--set {role}.{key}`: strategy `{strategy}` has no parameter `{key}`")]
    UnknownKey {
        /// The role.
        role: Role,
        /// The key.
        key: String,
        /// The strategy that fills the role.
        strategy: String,
        /// The parameter that it was probably meant to be.
        suggestion: Option<String>,
        /// The parameters that it has.
        known: Vec<String>,
    },
    /// The value is of another type or out of range.
    #[error("`--set {role}.{key}={value}`: expected {expected}")]
    Value {
        /// The role.
        role: Role,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is expected.
        expected: String,
        /// What the strategy says that the parameter does, or an example.
        advice: String,
    },
    /// The strategy itself refused its settings.
    #[error("strategy `{strategy}` refused its settings as {role}: {message}")]
    Refused {
        /// The role.
        role: Role,
        /// The strategy.
        strategy: String,
        /// What it said.
        message: String,
    },
}

impl SettingError {
    fn hint(&self) -> Option<String> {
        let did_you_mean = |name: &String| format!("did you mean `{name}`?");
        match self {
            SettingError::Syntax { .. } => {
                Some("for example `--set data-filter.min_margin=0.3`".into())
            }
            SettingError::UnknownRole { suggestion, .. } => Some(suggestion.as_ref().map_or_else(
                || format!("the roles are {}", Role::ALL.map(Role::name).join(", ")),
                did_you_mean,
            )),
            SettingError::Twice { .. } => Some("leave one of them out".into()),
            SettingError::UnknownKey {
                suggestion: Some(name),
                ..
            } => Some(did_you_mean(name)),
            SettingError::UnknownKey { known, .. } if known.is_empty() => {
                Some("it has no parameters".into())
            }
            SettingError::UnknownKey { known, .. } => Some(format!("it has: {}", known.join(", "))),
            SettingError::Value { advice, .. } => Some(advice.clone()),
            SettingError::Refused { .. } => {
                Some("the reason is the strategy's own: give another value, or none".into())
            }
        }
    }
}

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
    #[error("strategy `{spec}` is neither PATH.wasm, PATH.rhai nor builtin:NAME")]
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
    /// Two strategies fill the same role.
    #[error("`{first}` and `{second}` both fill the role {role}")]
    RoleTaken {
        /// The role.
        role: Role,
        /// The first, as given.
        first: String,
        /// The second, as given.
        second: String,
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
    /// Built against another version of the contract.
    #[error("strategy `{path}` speaks `{found}`; this program speaks `{supported}`")]
    UnknownVersion {
        /// The path, as given.
        path: String,
        /// The interface with its version, as found.
        found: String,
        /// The contract with its version.
        supported: String,
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
            LoadError::UnknownBuiltin { suggestion, .. } => suggestion.as_ref().map_or_else(
                || format!("builtins: {}", crate::builtin_names().join(", ")),
                |name| format!("did you mean `{name}`?"),
            ),
            LoadError::RoleTaken { .. } => "give one strategy a role".into(),
            LoadError::NotWasm { .. } | LoadError::CoreModule { .. } => BUILD_HINT.into(),
            LoadError::Malformed { .. } => "copy or build it again".into(),
            LoadError::TooMuch {
                measure: Measure::Functions | Measure::Code,
                ..
            }
            | LoadError::CompileTime { .. } => {
                "build it with link-time optimisation, so that unused code is left out".into()
            }
            LoadError::TooMuch { measure, .. } if measure.is_of_one_function() => {
                "split its largest function, or build it with less inlining".into()
            }
            LoadError::TooMuch { .. } | LoadError::ComponentReuse { .. } => {
                "make it of one core module, as `wit-bindgen` does; `plugins/curriculum` is an example"
                    .into()
            }
            LoadError::UnknownVersion { .. } => {
                "build it again against this program's `wit/strategy.wit`".into()
            }
            LoadError::UnknownImport { import, .. } if import.starts_with("wasi:") => {
                "build it for wasm32-unknown-unknown: a strategy has no files, clock or network"
                    .into()
            }
            LoadError::UnknownImport { .. } => {
                "a strategy may import `log` and `random` of the contract, and nothing else".into()
            }
            LoadError::Interpreter { .. } => {
                "name a script, PATH.rhai: the program brings its interpreter along".into()
            }
            LoadError::NoRole { .. } => format!(
                "export one of {} from `wit/strategy.wit`",
                Role::ALL.map(Role::name).join(", ")
            ),
            LoadError::NoAbout { .. } => {
                "every strategy exports `about` (see `wit/strategy.wit`)".into()
            }
            LoadError::Mismatch { .. } => {
                "build it again against this program's `wit/strategy.wit`".into()
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
                 `fn quality_gate(before, after, context)`"
                    .into()
            }
            LoadError::Setting(error) => return error.hint(),
            LoadError::Sandbox(_) => return None,
        })
    }
}
