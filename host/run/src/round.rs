//! The steps of a round, in the order in which [`crate::improve::improve`] takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use candle_core::Tensor;
use sc_core::candidate::Group;
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::plan::{CurriculumDecision, RoundPlan};
use sc_core::role::Role;
use sc_strategy::{CallContext, CallError, CurriculumInput, Filled, Reply};
use sc_train::{AdamWState, Examples, Pair, Target, TrainReport, TrainRound, generation_path};

use crate::error::RunError;
use crate::evaluation::Evaluation;
use crate::event::{Event, Stage};
use crate::generation::{DrawnGroup, Order, draw_and_judge};
use crate::improve::Run;
use crate::store::{LEDGER, LedgerIdentity, LedgerRow, Outcome};

/// Weights and optimizer at a round's start.
pub(crate) struct Snapshot {
    weights: BTreeMap<String, Tensor>,
    optimizer: AdamWState,
}

impl<'a> Run<'a> {
    /// Asks a strategy, keeps its state, and writes the ledger row that `outcome` makes of its
    /// answer. A failed call is recorded on disk before the error goes on.
    fn ask<S: ?Sized, T>(
        &mut self,
        role: Role,
        who: &'a Filled<S>,
        call: impl FnOnce(&S, &CallContext) -> Result<Reply<T>, CallError>,
        outcome: impl FnOnce(&T) -> Outcome,
    ) -> Result<T, RunError> {
        let context = CallContext {
            seed: self.settings.seed,
            round: self.round,
            rounds: self.settings.rounds,
            state: self.states.get(&role).cloned().unwrap_or_default(),
        };
        let began = Instant::now();
        let reply = call(&who.strategy, &context);
        self.time(&format!("strategy/{role}"), began)?;
        let row = |outcome| LedgerRow {
            round: self.round,
            role,
            who: LedgerIdentity::of(&who.identity),
            outcome,
        };
        match reply {
            Ok(reply) => {
                let row = row(outcome(&reply.answer));
                self.ledger.push(row);
                self.states.insert(role, reply.state);
                Ok(reply.answer)
            }
            Err(error) => {
                let row = row(Outcome::Failure {
                    error: error.to_string(),
                });
                self.ledger.push(row);
                self.store.append(LEDGER, &self.ledger)?;
                Err(error.into())
            }
        }
    }

    /// *Plan*: what to draw in this round.
    pub(crate) fn plan(&mut self) -> Result<CurriculumDecision, RunError> {
        let task = self.task;
        let bounds = self
            .settings
            .plan_bounds(task.training_prompts().len() as u32);
        let (histories, past) = (self.histories.clone(), self.past.clone());
        let input = CurriculumInput {
            prompts: task.training_prompts(),
            histories: &histories,
            past: &past,
            bounds,
            defaults: self.settings.plan_defaults(),
        };
        let decision = self.ask(
            Role::Curriculum,
            &self.strategies.curriculum,
            |strategy, context| strategy.plan(context, &input),
            |decision| match decision {
                CurriculumDecision::Stop(reason) => Outcome::Stop {
                    stop: reason.clone(),
                },
                CurriculumDecision::Round(plan) => Outcome::Plan {
                    prompts: plan.prompts.len(),
                    images: images(plan),
                    replayed: replayed(plan)
                        .map(|prompt| task.training_prompts()[prompt].text.clone())
                        .collect(),
                    sampling: plan.sampling,
                    objective: plan.objective,
                    epochs: plan.epochs,
                    learning_rate_scale: plan.learning_rate_scale,
                },
            },
        )?;
        self.watcher.event(&match &decision {
            CurriculumDecision::Stop(reason) => Event::Stopped {
                round: self.round,
                role: Role::Curriculum,
                reason,
            },
            CurriculumDecision::Round(plan) => Event::Plan {
                round: self.round,
                prompts: plan.prompts.len(),
                images: images(plan),
                replayed: replayed(plan).count(),
            },
        });
        Ok(decision)
    }

