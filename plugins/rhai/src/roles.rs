//! The roles: their names in the contract, a script's functions for them, and what these take.

use rhai::{AST, Position};

use crate::exports::sc::strategy::script::ScriptError;
use crate::place;
use crate::sc::strategy::types::Role;

/// Every role.
pub const ROLES: [Role; 4] = [
    Role::Curriculum,
    Role::DataFilter,
    Role::PairSelection,
    Role::QualityGate,
];

/// The role's name in the contract, as `--set` and `context.role` give it.
pub fn name(role: Role) -> &'static str {
    match role {
        Role::Curriculum => "curriculum",
        Role::DataFilter => "data-filter",
        Role::PairSelection => "pair-selection",
        Role::QualityGate => "quality-gate",
    }
}

/// The name of a script's function that is the role.
pub fn function(role: Role) -> &'static str {
    match role {
        Role::Curriculum => "curriculum",
        Role::DataFilter => "data_filter",
        Role::PairSelection => "pair_selection",
        Role::QualityGate => "quality_gate",
    }
}

fn parameters(role: Role) -> &'static [&'static str] {
    match role {
        Role::Curriculum | Role::QualityGate => &["input", "context"],
        Role::DataFilter => &["groups", "context"],
        Role::PairSelection => &["groups", "objective", "context"],
    }
}

/// The roles whose functions the script defines.
pub fn defined(ast: &AST, source: &str) -> Result<Vec<Role>, ScriptError> {
    let mut roles = Vec::new();
    for role in ROLES {
        if defines(ast, source, function(role), parameters(role))? {
            roles.push(role);
        }
    }
    Ok(roles)
}

/// Whether the script defines the function `name`.
///
/// # Errors
/// When it does, but with another number of parameters.
pub fn defines(
    ast: &AST,
    source: &str,
    name: &str,
    parameters: &[&str],
) -> Result<bool, ScriptError> {
    let mut arities = ast
        .iter_functions()
        .filter(|function| function.name == name)
        .map(|function| function.params.len())
        .peekable();
    if arities.peek().is_none() {
        return Ok(false);
    }
    if arities.any(|arity| arity == parameters.len()) {
        return Ok(true);
    }
    let at: Position = place::declaration(source, "fn", name);
    Err(place::script_error(
        at,
        format!("`{name}` must be `fn {name}({})`", parameters.join(", ")),
    ))
}
