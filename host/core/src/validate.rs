//! Checks on what strategies return, before any of it is used.
//!
//! A strategy is a stranger's code: its answer may name a prompt that does not exist, give a
//! weight that is not a number, or choose and reject the same image. Each check names the field,
//! the value and what was expected.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::candidate::Group;
use crate::choice::{Choice, FilterDecision, Objective};
use crate::plan::{PlanBounds, RoundPlan};

/// Longest reason that a strategy may give, in bytes.
pub const MAX_REASON_BYTES: usize = 200;

/// An answer that breaks the contract.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{field}` is {value}; expected {expected}")]
pub struct InvalidAnswer {
    /// The field, with its position, such as `choices[3].weight`.
    pub field: String,
    /// The value found.
    pub value: String,
    /// What the contract asks for.
    pub expected: String,
}

fn invalid(
    field: impl Into<String>,
    value: impl ToString,
    expected: impl Into<String>,
) -> InvalidAnswer {
    InvalidAnswer {
        field: field.into(),
        value: value.to_string(),
        expected: expected.into(),
    }
}

/// Checks a reason, message or other short text of a strategy.
///
/// # Errors
/// When it is longer than [`MAX_REASON_BYTES`] or holds a control character.
pub fn reason(field: &str, text: &str) -> Result<(), InvalidAnswer> {
    if text.len() > MAX_REASON_BYTES {
        return Err(invalid(
            field,
            format!("{} bytes long", text.len()),
            format!("at most {MAX_REASON_BYTES} bytes"),
        ));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(invalid(
            field,
            format!("{text:?}"),
            format!("no control character such as {c:?}"),
        )),
        None => Ok(()),
    }
}

fn weight(field: String, value: f64) -> Result<(), InvalidAnswer> {
    if value.is_finite() && value > 0.0 && value <= 1e3 {
        Ok(())
    } else {
        Err(invalid(
            field,
            value,
            "a finite weight above 0 and at most 1000",
        ))
    }
}

/// Checks the plan of a round against the run's bounds.
///
/// # Errors
/// On an unknown or repeated prompt, no images, too many images or epochs, or a factor, weight,
/// temperature or guidance that is not finite and in range.
pub fn plan(plan: &RoundPlan, bounds: &PlanBounds) -> Result<(), InvalidAnswer> {
    if plan.prompts.is_empty() {
        return Err(invalid(
            "plan.prompts",
            "empty",
            "at least one prompt, or the decision to stop",
        ));
    }
    let mut seen = BTreeSet::new();
    let mut images = 0_u64;
    for (position, planned) in plan.prompts.iter().enumerate() {
        let field = |name: &str| format!("plan.prompts[{position}].{name}");
        if planned.prompt >= bounds.prompt_count {
            return Err(invalid(
                field("prompt"),
                planned.prompt,
                format!("a prompt id below {}", bounds.prompt_count),
            ));
        }
        if !seen.insert(planned.prompt) {
            return Err(invalid(field("prompt"), planned.prompt, "each prompt once"));
        }
        if planned.images == 0 {
            return Err(invalid(field("images"), 0, "at least 1"));
        }
        weight(field("weight"), planned.weight)?;
        images += u64::from(planned.images);
    }
    if images > u64::from(bounds.max_images) {
        return Err(invalid(
            "plan.prompts",
            format!("{images} images in all"),
            format!("at most {}", bounds.max_images),
        ));
    }
    if plan.epochs == 0 || plan.epochs > bounds.max_epochs {
        return Err(invalid(
            "plan.epochs",
            plan.epochs,
            format!("1 to {}", bounds.max_epochs),
        ));
    }
    let in_range = |field: &str, value: f64, low: f64, high: f64| {
        if value.is_finite() && (low..=high).contains(&value) {
            Ok(())
        } else {
            Err(invalid(
                field,
                value,
                format!("a number from {low} to {high}"),
            ))
        }
    };
    in_range(
        "plan.learning-rate-scale",
        plan.learning_rate_scale,
        0.001,
        100.0,
    )?;
    in_range(
        "plan.sampling.temperature",
        plan.sampling.temperature,
        0.0,
        10.0,
    )?;
    in_range("plan.sampling.guidance", plan.sampling.guidance, 0.0, 100.0)
}

