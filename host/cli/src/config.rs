//! The configuration of a whole run: what stands in `--config FILE.toml`, what was typed beside it,
//! and what both come to. The run directory keeps it, resolved, as `config.toml`, which runs again
//! as it is.

use std::fs;
use std::path::{Path, PathBuf};

use sc_core::choice::Objective;
use sc_core::role::Role;
use sc_model::LoraSettings;
use sc_run::RunError;
use sc_run::settings::{RunSettings, Scheme};
use sc_strategy::{
    GateCombinator, Grants, Identity, Limits, Policies, Requested, Runtime, StrategyRequest,
    StrategySet,
};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::args::{DtypeName, LoadArguments, RegistryArguments, RunArguments, Train};
use crate::failure::Mistake;
use crate::model_choice::TINY;
use crate::model_reference::ModelReference;
use crate::sharing::Taken;
use crate::task_choice::{PROMPTS, TINY_WORLD, TaskChoice};

/// What is not a setting of the run itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Around {
    program: Option<String>,
    model: Option<String>,
    adapter: Option<PathBuf>,
    dtype: Option<DtypeName>,
    device: Option<String>,
    train: Train,
    lora: LoraSettings,
    task: Option<String>,
    prompts: Option<PathBuf>,
    eval_prompts: Option<PathBuf>,
    question: Option<PathBuf>,
    probe: Option<PathBuf>,
    watch: bool,
    trust: Option<PathBuf>,
    allow_unsigned: Vec<String>,
    grants: Vec<String>,
    combine_gates: Option<GateCombinator>,
    on_strategy_failure: Policies,
    limits: Table,
    strategies: Vec<StrategyEntry>,
}

/// The keys of [`Around`].
const AROUND: [&str; 20] = [
    "program",
    "model",
    "adapter",
    "dtype",
    "device",
    "train",
    "lora",
    "task",
    "prompts",
    "eval_prompts",
    "question",
    "probe",
    "watch",
    "trust",
    "allow_unsigned",
    "grants",
    "combine_gates",
    "on_strategy_failure",
    "limits",
    "strategies",
];

/// A strategy in the file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StrategyEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Told by the resolved configuration; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default)]
    parameters: Table,
}

/// A run, resolved, before anything is loaded.
pub struct Configuration {
    /// The checkpoint; none: the tiny model.
    pub model: Option<ModelReference>,
    /// How it is loaded.
    pub load: LoadArguments,
    pub train: Train,
    pub lora: LoraSettings,
    pub settings: RunSettings,
    pub task: TaskChoice,
    /// The files that its prompts are from.
    prompt_files: [Option<PathBuf>; 2],
    /// Images that people have labelled; none: the task's own.
    pub probe: Option<PathBuf>,
    /// Whether guidance was asked for; else the model's own holds.
    pub guidance: Option<f64>,
    pub limits: Limits,
    pub request: StrategyRequest,
    pub grants: Vec<String>,
    pub watch: bool,
    /// How strategies of registries are taken.
    pub registry: RegistryArguments,
    /// Those that need no signature, with their digests.
    pub allow_unsigned: Vec<String>,
    /// Where `strategies.lock` and `trust.toml` lie.
    folder: PathBuf,
}

