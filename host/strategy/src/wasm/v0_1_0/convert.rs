//! Between the words of the run and those of contract 0.1.0.
//!
//! What goes to a guest is lent: strings and lists stay where they are, and only the records that
//! point at them are made anew, in one list for all groups.

use sc_core::candidate::{Candidate, Group, Verdict};
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::history::PromptHistory;
use sc_core::metrics::{Metric, RoundMetrics};
use sc_core::plan::{CurriculumDecision, Draw, Replay, RoundPlan, Sampling};
use sc_core::prompt::{Prompt, Tag};
use sc_core::role::Role;
use sc_core::validate::InvalidAnswer;

use super::bindings::exports::sc::strategy::{
    about, curriculum, data_filter, pair_selection, quality_gate,
};
use super::bindings::sc::strategy::types;
use crate::error::shown;
use crate::parameter::{Parameter, Settings, Value};
use crate::role::CurriculumInput;
use crate::wasm::contract::{Description, Told};

pub(super) fn role(role: Role) -> types::Role {
    match role {
        Role::Curriculum => types::Role::Curriculum,
        Role::DataFilter => types::Role::DataFilter,
        Role::PairSelection => types::Role::PairSelection,
        Role::QualityGate => types::Role::QualityGate,
    }
}

fn role_from(role: types::Role) -> Role {
    match role {
        types::Role::Curriculum => Role::Curriculum,
        types::Role::DataFilter => Role::DataFilter,
        types::Role::PairSelection => Role::PairSelection,
        types::Role::QualityGate => Role::QualityGate,
    }
}

pub(super) fn verdict(verdict: Verdict) -> types::Verdict {
    match verdict {
        Verdict::Accepted => types::Verdict::Accepted,
        Verdict::Rejected => types::Verdict::Rejected,
        Verdict::Unparsed => types::Verdict::Unparsed,
    }
}

pub(super) fn settings(settings: &Settings) -> Vec<types::Setting<'_>> {
    settings
        .0
        .iter()
        .map(|(name, value)| types::Setting {
            name,
            value: match value {
                Value::Boolean(value) => types::ValueParam::Boolean(*value),
                Value::Integer(value) => types::ValueParam::Integer(*value),
                Value::Number(value) => types::ValueParam::Number(*value),
                Value::Text(value) => types::ValueParam::Text(value),
            },
        })
        .collect()
}

pub(super) fn context<'a>(
    told: &'a Told<'_>,
    settings: &'a [types::Setting<'a>],
) -> types::Context<'a> {
    let context = told.context;
    types::Context {
        seed: context.seed,
        round: context.round,
        rounds: context.rounds,
        epoch: context.epoch,
        settings,
        state: &context.state,
    }
}

fn tag(Tag { key, value }: &Tag) -> types::Tag<'_> {
    types::Tag { key, value }
}

fn prompt<'a>(prompt: &'a Prompt, tags: &'a [types::Tag<'a>]) -> types::Prompt<'a> {
    types::Prompt {
        id: prompt.id,
        text: &prompt.text,
        category: &prompt.category,
        tags,
    }
}

fn history(history: &PromptHistory) -> types::PromptHistory {
    types::PromptHistory {
        attempts: history.attempts,
        accepted: history.accepted,
        mean_p_yes: history.mean_p_yes,
        best_p_yes: history.best_p_yes,
        last_round: history.last_round,
        times_trained: history.times_trained,
    }
}

fn candidate(candidate: &Candidate) -> types::Candidate<'_> {
    types::Candidate {
        index: candidate.index,
        p_yes: candidate.p_yes,
        verdict: verdict(candidate.verdict),
        answer: (!candidate.answer.is_empty()).then_some(candidate.answer.as_str()),
        log_prob: candidate.log_prob,
        image_hash: candidate.image_hash,
    }
}

/// Cuts `items` into pieces of the given lengths.
fn pieces<T>(items: &[T], lengths: impl Iterator<Item = usize>) -> impl Iterator<Item = &[T]> {
    lengths.scan(items, |rest, length| {
        let (piece, others) = rest.split_at(length);
        *rest = others;
        Some(piece)
    })
}

