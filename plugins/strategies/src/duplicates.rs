//! A data filter that keeps each image of a prompt once.
//!
//! A model that draws the same image again and again would otherwise be trained on it as often.
//! `scripts/duplicates.rhai` is the same strategy as a script.

mod about;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "data-filter-strategy",
});

use std::collections::BTreeSet;

use exports::sc::strategy::about::{Description, Guest as About, Refusal};
use exports::sc::strategy::data_filter::{Answer, Context, Decision, Group, Guest as DataFilter};
use sc::strategy::types::{Role, Setting};

struct Strategy;

impl About for Strategy {
    fn describe() -> Description {
        about::description(
            "duplicates",
            "Drops all but the first of equal images of a prompt.",
            Role::DataFilter,
            Vec::new(),
        )
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl DataFilter for Strategy {
    fn filter(context: Context, groups: Vec<Group>) -> Result<Answer, String> {
        Ok(Answer {
            decisions: groups.iter().map(of_group).collect(),
            state: context.state,
        })
    }
}

fn of_group(group: &Group) -> Vec<Decision> {
    let mut seen = BTreeSet::new();
    let candidates = group.candidates.iter();
    candidates
        .map(|candidate| {
            if seen.insert(candidate.image_hash) {
                Decision::Keep
            } else {
                Decision::Drop("duplicate".into())
            }
        })
        .collect()
}

export!(Strategy);
