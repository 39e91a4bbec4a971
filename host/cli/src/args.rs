//! What may be typed. What it means is worked out, and checked, by the commands.

mod debug;
mod export;
mod method;
mod model;
mod probe;
mod registry;
mod speed;
mod strategy;
mod synth;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sc_run::RunError;
use sc_run::judge::JudgeName;
use sc_run::settings::{MOST_EVALUATED, RunSettings};

pub use self::debug::{DebugCommand, PreprocessArguments, PromptArguments};
pub use self::export::{ExportArguments, Format};
pub use self::method::{LossCommand, LossEvalArguments, MethodArguments};
pub use self::model::{DtypeName, LoadArguments, Train, TrainArguments};
pub use self::probe::{DynamicsArguments, LabelArguments, ProbeCommand};
pub use self::registry::{
    AddArguments, KeygenArguments, PruneArguments, PullArguments, PushArguments, RegistryArguments,
    RemoveArguments, SignArguments, SignatureArguments, UpdateArguments,
};
pub use self::speed::SpeedArguments;
pub use self::strategy::{
    BenchArguments, CheckArguments, Conditions, InspectArguments, Language, LimitsArguments,
    ListArguments, NewArguments, StrategyCommand, TestArguments,
};
pub use self::synth::SynthArguments;

/// Self-improvement of unified multimodal models by their own verdicts, with sandboxed strategies.
#[derive(Debug, Parser)]
#[command(
    name = "sc-host",
    version,
    arg_required_else_help = true,
    args_override_self = true
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Improve a model on the tiny world: draw, judge, filter, select, train, evaluate, gate.
    Run(Box<RunArguments>),
    /// Draw images, ask the model about them, and put them on a sheet.
    Draw(DrawArguments),
    /// Draw one image or more a prompt and print the Nonunified score.
    Score(ScoreArguments),
    /// Ask other strategies what a run's strategies were asked, without a model.
    Replay(ReplayArguments),
    /// Put runs side by side: figures before and after, and what each cost.
    Compare(CompareArguments),
    /// Look at strategies, try them, write new ones.
    #[command(subcommand)]
    Strategy(StrategyCommand),
    /// The losses by name, and their values.
    #[command(subcommand)]
    Loss(LossCommand),
    /// Look closer at a run or a model.
    #[command(subcommand)]
    Probe(ProbeCommand),
    /// Look at a checkpoint, or make one up.
    #[command(subcommand)]
    Model(ModelCommand),
    /// The tiny world that the tiny model lives in.
    #[command(subcommand)]
    World(WorldCommand),
    /// Single steps of the program, to hold them against other implementations.
    #[command(subcommand)]
    Debug(DebugCommand),
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Print family, sizes, parameters, dtype and special tokens.
    Info(InfoArguments),
    /// Compute every value that a file of expected values names, and compare.
    Verify(VerifyArguments),
    /// Time what a run does with a model: drawing, decoding, judging, a training step.
    Speed(SpeedArguments),
    /// Write a checkpoint with a real one's names, shapes, shards and files, and random weights.
    Synth(SynthArguments),
    /// Write a model out, whole or its adapter alone, for other programs.
    Export(ExportArguments),
}

#[derive(Debug, Subcommand)]
pub enum WorldCommand {
    /// Measure a model on held-out prompts and labelled renders, by category, at some guidances.
    Evaluate(EvaluateArguments),
    /// Train a tiny model from nothing: image tokenizer, eye, language model.
    Pretrain(PretrainArguments),
}

/// What every command that draws takes.
#[derive(Debug, Args)]
pub struct Basics {
    /// Checkpoint folder, or a model of the hub: ORG/NAME or
    /// ORG/NAME@REVISION [default: the tiny model that comes with the program].
    #[arg(long, value_name = "DIR|ORG/NAME")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub load: LoadArguments,
    /// Seed of every random stream.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub seed: u64,
    /// Print JSON on stdout: one object a line, and all else on stderr.
    #[arg(long)]
    pub json: bool,
}

/// How strongly the prompt pulls.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Guidance {
    /// Classifier-free guidance [default: the model's own].
    #[arg(long, value_name = "W", allow_hyphen_values = true)]
    pub guidance: Option<f64>,
}

