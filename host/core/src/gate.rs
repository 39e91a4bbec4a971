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
