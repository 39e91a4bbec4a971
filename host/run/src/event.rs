//! What somebody who watches a run is told.

use sc_core::co_improvement::{CoImprovement, WinRate};
use sc_core::metrics::Share;
use sc_core::role::Role;
use sc_train::TrainReport;
use serde::{Deserialize, Serialize};

use crate::evaluation::{EvaluatedOn, Evaluation, Figures};
use crate::settings::Scheme;

/// Something that happened, in the order in which it did. As JSON: one object with `event`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A model was evaluated: round 0 is the model that the run began with.
    Evaluation {
        /// The round after which it stands.
        round: u32,
        /// On which images.
        set: EvaluatedOn,
        /// The figures.
        #[serde(flatten)]
        evaluation: &'a Evaluation,
    },
    /// A curriculum planned a round.
    Plan {
        /// The round.
        round: u32,
        /// Prompts to draw for at its beginning.
        prompts: usize,
        /// Images to draw for them.
        images: u64,
        /// How many of the prompts failed before.
        replayed: usize,
        /// Prompts to draw for again before later passes, if nothing of them is accepted by then.
        later: usize,
    },
    /// Prompts are drawn for again in the middle of a round's training.
    DrawnAgain {
        /// The round.
        round: u32,
        /// The pass that comes next.
        pass: u32,
        /// Prompts.
        prompts: usize,
        /// Images.
        images: u64,
        /// Of these, accepted.
        accepted: u64,
    },
    /// A curriculum ended the run before this round.
    Stopped {
        /// The round that will not be.
        round: u32,
        /// Who ended it.
        role: Role,
        /// Its reason.
        reason: &'a str,
    },
    /// A strategy failed, and the run goes on without it this time.
    StrategyFailed {
        /// The round.
        round: u32,
        /// Its role.
        role: Role,
        /// What happened.
        error: &'a str,
        /// What is done instead.
        then: &'a str,
    },
    /// A strategy's file was edited.
    StrategyEdited {
        /// The round that begins.
        round: u32,
        /// Its role.
        role: Role,
        /// Its name.
        strategy: &'a str,
        /// The digest of the version that decides now.
        digest: Option<&'a str>,
        /// Why the edit is not taken; none: it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    },
    /// The supervision of the run is changed on purpose.
    SupervisionChanged {
        /// Perturbations and controls, as they were asked for.
        changes: &'a [String],
    },
    /// The judge was trained to say yes, as was asked for.
    Persuaded {
        /// The round.
        round: u32,
        /// Gradient steps.
        steps: u32,
        /// Mean probability of yes over the last of them.
        p_yes: f64,
    },
    /// A run goes on in the middle of a round.
    WentOn {
        /// The round.
        round: u32,
        /// Passes over its examples that are done.
        passes: u32,
    },
    /// A filter has nothing left, or a selection chose nothing: the round trains nothing.
    NothingToTrainOn {
        /// The round.
        round: u32,
    },
    /// A round is over.
    Round(&'a RoundRecord),
}

/// A round as `metrics.jsonl` keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundRecord {
    /// The round, from 1; 0 for the model that the run began with.
    pub round: u32,
    /// Whether its model was kept.
    pub kept: bool,
    /// Images drawn and judged.
    pub drawn: u64,
    /// Of these, accepted by the model.
    pub accepted: u64,
    /// Of these, kept by the filter, accepted or not.
    pub passed_filter: u64,
    /// What training came to.
    pub training: TrainReport,
    /// Share of its examples, of a sample, that other words turn round; none where nothing was chosen,
    /// or the model knows no other words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_flips: Option<Share>,
    /// Why it was kept or not.
    pub reason: String,
    /// What was changed about the supervision on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supervision_changes: Vec<String>,
    /// The figures after it, kept or not, on the round's evaluation set.
    pub evaluation: Evaluation,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "summary")]
pub struct Summary {
    /// The run directory; left out in `summary.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Rounds that were carried out.
    pub rounds: u32,
    /// The run's seed.
    pub seed: u64,
    /// Rounds whose model was kept.
    pub rounds_kept: u32,
    /// Figures of the model that the run began with.
    pub before: Figures,
    /// Figures of the last kept model.
    pub after: Figures,
    /// Of the images on which the verdicts of both models differ, the share where the later one is
    /// right, on a fixed set of the first model's images; none without an oracle.
    pub understanding_win_rate: Option<WinRate>,
    /// All about that set.
    pub co_improvement: Option<CoImprovement>,
    /// In which form it went.
    pub scheme: Scheme,
    /// What was changed about the supervision on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supervision_changes: Vec<String>,
    /// The cost: what was drawn, judged and trained on in all rounds.
    pub cost: Cost,
}

/// What a run's rounds cost, evaluation left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Images drawn; each is judged.
    pub images: u64,
    /// Questions that the judge put to the model.
    pub questions: u64,
    /// Gradient steps.
    pub steps: u64,
    /// Image tokens that passed through the policy with a gradient.
    pub tokens: u64,
}

/// A piece of work that takes a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Measuring a model; counted in images.
    Evaluate,
    /// Drawing and judging; counted in images.
    Generate,
    /// Gradient steps.
    Train,
}

/// Somebody who watches a run: prints, draws bars, or nothing.
pub trait Watcher {
    /// Something happened.
    fn event(&mut self, event: &Event<'_>);
    /// Work of `total` units begins; ends with the next call of this or [`Watcher::done`].
    fn begin(&mut self, stage: Stage, round: u32, total: u64);
    /// `units` more are done.
    fn advance(&mut self, units: u64);
    /// The work is over.
    fn done(&mut self);
}

/// Watches and says nothing.
pub struct Silent;

impl Watcher for Silent {
    fn event(&mut self, _: &Event<'_>) {}
    fn begin(&mut self, _: Stage, _: u32, _: u64) {}
    fn advance(&mut self, _: u64) {}
    fn done(&mut self) {}
}