#[derive(Debug, Default, Args)]
pub struct RunArguments {
    /// A strategy: PATH.wasm, PATH.rhai, builtin:NAME or oci:REF, one of a registry. May be given several
    /// times; each fills the roles that it has, builtins fill the rest. Data filters form a chain, in the
    /// order given.
    #[arg(long = "strategy", value_name = "S")]
    pub strategies: Vec<String>,
    #[command(flatten)]
    pub conditions: Conditions,
    /// What happens when a strategy fails in the middle of the run: stop (the run can go on later),
    /// skip (as if it had not been given) or last-good (the last version that answered); for one
    /// role as ROLE=POLICY [default: stop].
    #[arg(long, value_name = "[ROLE=]POLICY")]
    pub on_strategy_failure: Vec<String>,
    /// How several strategies of a role decide together; there is quality-gate=any-roll-back: all
    /// are asked, and the most cautious decides.
    #[arg(long, value_name = "ROLE=HOW")]
    pub combine: Option<String>,
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// A strategy of a registry that may run although nobody trusted has signed it, by its digest. May
    /// be given several times.
    #[arg(long, value_name = "REF@DIGEST")]
    pub allow_unsigned: Vec<String>,
    /// Takes a strategy's file anew when it is edited, from the next round on; an edit that cannot
    /// be used changes nothing.
    #[arg(long)]
    pub watch: bool,
    /// All options of a run in a file, such as the config.toml that a run leaves; what is typed
    /// beside it goes before.
    #[arg(long, value_name = "FILE.toml", conflicts_with = "resume")]
    pub config: Option<PathBuf>,
    /// Goes on with the run in this directory, after the last round that is done, with its own
    /// options but for those that are given.
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub resume: Option<PathBuf>,
    /// Run directory; must be absent or empty [default: the first free runs/N].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Rounds at most [default: 3].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub rounds: Option<u32>,
    #[command(flatten)]
    pub method: MethodArguments,
    #[command(flatten)]
    pub guidance: Guidance,
    /// How many prompts a round draws for, or the file with the prompts to train on and to measure
    /// by (a fifth of them is held out); may be given once each [default: 600, of the tiny world].
    #[arg(long, value_name = "N|FILE", allow_negative_numbers = true)]
    pub prompts: Vec<String>,
    /// Prompts to measure by; those of `--prompts FILE` are then all trained on.
    #[arg(long, value_name = "FILE")]
    pub eval_prompts: Option<PathBuf>,
    /// Images a prompt [default: 5].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub images_per_prompt: Option<u32>,
    /// Passes over a round's examples [default: 9].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub epochs: Option<u32>,
    /// Peak learning rate [default: 6e-4].
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    pub learning_rate: Option<f64>,
    /// Held-out prompts to draw for before and after the run, and labelled images to judge; rounds
    /// are measured on 400 at most [default: 1000].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub evaluate: Option<u32>,
    /// Images that people have labelled, on which understanding is measured, made with `sc-host probe
    /// label` [default: renders of the tiny world].
    #[arg(long, value_name = "FILE")]
    pub probe: Option<PathBuf>,
    /// Checkpoint folder, or a model of the hub: ORG/NAME or
    /// ORG/NAME@REVISION [default: the tiny model that comes with the program].
    #[arg(long, value_name = "DIR|ORG/NAME")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub load: LoadArguments,
    #[command(flatten)]
    pub train: TrainArguments,
    /// Seed of every random stream [default: 0].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Print JSON on stdout: one object a line, and all else on stderr.
    #[arg(long)]
    pub json: bool,
}

impl RunArguments {
    /// The file whose options hold where nothing else is typed.
    pub fn config_file(&self) -> Option<PathBuf> {
        let of_run = self.resume.as_ref().map(|run| run.join("config.toml"));
        self.config.clone().or(of_run)
    }

    /// How many prompts a round draws for, where `--prompts` is a number.
    fn prompts_per_round(&self) -> Option<u32> {
        let numbers = self.prompts.iter().rev();
        numbers.flat_map(|given| given.parse().ok()).next()
    }

    /// The file that `--prompts` names, where it is none.
    pub fn prompt_file(&self) -> Option<PathBuf> {
        let files = self.prompts.iter().rev();
        let mut files = files.filter(|given| given.parse::<i64>().is_err());
        files.next().map(PathBuf::from)
    }

    /// A number of prompts that is none that could be drawn for.
    pub fn wrong_prompt_count(&self) -> Option<&str> {
        let numbers = self.prompts.iter().map(String::as_str);
        numbers
            .filter(|given| given.parse::<i64>().is_ok())
            .find(|given| given.parse::<u32>().is_err())
    }

    /// Puts what was typed in the place of what the settings hold.
    ///
    /// # Errors
    /// When a perturbation is unknown or has an unfit value.
    pub fn apply(&self, settings: &mut RunSettings) -> Result<(), RunError> {
        let evaluation = &mut settings.evaluation;
        if let Some(n) = self.evaluate {
            evaluation.prompts = n;
            evaluation.labelled = n;
            evaluation.round_prompts = evaluation.round_prompts.min(n);
            evaluation.fixed = n.saturating_mul(3).min(MOST_EVALUATED);
        }
        let numbers = [
            (&mut settings.rounds, self.rounds),
            (&mut settings.prompts_per_round, self.prompts_per_round()),
            (&mut settings.images_per_prompt, self.images_per_prompt),
            (&mut settings.epochs, self.epochs),
        ];
        for (setting, given) in numbers {
            *setting = given.unwrap_or(*setting);
        }
        settings.seed = self.seed.unwrap_or(settings.seed);
        let rates = [
            (&mut settings.training.learning_rate, self.learning_rate),
            (&mut settings.sampling.guidance, self.guidance.guidance),
        ];
        for (setting, given) in rates {
            *setting = given.unwrap_or(*setting);
        }
        self.method.apply(settings)
    }
}

