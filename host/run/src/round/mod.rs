//! The steps of a round, in the order in which [`crate::improve::improve`] takes them: here the plan
//! and the memory of prompts; [`data`], [`training`] and [`gate`] hold the rest.

mod data;
mod gate;
mod training;

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;
use sc_core::candidate::{Group, Verdict};
use sc_core::plan::{CurriculumDecision, Replay, RoundPlan};
use sc_core::role::Role;
use sc_strategy::CurriculumInput;
use sc_strategy::record::CurriculumRecord;
use sc_train::{AdamWState, Examples, Reference, RoundTraining, TrainRound};
use serde::{Deserialize, Serialize};

use crate::ask::Place;
use crate::error::RunError;
use crate::event::Event;
use crate::generation::DrawnGroup;
use crate::improve::Run;
use crate::ledger::{Outcome, ReplayRow};
use crate::signals::Audit;

/// Weights and optimizer at some point.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) weights: BTreeMap<String, Tensor>,
    pub(crate) optimizer: AdamWState,
}

/// What was drawn before one of a round's passes, and what the filters left of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct DrawnStage {
    drawn: Vec<DrawnGroup>,
    filtered: Vec<Group>,
}

/// What a round has drawn, kept and trained on so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) plan: RoundPlan,
    stages: Vec<DrawnStage>,
    examples: Examples,
    /// In a checkpoint, tensors are kept apart.
    #[serde(skip)]
    pub(crate) reference: Reference,
    /// Ids of the prompts that it trains on.
    chosen_prompts: BTreeSet<u32>,
    pub(crate) training: RoundTraining,
    /// What became of its examples when they were asked about in other words.
    pub(crate) audit: Audit,
}

impl Round {
    /// A round in which nothing has been drawn.
    pub(crate) fn new(plan: RoundPlan, round: u32, seed: u64) -> Round {
        Round {
            stages: Vec::new(),
            examples: Examples::none(plan.objective.takes()),
            reference: Reference::default(),
            chosen_prompts: BTreeSet::new(),
            training: RoundTraining::begin(TrainRound {
                seed,
                round,
                objective: plan.objective,
                epochs: plan.epochs,
                learning_rate_scale: plan.learning_rate_scale,
            }),
            audit: Audit::default(),
            plan,
        }
    }

    /// Each pass before which the plan draws, and how many are done when the next one comes; from the
    /// first that is not over.
    pub(crate) fn stages_to_do(&self) -> Vec<(u32, u32)> {
        let passes = self.plan.stages();
        let ends = passes[1..].iter().map(|next| next - 1);
        let ends = ends.chain([self.plan.epochs]);
        let all = passes.iter().copied().zip(ends);
        all.filter(|(_, end)| *end > self.training.passes())
            .collect()
    }

    /// Whether what is drawn before a pass has been drawn.
    pub(crate) fn has_drawn(&self, pass: u32) -> bool {
        let position = self.plan.stages().iter().position(|&stage| stage == pass);
        position.is_some_and(|position| position < self.stages.len())
    }

    /// Every group that was drawn, with what the filters left of it.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Group, &Group)> {
        self.stages.iter().flat_map(|stage| {
            let drawn = stage.drawn.iter().map(|drawn| &drawn.group);
            drawn.zip(&stage.filtered)
        })
    }

    /// Prompt and tokens of every image that was drawn.
    fn images(&self) -> impl Iterator<Item = (&str, &[u32])> {
        let groups = self.stages.iter().flat_map(|stage| &stage.drawn);
        groups.flat_map(|drawn| {
            let prompt = &*drawn.group.prompt.text;
            drawn.tokens.iter().map(move |tokens| (prompt, &**tokens))
        })
    }

    /// Prompts of which an accepted image has passed the filters in this round.
    fn accepted_prompts(&self) -> BTreeSet<u32> {
        let accepted = |group: &&Group| {
            let mut verdicts = group.candidates.iter().map(|candidate| candidate.verdict);
            verdicts.any(|verdict| verdict == Verdict::Accepted)
        };
        self.groups()
            .map(|(_, filtered)| filtered)
            .filter(accepted)
            .map(|group| group.prompt.id)
            .collect()
    }
}

impl<'a> Run<'a> {
    /// *Plan*: what to draw in this round. Without an answer nothing can be drawn, and the run ends.
    pub(crate) fn plan(&mut self) -> Result<CurriculumDecision, RunError> {
        let task = self.task;
        let prompts = task.training_prompts();
        let bounds = self.settings.plan_bounds(prompts.len() as u32);
        let defaults = self.settings.plan_defaults();
        let (histories, past) = (self.histories.clone(), self.past.clone());
        let input = CurriculumInput {
            prompts,
            histories: &histories,
            past: &past,
            bounds,
            defaults,
        };
        let place = Place {
            role: Role::Curriculum,
            link: 0,
            slot: |set, _| &mut set.curriculum,
        };
        let told = |decision: &CurriculumDecision| match decision {
            CurriculumDecision::Stop(reason) => Outcome::Stop {
                stop: reason.clone(),
            },
            CurriculumDecision::Round(plan) => Outcome::Plan {
                prompts: plan.draws.len() + plan.replays.len(),
                images: plan.images(),
                replayed: plan
                    .replays
                    .iter()
                    .map(|replay| ReplayRow {
                        prompt: prompts[replay.prompt as usize].text.clone(),
                        epoch: replay.epoch,
                        images: replay.images,
                    })
                    .collect(),
                sampling: plan.sampling,
                objective: plan.objective,
                epochs: plan.epochs,
                learning_rate_scale: plan.learning_rate_scale,
            },
        };
        let answer = self.ask(
            &place,
            |strategy, context| strategy.plan(context, &input),
            told,
        )?;
        let Some(answer) = answer else {
            return Ok(CurriculumDecision::Stop("there is no plan".into()));
        };
        let decision = answer.answer.clone();
        self.inputs.curriculum = Some(CurriculumRecord {
            histories,
            bounds,
            defaults,
            answer,
        });
        self.watcher.event(&match &decision {
            CurriculumDecision::Stop(reason) => Event::Stopped {
                round: self.round,
                role: Role::Curriculum,
                reason,
            },
            CurriculumDecision::Round(plan) => {
                let (at_once, later): (Vec<&Replay>, Vec<&Replay>) =
                    plan.replays.iter().partition(|replay| replay.epoch == 1);
                let drawn = plan.draws.iter().map(|draw| draw.images);
                let replayed = at_once.iter().map(|replay| replay.images);
                Event::Plan {
                    round: self.round,
                    prompts: plan.draws.len() + at_once.len(),
                    images: drawn.chain(replayed).map(u64::from).sum(),
                    replayed: at_once.len(),
                    later: later.len(),
                }
            }
        });
        Ok(decision)
    }

    /// Adds the round to the memory of its prompts; what it trained on counts if it was kept.
    pub(crate) fn record_histories(&mut self, round: &Round, kept_round: bool) {
        for (drawn, kept) in round.groups() {
            let prompt = drawn.prompt.id as usize;
            self.histories[prompt].record(self.round, drawn, kept);
        }
        if kept_round {
            for &prompt in &round.chosen_prompts {
                self.histories[prompt as usize].times_trained += 1;
            }
        }
    }
}
