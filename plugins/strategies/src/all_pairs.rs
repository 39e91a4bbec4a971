//! A pair selection that makes several pairs of a prompt's accepted and rejected images.
//!
//! Every accepted image may stand against every rejected one that is far enough below it; the pairs
//! with the largest gaps are taken, up to `most` a prompt, so that no prompt outweighs the others.
//! For `targets` it takes every accepted image that the model is sure of, for `labelled-targets` every
//! rejected one that it is as sure of as well, to be avoided.
//!
//! `scripts/all-pairs.rhai` is the same strategy as a script.

mod about;
mod objective;
mod ranged;
mod sure;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "pair-selection-strategy",
});

use exports::sc::strategy::about::{Description, Guest as About, Refusal};
use exports::sc::strategy::pair_selection::{
    Answer, Choice, Context, Group, Guest as PairSelection, Objective,
};
use objective::{Takes, pair, with};
use ranged::Ranged;
use sc::strategy::types::{Candidate, Role, Setting, Verdict};
use sure::sure_of;

struct Strategy;

const MIN_GAP: Ranged<f64> = Ranged {
    name: "min_gap",
    help: "Least difference in p-yes between the two images of a pair.",
    default: 0.2,
    minimum: 0.0,
    maximum: 1.0,
};

const MOST: Ranged<i64> = Ranged {
    name: "most",
    help: "Most pairs of a prompt.",
    default: 4,
    minimum: 1.0,
    maximum: 64.0,
};

const ACCEPT: Ranged<f64> = Ranged {
    name: "accept",
    help: "Least p-yes of an image to imitate; one to avoid has 1 less this at most.",
    default: 0.9,
    minimum: 0.0,
    maximum: 1.0,
};

impl About for Strategy {
    fn describe() -> Description {
        about::description(
            "all-pairs",
            "Accepted against rejected images of a prompt, those furthest apart first.",
            Role::PairSelection,
            vec![MIN_GAP.parameter(), MOST.parameter(), ACCEPT.parameter()],
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
        let min_gap = MIN_GAP.of(&context.settings);
        let most = MOST.of(&context.settings) as usize;
        let accept = ACCEPT.of(&context.settings);
        let numbered = (0..).zip(&groups);
        let choices = match objective::takes(&objective)? {
            Takes::Targets => numbered
                .flat_map(|(number, group)| sure_of(number, group, accept, false))
                .collect(),
            Takes::LabelledTargets => numbered
                .flat_map(|(number, group)| sure_of(number, group, accept, true))
                .collect(),
            Takes::Pairs => numbered
                .flat_map(|(number, group)| widest_pairs(number, group, min_gap, most))
                .collect(),
        };
        Ok(Answer {
            choices,
            state: context.state,
        })
    }
}

/// The pairs of a group that are furthest apart, at most `most`. Of equally wide ones those come
/// first whose accepted image is the better, and then whose rejected image is the worse.
fn widest_pairs(number: u32, group: &Group, min_gap: f64, most: usize) -> Vec<Choice> {
    // A pair with an image beyond the first `most` has as many others before it.
    let mut accepted: Vec<&Candidate> = with(group, Verdict::Accepted).collect();
    accepted.sort_by(|one, other| other.p_yes.total_cmp(&one.p_yes));
    accepted.truncate(most);
    let mut rejected: Vec<&Candidate> = with(group, Verdict::Rejected).collect();
    rejected.sort_by(|one, other| one.p_yes.total_cmp(&other.p_yes));
    rejected.truncate(most);

    let mut pairs = Vec::new();
    for &better in &accepted {
        for &worse in &rejected {
            let gap = better.p_yes - worse.p_yes;
            if gap >= min_gap {
                pairs.push((gap, pair(number, better, worse)));
            }
        }
    }
    pairs.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    pairs.truncate(most);
    pairs.into_iter().map(|(_, pair)| pair).collect()
}

export!(Strategy);
