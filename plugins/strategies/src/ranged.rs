//! Parameters that are numbers.

use crate::exports::sc::strategy::about::Parameter;
use crate::sc::strategy::types::{Setting, Value};

/// A parameter with a range.
pub struct Ranged<T> {
    pub name: &'static str,
    pub help: &'static str,
    pub default: T,
    pub minimum: f64,
    pub maximum: f64,
}

/// A type that the contract has for numbers.
pub trait Number: Copy {
    fn to_value(self) -> Value;
    fn from_value(value: &Value) -> Option<Self>;
}

impl Number for f64 {
    fn to_value(self) -> Value {
        Value::Number(self)
    }

    fn from_value(value: &Value) -> Option<f64> {
        match *value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }
}

impl Number for i64 {
    fn to_value(self) -> Value {
        Value::Integer(self)
    }

    fn from_value(value: &Value) -> Option<i64> {
        match *value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }
}

impl<T: Number> Ranged<T> {
    pub fn parameter(&self) -> Parameter {
        Parameter {
            name: self.name.into(),
            help: self.help.into(),
            default: self.default.to_value(),
            minimum: Some(self.minimum),
            maximum: Some(self.maximum),
            choices: Vec::new(),
        }
    }

    /// Its value in a call. Every setting is given with each call.
    pub fn of(&self, settings: &[Setting]) -> T {
        settings
            .iter()
            .find(|setting| setting.name == self.name)
            .and_then(|setting| T::from_value(&setting.value))
            .unwrap_or(self.default)
    }
}
