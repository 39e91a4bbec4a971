//! Checks on what strategies return, before any of it is used.
//!
//! A strategy is a stranger's code: its answer may name a prompt that does not exist, give a
//! weight that is not a number, or choose and reject the same image. Each check names the field,
//! the value and what was expected.

use std::collections::{BTreeSet, HashSet};
use std::ops::RangeInclusive;

use thiserror::Error;

use crate::candidate::{Candidate, Group, Verdict};
use crate::choice::{Choice, FilterDecision, Objective};
use crate::plan::{Draw, PlanBounds, RoundPlan};
use crate::text::{is_blank, is_unseen};

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
    in_range(
        "plan.sampling.temperature",
        plan.sampling.temperature,
        0.0..=10.0,
    )?;
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
            Choice::Target { .. } if objective.takes() != "targets" => return unfit("target"),
            Choice::Pair { .. } if objective.takes() != "pairs" => return unfit("pair"),
            Choice::Target {
                group,
                candidate,
                weight,
                desirable,
            } => {
                with_verdict(groups, group, candidate, ("candidate", &field))?;
                if !desirable {
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::PromptHistory;
    use crate::plan::{Replay, Sampling};
    use crate::prompt::Prompt;

    /// The index of the candidates whose answer could not be read.
    const UNPARSED: u32 = 5;

    /// Groups whose candidates have the given indices.
    fn groups(indices: &[&[u32]]) -> Vec<Group> {
        indices
            .iter()
            .zip(0..)
            .map(|(indices, id)| Group {
                prompt: Prompt {
                    id,
                    text: "a ring".into(),
                    category: String::new(),
                    tags: Vec::new(),
                },
                history: PromptHistory::default(),
                candidates: indices
                    .iter()
                    .map(|&index| Candidate {
                        index,
                        p_yes: 0.5,
                        verdict: if index == UNPARSED {
                            Verdict::Unparsed
                        } else {
                            Verdict::Accepted
                        },
                        answer: String::new(),
                        log_prob: -1.0,
                        image_hash: 0,
                    })
                    .collect(),
            })
            .collect()
    }

    const DRAW: Draw = Draw {
        prompt: 3,
        images: 2,
        weight: 1.0,
    };

    fn a_plan() -> RoundPlan {
        let replay = |prompt, epoch| Replay {
            prompt,
            images: DRAW.images,
            weight: DRAW.weight,
            epoch,
        };
        RoundPlan {
            draws: vec![DRAW],
            replays: vec![replay(1, 1), replay(1, 2)],
            sampling: Sampling::default(),
            objective: Objective::Sft,
            epochs: 2,
            learning_rate_scale: 1.0,
        }
    }

    const BOUNDS: PlanBounds = PlanBounds {
        prompt_count: 5,
        max_images: 8,
        max_epochs: 4,
    };

    #[track_caller]
    fn check<T>(answer: Result<T, InvalidAnswer>, expected: &str) {
        let found = answer
            .map(|_| "accepted".to_owned())
            .unwrap_or_else(|e| e.to_string());
        assert_eq!(found, expected);
    }

    #[test]
    fn reasons() {
        check(reason("stop", "enough – 火"), "accepted");
        for blank in ["", " \t", "\u{200b}\u{feff}"] {
            check(reason("stop", blank), "`stop` is empty; expected a reason");
        }
        check(
            reason("stop", &"é".repeat(101)),
            "`stop` is 202 bytes long; expected at most 200 bytes",
        );
        check(
            reason("stop", "red\u{1b}[31m"),
            "`stop` is `red\\u{1b}[31m`; expected no control or format character such as `\\u{1b}`",
        );
        check(
            reason("stop", "a\u{202e}b"),
            "`stop` is `a\\u{202e}b`; expected no control or format character such as `\\u{202e}`",
        );
    }

    #[test]
    fn plans() {
        let check = |change: fn(&mut RoundPlan), expected: &str| {
            let mut changed = a_plan();
            change(&mut changed);
            check(plan(&changed, &BOUNDS), expected);
        };
        check(|_| (), "accepted");
        check(|plan| plan.draws.clear(), "accepted");
        check(
            |plan| {
                plan.draws.clear();
                plan.replays.remove(0);
            },
            "`plan.draws` is empty; expected at least one prompt to draw at the beginning, or the \
             decision to stop",
        );
        check(
            |plan| plan.draws[0].prompt = 5,
            "`plan.draws[0].prompt` is 5; expected a prompt id below 5",
        );
        check(
            |plan| plan.draws.push(DRAW),
            "`plan.draws[1].prompt` is 3; expected each prompt once",
        );
        check(
            |plan| plan.replays[0].prompt = 3,
            "`plan.replays[0].prompt` is 3; expected each prompt once at epoch 1",
        );
        check(
            |plan| plan.replays[0].epoch = 2,
            "`plan.replays[1].prompt` is 1; expected each prompt once at epoch 2",
        );
        for epoch in [0, 3] {
            let mut changed = a_plan();
            changed.replays[1].epoch = epoch;
            tests::check(
                plan(&changed, &BOUNDS),
                &format!("`plan.replays[1].epoch` is {epoch}; expected 1 to 2, the plan's epochs"),
            );
        }
        check(
            |plan| plan.draws[0].images = 5,
            "`plan` is 9 images in all; expected at most 8",
        );
        check(
            |plan| plan.draws[0].weight = f64::INFINITY,
            "`plan.draws[0].weight` is inf; expected a weight from 1e-6 to 1000",
        );
        check(
            |plan| plan.draws[0].weight = 5e-324,
            "`plan.draws[0].weight` is 5e-324; expected a weight from 1e-6 to 1000",
        );
        check(
            |plan| plan.draws[0].weight = -0.0,
            "`plan.draws[0].weight` is -0; expected a weight from 1e-6 to 1000",
        );
        check(
            |plan| plan.learning_rate_scale = f64::NAN,
            "`plan.learning-rate-scale` is NaN; expected a number from 0.001 to 100",
        );
        check(
            |plan| plan.epochs = 5,
            "`plan.epochs` is 5; expected 1 to 4",
        );
    }

    #[test]
    fn decisions_have_the_shape_of_the_groups() {
        let groups = groups(&[&[0, 1], &[0]]);
        let keep = || FilterDecision::Keep;
        check(
            decisions(&[vec![keep(), keep()], vec![keep()]], &groups),
            "accepted",
        );
        check(
            decisions(&[vec![keep(), keep()]], &groups),
            "`decisions` is 1 groups long; expected 2 groups, as given",
        );
        check(
            decisions(&[vec![keep()], vec![keep()]], &groups),
            "`decisions[0]` is 1 decisions long; expected 2 decisions, one a candidate",
        );
        check(
            decisions(
                &[vec![keep(), FilterDecision::Drop(" ".into())], vec![keep()]],
                &groups,
            ),
            "`decisions[0][1].drop` is empty; expected a reason",
        );
    }

    #[test]
    fn a_choice_is_made_once() {
        let groups = groups(&[&[0, 1]]);
        let pair = |chosen, rejected| Choice::Pair {
            group: 0,
            chosen,
            rejected,
            weight: 1.0,
        };
        let check = |pairs: &[Choice], expected| {
            check(choices(pairs, &groups, Objective::Dpo), expected);
        };
        check(&[pair(0, 1), pair(1, 0)], "accepted");
        check(
            &[pair(0, 1), pair(0, 1)],
            "`choices[1]` is the same as one before it; expected each choice once; a weight makes it \
             count more",
        );
    }

    proptest! {
        /// Whatever is chosen: what passes can be looked up and used, and what fails is named.
        #[test]
        fn accepted_choices_can_be_used(
            group in 0_u32..4,
            chosen in 0_u32..6,
            rejected in 0_u32..6,
            weight in prop_oneof![
                any::<f64>(),
                Just(0.0),
                Just(f64::NAN),
                0.1..2.0_f64,
            ],
            desirable in any::<bool>(),
            pair in any::<bool>(),
            objective in prop_oneof![Just(Objective::Dpo), Just(Objective::Sft)],
        ) {
            let groups = groups(&[&[0, 2, UNPARSED], &[1], &[]]);
            let choice = if pair {
                Choice::Pair { group, chosen, rejected, weight }
            } else {
                Choice::Target { group, candidate: chosen, weight, desirable }
            };
            let has = |index: u32| groups
                .get(group as usize)
                .is_some_and(|g| g.candidates.iter().any(|c| c.index == index));
            let usable = has(chosen) && chosen != UNPARSED
                && (if pair { has(rejected) && chosen != rejected } else { desirable })
                && weight.is_finite() && (1e-6..=1e3).contains(&weight)
                && pair == (objective == Objective::Dpo);
            match choices(&[choice], &groups, objective) {
                Ok(()) => prop_assert!(usable),
                Err(error) => {
                    prop_assert!(!usable);
                    prop_assert!(error.field.starts_with("choices[0]."));
                }
            }
        }
    }
}
