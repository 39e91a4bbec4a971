//! What a script says of itself: the map that its function `about` returns.

use rhai::{Dynamic, Map};

use crate::exports::sc::strategy::about::{Description, Parameter};
use crate::fields::Fields;
use crate::parameters::Constant;
use crate::sc::strategy::types::{Role, Value};

/// The version of a script that says none.
const NO_VERSION: &str = "unversioned";
/// The summary of a script that says none.
const NO_SUMMARY: &str = "A Rhai script.";

/// The description of a script that fills `roles` and has `constants`, completed by what `about`
/// returned, if there is one. Without a name it is empty: the host calls the script by its file.
pub fn description(
    about: Option<Dynamic>,
    roles: Vec<Role>,
    constants: &[Constant],
) -> Result<Description, String> {
    let about = about.unwrap_or_else(|| Map::new().into());
    let mut fields = Fields::of("what `about` returns", "a map", about)?;
    let mut parameters: Vec<Parameter> = constants
        .iter()
        .map(|constant| constant.parameter.clone())
        .collect();
    if let Some(described) = fields.fields("parameters")? {
        for (name, value) in described.rest() {
            let parameter = parameters
                .iter_mut()
                .find(|parameter| parameter.name == name)
                .ok_or_else(|| {
                    format!(
                        "`about` describes the parameter `{name}`, but no constant at the top has \
                         this name in capitals and a plain value"
                    )
                })?;
            describe(parameter, value)?;
        }
    }
    let description = Description {
        name: fields.text("name")?.unwrap_or_default(),
        version: fields.text("version")?.unwrap_or(NO_VERSION.to_owned()),
        summary: fields.text("summary")?.unwrap_or(NO_SUMMARY.to_owned()),
        authors: fields.texts("authors")?,
        licence: fields.text("licence")?.unwrap_or_default(),
        roles,
        services: fields.texts("services")?,
        parameters,
    };
    fields.end()?;
    Ok(description)
}

/// Adds to `parameter` what `about` says of it.
fn describe(parameter: &mut Parameter, value: Dynamic) -> Result<(), String> {
    let place = format!("the parameter `{}` in `about`", parameter.name);
    let mut fields = Fields::of(&place, "a map", value)?;
    if let Some(help) = fields.text("help")? {
        parameter.help = help;
    }
    parameter.minimum = fields.number("minimum")?;
    parameter.maximum = fields.number("maximum")?;
    parameter.choices = fields.texts("choices")?;
    fields.end()?;
    let in_range = |number: f64| {
        parameter.minimum.is_none_or(|least| number >= least)
            && parameter.maximum.is_none_or(|most| number <= most)
    };
    let ranged = parameter.minimum.is_some() || parameter.maximum.is_some();
    match &parameter.default {
        Value::Integer(number) if !in_range(*number as f64) => Err(format!(
            "{place}: its constant is {number}, outside of its range"
        )),
        Value::Number(number) if !in_range(*number) => Err(format!(
            "{place}: its constant is {number}, outside of its range"
        )),
        Value::Boolean(_) | Value::Text(_) if ranged => {
            Err(format!("{place} has a range, but is no number"))
        }
        Value::Text(text) if !parameter.choices.is_empty() && !parameter.choices.contains(text) => {
            Err(format!(
                "{place}: its constant is {text:?}, none of its choices"
            ))
        }
        Value::Boolean(_) | Value::Integer(_) | Value::Number(_)
            if !parameter.choices.is_empty() =>
        {
            Err(format!("{place} has choices, but is no text"))
        }
        _ => Ok(()),
    }
}
