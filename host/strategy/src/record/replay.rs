//! Another strategy, asked what the recorded one was asked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sc_core::candidate::Group;
use sc_core::choice::{Choice, FilterDecision};
use sc_core::gate::GateDecision;
use sc_core::metrics::RoundMetrics;
use sc_core::role::Role;
use thiserror::Error;

use super::difference::{
    Example, Replay, gate_kind, plan_kind, told_choices, told_filter, told_gate, told_plan,
};
use super::{
    CurriculumRecord, GateRecord, RecordError, RoundInputs, RunInputs, StageRecord, decode, keep,
    round_files, run_file,
};
use crate::error::CallError;
use crate::role::{CallContext, CurriculumInput, GateInput, Reply};
use crate::services::{CandidateServices, Image, ModelReply, Question};
use crate::set::StrategySet;

/// Why a replay cannot go on.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A file of the record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file of the record does not fit the others.
    #[error("`{path}` does not belong to its run: {problem}")]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// The new strategy failed.
    #[error(transparent)]
    Strategy(#[from] CallError),
}

impl ReplayError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ReplayError::Record(RecordError::Unreadable { .. }) => Some(
                "name a run directory of `sc-host run`, which records its inputs in inputs/".into(),
            ),
            ReplayError::Record(RecordError::Malformed { .. })
            | ReplayError::Inconsistent { .. } => {
                Some("the file is damaged, or of another version of the program".into())
            }
            ReplayError::Strategy(error) => error.hint(),
        }
    }
}

/// Asks the strategies of `set` in `roles` what the strategies of the run in the directory `run`
/// were asked, each with what was recorded: a pair selection is given what the run's filters left,
/// whatever the filters of `set` would leave. `progress` is told of every round.
///
/// # Errors
/// When the record cannot be read, or a strategy fails on it.
pub fn replay(
    run: &Path,
    set: &StrategySet,
    roles: &[Role],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Replay, ReplayError> {
    let inputs: RunInputs = decode(&run.join(run_file()))?;
    let files = round_files(run)?;
    let mut replayer = Replayer {
        set,
        roles,
        inputs: &inputs,
        rounds: 0,
        states: HashMap::new(),
        past: Vec::new(),
        outcome: Replay::default(),
    };
    for (done, file) in files.iter().enumerate() {
        let round: RoundInputs = decode(file)?;
        replayer.round(round, file)?;
        progress(done as u64 + 1, files.len() as u64);
    }
    let mut outcome = replayer.outcome;
    for role in outcome.roles.values() {
        outcome.agreement.decisions += role.agreement.decisions;
        outcome.agreement.changed += role.agreement.changed;
    }
    Ok(outcome)
}

struct Replayer<'a> {
    set: &'a StrategySet,
    roles: &'a [Role],
    inputs: &'a RunInputs,
    /// How many rounds the run was to have, as of the round that is replayed.
    rounds: u32,
    states: HashMap<(Role, u32), Vec<u8>>,
    past: Vec<RoundMetrics>,
    outcome: Replay,
}

