//! What a data filter and a pair selection answer.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A data filter's decision on one candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterDecision {
    /// Fit to be trained on.
    Keep,
    /// Unfit, for the reason given in a few words (reasons are counted in the ledger).
    Drop(String),
}

/// What one training example is made of. Candidates are named by [`crate::candidate::Candidate::index`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// An image to imitate (SFT).
    Target {
        /// Position of the group in the list that the strategy was given.
        group: u32,
        /// The candidate's index.
        candidate: u32,
        /// Weight of the example in the loss, above 0.
        weight: f64,
        /// Whether it is to be imitated; no objective yet takes images to be avoided.
        desirable: bool,
    },
    /// A preferred and a dispreferred image of the same prompt (DPO).
    Pair {
        /// Position of the group in the list that the strategy was given.
        group: u32,
        /// Index of the preferred candidate.
        chosen: u32,
        /// Index of the dispreferred candidate.
        rejected: u32,
        /// Weight of the example in the loss, above 0.
        weight: f64,
    },
}

/// What the generation branch is trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Direct preference optimisation on pairs (Rafailov et al., 2023), with an NLL term.
    Dpo,
    /// Supervised fine-tuning: negative log-likelihood of accepted images.
    Sft,
}

impl Objective {
    /// All that a run can train with.
    pub const ALL: [Objective; 2] = [Objective::Dpo, Objective::Sft];

    /// The name in the contract, on the command line and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Objective::Dpo => "dpo",
            Objective::Sft => "sft",
        }
    }

    /// The objective of that name.
    pub fn from_name(name: &str) -> Option<Objective> {
        Objective::ALL
            .into_iter()
            .find(|objective| objective.name() == name)
    }

    /// What it is computed on, by the contract's word: `targets` or `pairs`.
    pub fn takes(self) -> &'static str {
        match self {
            Objective::Dpo => "pairs",
            Objective::Sft => "targets",
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
