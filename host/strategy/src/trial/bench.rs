//! What a call of a strategy costs, by the size of its input.

use std::time::{Duration, Instant};

use sc_core::choice::Objective;
use sc_core::role::Role;
use serde::Serialize;

use super::StandIn;
use super::case::{Body, Case, Groups, SelectionCase};
use super::generate::{awkward, random_groups};
use crate::error::CallError;
use crate::role::CallContext;
use crate::services::Usage;
use crate::set::StrategySet;

/// Candidates of a prompt.
const OF_ONE: u32 = 8;
/// Groups of the inputs that are timed.
const SIZES: [u32; 4] = [10, 100, 1_000, 10_000];
/// Time for one size; at least two calls are made.
const TIME: Duration = Duration::from_millis(500);
const MOST_CALLS: u32 = 200;

/// One size of input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// The role.
    pub role: Role,
    /// What it was given.
    pub input: String,
    /// The fastest call, in seconds, with its instance and all that crosses to it and back.
    pub seconds: f64,
    /// Calls that were timed.
    pub calls: u32,
    /// Fuel of a call.
    pub fuel: u64,
    /// Memory and tables of the instance, in bytes.
    pub memory_bytes: u64,
}

/// Times the strategies of `set` in `roles`.
///
/// # Errors
/// When one fails.
pub fn bench(
    set: &StrategySet,
    roles: &[Role],
    each: &mut dyn FnMut(&Measurement),
) -> Result<Vec<Measurement>, CallError> {
    let mut measurements = Vec::new();
    for &role in roles {
        for (input, case) in inputs(role) {
            let measurement = measure(set, role, input, &case)?;
            each(&measurement);
            measurements.push(measurement);
        }
    }
    Ok(measurements)
}

fn inputs(role: Role) -> Vec<(String, Case)> {
    let mut template = awkward(role);
    let sized = |body: fn(u32) -> Body| {
        SIZES.map(|groups| {
            let case = Case {
                body: body(groups),
                ..template[0].case.clone()
            };
            (format!("{groups} prompts with {OF_ONE} images"), case)
        })
    };
    match role {
        Role::DataFilter => sized(|groups| Body::DataFilter {
            input: Groups {
                groups: random_groups(groups, OF_ONE),
            },
            expected: None,
        })
        .to_vec(),
        Role::PairSelection => sized(|groups| Body::PairSelection {
            input: SelectionCase {
                groups: random_groups(groups, OF_ONE),
                objective: Objective::Sigmoid,
            },
            expected: None,
        })
        .to_vec(),
        // These do not grow with the images: the first and the largest of the awkward ones.
        Role::Curriculum | Role::QualityGate => {
            let last = template.pop();
            template.truncate(1);
            template
                .into_iter()
                .chain(last)
                .map(|input| (input.name, input.case))
                .collect()
        }
    }
}

fn measure(
    set: &StrategySet,
    role: Role,
    input: String,
    case: &Case,
) -> Result<Measurement, CallError> {
    let began = Instant::now();
    let mut fastest = Duration::MAX;
    let mut calls = 0;
    let mut usage = Usage::default();
    while calls < 2 || (began.elapsed() < TIME && calls < MOST_CALLS) {
        let start = Instant::now();
        usage = case.usage(set)?;
        fastest = fastest.min(start.elapsed());
        calls += 1;
    }
    Ok(Measurement {
        role,
        input,
        seconds: fastest.as_secs_f64(),
        calls,
        fuel: usage.fuel,
        memory_bytes: usage.memory_bytes,
    })
}

impl Case {
    /// Makes the call, and says what it cost.
    fn usage(&self, set: &StrategySet) -> Result<Usage, CallError> {
        let told: CallContext = self.told();
        Ok(match &self.body {
            Body::Curriculum { input, .. } => {
                let strategy = &set.curriculum.current.strategy;
                strategy.plan(&told, &input.lent())?.usage
            }
            Body::DataFilter { input, .. } => {
                let strategy = &set.data_filters[0].current.strategy;
                strategy.filter(&told, &input.groups, &mut StandIn)?.usage
            }
            Body::PairSelection { input, .. } => {
                let strategy = &set.pair_selection.current.strategy;
                strategy
                    .select(&told, &input.groups, input.objective, &mut StandIn)?
                    .usage
            }
            Body::QualityGate { input, .. } => {
                let strategy = &set.quality_gates[0].current.strategy;
                strategy.decide(&told, &input.lent())?.usage
            }
        })
    }
}
