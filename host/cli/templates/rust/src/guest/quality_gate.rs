use super::exports::sc::strategy::about::Parameter;
use super::exports::sc::strategy::quality_gate::{Answer, Context, Decision, Guest, Input, Metric};
use super::sc::strategy::types::Setting;
use super::{Strategy, number, number_of};
use crate::quality_gate::{Interval, Settings, fell};

/// The figure that decides.
const METRIC: &str = "understanding_accuracy";

pub fn parameters() -> Vec<Parameter> {
    vec![number(
        "tolerance",
        "How far the intervals must lie apart before a round is rolled back.",
        0.0,
        0.0,
        1.0,
    )]
}

pub fn settings(given: &[Setting]) -> Result<Settings, String> {
    Ok(Settings {
        tolerance: number_of(given, "tolerance")?,
    })
}

fn interval(metrics: &[Metric]) -> Option<Interval> {
    let found = metrics.iter().find(|metric| metric.name == METRIC)?;
    Some(Interval {
        low: found.low,
        high: found.high,
    })
}

impl Guest for Strategy {
    fn decide(context: Context, input: Input) -> Result<Answer, String> {
        let settings = settings(&context.settings)?;
        let decision = match (interval(&input.before), interval(&input.after)) {
            (Some(before), Some(after)) if fell(before, after, &settings) => {
                Decision::RollBack(format!("{METRIC} fell"))
            }
            (Some(_), Some(_)) => Decision::Keep(format!("{METRIC} did not fall")),
            _ => Decision::Keep(format!("{METRIC} is not known")),
        };
        Ok(Answer {
            decision,
            // Whatever is to be remembered until the next round.
            state: context.state,
        })
    }
}
