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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::candidate::{Candidate, Verdict};
    use crate::plan::{PlannedPrompt, Sampling};
    use crate::prompt::Prompt;

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
                candidates: indices
                    .iter()
                    .map(|&index| Candidate {
                        index,
                        p_yes: 0.5,
                        verdict: Verdict::Unparsed,
                        answer: String::new(),
                        log_prob: -1.0,
                        image_hash: 0,
                    })
                    .collect(),
            })
            .collect()
    }

    fn a_plan() -> RoundPlan {
        RoundPlan {
            prompts: vec![
                PlannedPrompt {
                    prompt: 3,
                    images: 2,
                    weight: 1.0,
                    replayed: false,
                };
                1
            ],
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
        check(
            |plan| plan.prompts[0].prompt = 5,
            "`plan.prompts[0].prompt` is 5; expected a prompt id below 5",
        );
        check(
            |plan| plan.prompts.push(plan.prompts[0]),
            "`plan.prompts[1].prompt` is 3; expected each prompt once",
        );
        check(
            |plan| plan.prompts[0].images = 9,
            "`plan.prompts` is 9 images in all; expected at most 8",
        );
        check(
            |plan| plan.prompts[0].weight = f64::INFINITY,
            "`plan.prompts[0].weight` is inf; expected a finite weight above 0 and at most 1000",
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
            pair in any::<bool>(),
            objective in prop_oneof![Just(Objective::Dpo), Just(Objective::Sft)],
        ) {
            let groups = groups(&[&[0, 2, 5], &[1], &[]]);
            let choice = if pair {
                Choice::Pair { group, chosen, rejected, weight }
            } else {
                Choice::Target { group, candidate: chosen, weight }
            };
            let has = |index: u32| groups
                .get(group as usize)
                .is_some_and(|g| g.candidates.iter().any(|c| c.index == index));
            let usable = has(chosen)
                && (!pair || (has(rejected) && chosen != rejected))
                && weight.is_finite() && weight > 0.0 && weight <= 1e3
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