impl Replayer<'_> {
    fn wants(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    fn round(&mut self, round: RoundInputs, file: &Path) -> Result<(), ReplayError> {
        self.outcome.rounds += 1;
        self.rounds = round.rounds;
        self.past.extend(round.last.clone());
        let unknown_prompt = || ReplayError::Inconsistent {
            path: file.to_owned(),
            problem: "it names a prompt that the run does not have".into(),
        };
        let histories = match &round.curriculum {
            Some(record) if record.histories.len() == self.inputs.prompts.len() => {
                record.histories.as_slice()
            }
            Some(record) => {
                return Err(ReplayError::Inconsistent {
                    path: file.to_owned(),
                    problem: format!(
                        "it has the past of {} prompts, the run has {}",
                        record.histories.len(),
                        self.inputs.prompts.len()
                    ),
                });
            }
            None => &[],
        };
        if let Some(record) = &round.curriculum
            && self.wants(Role::Curriculum)
        {
            self.curriculum(round.round, record)?;
        }
        for stage in &round.stages {
            let drawn = stage
                .drawn(&self.inputs.prompts, histories)
                .ok_or_else(unknown_prompt)?;
            self.stage(round.round, stage, drawn, file)?;
        }
        if let Some(record) = &round.gate
            && self.wants(Role::QualityGate)
        {
            self.gates(round.round, record)?;
        }
        Ok(())
    }

    fn context(&self, role: Role, link: u32, round: u32, epoch: u32) -> CallContext {
        CallContext {
            seed: self.inputs.seed,
            round,
            rounds: self.rounds,
            epoch,
            link,
            state: self.states.get(&(role, link)).cloned().unwrap_or_default(),
        }
    }

    fn keep_state<T>(&mut self, role: Role, link: u32, reply: Reply<T>) -> T {
        self.states.insert((role, link), reply.state);
        reply.answer
    }

    fn curriculum(&mut self, round: u32, record: &CurriculumRecord) -> Result<(), ReplayError> {
        let role = Role::Curriculum;
        let input = CurriculumInput {
            prompts: &self.inputs.prompts,
            histories: &record.histories,
            past: &self.past,
            bounds: record.bounds,
            defaults: record.defaults,
        };
        let context = self.context(role, 0, round, 1);
        let strategy = &self.set.curriculum.current.strategy;
        let reply = strategy.plan(&context, &input)?;
        let now = self.keep_state(role, 0, reply);
        let before = &record.answer.answer;
        let difference = Example {
            round,
            prompt: None,
            about: None,
            before: told_plan(before),
            now: told_plan(&now),
        };
        self.outcome.roles.entry(role).or_default().count(
            *before == now,
            (plan_kind(before).into(), plan_kind(&now).into()),
            || difference,
        );
        Ok(())
    }

    fn stage(
        &mut self,
        round: u32,
        stage: &StageRecord,
        drawn: Vec<Group>,
        file: &Path,
    ) -> Result<(), ReplayError> {
        self.outcome.candidates += drawn
            .iter()
            .map(|group| group.candidates.len() as u64)
            .sum::<u64>();
        let mut recorded = RecordedReplies::new(stage);
        if self.wants(Role::DataFilter) {
            let now = self.filtered(round, stage.epoch, &drawn, &mut recorded)?;
            let before = Verdicts::of(&drawn, stage.filters.iter().map(|link| &link.answer))
                .ok_or_else(|| ReplayError::Inconsistent {
                    path: file.to_owned(),
                    problem: "its filters decided on other candidates than it holds".into(),
                })?;
            self.compare_filters(round, &drawn, &before, &now);
        }
        if let Some(selection) = &stage.selection
            && self.wants(Role::PairSelection)
        {
            let mut left = drawn;
            for link in &stage.filters {
                keep(&mut left, &link.answer);
            }
            let role = Role::PairSelection;
            let context = self.context(role, 0, round, stage.epoch);
            let strategy = &self.set.pair_selection.current.strategy;
            let reply = strategy.select(&context, &left, stage.objective, &mut recorded)?;
            let now = self.keep_state(role, 0, reply);
            self.compare_selections(round, &left, &selection.answer, &now);
        }
        Ok(())
    }

    /// What the chain of filters decides on each candidate.
    fn filtered(
        &mut self,
        round: u32,
        epoch: u32,
        drawn: &[Group],
        services: &mut dyn CandidateServices,
    ) -> Result<Verdicts, ReplayError> {
        let role = Role::DataFilter;
        let mut left = drawn.to_vec();
        let mut answers = Vec::new();
        for (slot, link) in self.set.data_filters.iter().zip(0..) {
            let context = self.context(role, link, round, epoch);
            let reply = slot.current.strategy.filter(&context, &left, services)?;
            let answer = self.keep_state(role, link, reply);
            keep(&mut left, &answer);
            answers.push(answer);
        }
        // Every answer has passed the check of its shape.
        Ok(Verdicts::of(drawn, answers.iter()).unwrap_or_default())
    }

    fn compare_filters(&mut self, round: u32, drawn: &[Group], before: &Verdicts, now: &Verdicts) {
        let role = self.outcome.roles.entry(Role::DataFilter).or_default();
        let verdicts = before.0.iter().zip(&now.0);
        for (group, (before, now)) in drawn.iter().zip(verdicts) {
            for (candidate, (before, now)) in group.candidates.iter().zip(before.iter().zip(now)) {
                let same = before == now;
                role.of_category(&group.prompt, same);
                role.count(same, (told_filter(before), told_filter(now)), || Example {
                    round,
                    prompt: Some(group.prompt.text.clone()),
                    about: Some(format!("candidate {}", candidate.index)),
                    before: told_filter(before),
                    now: told_filter(now),
                });
            }
        }
    }

    fn compare_selections(
        &mut self,
        round: u32,
        groups: &[Group],
        before: &[Choice],
        now: &[Choice],
    ) {
        let by_group = |choices: &[Choice]| {
            let mut of_groups: Vec<Vec<Choice>> = vec![Vec::new(); groups.len()];
            for choice in choices {
                let (Choice::Target { group, .. } | Choice::Pair { group, .. }) = choice;
                if let Some(of_group) = of_groups.get_mut(*group as usize) {
                    of_group.push(*choice);
                }
            }
            of_groups
        };
        let role = self.outcome.roles.entry(Role::PairSelection).or_default();
        let both = by_group(before).into_iter().zip(by_group(now));
        for (group, (before, now)) in groups.iter().zip(both) {
            let same = before == now;
            role.of_category(&group.prompt, same);
            let kinds = (
                format!("{} chosen", before.len()),
                format!("{} chosen", now.len()),
            );
            role.count(same, kinds, || Example {
                round,
                prompt: Some(group.prompt.text.clone()),
                about: None,
                before: told_choices(&before),
                now: told_choices(&now),
            });
        }
    }

    fn gates(&mut self, round: u32, record: &GateRecord) -> Result<(), ReplayError> {
        let role = Role::QualityGate;
        let input = GateInput {
            before: &record.before,
            after: &record.after,
            past: &self.past,
        };
        let mut answers = Vec::new();
        for (slot, link) in self.set.quality_gates.iter().zip(0..) {
            let context = self.context(role, link, round, 1);
            let reply = slot.current.strategy.decide(&context, &input)?;
            self.states.insert((role, link), reply.state);
            answers.push(reply.answer);
        }
        let recorded: Vec<GateDecision> = record
            .answers
            .iter()
            .map(|record| record.answer.clone().into())
            .collect();
        let before = GateDecision::most_cautious(recorded.iter());
        let now = GateDecision::most_cautious(answers.iter());
        if let (Some(before), Some(now)) = (before, now) {
            let difference = Example {
                round,
                prompt: None,
                about: None,
                before: told_gate(before),
                now: told_gate(now),
            };
            let kinds = (gate_kind(before).to_owned(), gate_kind(now).to_owned());
            let of_role = self.outcome.roles.entry(role).or_default();
            of_role.count(before == now, kinds, || difference);
        }
        Ok(())
    }
}

