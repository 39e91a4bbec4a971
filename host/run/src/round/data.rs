//! What a round trains on: drawing, judging, filtering, selecting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use sc_core::candidate::{Group, Verdict};
use sc_core::choice::{Choice, FilterDecision, Objective, Takes};
use sc_core::plan::Draw;
use sc_core::rng;
use sc_core::role::Role;
use sc_strategy::record::{self, GroupRecord, StageRecord};
use sc_train::{Examples, Pair, Target};

use super::{DrawnStage, Round};
use crate::ask::Place;
use crate::candidates::Drawn;
use crate::error::RunError;
use crate::event::{Event, Stage};
use crate::generation::{DrawnGroup, Order, Studio};
use crate::improve::Run;
use crate::ledger::{ChangeRow, LedgerEntry, Outcome};
use crate::signals;
use crate::supervision::{Change, Control, shuffle};

impl<'a> Run<'a> {
    /// **Generate** and **judge**: the model draws for every prompt whose time has come, and the
    /// judge says what it thinks of each image.
    pub(crate) fn draw_and_judge(&mut self, round: &Round) -> Result<Drawn<'a>, RunError> {
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
        let studio = Studio {
            model: self.model,
            judge: &*self.judge,
            sampling: &round.plan.sampling,
            seed: self.settings.seed,
            purpose: "round-draw",
        };
        let cost = &mut self.cost;
        studio.draw_and_judge(
            &orders,
            &mut |images| self.watcher.advance(images),
            &mut |position, image| {
                cost.images += 1;
                cost.questions += u64::from(image.judgement.questions);
                groups[group_of[position]].push(image);
                Ok(())
            },
        )?;
        self.watcher.done();
        let mut random = self.random("change-verdicts");
        let changes = self
            .settings
            .supervision
            .change_verdicts(&mut groups, &mut random);
        self.record_changes(changes);
        if self.epoch > 1 {
            let candidates = groups.iter().flat_map(|group| &group.group.candidates);
            let accepted = candidates.filter(|candidate| candidate.verdict == Verdict::Accepted);
            self.watcher.event(&Event::DrawnAgain {
                round: self.round,
                pass: self.epoch,
                prompts: groups.len(),
                images: orders.len() as u64,
                accepted: accepted.count() as u64,
            });
        }
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

    /// What is drawn before this pass: replays of prompts of which nothing was accepted so far,
    /// then what is drawn anyway.
    fn due(&mut self, round: &Round) -> Vec<Draw> {
        let accepted = round.accepted_prompts();
        let waits = |prompt: u32| {
            self.histories[prompt as usize].accepted == 0 && !accepted.contains(&prompt)
        };
        let due = round.plan.replays.iter();
        let due = due.filter(|replay| replay.epoch == self.epoch && waits(replay.prompt));
        let mut replays: Vec<Draw> = due.map(|replay| replay.draw()).collect();
        let draws = round.plan.draws.iter().copied();
        let draws: Vec<Draw> = draws.filter(|_| self.epoch == 1).collect();
        if self.settings.supervision.control == Some(Control::ReplayPassed) {
            let taken: BTreeSet<u32> = draws.iter().map(|draw| draw.prompt).collect();
            let prompts = 0..self.histories.len() as u32;
            let mut passed: Vec<u32> = prompts
                .filter(|prompt| !waits(*prompt) && !taken.contains(prompt))
                .collect();
            shuffle(&mut passed, &mut self.random("replay-passed"));
            let wanted = replays.len();
            replays.truncate(passed.len());
            for (replay, prompt) in replays.iter_mut().zip(passed) {
                replay.prompt = prompt;
            }
            self.record_changes(vec![Change::new("replay-passed", replays.len(), wanted)]);
        }
        replays.extend(draws);
        replays
    }

    /// The random sequence of something that happens once before a pass.
    fn random(&self, purpose: &str) -> rand_chacha::ChaCha8Rng {
        let indices = [self.round, self.epoch].map(u64::from);
        rng::stream(self.settings.seed, purpose, &indices)
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

    /// *Select*: images to imitate or to avoid, or pairs, which join the round's examples. Choices
    /// name groups by position and images by index.
    pub(crate) fn select(
        &mut self,
        round: &mut Round,
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
        let mut choices = answer.as_ref().map_or_else(Vec::new, |a| a.answer.clone());
        if let Some(stage) = self.inputs.stages.last_mut() {
            stage.selection = answer;
            stage.replies = drawn.replies();
        }
        let mut random = self.random("change-choices");
        let images: Vec<&Group> = drawn.groups.iter().map(|drawn| &drawn.group).collect();
        let left: Vec<&Group> = filtered.iter().collect();
        let supervision = &self.settings.supervision;
        let changes =
            supervision.change_choices(&mut choices, (&images, &left), objective, &mut random);
        let new = examples(objective, &drawn, &choices);
        // The images of that control are chosen whatever is said of them: there is nothing to audit.
        if supervision.control != Some(Control::RandomAccepts) {
            let mut random = self.random("audit");
            let questions = self.task.questions();
            let audit = signals::audit(self.model, questions, &new, &mut random)?;
            round.audit.add(audit);
        }
        self.record_changes(changes);
        round.examples.extend(new);
        let ids = choices.iter().map(|choice| {
            let (Choice::Target { group, .. } | Choice::Pair { group, .. }) = choice;
            drawn.groups[*group as usize].group.prompt.id
        });
        round.chosen_prompts.extend(ids);
        round.stages.push(DrawnStage {
            drawn: drawn.groups,
            filtered,
        });
        Ok(())
    }

    /// Puts what was changed about the supervision in the ledger.
    fn record_changes(&mut self, changes: Vec<Change>) {
        let (round, epoch) = (self.round, self.epoch);
        let rows = changes.into_iter().map(|change| ChangeRow {
            round,
            epoch,
            change,
        });
        self.ledger.extend(rows.map(LedgerEntry::Change));
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