#[derive(Debug, Args)]
pub struct CompareArguments {
    /// Directories of runs that have come to their end.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Print one JSON object a run.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// The run directory.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// A strategy: PATH.wasm, PATH.rhai, builtin:NAME or oci:REF. May be given several times.
    #[arg(long = "strategy", value_name = "S", required = true)]
    pub strategies: Vec<String>,
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// Only the decisions of these roles [default: all that the strategies fill].
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    pub roles: Vec<String>,
    #[command(flatten)]
    pub conditions: Conditions,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ScoreArguments {
    /// Prompts, one a line [default: 1,000 held-out prompts of the tiny world].
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// Images a prompt.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        allow_negative_numbers = true
    )]
    pub images_per_prompt: u32,
    /// Whose verdicts are counted.
    #[arg(long, value_parser = method::judge(), default_value = "margin")]
    pub judge: JudgeName,
    #[command(flatten)]
    pub guidance: Guidance,
    #[command(flatten)]
    pub basics: Basics,
}

#[derive(Debug, Args)]
pub struct DrawArguments {
    /// What to draw: a prompt, or a file with one prompt a line. May be given several times.
    #[arg(long = "prompts", value_name = "FILE|TEXT", required = true, num_args = 1..)]
    pub prompts: Vec<String>,
    /// The sheet, as PNG; must not be there yet.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Images a prompt.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        allow_negative_numbers = true
    )]
    pub images_per_prompt: u32,
    #[command(flatten)]
    pub guidance: Guidance,
    #[command(flatten)]
    pub basics: Basics,
}

#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// Guidances to draw at, separated by commas [default: the model's own].
    #[arg(
        long,
        value_name = "W,…",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    pub guidance: Vec<f64>,
    /// Held-out prompts to draw for, and labelled renders to judge.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        allow_negative_numbers = true
    )]
    pub evaluate: u32,
    #[command(flatten)]
    pub basics: Basics,
}

/// What a pretrained model is measured on, if nothing else is said.
pub const PRETRAINED_EVALUATE: u32 = 2000;

#[derive(Debug, Args)]
pub struct PretrainArguments {
    /// Folder of the new checkpoint; must be absent or empty. What is finished is kept in
    /// DIR.stages until the end, and the same command goes on from there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Seed of every random stream.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub seed: u64,
    /// Share of the recipe's steps to take: a small one tries the machinery in a minute.
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    pub steps: f64,
    /// Held-out prompts to draw for at the end, and labelled renders to judge.
    #[arg(
        long,
        value_name = "N",
        default_value_t = PRETRAINED_EVALUATE,
        allow_negative_numbers = true
    )]
    pub evaluate: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct InfoArguments {
    /// Checkpoint folder, or a model of the hub: ORG/NAME or
    /// ORG/NAME@REVISION [default: the tiny model that comes with the program].
    #[arg(value_name = "DIR|ORG/NAME")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub load: LoadArguments,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Checkpoint folder, or a model of the hub: ORG/NAME or
    /// ORG/NAME@REVISION.
    #[arg(value_name = "DIR|ORG/NAME")]
    pub model: PathBuf,
    #[command(flatten)]
    pub load: LoadArguments,
    /// Expected values; inputs that it lacks come from DIR/expected.safetensors [default:
    /// expected.safetensors in ADIR if there is an adapter, else in DIR].
    #[arg(long, value_name = "FILE")]
    pub expected: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use sc_core::choice::Objective;
    use sc_run::settings::Scheme;

    /// The help says what the settings are: it cannot ask them itself.
    #[test]
    fn the_help_names_the_defaults_that_hold() {
        let command = Arguments::command();
        let run = command.find_subcommand("run").expect("the command");
        let settings = RunSettings::defaults(Objective::Sft, Scheme::Online, 5000);
        for (option, default) in [
            ("rounds", settings.rounds.to_string()),
            (
                "prompts",
                format!("{}, of the tiny world", settings.prompts_per_round),
            ),
            ("images_per_prompt", settings.images_per_prompt.to_string()),
            ("epochs", settings.epochs.to_string()),
            ("evaluate", settings.evaluation.prompts.to_string()),
            (
                "learning_rate",
                format!("{:e}", settings.training.learning_rate),
            ),
        ] {
            let argument = run
                .get_arguments()
                .find(|argument| argument.get_id() == option);
            let help = argument
                .and_then(clap::Arg::get_help)
                .expect("help")
                .to_string();
            assert!(
                help.contains(&format!("[default: {default}]")),
                "{option}: {help}"
            );
        }
        Arguments::command().debug_assert();
    }
}
