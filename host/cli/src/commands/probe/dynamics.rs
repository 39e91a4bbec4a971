//! `sc-host probe dynamics`: do drawing and judging pull the same way?

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use sc_model::JanusModel;
use sc_run::dynamics::{Dynamics, FixedSets, Losses, change, dynamics as measure, losses};
use sc_run::settings::RunSettings;
use sc_run::task::TinyWorld;
use serde::Serialize;

use super::plot::{Series, bars};
use crate::args::{DynamicsArguments, LoadArguments, RunArguments};
use crate::config::Configuration;
use crate::failure::Mistake;
use crate::model_choice::{self, Chosen};
use crate::model_reference::ModelReference;
use crate::{report, watch};

/// Most examples of each set.
const MOST_EXAMPLES: u32 = 10_000;

/// What is measured of a model, or of a run's model before and after.
#[derive(Serialize)]
struct Measured {
    /// Accepted images and labelled images that the losses are computed on.
    accepted: usize,
    labelled: usize,
    models: Vec<OfModel>,
    /// ΔG and ΔU of the whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Losses>,
    plot: String,
}

#[derive(Serialize)]
struct OfModel {
    model: String,
    #[serde(flatten)]
    dynamics: Dynamics,
}

pub fn dynamics(arguments: &DynamicsArguments) -> anyhow::Result<ExitCode> {
    if !(4..=MOST_EXAMPLES).contains(&arguments.examples) {
        return Err(Mistake::error(
            format!(
                "`--examples` is {}; expected 4 to {MOST_EXAMPLES}",
                arguments.examples
            ),
            "256 of each kind tell an alignment of 0.1 from none in the tiny world",
        ));
    }
    let (settings, models) = models(arguments)?;
    let base = &models[0].1;
    let bar = watch::bar("drawing and measuring", "models", models.len() as u64);
    let world = TinyWorld::new();
    let count = arguments.examples as usize;
    let sets = FixedSets::new(base, &world, &settings, count)?;
    let mut found = Vec::new();
    for (name, model) in &models {
        found.push(OfModel {
            model: name.clone(),
            dynamics: measure(model, &sets)?,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let run = match &models[..] {
        [(_, before), .., (_, after)] => {
            Some(change(losses(before, &sets)?, losses(after, &sets)?))
        }
        _ => None,
    };
    let plot = place(arguments);
    fs::write(&plot, drawn(&found)).map_err(|error| {
        Mistake::error(
            format!("`{}` cannot be written: {error}", plot.display()),
            "name another place with `--out`",
        )
    })?;
    let measured = Measured {
        accepted: sets.accepted.len(),
        labelled: sets.labelled.len(),
        models: found,
        run,
        plot: plot.display().to_string(),
    };
    if arguments.json {
        report::json_line(&measured)?;
    } else {
        report::text(&told(&measured))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A model, and what it is called here.
type Named = (String, JanusModel);

/// The settings, and the model: of a run the one that it began with and the last that it kept.
fn models(arguments: &DynamicsArguments) -> anyhow::Result<(RunSettings, Vec<Named>)> {
    let typed = RunArguments {
        config: arguments.run.as_ref().map(|run| run.join("config.toml")),
        model: arguments.model.clone(),
        seed: arguments.seed,
        ..RunArguments::default()
    };
    let mut configuration = Configuration::resolve(&typed)?;
    let chosen = Chosen::of(configuration.model.take())?;
    let base = chosen.load(&configuration.load)?;
    configuration.settings.sampling.guidance =
        model_choice::guidance(&base, configuration.guidance)?;
    let mut models = vec![(chosen.name(), base)];
    if let Some(run) = &arguments.run {
        let after = ModelReference::Folder(run.join("model"));
        // What the run kept has an adapter of its own in it, or in its weights.
        let after_load = LoadArguments {
            adapter: None,
            ..configuration.load.clone()
        };
        models[0].0.push_str(", before");
        models.push((
            "the run's, after".into(),
            Chosen::of(Some(after))?.load(&after_load)?,
        ));
    }
    Ok((configuration.settings, models))
}

/// Where the plot goes.
fn place(arguments: &DynamicsArguments) -> PathBuf {
    const NAME: &str = "dynamics.svg";
    match (&arguments.out, &arguments.run) {
        (Some(out), _) => out.clone(),
        (None, Some(run)) => run.join(NAME),
        (None, None) => PathBuf::from(NAME),
    }
}

fn drawn(found: &[OfModel]) -> String {
    let rows: Vec<&str> = found[0]
        .dynamics
        .groups
        .iter()
        .map(|group| &*group.group)
        .collect();
    let series: Vec<Series<'_>> = found
        .iter()
        .map(|of| Series {
            name: &of.model,
            bars: (of.dynamics.groups.iter())
                .map(|group| (group.cosine, group.cosine_of_halves))
                .collect(),
        })
        .collect();
    bars(
        "cosine of generation and understanding gradients (lines: two halves)",
        &rows,
        &series,
    )
}

fn told(measured: &Measured) -> String {
    let mut text = format!(
        "gradients of the generation loss on {} accepted images and of the understanding loss on {} \
         labelled ones\n",
        measured.accepted, measured.labelled
    );
    for of in &measured.models {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n{:20}{:>10}{:>20}{:>12}{:>12}{:>12}",
            of.model, "cosine", "of halves", "|∇G|", "|∇U|", "weights"
        );
        for group in &of.dynamics.groups {
            let [one, other] = group.cosine_of_halves;
            let _ = writeln!(
                text,
                "{:20}{:>+10.3}{:>20}{:>12.4}{:>12.4}{:>12}",
                group.group,
                group.cosine,
                format!("{one:+.3} {other:+.3}"),
                group.generation_norm,
                group.understanding_norm,
                group.parameters
            );
        }
        let Dynamics {
            losses,
            step,
            step_predicted,
            ..
        } = &of.dynamics;
        let _ = writeln!(
            text,
            "G {:.4}, U {:.4}; a small step down ∇G: ΔG {:+.2e} (first order {:+.2e}), ΔU {:+.2e} \
             (first order {:+.2e})",
            losses.generation,
            losses.understanding,
            step.generation,
            step_predicted.generation,
            step.understanding,
            step_predicted.understanding
        );
    }
    if let Some(run) = &measured.run {
        let _ = writeln!(
            text,
            "\nthe whole run: ΔG {:+.4}, ΔU {:+.4}",
            run.generation, run.understanding
        );
    }
    let _ = writeln!(text, "{}", measured.plot);
    text
}
