//! A data filter that asks the model what it must not ask.
//!
//! `--set data-filter.fault=NAME` chooses what. The refusal that it is given becomes its own, so
//! that the host's tests see it. Without a fault it asks one question and keeps every candidate.

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "asking-data-filter-strategy",
});

use exports::sc::strategy::about::{self, Description, Parameter, Refusal};
use exports::sc::strategy::data_filter::{Answer, Context, Decision, Group, Guest};
use sc::strategy::model::{self, Question};
use sc::strategy::types::{Role, Setting, Value};

struct Strategy;

impl about::Guest for Strategy {
    fn describe() -> Description {
        Description {
            name: "misbehaving-asking".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Asks what it must not ask.".into(),
            authors: Vec::new(),
            licence: env!("CARGO_PKG_LICENSE").into(),
            roles: vec![Role::DataFilter],
            services: vec!["model".into()],
            parameters: vec![Parameter {
                name: "fault".into(),
                help: "What to do wrong.".into(),
                default: Value::Text("none".into()),
                minimum: None,
                maximum: None,
                choices: Vec::new(),
            }],
        }
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

fn question(index: u32, text: impl Into<String>) -> Question {
    Question {
        group: 0,
        index,
        text: text.into(),
    }
}

impl Guest for Strategy {
    fn filter(context: Context, groups: Vec<Group>) -> Result<Answer, String> {
        let fault = match context.settings.first().map(|setting| &setting.value) {
            Some(Value::Text(name)) => name.as_str(),
            _ => "none",
        };
        let questions = match fault {
            // One more than is left, all different.
            "ask-flood" => (0..=model::remaining())
                .map(|number| question(0, format!("is it the {number}. question?")))
                .collect(),
            "ask-unknown" => vec![question(1000, "what is this?")],
            "ask-unknown-group" => vec![Question {
                group: groups.len() as u32,
                ..question(0, "what is this?")
            }],
            "ask-nothing" => vec![question(0, " ")],
            "ask-too-long" => vec![question(0, "why? ".repeat(401))],
            _ => vec![question(0, "is it a circle?")],
        };
        model::ask(&questions).map_err(|refusal| format!("{refusal:?}"))?;
        Ok(Answer {
            decisions: groups
                .iter()
                .map(|group| vec![Decision::Keep; group.candidates.len()])
                .collect(),
            state: context.state,
        })
    }
}

export!(Strategy);
