//! What an objective takes, and the choices made for it.

use crate::exports::sc::strategy::pair_selection::{Choice, Group, Objective, Pair, Target};
use crate::sc::strategy::types::{Candidate, Verdict};

/// What these strategies can choose for an objective.
pub enum Takes {
    Targets,
    /// Images to imitate, and images to avoid.
    LabelledTargets,
    Pairs,
}

/// What the objective takes.
///
/// # Errors
/// Refuses one that takes none of these.
pub fn takes(objective: &Objective) -> Result<Takes, String> {
    match objective.takes.as_str() {
        "targets" => Ok(Takes::Targets),
        "labelled-targets" => Ok(Takes::LabelledTargets),
        "pairs" => Ok(Takes::Pairs),
        other => Err(format!(
            "the objective `{}` takes `{other}`; only `targets`, `labelled-targets` and `pairs` can be \
             chosen",
            objective.name
        )),
    }
}

/// The candidates of a group with this verdict, in order.
pub fn with(group: &Group, verdict: Verdict) -> impl Iterator<Item = &Candidate> {
    let candidates = group.candidates.iter();
    candidates.filter(move |candidate| candidate.verdict == verdict)
}

/// An image of group `number` to imitate, or to avoid.
pub fn target(number: u32, candidate: &Candidate, desirable: bool) -> Choice {
    Choice::Target(Target {
        group: number,
        candidate: candidate.index,
        weight: 1.0,
        desirable,
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
