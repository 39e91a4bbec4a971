//! `sc-host run`: a model improves itself.

use std::path::Path;
use std::process::ExitCode;

use sc_model::{JanusModel, UnifiedModel};
use sc_run::Checkpoint;
use sc_run::event::{Summary, Watcher};
use sc_run::improve::{Ingredients, improve};
use sc_run::probe_set;
use sc_run::settings::{RunSettings, Scheme};
use sc_run::store::{CONFIG, RunStore};
use sc_strategy::{Runtime, StrategySet};
use sc_world::PICTURE_SIZE;

use crate::args::{RunArguments, Train};
use crate::config::Configuration;
use crate::failure::Mistake;
use crate::model_choice::Chosen;
use crate::task_choice::TaskChoice;
use crate::terminal::say;
use crate::watch::{ForPeople, ForPrograms};
use crate::{model_choice, prompts, report};

pub fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    // Everything that can be refused is refused before the model is loaded and a file is written.
    let resumed = arguments
        .resume
        .as_deref()
        .map(RunStore::open)
        .transpose()?;
    let mut configuration = Configuration::resolve(arguments)?;
    let mut runtime = Runtime::new(configuration.limits)?;
    let mut taken = configuration.take_shared(&mut runtime)?;
    let strategies = StrategySet::load(&configuration.request, &runtime)?;
    let chosen = Chosen::of(configuration.model.take())?;
    let model = chosen.load(&configuration.load)?;
    let typed = arguments.train.of_adapter();
    let model = to_train(model, &chosen, &configuration, typed)?;
    configuration.model = chosen.reference;
    configuration.settings.sampling.guidance =
        model_choice::guidance(&model, configuration.guidance)?;
    check_fit(&configuration.settings, &model, &configuration.task)?;
    let task = configuration.task.task();
    prompts::check(&model, configuration.task.given())?;
    if task.oracle().is_none() {
        say(
            "nobody knows what these prompts' images show: generation accuracy and the weak-generation \
             share are left out; what people have labelled can be given with `--probe`",
        );
    }
    let probe = configuration
        .probe
        .as_deref()
        .map(|file| probe_set::read(file, model.image_size()))
        .transpose()?;
    let checkpoint = resumed
        .as_ref()
        .map(|store| {
            let settings = &configuration.settings;
            Checkpoint::load(store, &model, settings, task, probe.as_deref())
        })
        .transpose()?;
    if let Some(checkpoint) = &checkpoint {
        if checkpoint.is_midway() {
            check_round_under_way(arguments, checkpoint.round() + 1)?;
        }
        let finished = resumed.as_ref().is_none_or(RunStore::is_finished);
        check_rounds(checkpoint.round(), finished, &configuration.settings)?;
    }
    taken.pin(&strategies)?;
    let store = match (resumed, &arguments.out) {
        (Some(store), _) => store,
        (None, Some(out)) => RunStore::create(out)?,
        (None, None) => RunStore::create_numbered(Path::new("runs"))?,
    };
    if checkpoint.is_some() {
        store.keep_configuration()?;
    }
    let text = configuration.to_toml(&strategies)?;
    store.write(CONFIG, text.as_bytes())?;
    let ingredients = Ingredients {
        model: &model as &dyn UnifiedModel,
        task,
        strategies,
        runtime: &runtime,
        admissions: taken.admissions,
        watch: configuration.watch,
        settings: &configuration.settings,
        store: &store,
        probe,
        checkpoint,
    };
    if arguments.json {
        let mut watcher = ForPrograms { failure: None };
        let summary = told_of_resumption(ingredients, &mut watcher)?;
        if let Some(failure) = watcher.failure {
            return Err(failure);
        }
        report::json_line(&Summary {
            run: Some(store.root().display().to_string()),
            ..summary
        })?;
    } else {
        let summary = told_of_resumption(ingredients, &mut ForPeople::new())?;
        report::text(&told(&summary, store.root()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Improves the model; a run that fails after its first checkpoint can go on, and the error says how.
fn told_of_resumption(
    ingredients: Ingredients<'_>,
    watcher: &mut dyn Watcher,
) -> anyhow::Result<Summary> {
    let root = ingredients.store.root().display().to_string();
    let store = ingredients.store;
    improve(ingredients, watcher).map_err(|error| {
        if store.has_checkpoint() {
            watcher.done();
            say(&format!(
                "what is done is kept: `sc-host run --resume {root}` goes on after the last whole round, \
                 also with other strategies"
            ));
        }
        error.into()
    })
}

/// Refuses options that the round under way has been decided by already.
fn check_round_under_way(arguments: &RunArguments, round: u32) -> anyhow::Result<()> {
    let method = &arguments.method;
    let typed = [
        ("--objective", method.objective.is_some()),
        ("--token-weights", method.token_weights.is_some()),
        ("--prompts", !arguments.prompts.is_empty()),
        ("--images-per-prompt", arguments.images_per_prompt.is_some()),
        ("--epochs", arguments.epochs.is_some()),
    ];
    match typed.into_iter().find(|(_, typed)| *typed) {
        Some((option, _)) => Err(Mistake::error(
            format!(
                "`{option}` is given in the middle of round {round}, which has begun otherwise; expected \
                 options that can still count"
            ),
            "go on without it; when the round is over, the run can be resumed with it",
        )),
        None => Ok(()),
    }
}

/// Refuses to go on with a run that has done all its rounds.
fn check_rounds(done: u32, finished: bool, settings: &RunSettings) -> anyhow::Result<()> {
    if done < settings.rounds || (done == settings.rounds && !finished) {
        return Ok(());
    }
    if settings.scheme == Scheme::Static {
        return Err(Mistake::error(
            "the run has done its one round; the static scheme has no other",
            "begin a new run; `--epochs` gives it more passes",
        ));
    }
    Err(Mistake::error(
        format!(
            "the run has done {done} rounds; expected more than that to do, not {}",
            settings.rounds
        ),
        format!("`--rounds {}` lets it go on", done + 1),
    ))
}

/// The model with the adapter that is to be trained, if one is; `typed` is an option of a new
/// adapter that was given.
fn to_train(
    model: JanusModel,
    chosen: &Chosen,
    configuration: &Configuration,
    typed: Option<&str>,
) -> anyhow::Result<JanusModel> {
    match (configuration.train, model.parameters().adapter()) {
        (Train::Full, None) => {
            model_choice::check_full_training(&model)?;
            Ok(model)
        }
        (Train::Full, Some(_)) => Err(Mistake::error(
            "the model has an adapter, and `--train` is full; expected lora",
            "`--train lora` goes on training the adapter; `sc-host model export` merges it into its \
             base",
        )),
        (Train::Lora, None) => {
            let base = match &chosen.reference {
                Some(reference) => reference.recorded(),
                None => model_choice::TINY.to_owned(),
            };
            let seed = configuration.settings.seed;
            Ok(model.with_new_adapter(&configuration.lora, &base, seed)?)
        }
        (Train::Lora, Some(adapter)) => {
            if let Some(option) = typed {
                return Err(Mistake::error(
                    format!(
                        "`{option}` is given, and the model has an adapter; expected one or the \
                         other"
                    ),
                    "an adapter is trained on as it was made: leave the option out, or the adapter",
                ));
            }
            if configuration.settings.interpolate.is_some() && !adapter.is_blank()? {
                return Err(Mistake::error(
                    "`--interpolate` is given with an adapter that is trained already; expected a \
                     new one",
                    "merge the adapter into its base with `sc-host model export` first",
                ));
            }
            Ok(model)
        }
    }
}

/// Refuses what does not go with the task.
fn check_fit(
    settings: &RunSettings,
    model: &JanusModel,
    choice: &TaskChoice,
) -> anyhow::Result<()> {
    let size = model.image_size();
    if matches!(choice, TaskChoice::TinyWorld(_)) && size != PICTURE_SIZE {
        return Err(Mistake::error(
            format!("the model draws pictures of {size} pixels a side; expected {PICTURE_SIZE}"),
            "the tiny world's oracle reads its own pictures alone: give a file of prompts with \
             `--prompts FILE`",
        ));
    }
    let table = choice.task().training_prompts().len();
    if settings.prompts_per_round as usize > table {
        return Err(Mistake::error(
            format!(
                "`--prompts` is {}; expected at most {table}, the training prompts there are",
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
    if let Some(co_improvement) = &summary.co_improvement {
        text.push_str(&report::co_improvement(co_improvement));
    }
    let cost = &summary.cost;
    text.push_str(&format!(
        "\n{} images drawn and judged with {} questions, {} gradient steps on {} image tokens\n",
        cost.images, cost.questions, cost.steps, cost.tokens
    ));
    if !summary.supervision_changes.is_empty() {
        let changes = summary.supervision_changes.join(", ");
        text.push_str(&format!("SUPERVISION WAS CHANGED ON PURPOSE: {changes}\n"));
    }
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
