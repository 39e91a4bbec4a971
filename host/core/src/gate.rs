//! What a quality gate answers.

use serde::{Deserialize, Serialize};

/// The decision on a finished round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum GateDecision {
    /// The round's model becomes the run's.
    Keep {
        /// Why, in a few words.
        reason: String,
    },
    /// The model of the round's start is restored and the run goes on.
    RollBack {
        /// Why, in a few words.
        reason: String,
    },
    /// The model of the round's start is restored and the run ends.
    Stop {
        /// Why, in a few words.
        reason: String,
    },
}

impl GateDecision {
    /// Why, in a few words.
    pub fn reason(&self) -> &str {
        match self {
            GateDecision::Keep { reason }
            | GateDecision::RollBack { reason }
            | GateDecision::Stop { reason } => reason,
        }
    }

    /// The combinator `any-roll-back`: the most cautious of several decisions, stop before roll back
    /// before keep, and of equals the first.
    pub fn most_cautious<'a>(
        decisions: impl Iterator<Item = &'a GateDecision>,
    ) -> Option<&'a GateDecision> {
        let caution = |decision: &GateDecision| match decision {
            GateDecision::Keep { .. } => 0,
            GateDecision::RollBack { .. } => 1,
            GateDecision::Stop { .. } => 2,
        };
        decisions.reduce(|first, next| {
            if caution(next) > caution(first) {
                next
            } else {
                first
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_the_most_cautious_decides() {
        let keep = |reason: &str| GateDecision::Keep {
            reason: reason.into(),
        };
        let back = |reason: &str| GateDecision::RollBack {
            reason: reason.into(),
        };
        let most =
            |decisions: &[GateDecision]| GateDecision::most_cautious(decisions.iter()).cloned();
        assert_eq!(most(&[keep("a"), back("b"), back("c")]), Some(back("b")));
        assert_eq!(most(&[keep("a"), keep("b")]), Some(keep("a")));
        let stop = GateDecision::Stop { reason: "d".into() };
        assert_eq!(most(&[back("a"), stop.clone(), keep("b")]), Some(stop));
        assert_eq!(most(&[]), None);
    }
}