impl Configuration {
    /// What the file and the arguments come to; what is typed goes before what the file says.
    pub fn resolve(arguments: &RunArguments) -> anyhow::Result<Configuration> {
        let file = arguments.config_file();
        let (around, table) = match &file {
            Some(file) => read(file)?,
            None => (Around::default(), Table::new()),
        };
        let shown = file.as_deref().unwrap_or(Path::new(""));
        if let Some(count) = arguments.wrong_prompt_count() {
            return Err(Mistake::error(
                format!("`--prompts` is {count}; expected a number from 1, or a file"),
                "`sc-host run --help` lists the options and their defaults",
            ));
        }
        let prompt_files = [
            arguments.prompt_file().or(around.prompts),
            arguments.eval_prompts.clone().or(around.eval_prompts),
        ];
        let [training, held_out] = prompt_files.each_ref().map(Option::as_deref);
        let task = TaskChoice::new(training, held_out)?;
        if let Some(named) = &around.task
            && named != task.task().name()
        {
            return Err(Mistake::error(
                format!(
                    "`{}`: `task` is `{named}`; expected {TINY_WORLD}, or {PROMPTS} with a file of them",
                    shown.display()
                ),
                "leave `task` out: `prompts = \"FILE\"` says enough",
            ));
        }
        let chosen = (arguments.method.objective, arguments.method.scheme);
        let mut settings = settings(shown, table, chosen, &task)?;
        let file_guidance = file.is_some().then_some(settings.sampling.guidance);
        if let Some(option) = arguments.method.loss.unused(settings.objective) {
            return Err(no_such_option(option, settings.objective));
        }
        arguments
            .apply(&mut settings)
            .and_then(|()| settings.check())
            .map_err(unusable)?;

        let mut limits: Vec<String> = Vec::new();
        for (name, value) in &around.limits {
            limits.push(format!("{name}={}", typed(value)));
        }
        limits.extend(arguments.conditions.limits.iter().cloned());
        // A service that is granted on the command line is not granted twice.
        let mut grants = around.grants.clone();
        let place = |grant: &str| grant.split(':').next().unwrap_or_default().to_owned();
        grants.retain(|old| {
            arguments
                .conditions
                .grants
                .iter()
                .all(|new| place(new) != place(old))
        });
        grants.extend(arguments.conditions.grants.iter().cloned());

        let from_file = around.strategies.iter().map(|entry| Requested {
            source: entry.source.clone(),
            digest: entry.digest.clone(),
            role: entry.role,
            parameters: entry
                .parameters
                .iter()
                .map(|(name, value)| (name.clone(), typed(value)))
                .collect(),
            gives_way: true,
        });
        let from_arguments = arguments.strategies.iter().map(|s| Requested::named(s));
        let combine = arguments.combine.as_deref().map(GateCombinator::parse);
        let request = StrategyRequest {
            strategies: from_file.chain(from_arguments).collect(),
            settings: arguments.conditions.settings.clone(),
            grants: Grants::parse(&grants)?,
            on_failure: around
                .on_strategy_failure
                .with(&arguments.on_strategy_failure)?,
            combine_gates: combine.transpose()?.or(around.combine_gates),
        };
        let model = match (&arguments.model, around.model) {
            (Some(typed), _) => Some(ModelReference::parse(typed)?),
            (None, Some(name)) if name != TINY => Some(ModelReference::parse(Path::new(&name))?),
            _ => None,
        };
        let (mut train, mut lora) = (around.train, around.lora);
        arguments.train.apply(&mut train, &mut lora);
        if let (Train::Full, Some(option)) = (train, arguments.train.of_adapter()) {
            return Err(Mistake::error(
                format!("`{option}` is given, and `--train` is full; expected lora"),
                "`--train lora` trains an adapter in the place of the weights",
            ));
        }
        if train == Train::Lora {
            lora.check()?;
            if settings.interpolation_of_rounds().is_some() {
                return Err(Mistake::error(
                    "`--interpolate-at` is round, and `--train` is lora; expected run",
                    "between two adapters lies no adapter of their rank; at the run's end an adapter \
                     can be brought back",
                ));
            }
        }
        let typed = &arguments.load;
        let load = LoadArguments {
            adapter: typed.adapter.clone().or(around.adapter),
            dtype: typed.dtype.or(around.dtype),
            question: typed.question.clone().or(around.question),
            device: typed.device.clone().or(around.device),
        };
        Ok(Configuration {
            model,
            load,
            train,
            lora,
            task,
            prompt_files,
            probe: arguments.probe.clone().or(around.probe),
            guidance: arguments.guidance.guidance.or(file_guidance),
            settings,
            limits: Limits::default().with(&limits)?,
            request,
            grants,
            watch: arguments.watch || around.watch,
            registry: RegistryArguments {
                trust: arguments
                    .registry
                    .trust
                    .clone()
                    // As the other files beside a configuration, it is looked for beside it.
                    .or_else(|| around.trust.map(|trust| beside(file.as_deref(), &trust))),
                ..arguments.registry.clone()
            },
            allow_unsigned: match &arguments.registry.trust {
                // Whoever types whom to trust does not mean what a file adds to it.
                Some(_) => arguments.allow_unsigned.clone(),
                None => [around.allow_unsigned, arguments.allow_unsigned.clone()].concat(),
            },
            folder: folder_of(arguments.config.as_deref()),
        })
    }

