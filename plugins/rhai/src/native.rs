//! The same interpreter natively: what a script costs without the sandbox.
//!
//! There is no host, so a script that uses chance, the log or a service panics here.

use crate::Interpreter;
use crate::exports::sc::strategy::script::Guest as _;
use crate::exports::sc::strategy::{data_filter, pair_selection};

pub use crate::exports::sc::strategy::script::ScriptError;
pub use crate::sc::strategy::types;

/// Loads a script for this thread, in the place of the one before.
///
/// # Errors
/// When the script is wrong.
pub fn load(source: &str) -> Result<(), ScriptError> {
    Interpreter::load(source.to_owned())
}

/// Calls the loaded script as a data filter.
///
/// # Errors
/// When the script fails.
pub fn filter(
    context: types::Context,
    groups: Vec<types::Group>,
) -> Result<data_filter::Answer, String> {
    <Interpreter as data_filter::Guest>::filter(context, groups)
}

/// Calls the loaded script as a pair selection.
///
/// # Errors
/// When the script fails.
pub fn select(
    context: types::Context,
    groups: Vec<types::Group>,
    objective: types::Objective,
) -> Result<pair_selection::Answer, String> {
    <Interpreter as pair_selection::Guest>::select(context, groups, objective)
}
