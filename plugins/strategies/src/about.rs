//! What all of these strategies say of themselves in the same way.

use crate::exports::sc::strategy::about::{Description, Parameter};
use crate::sc::strategy::types::Role;

pub fn description(
    name: &str,
    summary: &str,
    role: Role,
    parameters: Vec<Parameter>,
) -> Description {
    Description {
        name: name.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        summary: summary.into(),
        authors: Vec::new(),
        licence: env!("CARGO_PKG_LICENSE").into(),
        roles: vec![role],
        services: Vec::new(),
        parameters,
    }
}
