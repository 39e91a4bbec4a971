//! Checks on what strategies return, before any of it is used.
//!
//! A strategy is a stranger's code: its answer may name a prompt that does not exist, give a
//! weight that is not a number, or choose and reject the same image. Each check names the field,
//! the value and what was expected.

use std::collections::{BTreeSet, HashSet};
use std::ops::RangeInclusive;

use thiserror::Error;

use crate::candidate::{Candidate, Group, Verdict};
use crate::choice::{Choice, FilterDecision, Objective, Takes};
use crate::plan::{Draw, PlanBounds, RoundPlan};
use crate::text::{is_blank, is_unseen};

/// Longest reason that a strategy may give, in bytes.
pub const MAX_REASON_BYTES: usize = 200;

/// Lowest temperature beside 0, which is greedy.
pub const LOWEST_TEMPERATURE: f64 = 1e-3;

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

/// Checks a reason.
///
/// # Errors
/// When nothing of it can be seen, when it is longer than [`MAX_REASON_BYTES`], or when it holds a
/// control or format character.
pub fn reason(field: &str, text: &str) -> Result<(), InvalidAnswer> {
    if text.len() > MAX_REASON_BYTES {
        return Err(invalid(
            field,
            format!("{} bytes long", text.len()),
            format!("at most {MAX_REASON_BYTES} bytes"),
        ));
    }
    if is_blank(text) {
        return Err(invalid(field, "empty", "a reason"));
    }
    match text.chars().find(|c| is_unseen(*c)) {
        Some(c) => Err(invalid(
            field,
            format!("`{}`", text.escape_debug()),
            format!(
                "no control or format character such as `{}`",
                c.escape_unicode()
            ),
        )),
        None => Ok(()),
    }
}

/// Checks the weight of an example. A weight is a factor on a loss: far from 1 it can only be a
/// mistake, and a subnormal one would be lost in single precision.
fn weight(field: String, value: f64) -> Result<(), InvalidAnswer> {
    const RANGE: RangeInclusive<f64> = 1e-6..=1e3;
    if RANGE.contains(&value) {
        Ok(())
    } else {
        let expected = format!("a weight from {:e} to {}", RANGE.start(), RANGE.end());
        Err(invalid(field, number(value), expected))
    }
}

/// A number as it reads best: very large and very small ones by their exponent.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_finite() && magnitude != 0.0 && !(1e-6..1e9).contains(&magnitude) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// Checks the plan of a round against the run's bounds.
///
/// # Errors
/// On an unknown or repeated prompt, no images, too many images or epochs, a replay after the last
/// epoch, or a factor, weight, temperature or guidance that is not finite and in range.
pub fn plan(plan: &RoundPlan, bounds: &PlanBounds) -> Result<(), InvalidAnswer> {
    if plan.epochs == 0 || plan.epochs > bounds.max_epochs {
        return Err(invalid(
            "plan.epochs",
            plan.epochs,
            format!("1 to {}", bounds.max_epochs),
        ));
    }
    // What is drawn at the beginning, and so on by epoch.
    let mut seen = BTreeSet::new();
    for (position, draw) in plan.draws.iter().enumerate() {
        let field = |name: &str| format!("plan.draws[{position}].{name}");
        drawn(draw, bounds, field)?;
        if !seen.insert((1, draw.prompt)) {
            return Err(invalid(field("prompt"), draw.prompt, "each prompt once"));
        }
    }
    for (position, replay) in plan.replays.iter().enumerate() {
        let field = |name: &str| format!("plan.replays[{position}].{name}");
        drawn(&replay.draw(), bounds, field)?;
        if replay.epoch == 0 || replay.epoch > plan.epochs {
            return Err(invalid(
                field("epoch"),
                replay.epoch,
                format!("1 to {}, the plan's epochs", plan.epochs),
            ));
        }
        if !seen.insert((replay.epoch, replay.prompt)) {
            return Err(invalid(
                field("prompt"),
                replay.prompt,
                format!("each prompt once at epoch {}", replay.epoch),
            ));
        }
    }
    if !seen.iter().any(|(epoch, _)| *epoch == 1) {
        return Err(invalid(
            "plan.draws",
            "empty",
            "at least one prompt to draw at the beginning, or the decision to stop",
        ));
    }
    let images = plan.images();
    if images > u64::from(bounds.max_images) {
        return Err(invalid(
            "plan",
            format!("{images} images in all"),
            format!("at most {}", bounds.max_images),
        ));
    }
    in_range(
        "plan.learning-rate-scale",
        plan.learning_rate_scale,
        0.001..=100.0,
    )?;
    // Logits are divided by the temperature: what is almost 0 would make them infinite.
    if plan.sampling.temperature != 0.0 {
        in_range(
            "plan.sampling.temperature",
            plan.sampling.temperature,
            LOWEST_TEMPERATURE..=10.0,
        )?;
    }
    in_range(
        "plan.sampling.guidance",
        plan.sampling.guidance,
        0.0..=100.0,
    )
}

