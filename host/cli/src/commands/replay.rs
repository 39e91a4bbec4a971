//! `sc-host replay`: other strategies on a run's recorded inputs.

use std::fmt::Write as _;
use std::process::ExitCode;

use sc_core::role::Role;
use sc_strategy::record::{Replay, RoleReplay, replay};
use sc_strategy::{Requested, StrategySet};
use serde::Serialize;

use crate::args::ReplayArguments;
use crate::commands::strategy::conditions;
use crate::failure::Mistake;
use crate::sharing::told_for_review;
use crate::{report, watch};

#[derive(Serialize)]
struct Replayed<'a> {
    run: String,
    #[serde(flatten)]
    replay: &'a Replay,
}

pub fn run(arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    let (mut runtime, mut request) = conditions(&arguments.conditions, Vec::new())?;
    let mut sources = Vec::new();
    for strategy in &arguments.strategies {
        let source = told_for_review(strategy, &arguments.registry, &mut runtime)?;
        request.strategies.push(Requested::named(&source));
        sources.push(source);
    }
    let set = StrategySet::load(&request, &runtime)?;
    let filled: Vec<Role> = set
        .identities()
        .into_iter()
        .filter(|(_, who)| sources.contains(&who.source))
        .map(|(role, _)| role)
        .collect();
    let roles = match arguments.roles.as_slice() {
        [] => filled,
        names => names
            .iter()
            .map(|name| role(name, &filled))
            .collect::<anyhow::Result<_>>()?,
    };
    let bar = watch::bar("replaying", "rounds", 0);
    let outcome = replay(&arguments.run, &set, &roles, &mut |done, rounds| {
        bar.set_length(rounds);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    if arguments.json {
        report::json_line(&Replayed {
            run: arguments.run.display().to_string(),
            replay: &outcome,
        })?;
    } else {
        report::text(&told(&outcome))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn role(name: &str, filled: &[Role]) -> anyhow::Result<Role> {
    let names: Vec<&str> = filled.iter().map(|role| role.name()).collect();
    Role::from_name(name)
        .filter(|role| filled.contains(role))
        .ok_or_else(|| {
            Mistake::error(
                format!("`--role {name}` is none that the strategies given fill"),
                format!("they fill {}", names.join(", ")),
            )
        })
}

fn told(outcome: &Replay) -> String {
    let mut text = format!(
        "{} rounds with {} candidates: {} of {} decisions differ\n",
        outcome.rounds, outcome.candidates, outcome.agreement.changed, outcome.agreement.decisions
    );
    for (role, of_role) in &outcome.roles {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n{role}: {} of {} differ\n",
            of_role.agreement.changed, of_role.agreement.decisions
        );
        tell_role(&mut text, of_role);
    }
    text
}

fn tell_role(text: &mut String, role: &RoleReplay) {
    for (decision, [before, now]) in &role.counts {
        let _ = writeln!(text, "  {decision:32} {before:>9} then {now:>9} now");
    }
    for (category, agreement) in &role.by_category {
        let name = if category.is_empty() { "-" } else { category };
        let _ = writeln!(
            text,
            "  agreement on {name:19} {:>9.2} % of {}",
            100.0 * (agreement.decisions - agreement.changed) as f64
                / agreement.decisions.max(1) as f64,
            agreement.decisions
        );
    }
    for example in &role.examples {
        let mut about = format!("round {}", example.round);
        for part in [&example.prompt, &example.about].into_iter().flatten() {
            let _ = write!(about, ", {part}");
        }
        let _ = writeln!(
            text,
            "  {about}: {} then, {} now",
            example.before, example.now
        );
    }
}