/// The lists that the records of groups point at.
pub(super) struct GroupParts<'a> {
    tags: Vec<types::Tag<'a>>,
    candidates: Vec<types::Candidate<'a>>,
}

impl<'a> GroupParts<'a> {
    pub(super) fn new(groups: &'a [Group]) -> GroupParts<'a> {
        GroupParts {
            tags: groups
                .iter()
                .flat_map(|g| &g.prompt.tags)
                .map(tag)
                .collect(),
            candidates: groups
                .iter()
                .flat_map(|g| &g.candidates)
                .map(candidate)
                .collect(),
        }
    }

    pub(super) fn groups(&'a self, groups: &'a [Group]) -> Vec<types::Group<'a>> {
        let tags = pieces(&self.tags, groups.iter().map(|g| g.prompt.tags.len()));
        let candidates = pieces(&self.candidates, groups.iter().map(|g| g.candidates.len()));
        groups
            .iter()
            .zip(tags.zip(candidates))
            .map(|(group, (tags, candidates))| types::Group {
                prompt: prompt(&group.prompt, tags),
                history: history(&group.history),
                candidates,
            })
            .collect()
    }
}

pub(super) fn objective(objective: Objective) -> types::Objective<'static> {
    types::Objective {
        name: match objective {
            // Under this name it was there when the contract was published.
            Objective::Sigmoid => "dpo",
            other => other.name(),
        },
        takes: objective.takes().name(),
    }
}

fn sampling(sampling: Sampling) -> types::Sampling {
    types::Sampling {
        temperature: sampling.temperature,
        guidance: sampling.guidance,
    }
}

pub(super) fn metrics(metrics: &[Metric]) -> Vec<types::Metric<'_>> {
    metrics
        .iter()
        .map(|metric| types::Metric {
            name: &metric.name,
            value: metric.value,
            low: metric.low,
            high: metric.high,
            n: metric.n,
        })
        .collect()
}

/// The lists that the records of past rounds point at.
pub(super) struct PastParts<'a>(Vec<Vec<types::Metric<'a>>>);

impl<'a> PastParts<'a> {
    pub(super) fn new(past: &'a [RoundMetrics]) -> PastParts<'a> {
        PastParts(past.iter().map(|round| metrics(&round.metrics)).collect())
    }

    pub(super) fn rounds(&'a self, past: &'a [RoundMetrics]) -> Vec<types::RoundMetrics<'a>> {
        past.iter()
            .zip(&self.0)
            .map(|(round, metrics)| types::RoundMetrics {
                round: round.round,
                kept: round.kept,
                metrics,
            })
            .collect()
    }
}

/// The lists that the input of a curriculum points at.
pub(super) struct CurriculumInputParts<'a> {
    tags: Vec<types::Tag<'a>>,
    histories: Vec<types::PromptHistory>,
    past: PastParts<'a>,
}

impl<'a> CurriculumInputParts<'a> {
    pub(super) fn new(input: &CurriculumInput<'a>) -> CurriculumInputParts<'a> {
        CurriculumInputParts {
            tags: input
                .prompts
                .iter()
                .flat_map(|p| &p.tags)
                .map(tag)
                .collect(),
            histories: input.histories.iter().map(history).collect(),
            past: PastParts::new(input.past),
        }
    }

    pub(super) fn prompts(&'a self, input: &CurriculumInput<'a>) -> Vec<types::Prompt<'a>> {
        let tags = pieces(&self.tags, input.prompts.iter().map(|p| p.tags.len()));
        input
            .prompts
            .iter()
            .zip(tags)
            .map(|(one, tags)| prompt(one, tags))
            .collect()
    }

