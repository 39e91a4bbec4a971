//! `sc-host world evaluate`: how well a model draws and judges the tiny world.

use std::fmt::Write as _;
use std::process::ExitCode;

use sc_core::plan::Sampling;
use sc_model::{JanusModel, UnifiedModel};
use sc_run::evaluation::{EvaluatedOn, Evaluation, EvaluationSet, Figures, evaluate as measure};
use sc_run::settings::MOST_EVALUATED;
use sc_run::task::{Oracle, Task, TinyWorld};
use sc_run::wording::{WordingFigures, by_wording};
use sc_world::Wording;
use serde::Serialize;

use crate::args::EvaluateArguments;
use crate::failure::Mistake;
use crate::model_choice::{self, Chosen};
use crate::{report, watch};

#[derive(Serialize)]
struct Measured {
    model: String,
    #[serde(flatten)]
    figures: WorldFigures,
}

/// What is measured of a model.
#[derive(Serialize)]
pub struct WorldFigures {
    seed: u64,
    guidances: Vec<AtGuidance>,
    wordings: Vec<WordingFigures>,
}

#[derive(Serialize)]
struct AtGuidance {
    guidance: f64,
    #[serde(flatten)]
    evaluation: Evaluation,
}

pub fn evaluate(arguments: &EvaluateArguments) -> anyhow::Result<ExitCode> {
    let n = evaluated(arguments.evaluate)?;
    let chosen = Chosen::typed(arguments.basics.model.as_deref())?;
    let model = chosen.load(&arguments.basics.load)?;
    let asked: Vec<Option<f64>> = match &arguments.guidance[..] {
        [] => vec![None],
        given => given.iter().copied().map(Some).collect(),
    };
    let guidances = asked
        .into_iter()
        .map(|guidance| model_choice::guidance(&model, guidance))
        .collect::<anyhow::Result<Vec<f64>>>()?;
    let figures = measured(&model, arguments.basics.seed, n, &guidances)?;
    if arguments.basics.json {
        report::json_line(&Measured {
            model: chosen.name(),
            figures,
        })?;
    } else {
        report::text(&figures.tables())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The n of `--evaluate`, if it is one to measure on.
pub fn evaluated(n: u32) -> anyhow::Result<usize> {
    if !(1..=MOST_EVALUATED).contains(&n) {
        return Err(Mistake::error(
            format!("`--evaluate` is {n}; expected 1 to {MOST_EVALUATED}"),
            "1000 gives intervals of about three points to either side",
        ));
    }
    Ok(n as usize)
}

/// Measures a model on `n` held-out prompts and `n` labelled renders.
pub fn measured(
    model: &JanusModel,
    seed: u64,
    n: usize,
    guidances: &[f64],
) -> anyhow::Result<WorldFigures> {
    let world = TinyWorld::new();
    let (prompts, labelled) = (
        world.evaluation_prompts(seed, EvaluatedOn::Whole, n),
        world.labelled_images(seed, EvaluatedOn::Whole, n),
    );
    let wordings = Wording::ALL.len() * labelled.len();
    let total = guidances.len() * (prompts.len() + labelled.len()) + wordings;
    let bar = watch::bar("drawing and judging", "images", total as u64);
    let mut figures = WorldFigures {
        seed,
        guidances: Vec::new(),
        wordings: by_wording(model, &labelled, &mut |answers| bar.inc(answers))?,
    };
    for &guidance in guidances {
        let set = EvaluationSet {
            on: EvaluatedOn::Whole,
            prompts: &prompts,
            labelled: &labelled,
            oracle: world.oracle(),
            sampling: Sampling {
                guidance,
                ..Sampling::default()
            },
            seed,
            signals: None,
        };
        let model = model as &dyn UnifiedModel;
        let evaluation = measure(model, &set, &mut |images| bar.inc(images), &mut |_| ())?;
        figures.guidances.push(AtGuidance {
            guidance,
            evaluation,
        });
    }
    bar.finish_and_clear();
    Ok(figures)
}

impl WorldFigures {
    /// The figures as people read them.
    pub fn tables(&self) -> String {
        let mut tables: String = self.guidances.iter().map(table).collect();
        if !self.wordings.is_empty() {
            tables.push_str(&wordings(&self.wordings));
        }
        tables
    }
}

/// A line a wording.
fn wordings(wordings: &[WordingFigures]) -> String {
    let mut table = format!(
        "{:12}{:>24}{:>24}{:>8}\n",
        "asked", "right when true", "right when false", "n"
    );
    for figures in wordings {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{:12}{:>24}{:>24}{:>8}",
            figures.wording,
            report::share(&figures.on_true),
            report::share(&figures.on_false),
            figures.on_true.n + figures.on_false.n
        );
    }
    table
}

/// A line for everything and a line a category.
fn table(at: &AtGuidance) -> String {
    let mut table = format!(
        "guidance {}\n{:12}{:>24}{:>24}{:>24}{:>8}\n",
        at.guidance, "", "generation accuracy", "Nonunified score", "understanding", "n"
    );
    let mut line = |name: &str, figures: &Figures| {
        let shown = |share: &Option<_>| share.as_ref().map_or(String::new(), report::share);
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{name:12}{:>24}{:>24}{:>24}{:>8}",
            shown(&figures.generation_accuracy),
            report::share(&figures.nonunified.share),
            shown(&figures.understanding_accuracy),
            figures.nonunified.share.n
        );
    };
    line("all", &at.evaluation.overall);
    for (category, figures) in &at.evaluation.by_category {
        line(category, figures);
    }
    table
}