    /// **Generate** and **judge**: the model draws for every planned prompt and judges each image.
    pub(crate) fn draw_and_judge(&mut self, plan: &RoundPlan) -> Result<Vec<DrawnGroup>, RunError> {
        let began = Instant::now();
        let mut groups: Vec<DrawnGroup> = Vec::with_capacity(plan.prompts.len());
        let mut orders = Vec::new();
        let mut group_of = Vec::new();
        for (position, planned) in plan.prompts.iter().enumerate() {
            let prompt = &self.task.training_prompts()[planned.prompt as usize];
            groups.push(DrawnGroup::new(prompt.clone()));
            for image in 0..planned.images {
                group_of.push(position);
                orders.push(Order {
                    prompt,
                    stream: [self.round, planned.prompt, image].map(u64::from).to_vec(),
                });
            }
        }
        self.watcher
            .begin(Stage::Generate, self.round, orders.len() as u64);
        draw_and_judge(
            self.model,
            &orders,
            &plan.sampling,
            self.settings.seed,
            "round-draw",
            &mut |images| self.watcher.advance(images),
            &mut |position, image| {
                groups[group_of[position]].push(image);
                Ok(())
            },
        )?;
        self.watcher.done();
        self.cost.images += orders.len() as u64;
        self.time("generate", began)?;
        Ok(groups)
    }

    /// *Filter*: what is fit to be trained on.
    pub(crate) fn filter(&mut self, drawn: &[DrawnGroup]) -> Result<Vec<Group>, RunError> {
        let groups: Vec<Group> = drawn.iter().map(|drawn| drawn.group.clone()).collect();
        let decisions = self.ask(
            Role::DataFilter,
            &self.strategies.data_filter,
            |strategy, context| strategy.filter(context, &groups),
            |decisions| {
                let mut kept = 0;
                let mut dropped = BTreeMap::new();
                for decision in decisions.iter().flatten() {
                    match decision {
                        FilterDecision::Keep => kept += 1,
                        FilterDecision::Drop(reason) => {
                            *dropped.entry(reason.clone()).or_insert(0) += 1;
                        }
                    }
                }
                Outcome::Filter { kept, dropped }
            },
        )?;
        let kept = groups.into_iter().zip(decisions).map(|(mut group, row)| {
            let mut row = row.iter();
            group
                .candidates
                .retain(|_| row.next() == Some(&FilterDecision::Keep));
            group
        });
        Ok(kept.collect())
    }

    /// *Select*: SFT targets or DPO pairs. Choices name groups by position and images by index.
    pub(crate) fn select(
        &mut self,
        plan: &RoundPlan,
        drawn: &[DrawnGroup],
        filtered: &[Group],
    ) -> Result<Examples, RunError> {
        let choices = self.ask(
            Role::PairSelection,
            &self.strategies.pair_selection,
            |strategy, context| strategy.select(context, filtered, plan.objective),
            |choices| {
                let groups: BTreeSet<u32> = choices
                    .iter()
                    .map(|choice| match choice {
                        Choice::Target { group, .. } | Choice::Pair { group, .. } => *group,
                    })
                    .collect();
                let pairs = choices
                    .iter()
                    .filter(|choice| matches!(choice, Choice::Pair { .. }))
                    .count();
                Outcome::Selection {
                    targets: choices.len() - pairs,
                    pairs,
                    prompts: groups.len(),
                }
            },
        )?;
        if choices.is_empty() {
            self.watcher
                .event(&Event::NothingToTrainOn { round: self.round });
        }
        self.chosen_prompts.clear();
        let (mut targets, mut pairs) = (Vec::new(), Vec::new());
        for choice in choices {
            let (group, weight) = match choice {
                Choice::Target { group, weight, .. } | Choice::Pair { group, weight, .. } => {
                    (group as usize, weight)
                }
            };
            self.chosen_prompts.insert(drawn[group].group.prompt.id);
            let prompt = drawn[group].group.prompt.text.clone();
            let image = |candidate: u32| drawn[group].tokens[candidate as usize].clone();
            let weight = weight * plan.prompts[group].weight;
            match choice {
                Choice::Target { candidate, .. } => targets.push(Target {
                    prompt,
                    tokens: image(candidate),
                    weight,
                }),
                Choice::Pair {
                    chosen, rejected, ..
                } => pairs.push(Pair {
                    prompt,
                    chosen: image(chosen),
                    rejected: image(rejected),
                    weight,
                }),
            }
        }
        Ok(match plan.objective {
            Objective::Dpo => Examples::Pairs(pairs),
            Objective::Sft => Examples::Targets(targets),
        })
    }