fn drawn(
    draw: &Draw,
    bounds: &PlanBounds,
    field: impl Fn(&str) -> String,
) -> Result<(), InvalidAnswer> {
    if draw.prompt >= bounds.prompt_count {
        return Err(invalid(
            field("prompt"),
            draw.prompt,
            format!("a prompt id below {}", bounds.prompt_count),
        ));
    }
    if draw.images == 0 {
        return Err(invalid(field("images"), 0, "at least 1"));
    }
    weight(field("weight"), draw.weight)
}

fn in_range(field: &str, value: f64, range: RangeInclusive<f64>) -> Result<(), InvalidAnswer> {
    if range.contains(&value) {
        Ok(())
    } else {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        Err(invalid(field, number(value), expected))
    }
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
                reason(&field, text)?;
            }
        }
    }
    Ok(())
}

/// Checks a pair selection's choices against the groups that it was given.
///
/// # Errors
/// On a group or candidate that does not exist, an unparsed image to be imitated or preferred, a
/// pair that chooses and rejects the same candidate, a choice made twice, an unfit weight, or a
/// kind of choice that the objective does not take.
pub fn choices(
    choices: &[Choice],
    groups: &[Group],
    objective: Objective,
) -> Result<(), InvalidAnswer> {
    let mut seen = HashSet::with_capacity(choices.len());
    for (position, choice) in choices.iter().enumerate() {
        let field = |name: &str| format!("choices[{position}].{name}");
        let unfit = |kind: &str| {
            let expected = format!("{}, as the objective is {objective}", objective.takes());
            Err(invalid(field(kind), format!("a {kind}"), expected))
        };
        let (key, w) = match *choice {
            Choice::Target { .. } if objective.takes() == Takes::Pairs => return unfit("target"),
            Choice::Pair { .. } if objective.takes() != Takes::Pairs => return unfit("pair"),
            Choice::Target {
                group,
                candidate,
                weight,
                desirable,
            } => {
                with_verdict(groups, group, candidate, ("candidate", &field))?;
                if !desirable && objective.takes() == Takes::Targets {
                    return Err(invalid(
                        field("desirable"),
                        "false",
                        format!("true, as the objective {objective} imitates its targets"),
                    ));
                }
                ((group, candidate, candidate), weight)
            }
            Choice::Pair {
                group,
                chosen,
                rejected,
                weight,
            } => {
                with_verdict(groups, group, chosen, ("chosen", &field))?;
                known(groups, group, rejected, ("rejected", &field))?;
                if chosen == rejected {
                    return Err(invalid(
                        field("rejected"),
                        rejected,
                        format!("another candidate than `chosen`, which is {chosen} too"),
                    ));
                }
                ((group, chosen, rejected), weight)
            }
        };
        weight(field("weight"), w)?;
        // So there are no more choices than pairs of candidates.
        if !seen.insert(key) {
            return Err(invalid(
                format!("choices[{position}]"),
                "the same as one before it",
                "each choice once; a weight makes it count more",
            ));
        }
    }
    Ok(())
}

/// The candidate that a choice names.
fn known<'a>(
    groups: &'a [Group],
    group: u32,
    candidate: u32,
    (name, field): (&str, &dyn Fn(&str) -> String),
) -> Result<&'a Candidate, InvalidAnswer> {
    let Some(found) = groups.get(group as usize) else {
        return Err(invalid(
            field("group"),
            group,
            format!("the position of one of {} groups", groups.len()),
        ));
    };
    let position = found
        .candidates
        .binary_search_by_key(&candidate, |candidate| candidate.index);
    match position {
        Ok(position) => Ok(&found.candidates[position]),
        Err(_) => {
            const SHOWN: usize = 20;
            let indices: Vec<u32> = found
                .candidates
                .iter()
                .map(|c| c.index)
                .take(SHOWN)
                .collect();
            let more = if found.candidates.len() > SHOWN {
                " …"
            } else {
                ""
            };
            Err(invalid(
                field(name),
                candidate,
                format!("the index of a candidate of group {group}: one of {indices:?}{more}"),
            ))
        }
    }
}

/// The candidate that a choice names as good: the model must have said something of it.
fn with_verdict(
    groups: &[Group],
    group: u32,
    candidate: u32,
    (name, field): (&str, &dyn Fn(&str) -> String),
) -> Result<(), InvalidAnswer> {
    if known(groups, group, candidate, (name, field))?.verdict == Verdict::Unparsed {
        return Err(invalid(
            field(name),
            format!("{candidate}, whose answer could not be read"),
            "an image with a verdict",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