    pub(super) fn past(&'a self, input: &CurriculumInput<'a>) -> Vec<types::RoundMetrics<'a>> {
        self.past.rounds(input.past)
    }

    pub(super) fn input(
        &'a self,
        input: &CurriculumInput<'_>,
        prompts: &'a [types::Prompt<'a>],
        past: &'a [types::RoundMetrics<'a>],
        objectives: &'a [types::Objective<'a>],
    ) -> curriculum::Input<'a> {
        curriculum::Input {
            prompts,
            histories: &self.histories,
            past,
            bounds: curriculum::Bounds {
                max_images: input.bounds.max_images,
                max_epochs: input.bounds.max_epochs,
            },
            defaults: curriculum::Defaults {
                prompts: input.defaults.prompts,
                images_per_prompt: input.defaults.images_per_prompt,
                sampling: sampling(input.defaults.sampling),
                objective: input.defaults.objective.name(),
                epochs: input.defaults.epochs,
            },
            objectives,
        }
    }
}

pub(super) fn curriculum_decision(
    decision: curriculum::Decision,
) -> Result<CurriculumDecision, InvalidAnswer> {
    let plan = match decision {
        curriculum::Decision::Stop(reason) => return Ok(CurriculumDecision::Stop(reason)),
        curriculum::Decision::Round(plan) => plan,
    };
    let objective = Objective::from_name(&plan.objective).ok_or_else(|| InvalidAnswer {
        field: "plan.objective".into(),
        value: format!("`{}`", shown(&plan.objective)),
        expected: format!("one of {}", Objective::ALL.map(Objective::name).join(", ")),
    })?;
    Ok(CurriculumDecision::Round(RoundPlan {
        draws: plan
            .draws
            .into_iter()
            .map(|draw| Draw {
                prompt: draw.prompt,
                images: draw.images,
                weight: draw.weight,
            })
            .collect(),
        replays: plan
            .replays
            .into_iter()
            .map(|replay| Replay {
                prompt: replay.prompt,
                images: replay.images,
                weight: replay.weight,
                epoch: replay.epoch,
            })
            .collect(),
        sampling: Sampling {
            temperature: plan.sampling.temperature,
            guidance: plan.sampling.guidance,
        },
        objective,
        epochs: plan.epochs,
        learning_rate_scale: plan.learning_rate_scale,
    }))
}

pub(super) fn filter_decisions(
    decisions: Vec<Vec<data_filter::Decision>>,
) -> Vec<Vec<FilterDecision>> {
    decisions
        .into_iter()
        .map(|group| {
            group
                .into_iter()
                .map(|decision| match decision {
                    data_filter::Decision::Keep => FilterDecision::Keep,
                    data_filter::Decision::Drop(reason) => FilterDecision::Drop(reason),
                })
                .collect()
        })
        .collect()
}

pub(super) fn choices(choices: Vec<pair_selection::Choice>) -> Vec<Choice> {
    choices
        .into_iter()
        .map(|choice| match choice {
            pair_selection::Choice::Target(target) => Choice::Target {
                group: target.group,
                candidate: target.candidate,
                weight: target.weight,
                desirable: target.desirable,
            },
            pair_selection::Choice::Pair(pair) => Choice::Pair {
                group: pair.group,
                chosen: pair.chosen,
                rejected: pair.rejected,
                weight: pair.weight,
            },
        })
        .collect()
}

pub(super) fn gate_decision(decision: quality_gate::Decision) -> GateDecision {
    match decision {
        quality_gate::Decision::Keep(reason) => GateDecision::Keep { reason },
        quality_gate::Decision::RollBack(reason) => GateDecision::RollBack { reason },
        quality_gate::Decision::Stop(reason) => GateDecision::Stop { reason },
    }
}

pub(super) fn description(description: about::Description) -> Description {
    Description {
        name: description.name,
        version: description.version,
        summary: description.summary,
        authors: description.authors,
        licence: description.licence,
        roles: description.roles.into_iter().map(role_from).collect(),
        services: description.services,
        parameters: description.parameters.into_iter().map(parameter).collect(),
    }
}

fn parameter(parameter: about::Parameter) -> Parameter {
    Parameter {
        name: parameter.name,
        help: parameter.help,
        default: match parameter.default {
            types::ValueResult::Boolean(value) => Value::Boolean(value),
            types::ValueResult::Integer(value) => Value::Integer(value),
            types::ValueResult::Number(value) => Value::Number(value),
            types::ValueResult::Text(value) => Value::Text(value),
        },
        minimum: parameter.minimum,
        maximum: parameter.maximum,
        choices: parameter.choices,
    }
}
