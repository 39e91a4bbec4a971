//! The steps of a round, in the order in which [`crate::improve::improve`] takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use candle_core::Tensor;
use sc_core::candidate::{Group, Verdict};
use sc_core::choice::{Choice, FilterDecision, Objective, Takes};
use sc_core::gate::GateDecision;
use sc_core::plan::{CurriculumDecision, Draw, RoundPlan};
use sc_core::role::Role;
use sc_strategy::record::{
    self, AnswerRecord, CurriculumRecord, GateRecord, GroupRecord, StageRecord,
};
use sc_strategy::{CurriculumInput, GateInput};
use sc_train::{
    AdamWState, Examples, Pair, Reference, RoundTraining, Target, TrainRound, generation_path,
};

use crate::ask::Place;
use crate::candidates::Drawn;
use crate::error::RunError;
use crate::evaluation::Evaluation;
use crate::event::{Event, Stage};
use crate::generation::{DrawnGroup, Order, draw_and_judge};
use crate::improve::Run;
use crate::store::{Outcome, ReplayRow};

/// Weights and optimizer at a round's start.
pub(crate) struct Snapshot {
    pub(crate) weights: BTreeMap<String, Tensor>,
    pub(crate) optimizer: AdamWState,
}

/// What a round has drawn, kept and trained on so far.
pub(crate) struct Round<'a> {
    pub(crate) plan: RoundPlan,
    /// By stage: what was drawn, and what the filters left of it.
    stages: Vec<(Drawn<'a>, Vec<Group>)>,
    examples: Examples,
    reference: Reference,
    /// Ids of the prompts that it trains on.
    chosen_prompts: BTreeSet<u32>,
    pub(crate) training: RoundTraining,
}

