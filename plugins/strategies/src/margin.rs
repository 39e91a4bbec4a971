//! A data filter that drops the images on which the model is undecided.
//!
//! Close to 0.5 the verdict is little better than a coin's, and an example made from it teaches
//! noise. `scripts/margin.rhai` is the same strategy as a script.

mod about;
mod ranged;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "data-filter-strategy",
});

use exports::sc::strategy::about::{Description, Guest as About, Refusal};
use exports::sc::strategy::data_filter::{Answer, Context, Decision, Group, Guest as DataFilter};
use ranged::Ranged;
use sc::strategy::types::{Role, Setting};

struct Strategy;

const MIN_MARGIN: Ranged<f64> = Ranged {
    name: "min_margin",
    help: "Least distance of p-yes from 0.5, at which the model is undecided.",
    default: 0.2,
    minimum: 0.0,
    maximum: 0.5,
};

impl About for Strategy {
    fn describe() -> Description {
        about::description(
            "margin",
            "Drops the images on which the model is undecided.",
            Role::DataFilter,
            vec![MIN_MARGIN.parameter()],
        )
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl DataFilter for Strategy {
    fn filter(context: Context, groups: Vec<Group>) -> Result<Answer, String> {
        let min_margin = MIN_MARGIN.of(&context.settings);
        let decision = |p_yes: f64| {
            if (p_yes - 0.5).abs() < min_margin {
                Decision::Drop("undecided".into())
            } else {
                Decision::Keep
            }
        };
        let of_group = |group: &Group| {
            let candidates = group.candidates.iter();
            candidates
                .map(|candidate| decision(candidate.p_yes))
                .collect()
        };
        Ok(Answer {
            decisions: groups.iter().map(of_group).collect(),
            state: context.state,
        })
    }
}

export!(Strategy);
