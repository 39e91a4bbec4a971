//! A pair selection that makes the closest contest of each prompt: the accepted image that the model
//! is least sure of against the rejected one that it nearly accepted.
//!
//! Such a pair lies where the model's own boundary is, so it teaches the most, if the verdicts are
//! right; it is also where they are most often wrong. For `targets` it takes the accepted image that
//! the model is least sure of, for `labelled-targets` the rejected one as well, to be avoided.
//!
//! `scripts/hardest.rhai` is the same strategy as a script.

mod about;
mod objective;
mod ranged;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "pair-selection-strategy",
});

use exports::sc::strategy::about::{Description, Guest as About, Refusal};
use exports::sc::strategy::pair_selection::{
    Answer, Choice, Context, Group, Guest as PairSelection, Objective,
};
use objective::{Takes, pair, target, with};
use ranged::Ranged;
use sc::strategy::types::{Candidate, Role, Setting, Verdict};

struct Strategy;

const MAX_GAP: Ranged<f64> = Ranged {
    name: "max_gap",
    help: "Largest difference in p-yes between the two images of a pair.",
    default: 1.0,
    minimum: 0.0,
    maximum: 1.0,
};

impl About for Strategy {
    fn describe() -> Description {
        about::description(
            "hardest",
            "The accepted image with the least p-yes against the rejected one with the highest.",
            Role::PairSelection,
            vec![MAX_GAP.parameter()],
        )
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl PairSelection for Strategy {
    fn select(
        context: Context,
        groups: Vec<Group>,
        objective: Objective,
    ) -> Result<Answer, String> {
        let max_gap = MAX_GAP.of(&context.settings);
        let numbered = (0..).zip(&groups);
        let choices = match objective::takes(&objective)? {
            Takes::Targets => numbered
                .filter_map(|(number, group)| Some(target(number, least_sure(group)?, true)))
                .collect(),
            Takes::LabelledTargets => numbered
                .flat_map(|(number, group)| {
                    let accepted = least_sure(group).map(|image| target(number, image, true));
                    let rejected = nearly_accepted(group).map(|image| target(number, image, false));
                    accepted.into_iter().chain(rejected)
                })
                .collect(),
            Takes::Pairs => numbered
                .filter_map(|(number, group)| closest_pair(number, group, max_gap))
                .collect(),
        };
        Ok(Answer {
            choices,
            state: context.state,
        })
    }
}

/// The accepted image with the least p-yes; of equals the first.
fn least_sure(group: &Group) -> Option<&Candidate> {
    with(group, Verdict::Accepted).reduce(|least, next| {
        if next.p_yes < least.p_yes {
            next
        } else {
            least
        }
    })
}

/// The rejected image with the highest p-yes; of equals the first.
fn nearly_accepted(group: &Group) -> Option<&Candidate> {
    with(group, Verdict::Rejected)
        .reduce(|most, next| if next.p_yes > most.p_yes { next } else { most })
}

fn closest_pair(number: u32, group: &Group, max_gap: f64) -> Option<Choice> {
    let accepted = least_sure(group)?;
    let rejected = nearly_accepted(group)?;
    (accepted.p_yes - rejected.p_yes <= max_gap).then(|| pair(number, accepted, rejected))
}

export!(Strategy);
