//! `sc-host strategy list`: what there is to choose from.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use sc_strategy::{Inspection, Limits, Runtime, builtin_names, inspect};
use serde::Serialize;

use crate::args::ListArguments;
use crate::report;

/// A file that looks like a strategy but cannot be loaded.
#[derive(Serialize)]
struct Unusable {
    source: String,
    error: String,
}

pub fn list(arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::new(Limits::default())?;
    let mut sources = builtin_names();
    for folder in &arguments.folders {
        sources.extend(strategies_in(folder)?);
    }
    for source in sources {
        match inspect(&source, &runtime) {
            Ok(inspection) if arguments.json => report::json_line(&inspection)?,
            Ok(inspection) => report::text(&line(&inspection))?,
            Err(error) if arguments.json => report::json_line(&Unusable {
                source,
                error: error.to_string(),
            })?,
            Err(error) => report::text(&format!("{source}\n    cannot be loaded: {error}\n"))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The components and scripts of a folder, by name.
fn strategies_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let unreadable = || format!("cannot read the folder `{}`", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let extension = path.extension().and_then(|e| e.to_str());
        if matches!(extension, Some("wasm" | "rhai")) {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    Ok(found)
}

fn line(inspection: &Inspection) -> String {
    let roles: Vec<&str> = inspection.roles.iter().map(|role| role.name()).collect();
    format!(
        "{}\n    {}: {}\n",
        inspection.source,
        roles.join(", "),
        inspection.summary
    )
}
