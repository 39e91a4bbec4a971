//! Reading what scripts return, with messages that a script's author understands.

use std::fmt::Display;

use rhai::{Array, Dynamic, Map};

/// Most characters of a wrong value that a message shows.
const SHOWN: usize = 40;

/// What a message calls `value`.
pub fn found(value: &Dynamic) -> String {
    match value.type_name() {
        "()" => "nothing".to_owned(),
        "i64" | "f64" | "bool" => value.to_string(),
        "string" => {
            let shown: String = value.to_string().chars().take(SHOWN).collect();
            format!("{shown:?}")
        }
        other => {
            let kind = other.rsplit("::").next().unwrap_or(other);
            kind.to_ascii_lowercase()
        }
    }
}

/// The message that `place` holds `value`, which is not what is `expected`.
pub fn wrong(place: impl Display, expected: &str, value: &Dynamic) -> String {
    format!("{place} must be {expected}, not {}", found(value))
}

pub fn array(place: impl Display, expected: &str, value: Dynamic) -> Result<Array, String> {
    if value.is_array() {
        value.into_array().map_err(str::to_owned)
    } else {
        Err(wrong(place, expected, &value))
    }
}

/// A whole number of the contract.
pub fn natural(place: impl Display, value: i64) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("{place} is {value}; expected 0 to {}", u32::MAX))
}

fn number(value: &Dynamic) -> Option<f64> {
    value
        .as_float()
        .ok()
        .or_else(|| value.as_int().ok().map(|value| value as f64))
}

/// The fields of a map, each taken once, so that a misspelt one is found at the end.
pub struct Fields {
    pub place: String,
    map: Map,
}

impl Fields {
    /// The fields of `value`, which is to be a map.
    pub fn of(place: &str, expected: &str, value: Dynamic) -> Result<Fields, String> {
        let map = value
            .try_cast_result::<Map>()
            .map_err(|value| wrong(place, expected, &value))?;
        Ok(Fields {
            place: place.to_owned(),
            map,
        })
    }

    /// A field, where there is one.
    pub fn any(&mut self, name: &str) -> Option<Dynamic> {
        self.map.remove(name)
    }

    /// What a message calls the field `name`.
    pub fn named(&self, name: &str) -> String {
        format!("`{name}` of {}", self.place)
    }

    fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Dynamic) -> Option<T>,
    ) -> Result<Option<T>, String> {
        match self.any(name) {
            None => Ok(None),
            Some(value) => read(&value)
                .map(Some)
                .ok_or_else(|| wrong(self.named(name), expected, &value)),
        }
    }

    pub fn natural(&mut self, name: &str) -> Result<Option<u32>, String> {
        let value = self.take(name, "a whole number", |value| value.as_int().ok())?;
        value
            .map(|value| natural(self.named(name), value))
            .transpose()
    }

    pub fn number(&mut self, name: &str) -> Result<Option<f64>, String> {
        self.take(name, "a number", number)
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        self.take(name, "a text", |value| value.clone().into_string().ok())
    }

    /// An array of texts; empty where there is none.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>, String> {
        const EXPECTED: &str = "an array of texts";
        let texts = self.take(name, EXPECTED, |value| {
            let items = value.as_array_ref().ok()?;
            items
                .iter()
                .map(|item| item.clone().into_string().ok())
                .collect()
        })?;
        Ok(texts.unwrap_or_default())
    }

    /// An array; none where there is none.
    pub fn array(&mut self, name: &str) -> Result<Option<Array>, String> {
        self.any(name)
            .map(|value| array(self.named(name), "an array", value))
            .transpose()
    }

    /// The fields of a map, where there is one.
    pub fn fields(&mut self, name: &str) -> Result<Option<Fields>, String> {
        self.any(name)
            .map(|value| Fields::of(&self.named(name), "a map", value))
            .transpose()
    }

    /// Every field that is left, by name.
    pub fn rest(self) -> impl Iterator<Item = (String, Dynamic)> {
        self.map
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
    }

    /// Checks that no field is left.
    pub fn end(self) -> Result<(), String> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("{} has an unknown field `{key}`", self.place)),
        }
    }
}
