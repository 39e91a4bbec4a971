use super::exports::sc::strategy::about::Parameter;
use super::exports::sc::strategy::data_filter::{Answer, Context, Decision, Group, Guest};
use super::sc::strategy::types::{Setting, Verdict};
use super::{Strategy, number, number_of};
use crate::data_filter::{Settings, unfit};

pub fn parameters() -> Vec<Parameter> {
    vec![number(
        "min_margin",
        "How far from 0.5 an image's p-yes must lie.",
        0.2,
        0.0,
        0.5,
    )]
}

pub fn settings(given: &[Setting]) -> Result<Settings, String> {
    Ok(Settings {
        min_margin: number_of(given, "min_margin")?,
    })
}

impl Guest for Strategy {
    fn filter(context: Context, groups: Vec<Group>) -> Result<Answer, String> {
        let settings = settings(&context.settings)?;
        let decide = |group: &Group| {
            let candidates = group.candidates.iter();
            candidates
                .map(|candidate| {
                    let unparsed = candidate.verdict == Verdict::Unparsed;
                    match unfit(candidate.p_yes, unparsed, &settings) {
                        Some(reason) => Decision::Drop(reason.into()),
                        None => Decision::Keep,
                    }
                })
                .collect()
        };
        Ok(Answer {
            decisions: groups.iter().map(decide).collect(),
            // Whatever is to be remembered until the next round.
            state: context.state,
        })
    }
}
