use super::exports::sc::strategy::about::Parameter;
use super::exports::sc::strategy::pair_selection::{
    Answer, Choice, Context, Group, Guest, Objective, Pair, Target,
};
use super::sc::strategy::types::{Setting, Verdict};
use super::{Strategy, number, number_of};
use crate::pair_selection::{Image, Settings, best, best_and_worst};

pub fn parameters() -> Vec<Parameter> {
    vec![number(
        "min_gap",
        "Least difference in p-yes between the two images of a pair.",
        0.2,
        0.0,
        1.0,
    )]
}

pub fn settings(given: &[Setting]) -> Result<Settings, String> {
    Ok(Settings {
        min_gap: number_of(given, "min_gap")?,
    })
}

fn images(group: &Group) -> Vec<Image> {
    let candidates = group.candidates.iter();
    candidates
        .map(|candidate| Image {
            index: candidate.index,
            p_yes: candidate.p_yes,
            accepted: match candidate.verdict {
                Verdict::Accepted => Some(true),
                Verdict::Rejected => Some(false),
                Verdict::Unparsed => None,
            },
        })
        .collect()
}

impl Guest for Strategy {
    fn select(
        context: Context,
        groups: Vec<Group>,
        objective: Objective,
    ) -> Result<Answer, String> {
        let settings = settings(&context.settings)?;
        let groups = (0..).zip(&groups);
        let choices = match objective.takes.as_str() {
            "targets" => groups
                .filter_map(|(group, found)| {
                    let best = best(&images(found))?;
                    Some(Choice::Target(Target {
                        group,
                        candidate: best.index,
                        weight: 1.0,
                        desirable: true,
                    }))
                })
                .collect(),
            "pairs" => groups
                .filter_map(|(group, found)| {
                    let (best, worst) = best_and_worst(&images(found), &settings)?;
                    Some(Choice::Pair(Pair {
                        group,
                        chosen: best.index,
                        rejected: worst.index,
                        weight: 1.0,
                    }))
                })
                .collect(),
            takes => {
                return Err(format!(
                    "the objective `{}` takes {takes}; this strategy chooses targets or pairs",
                    objective.name
                ));
            }
        };
        Ok(Answer {
            choices,
            // Whatever is to be remembered until the next round.
            state: context.state,
        })
    }
}
