//! A script's parameters: its top-level constants with literal values.

use rhai::{AST, Dynamic, Position};

use crate::exports::sc::strategy::about::Parameter;
use crate::exports::sc::strategy::script::ScriptError;
use crate::sc::strategy::types::Value;
use crate::script::script_error;

/// A constant such as `const MIN_MARGIN = 0.2;`.
pub struct Constant {
    /// As the script writes it.
    pub name: String,
    /// As a setting writes it: in lower case.
    pub key: String,
    default: Value,
    help: String,
}

impl Constant {
    pub fn describe(&self) -> Parameter {
        Parameter {
            name: self.key.clone(),
            help: self.help.clone(),
            default: self.default.clone(),
            minimum: None,
            maximum: None,
        }
    }
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
        if let Some(other) = constants.iter().find(|constant| constant.key == key) {
            return Err(script_error(
                Position::NONE,
                format!(
                    "the constants `{}` and `{name}` are the same parameter `{key}`",
                    other.name
                ),
            ));
        }
        constants.push(Constant {
            help: help(source, name),
            name: name.to_owned(),
            key,
            default,
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

pub fn to_dynamic(value: Value) -> Dynamic {
    match value {
        Value::Boolean(value) => value.into(),
        Value::Integer(value) => value.into(),
        Value::Number(value) => value.into(),
        Value::Text(value) => value.into(),
    }
}

/// What the comment beside or above a constant says.
fn help(source: &str, name: &str) -> String {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declares = |line: &str| {
        line.strip_prefix("const ")
            .and_then(|rest| rest.trim_start().strip_prefix(name))
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let Some(at) = lines.iter().position(|line| declares(line)) else {
        return String::new();
    };
    if let Some((_, comment)) = lines[at].split_once("; //") {
        return comment.trim().to_owned();
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
