//! Between the words of the run and those of the contract.

use sc_core::candidate::{Candidate, Group, Verdict};
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::metrics::Metric;
use sc_core::plan::{CurriculumDecision, PlannedPrompt, RoundPlan, Sampling};
use sc_core::prompt::{Prompt, Tag};

use super::bindings::exports::sc::strategy::{
    about, curriculum, data_filter, pair_selection, quality_gate,
};
use super::bindings::sc::strategy::types;
use crate::parameter::{Parameter, Settings, Value};
use crate::role::{CallContext, CurriculumInput};

pub(crate) fn context(context: &CallContext) -> types::Context {
    types::Context {
        seed: context.seed,
        round: context.round,
        rounds: context.rounds,
        state: context.state.clone(),
    }
}

fn prompt(prompt: &Prompt) -> types::Prompt {
    types::Prompt {
        id: prompt.id,
        text: prompt.text.clone(),
        category: prompt.category.clone(),
        tags: prompt
            .tags
            .iter()
            .map(|Tag { key, value }| types::Tag {
                key: key.clone(),
                value: value.clone(),
            })
            .collect(),
    }
}

fn candidate(candidate: &Candidate) -> types::Candidate {
    types::Candidate {
        index: candidate.index,
        p_yes: candidate.p_yes,
        verdict: match candidate.verdict {
            Verdict::Accepted => types::Verdict::Accepted,
            Verdict::Rejected => types::Verdict::Rejected,
            Verdict::Unparsed => types::Verdict::Unparsed,
        },
        answer: (!candidate.answer.is_empty()).then(|| candidate.answer.clone()),
        log_prob: candidate.log_prob,
        image_hash: candidate.image_hash,
    }
}

pub(crate) fn groups(groups: &[Group]) -> Vec<types::Group> {
    groups
        .iter()
        .map(|group| types::Group {
            prompt: prompt(&group.prompt),
            candidates: group.candidates.iter().map(candidate).collect(),
        })
        .collect()
}

pub(crate) fn objective(objective: Objective) -> types::Objective {
    match objective {
        Objective::Dpo => types::Objective::Dpo,
        Objective::Sft => types::Objective::Sft,
    }
}

fn sampling(sampling: Sampling) -> types::Sampling {
    types::Sampling {
        temperature: sampling.temperature,
        guidance: sampling.guidance,
    }
}

pub(crate) fn metrics(metrics: &[Metric]) -> Vec<types::Metric> {
    metrics
        .iter()
        .map(|metric| types::Metric {
            name: metric.name.clone(),
            value: metric.value,
            low: metric.low,
            high: metric.high,
            n: metric.n,
        })
        .collect()
}

pub(crate) fn curriculum_input(input: &CurriculumInput<'_>) -> curriculum::Input {
    curriculum::Input {
        prompts: input.prompts.iter().map(prompt).collect(),
        histories: input
            .prompts
            .iter()
            .zip(input.histories)
            .map(|(prompt, history)| curriculum::PromptHistory {
                prompt: prompt.id,
                attempts: history.attempts,
                accepted: history.accepted,
                mean_p_yes: history.mean_p_yes,
                best_p_yes: history.best_p_yes,
                last_round: history.last_round,
                times_trained: history.times_trained,
            })
            .collect(),
        past: input
            .past
            .iter()
            .map(|round| curriculum::RoundMetrics {
                round: round.round,
                kept: round.kept,
                metrics: metrics(&round.metrics),
            })
            .collect(),
        bounds: curriculum::Bounds {
            max_images: input.bounds.max_images,
            max_epochs: input.bounds.max_epochs,
        },
        defaults: curriculum::Defaults {
            prompts: input.defaults.prompts,
            images_per_prompt: input.defaults.images_per_prompt,
            sampling: sampling(input.defaults.sampling),
            objective: objective(input.defaults.objective),
            epochs: input.defaults.epochs,
        },
    }
}

pub(crate) fn curriculum_decision(decision: curriculum::Decision) -> CurriculumDecision {
    match decision {
        curriculum::Decision::Stop(reason) => CurriculumDecision::Stop(reason),
        curriculum::Decision::Round(plan) => CurriculumDecision::Round(RoundPlan {
            prompts: plan
                .prompts
                .into_iter()
                .map(|planned| PlannedPrompt {
                    prompt: planned.prompt,
                    images: planned.images,
                    weight: planned.weight,
                    replayed: planned.replayed,
                })
                .collect(),
            sampling: Sampling {
                temperature: plan.sampling.temperature,
                guidance: plan.sampling.guidance,
            },
            objective: match plan.objective {
                types::Objective::Dpo => Objective::Dpo,
                types::Objective::Sft => Objective::Sft,
            },
            epochs: plan.epochs,
            learning_rate_scale: plan.learning_rate_scale,
        }),
    }
}

pub(crate) fn filter_decisions(
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

pub(crate) fn choices(choices: Vec<pair_selection::Choice>) -> Vec<Choice> {
    choices
        .into_iter()
        .map(|choice| match choice {
            pair_selection::Choice::Target(target) => Choice::Target {
                group: target.group,
                candidate: target.candidate,
                weight: target.weight,
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

pub(crate) fn gate_decision(decision: quality_gate::Decision) -> GateDecision {
    match decision {
        quality_gate::Decision::Keep(reason) => GateDecision::Keep { reason },
        quality_gate::Decision::RollBack(reason) => GateDecision::RollBack { reason },
        quality_gate::Decision::Stop(reason) => GateDecision::Stop { reason },
    }
}

pub(crate) fn parameter(parameter: about::Parameter) -> Parameter {
    Parameter {
        name: parameter.name,
        help: crate::error::shown(&parameter.help),
        default: match parameter.default {
            types::Value::Boolean(value) => Value::Boolean(value),
            types::Value::Integer(value) => Value::Integer(value),
            types::Value::Number(value) => Value::Number(value),
            types::Value::Text(value) => Value::Text(value),
        },
        minimum: parameter.minimum,
        maximum: parameter.maximum,
    }
}

pub(crate) fn settings(settings: &Settings) -> Vec<about::Setting> {
    settings
        .0
        .iter()
        .map(|(name, value)| about::Setting {
            name: name.clone(),
            value: match value {
                Value::Boolean(value) => types::Value::Boolean(*value),
                Value::Integer(value) => types::Value::Integer(*value),
                Value::Number(value) => types::Value::Number(*value),
                Value::Text(value) => types::Value::Text(value.clone()),
            },
        })
        .collect()
}
