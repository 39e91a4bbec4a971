//! `sc-host strategy test` and `bench`: a strategy on its own.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use sc_core::role::Role;
use sc_strategy::record::replay;
use sc_strategy::trial::{self, Outcome, Trial};
use serde::Serialize;

use crate::args::{BenchArguments, TestArguments};
use crate::commands::strategy::conditions;
use crate::failure::Mistake;
use crate::report;
use crate::sharing::told_for_review;

/// Golden cases are looked for here when nothing is said.
const CASES: &str = "cases";

#[derive(Serialize)]
struct Tested<'a> {
    strategy: &'a str,
    passed: bool,
    trials: &'a [Trial],
}

pub fn test(arguments: &TestArguments) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &arguments.bless {
        return bless(arguments, folder);
    }
    let (mut runtime, request) = conditions(&arguments.conditions, Vec::new())?;
    let source = told_for_review(&arguments.strategy, &arguments.registry, &mut runtime)?;
    let (set, roles) = trial::load(&source, &request, &runtime)?;
    let mut print = |trial: &Trial| {
        if !arguments.json {
            // The summary at the end fails if this does.
            let _ = report::text(&line(trial));
        }
    };
    let mut trials = Vec::new();
    let beside = Path::new(CASES);
    let cases = match &arguments.cases {
        Some(path) => Some(path.as_path()),
        None => beside.is_dir().then_some(beside),
    };
    if let Some(path) = cases {
        for file in trial::load_cases(path)? {
            let trial = trial::try_case(&file, &source, &request, &runtime)?;
            print(&trial);
            trials.push(trial);
        }
    }
    if let Some(run) = &arguments.run {
        let outcome = replay(run, &set, &roles, &mut |_, _| ())?;
        for (role, of_role) in outcome.roles {
            let decisions = of_role.agreement.decisions;
            let outcome = match of_role.examples.first() {
                None => Outcome::Passed,
                Some(first) => Outcome::Differs {
                    expected: first.before.clone(),
                    found: first.now.clone(),
                },
            };
            let input = format!("{decisions} decisions of {}", run.display());
            let trial = Trial {
                role,
                input,
                outcome,
            };
            print(&trial);
            trials.push(trial);
        }
    }
    trials.extend(trial::try_awkward(&set, &roles, &mut print));
    let passed = trials.iter().all(Trial::is_good) && !takes_nothing(&trials);
    if arguments.json {
        report::json_line(&Tested {
            strategy: &source,
            passed,
            trials: &trials,
        })?;
    } else {
        let bad = trials.iter().filter(|trial| !trial.is_good()).count();
        report::text(&format!("{} trials, {bad} bad\n", trials.len()))?;
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A strategy may refuse some inputs, but not all.
fn takes_nothing(trials: &[Trial]) -> bool {
    trials
        .iter()
        .all(|trial| matches!(trial.outcome, Outcome::Refused { .. }))
}

fn line(trial: &Trial) -> String {
    let (word, rest) = match &trial.outcome {
        Outcome::Passed => ("ok", String::new()),
        Outcome::Refused { reason } => ("refused", format!(": {reason}")),
        Outcome::Differs { expected, found } => (
            "DIFFERS",
            format!(
                "\n    expected {}\n    found    {}",
                cut(expected),
                cut(found)
            ),
        ),
        Outcome::NotDeterministic => (
            "DIFFERS",
            ": the same call gave another answer the second time".into(),
        ),
        Outcome::Failed { error } => ("FAILED", format!(": {error}")),
    };
    format!("{word:8} {}, {}{rest}\n", trial.role, trial.input)
}

/// As much of an answer as is looked at.
fn cut(text: &str) -> String {
    const MOST: usize = 300;
    sc_core::text::printable(text, MOST)
}

pub fn bench(arguments: &BenchArguments) -> anyhow::Result<ExitCode> {
    let (mut runtime, request) = conditions(&arguments.conditions, Vec::new())?;
    let source = told_for_review(&arguments.strategy, &arguments.registry, &mut runtime)?;
    let (set, roles) = trial::load(&source, &request, &runtime)?;
    let roles: Vec<Role> = roles;
    if !arguments.json {
        report::text(&format!(
            "{:15} {:34} {:>11} {:>14} {:>9}\n",
            "role", "input", "a call", "fuel", "memory"
        ))?;
    }
    let measurements = trial::bench(&set, &roles, &mut |m| {
        if !arguments.json {
            let memory = m.memory_bytes as f64 / f64::from(1 << 20);
            // What the program returns at the end fails if this does.
            let _ = report::text(&format!(
                "{:15} {:34} {:>8.3} ms {:>14} {:>5.1} MiB\n",
                m.role.name(),
                m.input,
                m.seconds * 1e3,
                m.fuel,
                memory
            ));
        }
    })?;
    if arguments.json {
        report::json_line(&serde_json::json!({
            "strategy": source,
            "measurements": measurements,
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the small awkward inputs with the strategy's present answers as golden cases.
fn bless(arguments: &TestArguments, folder: &Path) -> anyhow::Result<ExitCode> {
    let (mut runtime, request) = conditions(&arguments.conditions, Vec::new())?;
    let source = told_for_review(&arguments.strategy, &arguments.registry, &mut runtime)?;
    let (set, roles) = trial::load(&source, &request, &runtime)?;
    let cannot = |path: &Path| format!("cannot write `{}`", path.display());
    fs::create_dir_all(folder).with_context(|| cannot(folder))?;
    let about = sc_strategy::inspect(&source, &runtime)?;
    let mut count = 0;
    for case in trial::blessed(&set, &roles, &about.parameters) {
        let path = folder.join(&case.name);
        let mut text = serde_json::to_vec_pretty(&case.case)?;
        text.push(b'\n');
        fs::write(&path, text).with_context(|| cannot(&path))?;
        count += 1;
    }
    if count == 0 {
        return Err(Mistake::error(
            format!("`{source}` answers none of the inputs"),
            "`sc-host strategy test` without `--bless` says why",
        ));
    }
    if arguments.json {
        let folder = folder.display().to_string();
        report::json_line(&serde_json::json!({ "cases": count, "folder": folder }))?;
    } else {
        report::text(&format!("{count} cases in {}\n", folder.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
