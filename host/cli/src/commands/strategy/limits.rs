//! `sc-host strategy limits`: what a strategy may cost, by default.

use std::collections::BTreeMap;
use std::process::ExitCode;

use sc_strategy::Limits;

use crate::args::LimitsArguments;
use crate::report;

pub fn limits(arguments: &LimitsArguments) -> anyhow::Result<ExitCode> {
    let listed = Limits::default().listed();
    if arguments.json {
        let by_name: BTreeMap<&str, serde_json::Number> = listed
            .iter()
            .filter_map(|(name, value)| Some((*name, value.parse().ok()?)))
            .collect();
        report::json_line(&by_name)?;
    } else {
        let lines: String = listed
            .iter()
            .map(|(name, value)| format!("{name:22} {value:>12}\n"))
            .collect();
        report::text(&lines)?;
    }
    Ok(ExitCode::SUCCESS)
}
