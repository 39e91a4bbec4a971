//! `sc-host run`: a model improves itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use sc_model::{JanusModel, UnifiedModel};
use sc_run::RunError;
use sc_run::event::Summary;
use sc_run::improve::{Ingredients, improve};
use sc_run::settings::RunSettings;
use sc_run::store::RunStore;
use sc_run::task::{Task, TinyWorld};
use sc_strategy::{Identity, Limits, Runtime, StrategySet};
use sc_world::PICTURE_SIZE;
use serde::Serialize;

use crate::args::RunArguments;
use crate::failure::Mistake;
use crate::watch::{ForPeople, ForPrograms};
use crate::{model_choice, report};

/// What `config.toml` holds: enough to repeat the run.
#[derive(Serialize)]
struct ResolvedConfiguration<'a> {
    program: &'static str,
    model: String,
    task: &'a str,
    #[serde(flatten)]
    settings: RunSettings,
    strategies: BTreeMap<&'static str, &'a Identity>,
}

pub fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    // Everything that can be refused is refused before the model is loaded and a file is written.
    let mut settings = settings(arguments)?;
    let runtime = Runtime::new(Limits::default())?;
    let strategies = StrategySet::load(&arguments.strategies, &arguments.settings, &runtime)?;
    let model = model_choice::load(arguments.basics.model.as_deref())?;
    settings.sampling.guidance = model_choice::guidance(&model, arguments.guidance.guidance)?;
    let task = TinyWorld::new();
    check_fit(&settings, &model, &task)?;
    let store = match &arguments.out {
        Some(out) => RunStore::create(out)?,
        None => RunStore::create_numbered(Path::new("runs"))?,
    };
    let out = store.root();
    let configuration = ResolvedConfiguration {
        program: concat!("sc-host ", env!("CARGO_PKG_VERSION")),
        model: model_choice::name(arguments.basics.model.as_deref()),
        task: task.name(),
        settings,
        strategies: strategies
            .identities()
            .into_iter()
            .map(|(role, identity)| (role.name(), identity))
            .collect(),
    };
    store.write("config.toml", toml::to_string(&configuration)?.as_bytes())?;
    let ingredients = Ingredients {
        model: &model as &dyn UnifiedModel,
        task: &task,
        strategies: &strategies,
        settings: &settings,
        store: &store,
    };
    if arguments.basics.json {
        let mut watcher = ForPrograms { failure: None };
        let summary = improve(ingredients, &mut watcher)?;
        if let Some(failure) = watcher.failure {
            return Err(failure);
        }
        report::json_line(&Summary {
            run: Some(out.display().to_string()),
            ..summary
        })?;
    } else {
        let summary = improve(ingredients, &mut ForPeople::new())?;
        report::text(&told(&summary, out))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(arguments: &RunArguments) -> anyhow::Result<RunSettings> {
    let mut settings = RunSettings::defaults(arguments.objective.into());
    settings.seed = arguments.basics.seed;
    let evaluation = &mut settings.evaluation;
    if let Some(n) = arguments.evaluate {
        evaluation.prompts = n;
        evaluation.labelled = n;
        evaluation.round_prompts = evaluation.round_prompts.min(n);
    }
    let numbers = [
        (&mut settings.rounds, arguments.rounds),
        (&mut settings.prompts_per_round, arguments.prompts),
        (&mut settings.images_per_prompt, arguments.images_per_prompt),
        (&mut settings.epochs, arguments.epochs),
    ];
    for (setting, given) in numbers {
        *setting = given.unwrap_or(*setting);
    }
    if let Some(rate) = arguments.learning_rate {
        settings.training.learning_rate = rate;
    }
    if let Some(guidance) = arguments.guidance.guidance {
        settings.sampling.guidance = guidance;
    }
    settings.check().map_err(|error| {
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
    })?;
    Ok(settings)
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
        other => other,
    }
}

/// Refuses what does not go with the tiny world.
fn check_fit(settings: &RunSettings, model: &JanusModel, world: &TinyWorld) -> anyhow::Result<()> {
    let size = model.image_size();
    if size != PICTURE_SIZE {
        return Err(Mistake::error(
            format!("the model draws pictures of {size} pixels a side; expected {PICTURE_SIZE}"),
            "a run is on the tiny world, whose oracle reads its own pictures alone; `sc-host score` \
             takes a Janus of any size",
        ));
    }
    let table = world.training_prompts().len();
    if settings.prompts_per_round as usize > table {
        return Err(Mistake::error(
            format!(
                "`--prompts` is {}; expected at most {table}, the world's training prompts",
                settings.prompts_per_round
            ),
            "more images of each are had with `--images-per-prompt`",
        ));
    }
    Ok(())
}

fn told(summary: &Summary, out: &Path) -> String {
    let mut text = format!(
        "\n{} held-out prompts, seed {}, {} of {} rounds kept\n\n",
        summary.after.nonunified.share.n + summary.after.nonunified.unparsed,
        summary.seed,
        summary.rounds_kept,
        summary.rounds,
    );
    text.push_str(&report::before_after(&summary.before, &summary.after));
    if summary.cost.steps == 0 {
        text.push_str("nothing was trained: no round had anything to train on\n");
    }
    let shown = |name: &str| out.join(name).display().to_string();
    text.push_str(&format!(
        "\nwhat it drew before  {}\nand for the same prompts after  {}\nthe model  {}\nwho decided what  {}\n",
        shown("images/before.png"),
        shown("images/after.png"),
        shown("model"),
        shown("ledger.jsonl"),
    ));
    text
}
