//! `sc-host strategy inspect` and `check`: what a strategy is, and whether a run could use it.

use std::fmt::Write as _;
use std::process::ExitCode;

use sc_core::role::Role;
use sc_strategy::{Inspection, Limits, Requested, Runtime, StrategySet};
use serde::Serialize;

use crate::args::{CheckArguments, InspectArguments};
use crate::commands::strategy::conditions;
use crate::report;
use crate::sharing::{Reviewed, for_review, told_for_review};

pub fn inspect(arguments: &InspectArguments) -> anyhow::Result<ExitCode> {
    let mut runtime = Runtime::new(Limits::default())?;
    let (source, reviewed) = for_review(&arguments.strategy, &arguments.registry, &mut runtime)?;
    let inspection = sc_strategy::inspect(&source, &runtime)?;
    if arguments.json {
        report::json_line(&Inspected {
            inspection: &inspection,
            reviewed,
        })?;
    } else {
        let mut text = told(&inspection);
        if let Some(reviewed) = reviewed {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:11} {}", "artifact", reviewed.artifact);
            let _ = writeln!(text, "{:11} {}", "signature", reviewed.signature);
        }
        report::text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A strategy, and the artifact that it is of, if it is of one.
#[derive(Serialize)]
struct Inspected<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    #[serde(flatten)]
    reviewed: Option<Reviewed>,
}

/// What a strategy would be given in a role.
#[derive(Serialize)]
struct CheckedRole {
    role: Role,
    parameters: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    inspection: Inspection,
    ok: bool,
    checked: Vec<CheckedRole>,
    granted: Vec<String>,
}

pub fn check(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let (mut runtime, mut request) = conditions(&arguments.conditions, Vec::new())?;
    let source = told_for_review(&arguments.strategy, &arguments.registry, &mut runtime)?;
    request.strategies.push(Requested::named(&source));
    let inspection = sc_strategy::inspect(&source, &runtime)?;
    let set = StrategySet::load(&request, &runtime)?;
    let checked = Checked {
        checked: set
            .identities()
            .into_iter()
            .filter(|(_, who)| who.source == source)
            .map(|(role, who)| CheckedRole {
                role,
                parameters: who.parameters.clone(),
            })
            .collect(),
        ok: true,
        granted: arguments.conditions.grants.clone(),
        inspection,
    };
    if arguments.json {
        report::json_line(&checked)?;
    } else {
        let mut text = told(&checked.inspection);
        for role in &checked.checked {
            let settings: Vec<String> = role
                .parameters
                .iter()
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "ok as {} with {}", role.role, listed(&settings));
        }
        report::text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(items: &[String]) -> String {
    if items.is_empty() {
        "nothing".into()
    } else {
        items.join(", ")
    }
}

fn told(inspection: &Inspection) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:11} {value}");
        }
    };
    line(
        "name",
        &format!("{} {}", inspection.name, inspection.version),
    );
    line("", "");
    line("what", &inspection.summary);
    line("authors", &inspection.authors.join(", "));
    line("licence", &inspection.licence);
    line("kind", inspection.kind.name());
    let roles: Vec<&str> = inspection.roles.iter().map(|role| role.name()).collect();
    line("roles", &roles.join(", "));
    let wanted: Vec<String> = inspection
        .services
        .iter()
        .map(|service| match service.needs_grant() {
            true => format!("{service} (needs a grant)"),
            false => service.name().to_owned(),
        })
        .collect();
    line("services", &listed(&wanted));
    line("contract", &inspection.contract.clone().unwrap_or_default());
    line("imports", &inspection.imports.join("\n            "));
    if let Some(bytes) = inspection.bytes {
        line("size", &format!("{bytes} bytes"));
    }
    line("digest", &inspection.digest.clone().unwrap_or_default());
    if !inspection.parameters.is_empty() {
        line("parameters", "--set ROLE.NAME=VALUE");
    }
    for parameter in &inspection.parameters {
        let _ = writeln!(
            text,
            "  {} = {}: {}",
            parameter.name,
            parameter.default,
            parameter.expected()
        );
        if !parameter.help.is_empty() {
            let _ = writeln!(text, "      {}", parameter.help);
        }
    }
    text
}
