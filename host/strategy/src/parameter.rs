//! Parameters of strategies, and the one check that `--set` passes through.

use std::collections::BTreeMap;
use std::fmt;

use sc_core::role::Role;
use serde::Serialize;

use crate::error::SettingError;

/// The value of a parameter. The kind of its default is the parameter's type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// Text.
    Text(String),
}

impl Value {
    /// The type's name, as messages give it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Boolean(_) => "true or false",
            Value::Integer(_) => "a whole number",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
        }
    }

    /// Reads `text` as a value of the same type.
    fn parse_like(&self, text: &str) -> Option<Value> {
        match self {
            Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
            Value::Integer(_) => text.parse().ok().map(Value::Integer),
            Value::Number(_) => text
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(Value::Number),
            Value::Text(_) => Some(Value::Text(text.to_owned())),
        }
    }

    /// The magnitude, for numbers.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::Integer(number) => Some(number as f64),
            Value::Number(number) => Some(number),
            Value::Boolean(_) | Value::Text(_) => None,
        }
    }

    /// The value as the run directory writes it.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Boolean(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Number(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(value) => value.fmt(f),
            Value::Integer(value) => value.fmt(f),
            Value::Number(value) => value.fmt(f),
            Value::Text(value) => value.fmt(f),
        }
    }
}

/// A parameter that `--set ROLE.name=value` gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// Its name, in snake case.
    pub name: String,
    /// What it does, in a sentence.
    pub help: String,
    /// Its value when none is given, and its type.
    pub default: Value,
    /// Lowest value, for numbers.
    pub minimum: Option<f64>,
    /// Highest value, for numbers.
    pub maximum: Option<f64>,
    /// The texts that it may be; empty: any.
    pub choices: Vec<String>,
}

impl Parameter {
    /// A number within `minimum`–`maximum`.
    pub(crate) fn number(
        name: &str,
        help: &str,
        default: f64,
        minimum: f64,
        maximum: f64,
    ) -> Parameter {
        Parameter {
            name: name.into(),
            help: help.into(),
            default: Value::Number(default),
            minimum: Some(minimum),
            maximum: Some(maximum),
            choices: Vec::new(),
        }
    }

    /// What a value of this parameter must be, in words.
    pub fn expected(&self) -> String {
        let kind = self.default.kind();
        if !self.choices.is_empty() {
            return format!("one of {}", self.choices.join(", "));
        }
        match (self.minimum, self.maximum) {
            (Some(low), Some(high)) => format!("{kind} from {low} to {high}"),
            (Some(low), None) => format!("{kind}, at least {low}"),
            (None, Some(high)) => format!("{kind}, at most {high}"),
            (None, None) => kind.to_owned(),
        }
    }

    /// Whether a number lies within the parameter's range, a text among its choices.
    pub(crate) fn admits(&self, value: &Value) -> bool {
        if let Value::Text(text) = value
            && !self.choices.is_empty()
        {
            return self.choices.contains(text);
        }
        value.as_f64().is_none_or(|number| {
            self.minimum.is_none_or(|low| number >= low)
                && self.maximum.is_none_or(|high| number <= high)
        })
    }
}

/// The value of every parameter of a strategy.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings(pub(crate) BTreeMap<String, Value>);

impl Settings {
    /// The defaults of `parameters`, overridden by `given` (key and text).
    ///
    /// # Errors
    /// On a key that is no parameter, or a value of another type or out of range.
    pub(crate) fn resolve(
        role: Role,
        strategy: &str,
        parameters: &[Parameter],
        given: &[(String, String)],
    ) -> Result<Settings, SettingError> {
        let mut settings: BTreeMap<String, Value> = parameters
            .iter()
            .map(|parameter| (parameter.name.clone(), parameter.default.clone()))
            .collect();
        for (key, text) in given {
            let Some(parameter) = parameters.iter().find(|p| p.name == *key) else {
                let known: Vec<String> = parameters.iter().map(|p| p.name.clone()).collect();
                return Err(SettingError::UnknownKey {
                    role,
                    key: key.clone(),
                    strategy: strategy.to_owned(),
                    suggestion: closest(key, &known),
                    known,
                });
            };
            let value = parameter
                .default
                .parse_like(text)
                .filter(|value| parameter.admits(value))
                .ok_or_else(|| SettingError::Value {
                    role,
                    key: key.clone(),
                    value: text.clone(),
                    expected: parameter.expected(),
                    advice: if parameter.help.trim().is_empty() {
                        format!("for example `--set {role}.{key}={}`", parameter.default)
                    } else {
                        format!("strategy `{strategy}` says of it: {}", parameter.help)
                    },
                })?;
            settings.insert(key.clone(), value);
        }
        Ok(Settings(settings))
    }

    /// As the run directory writes them.
    pub(crate) fn to_json(&self) -> BTreeMap<String, serde_json::Value> {
        self.0
            .iter()
            .map(|(name, value)| (name.clone(), value.to_json()))
            .collect()
    }

    /// The value of a number.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Value::as_f64)
    }

    /// The value of a whole number.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        match self.0.get(name) {
            Some(Value::Integer(value)) => Some(*value),
            _ => None,
        }
    }
}

/// The name among `known` that `typed` was probably meant to be.
pub(crate) fn closest(typed: &str, known: &[String]) -> Option<String> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(typed, name), name))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.clone())
}
