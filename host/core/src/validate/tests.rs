//! What is accepted can be used, and what is not is named.

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
    check(|plan| plan.sampling.temperature = 0.0, "accepted");
    check(
        |plan| plan.sampling.temperature = 5e-324,
        "`plan.sampling.temperature` is 5e-324; expected a number from 0.001 to 10",
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
        check(choices(pairs, &groups, Objective::Sigmoid), expected);
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
        objective in prop::sample::select(Objective::ALL.to_vec()),
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
            && if pair {
                has(rejected) && chosen != rejected
            } else {
                desirable || objective.takes() == Takes::LabelledTargets
            }
            && weight.is_finite() && (1e-6..=1e3).contains(&weight)
            && pair == (objective.takes() == Takes::Pairs);
        match choices(&[choice], &groups, objective) {
            Ok(()) => prop_assert!(usable),
            Err(error) => {
                prop_assert!(!usable);
                prop_assert!(error.field.starts_with("choices[0]."));
            }
        }
    }
}
