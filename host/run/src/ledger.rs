//! The rows of a run's ledger: who decided what, and what was changed on purpose.

use std::collections::BTreeMap;

use sc_core::choice::Objective;
use sc_core::gate::GateDecision;
use sc_core::plan::Sampling;
use sc_core::role::Role;
use sc_strategy::{Identity, Usage};
use serde::Serialize;

use crate::supervision::Change;

/// One strategy call, or a change of who is called.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerRow {
    /// The round, from 1.
    pub round: u32,
    /// The epoch before which it was asked, where that is not the round's beginning.
    #[serde(skip_serializing_if = "is_first")]
    pub epoch: u32,
    /// What was decided.
    pub role: Role,
    /// Its own name; `builtin:NAME` for a builtin.
    pub strategy: String,
    /// Its version.
    pub version: String,
    /// `sha256:HEX` of its file; `null` for a builtin.
    pub digest: Option<String>,
    /// What it decided.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What it used of the services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_first(epoch: &u32) -> bool {
    *epoch <= 1
}

impl LedgerRow {
    /// A row about a strategy that used no service.
    pub fn new(round: u32, epoch: u32, role: Role, who: &Identity, outcome: Outcome) -> LedgerRow {
        LedgerRow {
            round,
            epoch,
            role,
            strategy: who.name.clone(),
            version: who.version.clone(),
            digest: who.digest.clone(),
            outcome,
            usage: None,
        }
    }
}

/// A row of the ledger.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum LedgerEntry {
    /// A strategy's doing.
    Call(Box<LedgerRow>),
    /// A change of the supervision that was asked for.
    Change(ChangeRow),
    /// On whose word a strategy of a registry runs.
    Admission(AdmissionRow),
}

/// A strategy that was taken from a registry.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Its source, as [`Identity::source`] has it.
    pub source: String,
    /// Its name there, with the digest of its manifest.
    pub artifact: String,
    /// On whose word it runs: `signed` by a key that is trusted, or `allowed-unsigned` by name and digest.
    pub trust: &'static str,
    /// The digest of the key that has signed it.
    pub key: Option<String>,
}

/// An admission, as the ledger keeps it.
#[derive(Clone, Debug, Serialize)]
pub struct AdmissionRow {
    /// The first round that it can decide in.
    pub round: u32,
    /// Its own name.
    pub strategy: String,
    /// Its version.
    pub version: String,
    /// `sha256:HEX` of its file.
    pub digest: Option<String>,
    /// Its name in the registry, with the digest of its manifest.
    pub artifact: String,
    /// On whose word it runs.
    pub trust: &'static str,
    /// The digest of the key that has signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A change of a stage's supervision.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeRow {
    /// The round, from 1.
    pub round: u32,
    /// The epoch before which it was made, where that is not the round's beginning.
    #[serde(skip_serializing_if = "is_first")]
    pub epoch: u32,
    /// What was changed.
    #[serde(flatten)]
    pub change: Change,
}

impl From<LedgerRow> for LedgerEntry {
    fn from(row: LedgerRow) -> LedgerEntry {
        LedgerEntry::Call(Box::new(row))
    }
}

/// A prompt that is drawn for again.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayRow {
    /// The prompt.
    pub prompt: String,
    /// Before which pass over the examples.
    pub epoch: u32,
    /// How many images.
    pub images: u32,
}

/// What a strategy decided.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// A curriculum's plan.
    Plan {
        /// Prompts to draw for, replays included.
        prompts: usize,
        /// Images to draw, if no replay is left out.
        images: u64,
        /// Prompts that failed before and are drawn for again.
        replayed: Vec<ReplayRow>,
        /// How to draw.
        sampling: Sampling,
        /// What to train with.
        objective: Objective,
        /// Passes over the examples.
        epochs: u32,
        /// Factor on the learning rate.
        learning_rate_scale: f64,
    },
    /// A curriculum ended the run.
    Stop {
        /// Its reason.
        stop: String,
    },
    /// A filter's work.
    Filter {
        /// Candidates kept.
        kept: u64,
        /// Candidates dropped, by reason.
        dropped: BTreeMap<String, u64>,
    },
    /// A selection's work.
    Selection {
        /// SFT targets chosen.
        targets: usize,
        /// DPO pairs chosen.
        pairs: usize,
        /// Prompts that they come from.
        prompts: usize,
    },
    /// A gate's decision.
    Gate(GateDecision),
    /// The strategy trapped, overran, refused or answered nonsense.
    Failure {
        /// Why.
        error: String,
        /// What is done instead.
        then: String,
    },
    /// The strategy's file was edited while the run went on.
    Edited {
        /// `taken`, or `refused` where the new text cannot be used.
        edit: &'static str,
        /// The digest that decided before.
        before: Option<String>,
        /// Why it was refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A run that had ended goes on with this strategy.
    Resumed {
        /// The last round that is done.
        resumed_after: u32,
    },
}