/// What a chain of filters decided on each candidate that was drawn.
#[derive(Default)]
struct Verdicts(Vec<Vec<FilterDecision>>);

impl Verdicts {
    /// Follows the chain: each link decides on what the ones before it kept. `None` when the answers
    /// do not have that shape.
    fn of<'a>(
        drawn: &[Group],
        links: impl Iterator<Item = &'a Vec<Vec<FilterDecision>>>,
    ) -> Option<Verdicts> {
        let mut all: Vec<Vec<FilterDecision>> = drawn
            .iter()
            .map(|group| vec![FilterDecision::Keep; group.candidates.len()])
            .collect();
        for answer in links {
            if answer.len() != all.len() {
                return None;
            }
            for (decided, row) in all.iter_mut().zip(answer) {
                let mut row = row.iter();
                for decision in decided.iter_mut() {
                    if *decision == FilterDecision::Keep {
                        decision.clone_from(row.next()?);
                    }
                }
                if row.next().is_some() {
                    return None;
                }
            }
        }
        Some(Verdicts(all))
    }
}

/// The model as far as it was asked in the run.
struct RecordedReplies<'a>(HashMap<&'a Question, &'a ModelReply>);

impl<'a> RecordedReplies<'a> {
    fn new(stage: &'a StageRecord) -> RecordedReplies<'a> {
        let replies = stage.replies.iter();
        RecordedReplies(replies.map(|(question, reply)| (question, reply)).collect())
    }
}

impl CandidateServices for RecordedReplies<'_> {
    fn pixels(&mut self, _: u32, _: u32) -> Result<Image, String> {
        Err("a replay has no images".into())
    }

    fn tokens(&mut self, _: u32, _: u32) -> Result<Vec<u32>, String> {
        Err("a replay has no images".into())
    }

    fn ask(&mut self, questions: &[Question]) -> Result<Vec<ModelReply>, String> {
        questions
            .iter()
            .map(|question| {
                self.0
                    .get(question)
                    .map(|reply| (*reply).clone())
                    .ok_or_else(|| {
                        let text = crate::error::shown(&question.text);
                        format!("a replay has no model, and the run did not ask: {text}")
                    })
            })
            .collect()
    }
}
