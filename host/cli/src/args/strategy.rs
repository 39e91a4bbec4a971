//! What may be typed after `sc-host strategy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::registry::{
    AddArguments, KeygenArguments, PruneArguments, PullArguments, PushArguments, RegistryArguments,
    RemoveArguments, SignArguments, SignatureArguments, UpdateArguments,
};

#[derive(Debug, Subcommand)]
pub enum StrategyCommand {
    /// List the strategies that come with the program, and those in a folder.
    List(ListArguments),
    /// Say what a strategy is: roles, parameters, services, imports, size, digest.
    Inspect(InspectArguments),
    /// Load a strategy as a run would: compile, instantiate, describe, check its settings.
    Check(CheckArguments),
    /// Try a strategy: golden cases, a run's recorded decisions, and inputs that are awkward.
    Test(TestArguments),
    /// Measure what a call costs by the size of its input: time, fuel, memory.
    Bench(BenchArguments),
    /// Push a strategy to a registry.
    Push(PushArguments),
    /// Pull a strategy from a registry, and say who has signed it.
    Pull(PullArguments),
    /// Note in strategies.lock what a name of a registry stands for now.
    Add(AddArguments),
    /// Take what the names in strategies.lock stand for by now.
    Update(UpdateArguments),
    /// Remove names from strategies.lock.
    Remove(RemoveArguments),
    /// Make a pair of keys to sign with.
    Keygen(KeygenArguments),
    /// Sign a strategy of a registry.
    Sign(SignArguments),
    /// Say whether a strategy of a registry is signed by a key, or by one that is trusted.
    Verify(SignatureArguments),
    /// Remove what was pulled and not used for long.
    Prune(PruneArguments),
    /// List the limits that strategies run under.
    Limits(LimitsArguments),
    /// Write the project of a new strategy, small and whole, with its test and how it is built.
    New(NewArguments),
}

/// Under what conditions strategies are loaded, in a run and outside of one.
#[derive(Debug, Default, Args)]
pub struct Conditions {
    /// A parameter of the strategy in a role, such as data-filter.min_margin=0.3; where a role has
    /// several, data-filter.NAME.min_margin=0.3. May be given several times.
    #[arg(long = "set", value_name = "ROLE.KEY=VALUE")]
    pub settings: Vec<String>,
    /// Grants a service to the strategies that want it: candidate (their images), model:N (N
    /// questions a round), log:N (lines a call); ROLE.SERVICE grants it to one role alone.
    #[arg(long = "grant", value_name = "SERVICE[:N]")]
    pub grants: Vec<String>,
    /// Changes a limit of the sandbox, such as seconds=60 or memory_bytes=1G; `sc-host strategy
    /// limits` lists them.
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    pub limits: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// A folder whose strategies are listed too.
    #[arg(value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Print one JSON object a strategy.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// PATH.wasm, PATH.rhai, builtin:NAME or oci:REF.
    #[arg(value_name = "FILE")]
    pub strategy: String,
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// PATH.wasm, PATH.rhai, builtin:NAME or oci:REF.
    #[arg(value_name = "FILE")]
    pub strategy: String,
    #[command(flatten)]
    pub registry: RegistryArguments,
    #[command(flatten)]
    pub conditions: Conditions,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TestArguments {
    /// PATH.wasm, PATH.rhai, builtin:NAME or oci:REF. What it wants is granted; the model that it may ask
    /// is a stand-in.
    #[arg(value_name = "FILE")]
    pub strategy: String,
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// A golden case (JSON), or a folder of them [default: cases/, where there is one].
    #[arg(long, value_name = "PATH")]
    pub cases: Option<PathBuf>,
    /// A run directory: the strategy must decide what the run's strategies decided.
    #[arg(long, value_name = "RUN")]
    pub run: Option<PathBuf>,
    /// Writes golden cases with the strategy's present answers to this folder, and tests nothing.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cases", "run"])]
    pub bless: Option<PathBuf>,
    #[command(flatten)]
    pub conditions: Conditions,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BenchArguments {
    /// PATH.wasm, PATH.rhai, builtin:NAME or oci:REF.
    #[arg(value_name = "FILE")]
    pub strategy: String,
    #[command(flatten)]
    pub registry: RegistryArguments,
    #[command(flatten)]
    pub conditions: Conditions,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LimitsArguments {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What a new strategy is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
    Rhai,
    Python,
}

#[derive(Debug, Args)]
pub struct NewArguments {
    /// Name of the strategy, and of its folder, which must be absent or empty.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it is written in.
    #[arg(long, value_enum)]
    pub lang: Language,
    /// The decisions that it makes: curriculum, data-filter, pair-selection, quality-gate. May be
    /// given several times.
    #[arg(
        long = "role",
        value_name = "ROLE",
        value_delimiter = ',',
        default_value = "data-filter"
    )]
    pub roles: Vec<String>,
    /// Print one JSON object: the folder, the shell lines that build it, and what they make.
    #[arg(long)]
    pub json: bool,
}
