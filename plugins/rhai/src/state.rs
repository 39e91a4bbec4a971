//! What a script remembers, as JSON.

use rhai::{Array, Dynamic, Map};
use serde_json::{Number, Value};

/// The value that `context.state` shows: what was remembered, `()` at first.
pub fn from_bytes(bytes: &[u8]) -> Result<Dynamic, String> {
    if bytes.is_empty() {
        return Ok(Dynamic::UNIT);
    }
    serde_json::from_slice(bytes)
        .map(from_json)
        .map_err(|error| format!("the state of an earlier round is not JSON: {error}"))
}

fn from_json(value: Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => value.into(),
        Value::Number(number) => match number.as_i64() {
            Some(value) => value.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.into(),
        Value::Array(items) => items.into_iter().map(from_json).collect::<Array>().into(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key.into(), from_json(value)))
            .collect::<Map>()
            .into(),
    }
}

/// A remembered value as bytes.
pub fn to_bytes(value: &Dynamic) -> Result<Vec<u8>, String> {
    serde_json::to_vec(&to_json(value)?).map_err(|error| error.to_string())
}

fn to_json(value: &Dynamic) -> Result<Value, String> {
    if value.is_unit() {
        Ok(Value::Null)
    } else if let Ok(value) = value.as_bool() {
        Ok(Value::Bool(value))
    } else if let Ok(value) = value.as_int() {
        Ok(Value::Number(value.into()))
    } else if let Ok(value) = value.as_float() {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| format!("`remember`: {value} is no finite number"))
    } else if let Ok(text) = value.as_immutable_string_ref() {
        Ok(Value::String(text.to_string()))
    } else if let Ok(items) = value.as_array_ref() {
        items.iter().map(to_json).collect()
    } else if let Ok(fields) = value.as_map_ref() {
        fields
            .iter()
            .map(|(key, value)| Ok((key.to_string(), to_json(value)?)))
            .collect()
    } else {
        Err(format!(
            "`remember`: a {} cannot be kept; use numbers, text, arrays and maps",
            value.type_name()
        ))
    }
}
