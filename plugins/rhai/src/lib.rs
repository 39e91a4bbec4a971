//! The Rhai interpreter as a component of the strategy contract.
//!
//! A script is not run inside the host but here: one sandbox, with one set of limits, holds for
//! scripts and for compiled strategies. The host hands over the script's text (`script.load`), the
//! values of its parameters (`about.configure`), and then calls one of the roles, always in a fresh
//! instance.

#[cfg(target_arch = "wasm32")]
mod allocator;
mod helpers;
mod input;
mod output;
mod parameters;
mod script;
mod state;

wit_bindgen::generate!({
    path: "../../wit",
    world: "host-view",
});

use std::cell::RefCell;

use rhai::Dynamic;

use exports::sc::strategy::about::{self, Description, Setting};
use exports::sc::strategy::script::ScriptError;
use exports::sc::strategy::{curriculum, data_filter, pair_selection, quality_gate};
use sc::strategy::types::{Context, Group, Metric, Objective};
use script::Script;

struct Interpreter;

thread_local! {
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

const NOT_LOADED: &str = "no script is loaded";

/// Calls the function `name` of the script; gives its value and the state to return.
fn call(
    name: &str,
    mut arguments: Vec<Dynamic>,
    context: &Context,
) -> Result<(Dynamic, Vec<u8>), String> {
    arguments.push(input::context(context)?);
    let value =
        SCRIPT.with_borrow(|script| script.as_ref().ok_or(NOT_LOADED)?.call(name, arguments))?;
    let state = match helpers::take_remembered() {
        Some(value) => state::to_bytes(&value)?,
        None => context.state.clone(),
    };
    Ok((value, state))
}

impl exports::sc::strategy::script::Guest for Interpreter {
    fn load(source: String) -> Result<Vec<String>, ScriptError> {
        #[cfg(target_arch = "wasm32")]
        allocator::report_overflow();
        let script = Script::load(&source)?;
        let roles = script.roles();
        SCRIPT.set(Some(script));
        Ok(roles)
    }
}

impl about::Guest for Interpreter {
    fn describe() -> Description {
        Description {
            name: "rhai-script".into(),
            version: "rhai 1.27.0".into(),
            summary: "A Rhai script.".into(),
            parameters: SCRIPT.with_borrow(|script| {
                script.as_ref().map_or_else(Vec::new, |script| {
                    script.constants().iter().map(|c| c.describe()).collect()
                })
            }),
        }
    }

    fn configure(settings: Vec<Setting>) -> Result<(), String> {
        SCRIPT.with_borrow_mut(|script| script.as_mut().ok_or(NOT_LOADED)?.configure(settings))
    }
}

impl curriculum::Guest for Interpreter {
    fn plan(context: Context, input: curriculum::Input) -> Result<curriculum::Answer, String> {
        let argument = input::curriculum(&input);
        let (value, state) = call("curriculum", vec![argument], &context)?;
        let decision = output::curriculum(value, &input.defaults)?;
        Ok(curriculum::Answer { decision, state })
    }
}

impl data_filter::Guest for Interpreter {
    fn filter(context: Context, groups: Vec<Group>) -> Result<data_filter::Answer, String> {
        let argument = input::groups(groups);
        let (value, state) = call("data_filter", vec![argument], &context)?;
        let decisions = output::filter(value)?;
        Ok(data_filter::Answer { decisions, state })
    }
}

impl pair_selection::Guest for Interpreter {
    fn select(
        context: Context,
        groups: Vec<Group>,
        objective: Objective,
    ) -> Result<pair_selection::Answer, String> {
        let arguments = vec![input::groups(groups), input::objective(objective)];
        let (value, state) = call("pair_selection", arguments, &context)?;
        let choices = output::choices(value)?;
        Ok(pair_selection::Answer { choices, state })
    }
}

impl quality_gate::Guest for Interpreter {
    fn decide(
        context: Context,
        before: Vec<Metric>,
        after: Vec<Metric>,
    ) -> Result<quality_gate::Answer, String> {
        let arguments = vec![input::metrics(&before), input::metrics(&after)];
        let (value, state) = call("quality_gate", arguments, &context)?;
        let decision = output::gate(value)?;
        Ok(quality_gate::Answer { decision, state })
    }
}

export!(Interpreter);
