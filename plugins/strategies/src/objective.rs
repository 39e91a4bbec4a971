//! What an objective takes, and the choices made for it.

use crate::exports::sc::strategy::pair_selection::{Choice, Group, Objective, Pair, Target};
use crate::sc::strategy::types::{Candidate, Verdict};

/// What these strategies can choose for an objective.
pub enum Takes {
    Targets,
    Pairs,
}

/// What the objective takes.
///
/// # Errors
/// Refuses one that takes neither.
pub fn takes(objective: &Objective) -> Result<Takes, String> {
    match objective.takes.as_str() {
        "targets" => Ok(Takes::Targets),
        "pairs" => Ok(Takes::Pairs),
        _ => Err(unknown(objective, "`targets` and `pairs`")),
    }
}

/// What is said of an objective that takes something else than is `known`.
pub fn unknown(Objective { name, takes }: &Objective, known: &str) -> String {
    format!("the objective `{name}` takes `{takes}`; only {known} can be chosen")
}

/// The candidates of a group with this verdict, in order.
pub fn with(group: &Group, verdict: Verdict) -> impl Iterator<Item = &Candidate> {
    let candidates = group.candidates.iter();
    candidates.filter(move |candidate| candidate.verdict == verdict)
}

/// An image of group `number` to imitate.
pub fn target(number: u32, candidate: &Candidate) -> Choice {
    Choice::Target(Target {
        group: number,
        candidate: candidate.index,
        weight: 1.0,
        desirable: true,
    })
}

/// A better and a worse image of group `number`.
pub fn pair(number: u32, chosen: &Candidate, rejected: &Candidate) -> Choice {
    Choice::Pair(Pair {
        group: number,
        chosen: chosen.index,
        rejected: rejected.index,
        weight: 1.0,
    })
}
