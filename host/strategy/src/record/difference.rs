//! How two strategies' decisions differ: counted, and told.

use std::collections::BTreeMap;

use sc_core::choice::{Choice, FilterDecision};
use sc_core::gate::GateDecision;
use sc_core::plan::CurriculumDecision;
use sc_core::prompt::Prompt;
use sc_core::role::Role;
use serde::Serialize;

/// Most differences that are shown as examples, of each role.
const EXAMPLES: usize = 5;

/// How many decisions came out the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Decisions that both made.
    pub decisions: u64,
    /// Of these, those that differ.
    pub changed: u64,
}

/// The agreement on the prompts of one category.
pub type CategoryAgreement = BTreeMap<String, Agreement>;

/// A decision that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The round.
    pub round: u32,
    /// The prompt, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What it is about, such as `candidate 3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What the run's strategy decided.
    pub before: String,
    /// What this one decides.
    pub now: String,
}

/// How a role's decisions differ. A curriculum and a gate make one a round; filters one a candidate;
/// a pair selection one a prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RoleReplay {
    /// Over all rounds.
    #[serde(flatten)]
    pub agreement: Agreement,
    /// By the prompts' category, where a decision is about one prompt.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_category: CategoryAgreement,
    /// How often each decision was made then and is made now, such as `drop: undecided`.
    pub counts: BTreeMap<String, [u64; 2]>,
    /// The first differences.
    pub examples: Vec<Example>,
}

/// How the decisions of a whole run differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Replay {
    /// Over all roles.
    #[serde(flatten)]
    pub agreement: Agreement,
    /// Rounds that were replayed.
    pub rounds: u32,
    /// Candidates that they held.
    pub candidates: u64,
    /// By role.
    pub roles: BTreeMap<Role, RoleReplay>,
}

impl RoleReplay {
    pub(super) fn count(
        &mut self,
        same: bool,
        (before, now): (String, String),
        example: impl FnOnce() -> Example,
    ) {
        self.agreement.decisions += 1;
        self.counts.entry(before).or_default()[0] += 1;
        self.counts.entry(now).or_default()[1] += 1;
        if !same {
            self.agreement.changed += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(example());
            }
        }
    }

    pub(super) fn of_category(&mut self, prompt: &Prompt, same: bool) {
        if !self.by_category.contains_key(&prompt.category) {
            self.by_category
                .insert(prompt.category.clone(), Agreement::default());
        }
        if let Some(category) = self.by_category.get_mut(&prompt.category) {
            category.decisions += 1;
            category.changed += u64::from(!same);
        }
    }
}

pub(super) fn plan_kind(decision: &CurriculumDecision) -> &'static str {
    match decision {
        CurriculumDecision::Round(_) => "round",
        CurriculumDecision::Stop(_) => "stop",
    }
}

pub(super) fn told_plan(decision: &CurriculumDecision) -> String {
    match decision {
        CurriculumDecision::Stop(reason) => format!("stop: {reason}"),
        CurriculumDecision::Round(plan) => format!(
            "{} images for {} prompts and {} again, {} epochs of {}",
            plan.images(),
            plan.draws.len(),
            plan.replays.len(),
            plan.epochs,
            plan.objective
        ),
    }
}

pub(super) fn told_filter(decision: &FilterDecision) -> String {
    match decision {
        FilterDecision::Keep => "keep".into(),
        FilterDecision::Drop(reason) => format!("drop: {reason}"),
    }
}

pub(super) fn told_choices(choices: &[Choice]) -> String {
    const SHOWN: usize = 3;
    let told = |choice: &Choice| match choice {
        Choice::Target { candidate, .. } => candidate.to_string(),
        Choice::Pair {
            chosen, rejected, ..
        } => format!("{chosen} over {rejected}"),
    };
    if choices.is_empty() {
        return "nothing".into();
    }
    let first: Vec<String> = choices.iter().take(SHOWN).map(told).collect();
    let more = choices.len().saturating_sub(SHOWN);
    match more {
        0 => first.join(", "),
        _ => format!("{} and {more} more", first.join(", ")),
    }
}

pub(super) fn gate_kind(decision: &GateDecision) -> &'static str {
    match decision {
        GateDecision::Keep { .. } => "keep",
        GateDecision::RollBack { .. } => "roll back",
        GateDecision::Stop { .. } => "stop",
    }
}

pub(super) fn told_gate(decision: &GateDecision) -> String {
    let (GateDecision::Keep { reason }
    | GateDecision::RollBack { reason }
    | GateDecision::Stop { reason }) = decision;
    format!("{}: {reason}", gate_kind(decision))
}
