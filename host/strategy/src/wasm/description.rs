//! The check of what a strategy says of itself: all of it is shown, and some of it is typed.

use std::collections::BTreeSet;

use sc_core::role::Role;
use sc_core::text::{is_blank, is_unseen};

use super::contract::Description;
use crate::error::{LoadError, shown};
use crate::grant::Service;
use crate::parameter::{Parameter, Value};
use crate::set::BUILTIN_PREFIX;

/// Most parameters, authors or choices that a strategy may have.
const MOST: usize = 64;
/// Longest name of a strategy or parameter, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// Longest text beside names, in bytes.
const MAX_TEXT_BYTES: usize = 1000;

/// Checks `said`; gives it with its texts fit to be shown, and the services that it asks for.
/// `exported` are the roles that a component exports; a script is free to say which it defines.
///
/// # Errors
/// Names the first field that cannot be used.
pub(super) fn checked(
    path: &str,
    said: Description,
    exported: Option<&[Role]>,
) -> Result<(Description, Vec<Service>), LoadError> {
    let bad =
        |field: &str, value: &str, expected: &str| described_badly(path, field, value, expected);
    check_name(path, "name", &said.name)?;
    if said.name.starts_with(BUILTIN_PREFIX) {
        let expected = format!("a name that does not begin with `{BUILTIN_PREFIX}`");
        return Err(bad("name", &said.name, &expected));
    }
    check_name(path, "version", &said.version)?;
    let mut roles: Vec<Role> = said.roles.clone();
    roles.sort_unstable();
    roles.dedup();
    if let Some(exported) = exported
        && roles != exported
    {
        let names = |roles: &[Role]| -> String {
            let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
            names.join(", ")
        };
        let expected = format!("{}, the roles that it exports", names(exported));
        return Err(bad("roles", &names(&roles), &expected));
    }
    let mut services = Vec::new();
    for name in &said.services {
        services.push(Service::from_name(name).ok_or_else(|| {
            let expected = Service::ALL.map(Service::name).join(", ");
            bad("services", name, &format!("some of {expected}"))
        })?);
    }
    let counts = [
        ("authors", said.authors.len()),
        ("parameters", said.parameters.len()),
    ];
    for (field, count) in counts {
        if count > MOST {
            return Err(bad(
                field,
                &format!("{count} long"),
                &format!("at most {MOST}"),
            ));
        }
    }
    check_parameters(path, &said.parameters)?;
    let parameters = said
        .parameters
        .into_iter()
        .map(|parameter| Parameter {
            help: shown(&parameter.help),
            ..parameter
        })
        .collect();
    let description = Description {
        summary: shown(&said.summary),
        authors: said.authors.iter().map(|author| shown(author)).collect(),
        licence: shown(&said.licence),
        roles,
        parameters,
        ..said
    };
    Ok((description, services))
}

fn described_badly(path: &str, field: &str, value: &str, expected: &str) -> LoadError {
    LoadError::Description {
        path: path.to_owned(),
        field: field.to_owned(),
        value: format!("`{}`", shown(value)),
        expected: expected.to_owned(),
    }
}

/// Whether `name` can stand in a message, between backticks.
pub(super) fn can_be_shown(name: &str) -> bool {
    !is_blank(name) && !name.chars().any(|c| c == '`' || is_unseen(c))
}

fn check_name(path: &str, field: &str, name: &str) -> Result<(), LoadError> {
    if name.len() > MAX_NAME_BYTES || !can_be_shown(name) {
        return Err(described_badly(
            path,
            field,
            name,
            &format!(
                "1 to {MAX_NAME_BYTES} bytes without control or format characters and backticks"
            ),
        ));
    }
    Ok(())
}

fn check_parameters(path: &str, parameters: &[Parameter]) -> Result<(), LoadError> {
    let mut names = BTreeSet::new();
    for (position, parameter) in parameters.iter().enumerate() {
        let bad = |name: &str, value: &str, expected: &str| {
            let field = format!("parameters[{position}].{name}");
            Err(described_badly(path, &field, value, expected))
        };
        let is_key = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.len() <= MAX_NAME_BYTES
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if !is_key(&parameter.name) || !names.insert(&parameter.name) {
            return bad("name", &parameter.name, "a snake-case name, each once");
        }
        let is_number = parameter.default.as_f64().is_some();
        for (name, bound) in [
            ("minimum", parameter.minimum),
            ("maximum", parameter.maximum),
        ] {
            match bound {
                Some(_) if !is_number => {
                    return bad(name, "given", "none, as the default is no number");
                }
                Some(bound) if !bound.is_finite() => {
                    return bad(name, &bound.to_string(), "a finite number");
                }
                _ => {}
            }
        }
        if let (Some(low), Some(high)) = (parameter.minimum, parameter.maximum)
            && low > high
        {
            return bad(
                "minimum",
                &low.to_string(),
                &format!("at most {high}, its maximum"),
            );
        }
        if parameter.choices.len() > MOST {
            let count = format!("{} long", parameter.choices.len());
            return bad("choices", &count, &format!("at most {MOST}"));
        }
        if !parameter.choices.is_empty() && !matches!(parameter.default, Value::Text(_)) {
            return bad("choices", "given", "none, as the default is no text");
        }
        for choice in &parameter.choices {
            if choice.len() > MAX_NAME_BYTES || !can_be_shown(choice) {
                return bad("choices", choice, "short texts that can be shown");
            }
        }
        let finite = parameter.default.as_f64().is_none_or(f64::is_finite);
        let short = !matches!(&parameter.default, Value::Text(text) if text.len() > MAX_TEXT_BYTES);
        if !finite || !short || !parameter.admits(&parameter.default) {
            return bad(
                "default",
                &parameter.default.to_string(),
                "a value within the parameter's own range",
            );
        }
    }
    Ok(())
}
