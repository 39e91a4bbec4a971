//! The table: a row a line, `FILE | ASKED | OPTIONS | EXPECTED`.

use std::fmt;

use anyhow::{Context, Result};
use sc_core::role::Role;

/// What is done with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is loaded, and must be refused.
    Load,
    /// It loads, and is called in a role, and must fail there.
    Role(Role),
}

impl Asked {
    pub fn is_load(self) -> bool {
        self == Asked::Load
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Load => f.write_str("load"),
            Asked::Role(role) => role.fmt(f),
        }
    }
}

/// One attack.
#[derive(Clone)]
pub struct Row {
    /// The heading that it stands under.
    pub category: String,
    /// A file of `cases/`.
    pub file: String,
    pub asked: Asked,
    pub options: Vec<String>,
    /// What the error must hold.
    pub expected: String,
}

impl Row {
    /// The values of an option that may be given several times.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.options
            .iter()
            .filter_map(|option| option.strip_prefix(name)?.strip_prefix('='))
            .map(str::to_owned)
            .collect()
    }

    /// The number that an option gives.
    pub fn number(&self, name: &str) -> Result<Option<usize>> {
        let texts = self.all(name);
        texts
            .first()
            .map(|text| text.parse().with_context(|| format!("{name}={text}")))
            .transpose()
    }

    /// Whether an option without a value is there.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|option| option == name)
    }
}

/// Reads the table.
///
/// # Errors
/// Names the line that does not read.
pub fn parse(text: &str) -> Result<Vec<Row>> {
    const OPTIONS: [&str; 9] = [
        "set",
        "grant",
        "limit",
        "slow",
        "objective",
        "keep",
        "cut",
        "raw",
        "text",
    ];
    let mut category = String::new();
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = || format!("table.txt, line {}", number + 1);
        if let Some(heading) = line.strip_prefix("## ") {
            category = heading.to_owned();
        }
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let columns: Vec<&str> = line.splitn(4, '|').map(str::trim).collect();
        let [file, asked, options, expected] = columns[..] else {
            anyhow::bail!("{}: expected FILE | ASKED | OPTIONS | EXPECTED", place());
        };
        anyhow::ensure!(!expected.is_empty(), "{}: no error is named", place());
        let options: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
        for option in &options {
            let name = option.split('=').next().unwrap_or_default();
            anyhow::ensure!(OPTIONS.contains(&name), "{}: option `{name}`", place());
        }
        rows.push(Row {
            category: category.clone(),
            file: file.to_owned(),
            asked: match asked {
                "load" => Asked::Load,
                role => Asked::Role(Role::from_name(role).with_context(place)?),
            },
            options,
            expected: expected.to_owned(),
        });
    }
    Ok(rows)
}
