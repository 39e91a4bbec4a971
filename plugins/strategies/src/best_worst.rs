//! A pair selection that sets the most positive image of a prompt against its most negative one.
//!
//! For `targets` it takes every accepted image that the model is sure of, for `labelled-targets` every
//! rejected one that it is as sure of as well, to be avoided. Source: the DPO and SFT
//! data of Han et al. (arXiv 2507.16663). The program's `builtin:best-worst` is the same strategy
//! natively, and `scripts/pairs.rhai` as a script.

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
use sc::strategy::types::{Role, Setting, Verdict};
use sure::sure_of;

struct Strategy;

const MIN_GAP: Ranged<f64> = Ranged {
    name: "min_gap",
    help: "Least difference in p-yes between the two images of a pair (DPO).",
    default: 0.2,
    minimum: 0.0,
    maximum: 1.0,
};

const ACCEPT: Ranged<f64> = Ranged {
    name: "accept",
    help: "Least p-yes of an image to imitate (SFT); one to avoid (KTO) has 1 less this at most.",
    default: 0.9,
    minimum: 0.0,
    maximum: 1.0,
};

impl About for Strategy {
    fn describe() -> Description {
        about::description(
            "best-worst",
            "The most positive image of a prompt against its most negative one.",
            Role::PairSelection,
            vec![MIN_GAP.parameter(), ACCEPT.parameter()],
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
                .filter_map(|(number, group)| best_against_worst(number, group, min_gap))
                .collect(),
        };
        Ok(Answer {
            choices,
            state: context.state,
        })
    }
}

/// The pair of a group, if it has both verdicts and they lie far enough apart. Of equally good or
/// bad images it is the first.
fn best_against_worst(number: u32, group: &Group, min_gap: f64) -> Option<Choice> {
    let best = with(group, Verdict::Accepted)
        .reduce(|best, next| if next.p_yes > best.p_yes { next } else { best })?;
    let worst = with(group, Verdict::Rejected).reduce(|worst, next| {
        if next.p_yes < worst.p_yes {
            next
        } else {
            worst
        }
    })?;
    (best.p_yes - worst.p_yes >= min_gap).then(|| pair(number, best, worst))
}

export!(Strategy);