    /// Gives the sandbox the strategies that are asked for and lie in registries; nothing is written.
    ///
    /// # Errors
    /// When one cannot be had, its tag has moved, or it may not run.
    pub fn take_shared(&mut self, runtime: &mut Runtime) -> anyhow::Result<Taken> {
        let taken = Taken::take(
            &mut self.request,
            runtime,
            &self.registry,
            &self.folder,
            &self.allow_unsigned,
        )?;
        // The run goes on by the same policy, wherever it is resumed.
        let trust = taken.trust.clone().or_else(|| self.registry.trust.take());
        self.registry.trust = trust.map(|file| std::path::absolute(&file).unwrap_or(file));
        Ok(taken)
    }

    /// As `config.toml` keeps it, with the strategies as they were loaded.
    pub fn to_toml(&self, strategies: &StrategySet) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Resolved<'a> {
            program: &'static str,
            model: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            adapter: Option<&'a Path>,
            dtype: DtypeName,
            device: &'a str,
            train: Train,
            task: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            prompts: Option<&'a Path>,
            #[serde(skip_serializing_if = "Option::is_none")]
            eval_prompts: Option<&'a Path>,
            #[serde(skip_serializing_if = "Option::is_none")]
            question: Option<&'a Path>,
            #[serde(skip_serializing_if = "Option::is_none")]
            probe: Option<&'a Path>,
            watch: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            trust: Option<&'a Path>,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            allow_unsigned: &'a [String],
            grants: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            combine_gates: Option<GateCombinator>,
            #[serde(flatten)]
            settings: RunSettings,
            #[serde(skip_serializing_if = "Option::is_none")]
            lora: Option<&'a LoraSettings>,
            on_strategy_failure: Policies,
            limits: Limits,
            strategies: Vec<StrategyEntry>,
        }
        let entries: anyhow::Result<Vec<StrategyEntry>> = strategies
            .identities()
            .into_iter()
            .map(|(role, identity)| entry(role, identity))
            .collect();
        // A folder of the tiny model's name is not taken for it.
        let model = match self.model.as_ref().map(ModelReference::recorded) {
            Some(folder) if folder == TINY => format!("./{TINY}"),
            Some(recorded) => recorded,
            None => TINY.to_owned(),
        };
        Ok(toml::to_string(&Resolved {
            program: concat!("sc-host ", env!("CARGO_PKG_VERSION")),
            model,
            adapter: self.load.adapter.as_deref(),
            dtype: self.load.dtype.unwrap_or_default(),
            device: self.load.device.as_deref().unwrap_or("cpu"),
            train: self.train,
            task: self.task.task().name(),
            prompts: self.prompt_files[0].as_deref(),
            eval_prompts: self.prompt_files[1].as_deref(),
            question: self.load.question.as_deref(),
            probe: self.probe.as_deref(),
            watch: self.watch,
            trust: self.registry.trust.as_deref(),
            allow_unsigned: &self.allow_unsigned,
            grants: &self.grants,
            combine_gates: self.request.combine_gates,
            settings: self.settings,
            lora: (self.train == Train::Lora).then_some(&self.lora),
            on_strategy_failure: self.request.on_failure,
            limits: self.limits,
            strategies: entries?,
        })?)
    }
}

/// A path in a configuration, from where the program was started.
fn beside(config: Option<&Path>, path: &Path) -> PathBuf {
    folder_of(config).join(path)
}

/// Where the files lie that stand beside a configuration, or would where there is none.
fn folder_of(config: Option<&Path>) -> PathBuf {
    let folder = config.and_then(Path::parent);
    folder.map(Path::to_owned).unwrap_or_default()
}

fn entry(role: Role, identity: &Identity) -> anyhow::Result<StrategyEntry> {
    Ok(StrategyEntry {
        role: Some(role),
        source: identity.source.clone(),
        digest: identity.digest.clone(),
        name: Some(identity.name.clone()),
        version: Some(identity.version.clone()),
        parameters: Table::try_from(&identity.parameters)?,
    })
}

