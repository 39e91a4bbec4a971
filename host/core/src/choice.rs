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
        /// Whether it is to be imitated; images to be avoided are for [`Takes::LabelledTargets`].
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

/// What the generation branch is trained with. Formulas, options and sources are in
/// `sc_train::loss`.
// Recorded runs name them by position: new ones come at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Direct preference optimisation; with label smoothing conservative DPO.
    #[serde(alias = "dpo")]
    Sigmoid,
    /// Supervised fine-tuning: negative log-likelihood of accepted images.
    Sft,
    /// DPO made unbiased under a known share of flipped pairs.
    Robust,
    /// Hinge loss on the preference margin.
    Hinge,
    /// Identity preference optimisation.
    Ipo,
    /// Simple preference optimisation, without a reference.
    Simpo,
    /// Anchored preference optimisation, zero variant.
    ApoZero,
    /// Kahneman–Tversky optimisation, on accepted and rejected images without pairs.
    Kto,
}

/// What an objective is computed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Takes {
    /// Images to imitate.
    Targets,
    /// Images to imitate and images to avoid.
    LabelledTargets,
    /// A better and a worse image of one prompt.
    Pairs,
}

impl Takes {
    /// The contract's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Takes::Targets => "targets",
            Takes::LabelledTargets => "labelled-targets",
            Takes::Pairs => "pairs",
        }
    }
}

impl Objective {
    /// All that a run can train with.
    pub const ALL: [Objective; 8] = [
        Objective::Sft,
        Objective::Sigmoid,
        Objective::Robust,
        Objective::Hinge,
        Objective::Ipo,
        Objective::Simpo,
        Objective::ApoZero,
        Objective::Kto,
    ];

    /// The name on the command line and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Objective::Sft => "sft",
            Objective::Sigmoid => "sigmoid",
            Objective::Robust => "robust",
            Objective::Hinge => "hinge",
            Objective::Ipo => "ipo",
            Objective::Simpo => "simpo",
            Objective::ApoZero => "apo-zero",
            Objective::Kto => "kto",
        }
    }

    /// Other names that it is known by.
    pub fn aliases(self) -> &'static [&'static str] {
        match self {
            Objective::Sigmoid => &["dpo"],
            _ => &[],
        }
    }

    /// The objective of that name or alias.
    pub fn from_name(name: &str) -> Option<Objective> {
        Objective::ALL
            .into_iter()
            .find(|objective| objective.name() == name || objective.aliases().contains(&name))
    }

    /// What it is computed on.
    pub fn takes(self) -> Takes {
        match self {
            Objective::Sft => Takes::Targets,
            Objective::Kto => Takes::LabelledTargets,
            _ => Takes::Pairs,
        }
    }
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
