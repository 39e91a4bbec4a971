//! The Rhai interpreter as a component of the strategy contract.
//!
//! A script is not run inside the host but here: one sandbox, with one set of limits, holds for
//! scripts and for compiled strategies. The host hands over the script's text (`script.load`), and
//! then asks it what it is, or calls one of the roles, always in a fresh instance.

mod about;
#[cfg(target_arch = "wasm32")]
mod allocator;
mod fields;
mod helpers;
mod input;
pub mod native;
mod numbers;
mod output;
mod parameters;
mod place;
mod plan;
mod records;
mod roles;
mod script;
mod services;
mod state;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "host-view",
});

use std::cell::RefCell;

use rhai::Dynamic;

use exports::sc::strategy::about::{self as contract_about, Description, Refusal};
use exports::sc::strategy::script::ScriptError;
use exports::sc::strategy::{curriculum, data_filter, pair_selection, quality_gate};
use sc::strategy::types::{Context, Group, Objective, Role, Setting};
use script::Script;

/// What the contract's functions are exported by.
pub struct Interpreter;

thread_local! {
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

const NOT_LOADED: &str = "no script is loaded";

/// Calls the script's function for `role`; gives its value and the state to return.
fn call(
    role: Role,
    mut arguments: Vec<Dynamic>,
    context: &Context,
) -> Result<(Dynamic, Vec<u8>), String> {
    arguments.push(input::context(role, context)?);
    let value = SCRIPT.with_borrow(|script| {
        let script = script.as_ref().ok_or(NOT_LOADED)?;
        script.call(role, &context.settings, arguments)
    })?;
    let state = match helpers::take_remembered() {
        Some(value) => state::to_bytes(&value)?,
        None => context.state.clone(),
    };
    Ok((value, state))
}

impl exports::sc::strategy::script::Guest for Interpreter {
    fn load(source: String) -> Result<(), ScriptError> {
        #[cfg(target_arch = "wasm32")]
        allocator::report_overflow();
        let script = Script::load(&source)?;
        SCRIPT.set(Some(script));
        Ok(())
    }
}

impl contract_about::Guest for Interpreter {
    fn describe() -> Description {
        SCRIPT.with_borrow(|script| match script {
            Some(script) => script.describe(),
            None => Description {
                name: "rhai".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                summary: "The interpreter of scripts, without one.".into(),
                authors: Vec::new(),
                licence: env!("CARGO_PKG_LICENSE").into(),
                roles: Vec::new(),
                services: Vec::new(),
                parameters: Vec::new(),
            },
        })
    }

    fn check(role: Role, settings: Vec<Setting>) -> Result<(), Refusal> {
        SCRIPT.with_borrow(|script| match script {
            Some(script) => script.check(role, &settings),
            None => Err(Refusal {
                parameter: None,
                message: NOT_LOADED.into(),
            }),
        })
    }
}

impl curriculum::Guest for Interpreter {
    fn plan(context: Context, input: curriculum::Input) -> Result<curriculum::Answer, String> {
        let (argument, defaults) = input::curriculum(input);
        let (value, state) = call(Role::Curriculum, vec![argument], &context)?;
        let decision = plan::decision(value, defaults)?;
        Ok(curriculum::Answer { decision, state })
    }
}

impl data_filter::Guest for Interpreter {
    fn filter(context: Context, groups: Vec<Group>) -> Result<data_filter::Answer, String> {
        let argument = records::groups(groups);
        let (value, state) = call(Role::DataFilter, vec![argument], &context)?;
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
        let arguments = vec![records::groups(groups), input::objective(&objective)];
        let (value, state) = call(Role::PairSelection, arguments, &context)?;
        let choices = output::choices(value)?;
        Ok(pair_selection::Answer { choices, state })
    }
}

impl quality_gate::Guest for Interpreter {
    fn decide(
        context: Context,
        input: quality_gate::Input,
    ) -> Result<quality_gate::Answer, String> {
        let argument = input::quality_gate(&input);
        let (value, state) = call(Role::QualityGate, vec![argument], &context)?;
        let decision = output::gate(value)?;
        Ok(quality_gate::Answer { decision, state })
    }
}

// The names of exports are none that a native linker takes.
#[cfg(target_arch = "wasm32")]
export!(Interpreter);