fn read(file: &Path) -> anyhow::Result<(Around, Table)> {
    let text = fs::read_to_string(file).map_err(|error| {
        Mistake::error(
            format!("`--config {}` cannot be read: {error}", file.display()),
            "name a TOML file; a run directory's config.toml is one",
        )
    })?;
    let mut settings: Table = toml::from_str(&text).map_err(|error| unfit(file, &error))?;
    let mut around = Table::new();
    for key in AROUND {
        if let Some(value) = settings.remove(key) {
            around.insert(key.to_owned(), value);
        }
    }
    let around = around.try_into().map_err(|error| unfit(file, &error))?;
    Ok((around, settings))
}

/// The settings that the file gives, on top of the defaults of objective and scheme, which may be
/// given from without.
fn settings(
    file: &Path,
    table: Table,
    (objective, scheme): (Option<Objective>, Option<Scheme>),
    task: &TaskChoice,
) -> anyhow::Result<RunSettings> {
    fn of<T: for<'de> Deserialize<'de>>(
        file: &Path,
        table: &Table,
        key: &str,
    ) -> anyhow::Result<Option<T>> {
        let value = table.get(key).map(|value| value.clone().try_into());
        value.transpose().map_err(|error| unfit(file, &error))
    }
    let in_file = of(file, &table, "objective")?;
    let objective = objective.or(in_file).unwrap_or(Objective::Sft);
    let in_file = of(file, &table, "scheme")?;
    let scheme = scheme.or(in_file).unwrap_or_default();
    let prompts = task.task().training_prompts().len() as u32;
    let mut defaults = RunSettings::defaults(objective, scheme, prompts);
    task.fit(&mut defaults);
    let mut merged = Table::try_from(defaults)?;
    merge(&mut merged, table);
    merged.insert("objective".into(), objective.name().into());
    merged.insert("scheme".into(), scheme.name().into());
    merged.try_into().map_err(|error| unfit(file, &error))
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            // A whole number where the default has a point.
            (Some(Value::Float(old)), Value::Integer(new)) => *old = new as f64,
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn unfit(file: &Path, error: &toml::de::Error) -> anyhow::Error {
    Mistake::error(
        format!(
            "`--config {}`: {}",
            file.display(),
            error.to_string().trim_end()
        ),
        "the config.toml of any run directory shows all that may stand there",
    )
}

/// A value as it would be typed.
fn typed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An option that the loss does not have, which would change nothing.
pub fn no_such_option(option: &str, objective: Objective) -> anyhow::Error {
    Mistake::error(
        format!(
            "`--{option}` is given; expected options of the objective, and {objective} has none of \
                 that name"
        ),
        "`sc-host loss list` shows the options of each",
    )
}

/// Tells of a setting by the option that gives it.
fn unusable(error: RunError) -> anyhow::Error {
    let message = match error {
        RunError::Setting {
            field,
            value,
            expected,
        } => format!("`{}` is {value}; expected {expected}", option(&field)),
        other => other.to_string(),
    };
    Mistake::error(
        message,
        "`sc-host run --help` lists the options and their defaults",
    )
}

/// What is typed for a setting.
fn option(field: &str) -> &str {
    match field {
        "rounds" => "--rounds",
        "prompts_per_round" => "--prompts",
        "images_per_prompt" => "--images-per-prompt",
        "images a round" => "--prompts times --images-per-prompt",
        "epochs" => "--epochs",
        "evaluation.prompts" | "evaluation.round_prompts" => "--evaluate",
        "guidance" => "--guidance",
        "training.learning_rate" => "--learning-rate",
        "perturb" => "--perturb",
        "judge" => "--judge",
        "interpolate" => "--interpolate",
        "evaluation.fixed" => "--fixed-images",
        "training.max_steps" => "--max-steps",
        "training.loss.beta" => "--beta",
        "training.loss.label_smoothing" => "--label-smoothing",
        "training.loss.gamma" => "--gamma",
        "training.loss.nll_weight" => "--nll-weight",
        "training.loss.desirable_weight" => "--desirable-weight",
        "training.loss.undesirable_weight" => "--undesirable-weight",
        other => other,
    }
}
