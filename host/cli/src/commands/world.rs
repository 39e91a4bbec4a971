//! `sc-host world`: the tiny world.

use std::fmt::Write as _;
use std::process::ExitCode;

use sc_core::plan::Sampling;
use sc_model::UnifiedModel;
use sc_run::evaluation::{EvaluatedOn, Evaluation, EvaluationSet, Figures, evaluate as measure};
use sc_run::settings::MOST_EVALUATED;
use sc_run::task::{Oracle, Task, TinyWorld};
use serde::Serialize;

use crate::args::EvaluateArguments;
use crate::failure::Mistake;
use crate::{model_choice, report, watch};

#[derive(Serialize)]
struct Measured {
    model: String,
    seed: u64,
    guidances: Vec<AtGuidance>,
}

#[derive(Serialize)]
struct AtGuidance {
    guidance: f64,
    #[serde(flatten)]
    evaluation: Evaluation,
}

pub fn evaluate(arguments: &EvaluateArguments) -> anyhow::Result<ExitCode> {
    if !(1..=MOST_EVALUATED).contains(&arguments.evaluate) {
        return Err(Mistake::error(
            format!(
                "`--evaluate` is {}; expected 1 to {MOST_EVALUATED}",
                arguments.evaluate
            ),
            "1000 gives intervals of about three points to either side",
        ));
    }
    let model = model_choice::load(arguments.basics.model.as_deref())?;
    let asked: Vec<Option<f64>> = match &arguments.guidance[..] {
        [] => vec![None],
        given => given.iter().copied().map(Some).collect(),
    };
    let guidances = asked
        .into_iter()
        .map(|guidance| model_choice::guidance(&model, guidance))
        .collect::<anyhow::Result<Vec<f64>>>()?;
    let world = TinyWorld::new();
    let n = arguments.evaluate as usize;
    let (prompts, labelled) = (
        world.evaluation_prompts(arguments.basics.seed, EvaluatedOn::Whole, n),
        world.labelled_images(arguments.basics.seed, EvaluatedOn::Whole, n),
    );
    let total = guidances.len() * (prompts.len() + labelled.len());
    let bar = watch::bar("drawing and judging", "images", total as u64);
    let mut measured = Measured {
        model: model_choice::name(arguments.basics.model.as_deref()),
        seed: arguments.basics.seed,
        guidances: Vec::new(),
    };
    for guidance in guidances {
        let set = EvaluationSet {
            on: EvaluatedOn::Whole,
            prompts: &prompts,
            labelled: &labelled,
            oracle: world.oracle(),
            sampling: Sampling {
                guidance,
                ..Sampling::default()
            },
            seed: arguments.basics.seed,
        };
        let model = &model as &dyn UnifiedModel;
        let evaluation = measure(model, &set, &mut |images| bar.inc(images), &mut |_| ())?;
        measured.guidances.push(AtGuidance {
            guidance,
            evaluation,
        });
    }
    bar.finish_and_clear();
    if arguments.basics.json {
        report::json_line(&measured)?;
    } else {
        report::text(&measured.guidances.iter().map(table).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
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