impl<'a> Round<'a> {
    /// A round in which nothing has been drawn.
    pub(crate) fn new(plan: RoundPlan, round: u32, seed: u64) -> Round<'a> {
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
            plan,
        }
    }

    /// Every group that was drawn, with what the filters left of it.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Group, &Group)> {
        self.stages.iter().flat_map(|(drawn, filtered)| {
            drawn.groups.iter().map(|drawn| &drawn.group).zip(filtered)
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
            CurriculumDecision::Round(plan) => Event::Plan {
                round: self.round,
                prompts: plan.draws.len() + plan.replays.len(),
                images: plan.images(),
                replayed: plan.replays.len(),
            },
        });
        Ok(decision)
    }

    /// **Generate** and **judge**: the model draws for every prompt whose time has come, and judges
    /// each image.
    pub(crate) fn draw_and_judge(&mut self, round: &Round<'a>) -> Result<Drawn<'a>, RunError> {
        let began = Instant::now();
        let draws = self.due(round);
        let mut groups = Vec::with_capacity(draws.len());
        let mut orders = Vec::new();
        let mut group_of = Vec::new();
        for (position, draw) in draws.iter().enumerate() {
            let prompt = &self.task.training_prompts()[draw.prompt as usize];
            let history = self.histories[draw.prompt as usize];
            groups.push(DrawnGroup::new(prompt.clone(), history));
            for image in 0..draw.images {
                group_of.push(position);
                let mut stream = [self.round, draw.prompt, image].map(u64::from).to_vec();
                if self.epoch > 1 {
                    stream.push(self.epoch.into());
                }
                orders.push(Order { prompt, stream });
            }
        }
        self.watcher
            .begin(Stage::Generate, self.round, orders.len() as u64);
        draw_and_judge(
            self.model,
            &orders,
            &round.plan.sampling,
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
        let group = |drawn: &DrawnGroup| GroupRecord {
            prompt: drawn.group.prompt.id,
            candidates: drawn.group.candidates.clone(),
        };
        self.inputs.stages.push(StageRecord {
            epoch: self.epoch,
            objective: round.plan.objective,
            groups: groups.iter().map(group).collect(),
            filters: Vec::new(),
            selection: None,
            replies: Vec::new(),
        });
        let weights = draws.iter().map(|draw| draw.weight).collect();
        Ok(Drawn::new(self.model, groups, weights))
    }

    /// What is drawn before this epoch: replays of prompts of which nothing was accepted so far,
    /// then what is drawn anyway.
    fn due(&self, round: &Round<'a>) -> Vec<Draw> {
        let accepted = round.accepted_prompts();
        let waits = |prompt: u32| {
            self.histories[prompt as usize].accepted == 0 && !accepted.contains(&prompt)
        };
        let replays = round
            .plan
            .replays
            .iter()
            .filter(|replay| replay.epoch == self.epoch && waits(replay.prompt))
            .map(|replay| replay.draw());
        let draws = round.plan.draws.iter().copied();
        let draws = draws.filter(|_| self.epoch == 1);
        replays.chain(draws).collect()
    }

    /// *Filter*: what is fit to be trained on. Each filter decides on what the ones before it left.
    pub(crate) fn filter(&mut self, drawn: &mut Drawn<'a>) -> Result<Vec<Group>, RunError> {
        let mut groups: Vec<Group> = drawn.groups.iter().map(|d| d.group.clone()).collect();
        for link in 0..self.strategies.data_filters.len() {
            let place = Place {
                role: Role::DataFilter,
                link: link as u32,
                slot: |set, link| &mut set.data_filters[link as usize],
            };
            let answer = self.ask(
                &place,
                |strategy, context| strategy.filter(context, &groups, drawn),
                |decisions| told_filter(decisions),
            )?;
            if let Some(answer) = answer {
                record::keep(&mut groups, &answer.answer);
                if let Some(stage) = self.inputs.stages.last_mut() {
                    stage.filters.push(answer);
                }
            }
        }
        Ok(groups)
    }

    /// *Select*: SFT targets or DPO pairs, which join the round's examples. Choices name groups by
    /// position and images by index.
    pub(crate) fn select(
        &mut self,
        round: &mut Round<'a>,
        mut drawn: Drawn<'a>,
        filtered: Vec<Group>,
    ) -> Result<(), RunError> {
        let place = Place {
            role: Role::PairSelection,
            link: 0,
            slot: |set, _| &mut set.pair_selection,
        };
        let objective = round.plan.objective;
        let answer = self.ask(
            &place,
            |strategy, context| strategy.select(context, &filtered, objective, &mut drawn),
            |choices| told_selection(choices),
        )?;
        let choices = answer.as_ref().map_or_else(Vec::new, |a| a.answer.clone());
        if let Some(stage) = self.inputs.stages.last_mut() {
            stage.selection = answer;
            stage.replies = drawn.replies();
        }
        round.examples.extend(examples(objective, &drawn, &choices));
        let ids = choices.iter().map(|choice| {
            let (Choice::Target { group, .. } | Choice::Pair { group, .. }) = choice;
            drawn.groups[*group as usize].group.prompt.id
        });
        round.chosen_prompts.extend(ids);
        round.stages.push((drawn, filtered));
        Ok(())
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

    /// **Train** the generation branch, until `until` of the round's passes are done.
    pub(crate) fn train(
        &mut self,
        round: &mut Round<'a>,
        start: &Snapshot,
        until: u32,
    ) -> Result<(), RunError> {
        let began = Instant::now();
        self.take_reference(round, start)?;
        let before = round.training.report(self.model.image_tokens());
        let mut begun = false;
        let (watcher, number) = (&mut *self.watcher, self.round);
        self.trainer.go_on(
            self.model,
            (&round.examples, &round.reference),
            &mut round.training,
            until,
            &mut |step| {
                if !begun {
                    let left = step.steps - before.steps;
                    watcher.begin(Stage::Train, number, left as u64);
                    begun = true;
                }
                watcher.advance(1);
            },
        )?;
        self.watcher.done();
        let report = round.training.report(self.model.image_tokens());
        self.cost.steps += (report.steps - before.steps) as u64;
        self.cost.tokens += report.tokens - before.tokens;
        self.time("train", began)
    }

    /// What the model of the round's start says of the examples that have joined since the last time.
    fn take_reference(&mut self, round: &mut Round<'a>, start: &Snapshot) -> Result<(), RunError> {
        let objective = round.plan.objective;
        let known = round.reference.len();
        if known == round.examples.len()
            || !self.trainer.loss(self.model, objective).needs_reference()
        {
            return Ok(());
        }
        let new = round.examples.from(known);
        if known == 0 {
            round.reference = self.trainer.reference(self.model, &new, objective)?;
            return Ok(());
        }
        let parameters = self.model.parameters();
        let now = self.snapshot()?;
        parameters.replace(&start.weights)?;
        let reference = self.trainer.reference(self.model, &new, objective);
        parameters.replace(&now.weights)?;
        Ok(round.reference.extend(reference?)?)
    }

    /// *Gate*: whether the round is kept. Of several gates the most cautious decides; without an
    /// answer of any the round is not kept.
    pub(crate) fn gate(&mut self, after: &Evaluation) -> Result<GateDecision, RunError> {
        let (before, after) = (self.current.metrics(), after.metrics());
        let past = self.past.clone();
        let input = GateInput {
            before: &before,
            after: &after,
            past: &past,
        };
        let mut answers: Vec<AnswerRecord<GateDecision>> = Vec::new();
        for link in 0..self.strategies.quality_gates.len() {
            let place = Place {
                role: Role::QualityGate,
                link: link as u32,
                slot: |set, link| &mut set.quality_gates[link as usize],
            };
            let answer = self.ask(
                &place,
                |strategy, context| strategy.decide(context, &input),
                |decision| Outcome::Gate(decision.clone()),
            )?;
            answers.extend(answer);
        }
        let decision = GateDecision::most_cautious(answers.iter().map(|answer| &answer.answer))
            .cloned()
            .unwrap_or(GateDecision::RollBack {
                reason: "no gate answered".into(),
            });
        self.inputs.gate = Some(GateRecord {
            before,
            after,
            answers: answers
                .into_iter()
                .map(|answer| AnswerRecord {
                    answer: (&answer.answer).into(),
                    link: answer.link,
                    strategy: answer.strategy,
                    digest: answer.digest,
                })
                .collect(),
        });
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
    pub(crate) fn record_histories(&mut self, round: &Round<'a>, kept_round: bool) {
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

/// The examples that `choices` make of what was drawn.
fn examples(objective: Objective, drawn: &Drawn<'_>, choices: &[Choice]) -> Examples {
    let prompt = |group: u32| drawn.groups[group as usize].group.prompt.text.clone();
    let image =
        |group: u32, index: u32| drawn.groups[group as usize].tokens[index as usize].clone();
    let scaled = |group: u32, weight: f64| weight * drawn.weights[group as usize];
    let (mut targets, mut pairs) = (Vec::new(), Vec::new());
    for choice in choices {
        match *choice {
            Choice::Target {
                group,
                candidate,
                weight,
                desirable,
            } => targets.push(Target {
                prompt: prompt(group),
                tokens: image(group, candidate),
                weight: scaled(group, weight),
                desirable,
            }),
            Choice::Pair {
                group,
                chosen,
                rejected,
                weight,
            } => pairs.push(Pair {
                prompt: prompt(group),
                chosen: image(group, chosen),
                rejected: image(group, rejected),
                weight: scaled(group, weight),
            }),
        }
    }
    match objective.takes() {
        Takes::Pairs => Examples::Pairs(pairs),
        Takes::Targets | Takes::LabelledTargets => Examples::Targets(targets),
    }
}

fn told_filter(decisions: &[Vec<FilterDecision>]) -> Outcome {
    let mut kept = 0;
    let mut dropped = BTreeMap::new();
    for decision in decisions.iter().flatten() {
        match decision {
            FilterDecision::Keep => kept += 1,
            FilterDecision::Drop(reason) => *dropped.entry(reason.clone()).or_insert(0) += 1,
        }
    }
    Outcome::Filter { kept, dropped }
}

fn told_selection(choices: &[Choice]) -> Outcome {
    let group = |choice: &Choice| match choice {
        Choice::Target { group, .. } | Choice::Pair { group, .. } => *group,
    };
    let groups: BTreeSet<u32> = choices.iter().map(group).collect();
    let is_pair = |choice: &&Choice| matches!(choice, Choice::Pair { .. });
    let pairs = choices.iter().filter(is_pair).count();
    Outcome::Selection {
        targets: choices.len() - pairs,
        pairs,
        prompts: groups.len(),
    }
}
