//! `sc-host strategy`: looking at strategies, trying them without a run, writing new ones, sharing them.

pub mod inspect;
pub mod limits;
pub mod list;
pub mod lock;
pub mod new;
pub mod sign;
pub mod test;
pub mod transfer;

use sc_strategy::{Grants, Limits, Requested, Runtime, StrategyRequest};

use crate::args::Conditions;

/// A sandbox, and a request for strategies under the conditions given.
pub fn conditions(
    conditions: &Conditions,
    strategies: Vec<Requested>,
) -> anyhow::Result<(Runtime, StrategyRequest)> {
    let limits = Limits::default().with(&conditions.limits)?;
    let request = StrategyRequest {
        strategies,
        settings: conditions.settings.clone(),
        grants: Grants::parse(&conditions.grants)?,
        ..StrategyRequest::default()
    };
    Ok((Runtime::new(limits)?, request))
}
