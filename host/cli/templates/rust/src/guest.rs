//! The strategy as the host sees it: what it is, and which decisions it makes.

wit_bindgen::generate!({
    path: "wit",
    world: "project",
});

{{modules}}

use exports::sc::strategy::about::{Description, Guest, Parameter, Refusal};
use sc::strategy::types::{Role, Setting, Value};

struct Strategy;

impl Guest for Strategy {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            authors: env!("CARGO_PKG_AUTHORS")
                .split(':')
                .map(Into::into)
                .collect(),
            licence: env!("CARGO_PKG_LICENSE").into(),
            roles: vec![
{{roles}}
            ],
            // Such as "model", beside an import of it in wit/world.wit.
            services: Vec::new(),
            parameters: [
{{parameters}}
            ]
            .concat(),
        }
    }

    /// Each value is within its parameter's range. What they mean together is for us to judge.
    fn check(role: Role, settings: Vec<Setting>) -> Result<(), Refusal> {
        let read = match role {
{{checks}}
        };
        read.map_err(|message| Refusal {
            parameter: None,
            message,
        })
    }
}

/// A parameter that is a number.
fn number(name: &str, help: &str, default: f64, minimum: f64, maximum: f64) -> Parameter {
    Parameter {
        name: name.into(),
        help: help.into(),
        default: Value::Number(default),
        minimum: Some(minimum),
        maximum: Some(maximum),
        choices: Vec::new(),
    }
}

/// The value of a parameter that is a number.
fn number_of(settings: &[Setting], name: &str) -> Result<f64, String> {
    let found = settings.iter().find(|setting| setting.name == name);
    match found.map(|setting| &setting.value) {
        Some(Value::Number(number)) => Ok(*number),
        _ => Err(format!("`{name}` is missing, or no number")),
    }
}

export!(Strategy);
