//! Targets that the model is sure of.

use crate::exports::sc::strategy::pair_selection::{Choice, Group};
use crate::objective::target;
use crate::sc::strategy::types::Verdict;

/// The accepted images of a group that the model is sure of, and, if asked for, the rejected ones.
pub fn sure_of(
    number: u32,
    group: &Group,
    accept: f64,
    rejected_too: bool,
) -> impl Iterator<Item = Choice> {
    let candidates = group.candidates.iter();
    candidates.filter_map(move |candidate| match candidate.verdict {
        Verdict::Accepted if candidate.p_yes >= accept => Some(target(number, candidate, true)),
        Verdict::Rejected if rejected_too && candidate.p_yes <= 1.0 - accept => {
            Some(target(number, candidate, false))
        }
        _ => None,
    })
}