    /// What there is to go back to.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, RunError> {
        let weights = generation_path(self.model.parameters())
            .into_iter()
            .map(|(name, var)| Ok((name, var.as_detached_tensor().copy()?)))
            .collect::<Result<_, RunError>>()?;
        Ok(Snapshot {
            weights,
            optimizer: self.trainer.state()?,
        })
    }

    /// Goes back to the round's start: weights and optimizer are as if it had never been.
    pub(crate) fn put_back(&mut self, start: Snapshot) -> Result<(), RunError> {
        self.model.parameters().replace(&start.weights)?;
        Ok(self.trainer.restore(&start.optimizer)?)
    }

    /// **Train** the generation branch.
    pub(crate) fn train(
        &mut self,
        plan: &RoundPlan,
        examples: &Examples,
    ) -> Result<TrainReport, RunError> {
        let began = Instant::now();
        let round = TrainRound {
            seed: self.settings.seed,
            round: self.round,
            epochs: plan.epochs,
            learning_rate_scale: plan.learning_rate_scale,
        };
        let mut begun = false;
        let watcher = &mut *self.watcher;
        let report = self
            .trainer
            .train(self.model, examples, round, &mut |step| {
                if !begun {
                    watcher.begin(Stage::Train, round.round, step.steps as u64);
                    begun = true;
                }
                watcher.advance(1);
            })?;
        self.watcher.done();
        self.cost.steps += report.steps as u64;
        self.cost.tokens += report.tokens;
        self.time("train", began)?;
        Ok(report)
    }

    /// *Gate*: whether the round is kept.
    pub(crate) fn gate(&mut self, after: &Evaluation) -> Result<GateDecision, RunError> {
        let (before, after) = (self.current.metrics(), after.metrics());
        let decision = self.ask(
            Role::QualityGate,
            &self.strategies.quality_gate,
            |strategy, context| strategy.decide(context, &before, &after),
            |decision| Outcome::Gate(decision.clone()),
        )?;
        if let GateDecision::Stop { reason } = &decision {
            self.watcher.event(&Event::Stopped {
                round: self.round,
                role: Role::QualityGate,
                reason,
            });
        }
        Ok(decision)
    }

    /// Adds the round to the memory of its prompts; what it trained on counts if it was kept.
    pub(crate) fn record_histories(
        &mut self,
        drawn: &[DrawnGroup],
        filtered: &[Group],
        kept_round: bool,
    ) {
        for (drawn, kept) in drawn.iter().zip(filtered) {
            let prompt = drawn.group.prompt.id;
            let history = &mut self.histories[prompt as usize];
            history.record(self.round, &drawn.group, kept);
            if kept_round && self.chosen_prompts.contains(&prompt) {
                history.times_trained += 1;
            }
        }
    }
}

fn images(plan: &RoundPlan) -> u64 {
    plan.prompts
        .iter()
        .map(|planned| u64::from(planned.images))
        .sum()
}

/// Ids of the prompts that the plan draws for again.
fn replayed(plan: &RoundPlan) -> impl Iterator<Item = usize> {
    plan.prompts
        .iter()
        .filter(|planned| planned.replayed)
        .map(|planned| planned.prompt as usize)
}