/// Checks a filter's decisions: one for each candidate of each group, reasons short.
///
/// # Errors
/// When the shape differs from that of `groups`, or a reason is empty or unfit.
pub fn decisions(decisions: &[Vec<FilterDecision>], groups: &[Group]) -> Result<(), InvalidAnswer> {
    if decisions.len() != groups.len() {
        return Err(invalid(
            "decisions",
            format!("{} groups long", decisions.len()),
            format!("{} groups, as given", groups.len()),
        ));
    }
    for (position, (row, group)) in decisions.iter().zip(groups).enumerate() {
        if row.len() != group.candidates.len() {
            return Err(invalid(
                format!("decisions[{position}]"),
                format!("{} decisions long", row.len()),
                format!("{} decisions, one a candidate", group.candidates.len()),
            ));
        }
        for (candidate, decision) in row.iter().enumerate() {
            if let FilterDecision::Drop(text) = decision {
                let field = format!("decisions[{position}][{candidate}].drop");
                if text.trim().is_empty() {
                    return Err(invalid(field, "empty", "a reason"));
                }
                reason(&field, text)?;
            }
        }
    }
    Ok(())
}

/// Checks a pair selection's choices against the groups that it was given.
///
/// # Errors
/// On a group or candidate that does not exist, a pair that chooses and rejects the same
/// candidate, an unfit weight, a target under DPO or a pair under SFT, or more choices than
/// there are pairs of candidates.
pub fn choices(
    choices: &[Choice],
    groups: &[Group],
    objective: Objective,
) -> Result<(), InvalidAnswer> {
    let limit: usize = groups.iter().map(|g| g.candidates.len().pow(2)).sum();
    if choices.len() > limit {
        return Err(invalid(
            "choices",
            format!("{} long", choices.len()),
            format!("at most {limit}, a choice for each pair of candidates"),
        ));
    }
    for (position, choice) in choices.iter().enumerate() {
        let field = |name: &str| format!("choices[{position}].{name}");
        let known = |name: &str, group: u32, candidate: u32| {
            let Some(found) = groups.get(group as usize) else {
                return Err(invalid(
                    field("group"),
                    group,
                    format!("the position of one of {} groups", groups.len()),
                ));
            };
            if found.candidates.iter().any(|c| c.index == candidate) {
                Ok(())
            } else {
                let indices: Vec<u32> = found.candidates.iter().map(|c| c.index).collect();
                Err(invalid(
                    field(name),
                    candidate,
                    format!("the index of a candidate of group {group}: one of {indices:?}"),
                ))
            }
        };
        match *choice {
            Choice::Target {
                group,
                candidate,
                weight: w,
            } => {
                if objective == Objective::Dpo {
                    return Err(invalid(
                        field("target"),
                        "a target",
                        "a pair, as the objective is dpo",
                    ));
                }
                known("candidate", group, candidate)?;
                weight(field("weight"), w)?;
            }
            Choice::Pair {
                group,
                chosen,
                rejected,
                weight: w,
            } => {
                if objective == Objective::Sft {
                    return Err(invalid(
                        field("pair"),
                        "a pair",
                        "a target, as the objective is sft",
                    ));
                }
                known("chosen", group, chosen)?;
                known("rejected", group, rejected)?;
                if chosen == rejected {
                    return Err(invalid(
                        field("rejected"),
                        rejected,
                        format!("another candidate than `chosen`, which is {chosen} too"),
                    ));
                }
                weight(field("weight"), w)?;
            }
        }
    }
    Ok(())
}
