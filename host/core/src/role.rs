//! The four decisions of a run that strategies make.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A decision that is a strategy's. Written everywhere by its name in the contract, such as
/// `data-filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Which prompts the next round draws, and how.
    Curriculum,
    /// Which candidates are fit to be trained on.
    DataFilter,
    /// Which of them become SFT targets or DPO pairs.
    PairSelection,
    /// Whether a finished round is kept.
    QualityGate,
}

impl Role {
    /// All roles, in the order in which a round asks them.
    pub const ALL: [Role; 4] = [
        Role::Curriculum,
        Role::DataFilter,
        Role::PairSelection,
        Role::QualityGate,
    ];

    /// The name in the contract, on the command line and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Role::Curriculum => "curriculum",
            Role::DataFilter => "data-filter",
            Role::PairSelection => "pair-selection",
            Role::QualityGate => "quality-gate",
        }
    }

    /// The role of that name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
