//! A script's parameters: its top-level constants with literal values.

use rhai::{AST, Dynamic};

use crate::exports::sc::strategy::about::Parameter;
use crate::exports::sc::strategy::script::ScriptError;
use crate::place;
use crate::sc::strategy::types::{Setting, Value};

/// A constant such as `const MIN_MARGIN = 0.2;`.
pub struct Constant {
    /// As the script writes it.
    pub name: String,
    /// What `--set` takes, by the name in lower case.
    pub parameter: Parameter,
}

/// The constants of `ast` that hold literal values. Constants with other values are none of the
/// user's business.
pub fn constants(ast: &AST, source: &str) -> Result<Vec<Constant>, ScriptError> {
    let mut constants: Vec<Constant> = Vec::new();
    for (name, _, value) in ast.iter_literal_variables(true, false) {
        let Some(default) = from_dynamic(&value) else {
            continue;
        };
        let key = name.to_ascii_lowercase();
        if !key.starts_with(|c: char| c.is_ascii_lowercase()) {
            continue;
        }
        if let Some(other) = constants.iter().find(|other| other.parameter.name == key) {
            return Err(place::script_error(
                place::declaration(source, "const", name),
                format!(
                    "the constants `{}` and `{name}` are the same parameter `{key}`",
                    other.name
                ),
            ));
        }
        constants.push(Constant {
            name: name.to_owned(),
            parameter: Parameter {
                name: key,
                help: comment(source, name),
                default,
                minimum: None,
                maximum: None,
                choices: Vec::new(),
            },
        });
    }
    Ok(constants)
}

fn from_dynamic(value: &Dynamic) -> Option<Value> {
    if let Ok(value) = value.as_bool() {
        Some(Value::Boolean(value))
    } else if let Ok(value) = value.as_int() {
        Some(Value::Integer(value))
    } else if let Ok(value) = value.as_float() {
        Some(Value::Number(value))
    } else {
        value
            .as_immutable_string_ref()
            .ok()
            .map(|text| Value::Text(text.to_string()))
    }
}

pub fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Boolean(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Number(value) => (*value).into(),
        Value::Text(value) => value.into(),
    }
}

/// The constants that `settings` give other values than the script does, with these.
pub fn changed<'a>(
    constants: &'a [Constant],
    settings: &'a [Setting],
) -> Result<Vec<(&'a str, Dynamic)>, String> {
    let mut changed = Vec::new();
    for setting in settings {
        let constant = constants
            .iter()
            .find(|constant| constant.parameter.name == setting.name)
            .ok_or_else(|| format!("`{}` is no parameter of this script", setting.name))?;
        if !equal(&constant.parameter.default, &setting.value) {
            changed.push((constant.name.as_str(), to_dynamic(&setting.value)));
        }
    }
    Ok(changed)
}

/// Whether two values are the same, bit by bit: −0.0 is another number than 0.0.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Boolean(one), Value::Boolean(other)) => one == other,
        (Value::Integer(one), Value::Integer(other)) => one == other,
        (Value::Number(one), Value::Number(other)) => one.to_bits() == other.to_bits(),
        (Value::Text(one), Value::Text(other)) => one == other,
        _ => false,
    }
}

/// What the comment beside or above a constant says.
fn comment(source: &str, name: &str) -> String {
    let Some(at) = place::line_of(source, "const", name) else {
        return String::new();
    };
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let beside = lines[at]
        .match_indices("//")
        .find(|(start, _)| lines[at][..*start].trim_end().ends_with(';'));
    if let Some((start, _)) = beside {
        return lines[at][start..].trim_start_matches('/').trim().to_owned();
    }
    let mut first = at;
    while first > 0 && lines[first - 1].starts_with("//") {
        first -= 1;
    }
    lines[first..at]
        .iter()
        .map(|line| line.trim_start_matches('/').trim())
        .collect::<Vec<_>>()
        .join(" ")
}
