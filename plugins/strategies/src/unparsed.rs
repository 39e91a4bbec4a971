//! A data filter that drops what the model gave no readable verdict on.
//!
//! Where most of a prompt's verdicts cannot be read, the few others are not trusted either: the
//! model does not understand the question. `scripts/unparsed.rhai` is the same strategy as a script.

mod about;
mod ranged;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "data-filter-strategy",
});

use exports::sc::strategy::about::{Description, Guest as About, Refusal};
use exports::sc::strategy::data_filter::{Answer, Context, Decision, Group, Guest as DataFilter};
use ranged::Ranged;
use sc::strategy::types::{Role, Setting, Verdict};

struct Strategy;

const MAX_SHARE: Ranged<f64> = Ranged {
    name: "max_share",
    help: "Largest part of a prompt's verdicts that may be unreadable without losing the others.",
    default: 0.5,
    minimum: 0.0,
    maximum: 1.0,
};

impl About for Strategy {
    fn describe() -> Description {
        about::description(
            "unparsed",
            "Drops images without a readable verdict, and prompts that have too many of them.",
            Role::DataFilter,
            vec![MAX_SHARE.parameter()],
        )
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl DataFilter for Strategy {
    fn filter(context: Context, groups: Vec<Group>) -> Result<Answer, String> {
        let max_share = MAX_SHARE.of(&context.settings);
        Ok(Answer {
            decisions: groups
                .iter()
                .map(|group| of_group(group, max_share))
                .collect(),
            state: context.state,
        })
    }
}

fn of_group(group: &Group, max_share: f64) -> Vec<Decision> {
    let unparsed = |verdict: Verdict| verdict == Verdict::Unparsed;
    let verdicts = || group.candidates.iter().map(|candidate| candidate.verdict);
    let count = verdicts().filter(|&verdict| unparsed(verdict)).count();
    let most = count as f64 > max_share * group.candidates.len() as f64;
    verdicts()
        .map(|verdict| {
            if most {
                Decision::Drop("mostly unparsed".into())
            } else if unparsed(verdict) {
                Decision::Drop("unparsed".into())
            } else {
                Decision::Keep
            }
        })
        .collect()
}

export!(Strategy);
