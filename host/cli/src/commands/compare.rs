//! `sc-host compare`: runs side by side, with what each cost.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use sc_core::metrics::Share;
use sc_run::event::Summary;
use sc_run::settings::RunSettings;
use sc_run::store::SUMMARY;
use serde::Serialize;

use crate::args::{CompareArguments, RunArguments};
use crate::config::Configuration;
use crate::failure::Mistake;
use crate::report;

/// A run as it is compared.
#[derive(Serialize)]
struct Compared {
    run: String,
    settings: RunSettings,
    summary: Summary,
}

pub fn compare(arguments: &CompareArguments) -> anyhow::Result<ExitCode> {
    let runs = arguments
        .runs
        .iter()
        .map(|run| read(run))
        .collect::<anyhow::Result<Vec<Compared>>>()?;
    if arguments.json {
        for run in &runs {
            report::json_line(run)?;
        }
    } else {
        report::text(&table(&runs))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(run: &Path) -> anyhow::Result<Compared> {
    let path = run.join(SUMMARY);
    let unfit = |problem: String| {
        Mistake::error(
            format!("`{}` {problem}", path.display()),
            "name the directories of runs that have come to their end",
        )
    };
    let text = fs::read(&path).map_err(|error| unfit(format!("cannot be read: {error}")))?;
    let summary = serde_json::from_slice(&text)
        .map_err(|error| unfit(format!("is no summary of this program: {error}")))?;
    let typed = RunArguments {
        config: Some(run.join("config.toml")),
        ..RunArguments::default()
    };
    let whole = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    let name = whole.file_name().unwrap_or(whole.as_os_str());
    Ok(Compared {
        run: name.to_string_lossy().into_owned(),
        settings: Configuration::resolve(&typed)?.settings,
        summary,
    })
}

/// A line a run, as a table that Markdown reads as well.
fn table(runs: &[Compared]) -> String {
    let mut rows = vec![
        [
            "run",
            "generation",
            "Nonunified",
            "understanding",
            "win rate (flips)",
            "bias-free",
            "kept",
            "images",
            "questions",
            "steps",
        ]
        .map(str::to_owned),
    ];
    for Compared { run, summary, .. } in runs {
        let (before, after) = (&summary.before, &summary.after);
        let change = |before: Option<Share>, after: Option<Share>| match (before, after) {
            (Some(before), Some(after)) => {
                format!("{:.1} → {:.1}", before.value * 100.0, after.value * 100.0)
            }
            _ => String::new(),
        };
        let of_co = summary.co_improvement.as_ref();
        let rate = |rate: f64, flips: u64| format!("{:.0} ({flips})", rate * 100.0);
        rows.push([
            run.clone(),
            change(before.generation_accuracy, after.generation_accuracy),
            change(Some(before.nonunified.share), Some(after.nonunified.share)),
            change(before.understanding_accuracy, after.understanding_accuracy),
            of_co.map_or_else(String::new, |co| rate(co.win_rate.value, co.win_rate.n)),
            of_co.map_or_else(String::new, |co| {
                rate(co.bias_free_win_rate.value, co.bias_free_win_rate.n)
            }),
            format!("{} of {}", summary.rounds_kept, summary.rounds),
            summary.cost.images.to_string(),
            summary.cost.questions.to_string(),
            summary.cost.steps.to_string(),
        ]);
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; 10] = std::array::from_fn(width);
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}
