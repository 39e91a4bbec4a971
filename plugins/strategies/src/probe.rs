//! A quality gate that guards the judge as well as the score.
//!
//! A lower Nonunified score may only mean that the model rejects less. So a round is rolled back
//! when understanding, measured on labelled images, got significantly worse, and also when the score
//! did: when the 95 % interval after the round lies apart from the one before, on the wrong side.
//! Several such rounds in a row end the run.
//!
//! `scripts/probe.rhai` is the same strategy as a script.

mod about;
mod ranged;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "quality-gate-strategy",
});

use exports::sc::strategy::about::{Description, Guest as About, Refusal};
use exports::sc::strategy::quality_gate::{
    Answer, Context, Decision, Guest as QualityGate, Input, Metric,
};
use ranged::Ranged;
use sc::strategy::types::{Role, Setting};

struct Strategy;

const PATIENCE: Ranged<i64> = Ranged {
    name: "patience",
    help: "So many harmful rounds in a row end the run.",
    default: 2,
    minimum: 1.0,
    maximum: 1000.0,
};

impl About for Strategy {
    fn describe() -> Description {
        about::description(
            "probe",
            "Rolls back a round that significantly harmed understanding or the score.",
            Role::QualityGate,
            vec![PATIENCE.parameter()],
        )
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl QualityGate for Strategy {
    fn decide(context: Context, input: Input) -> Result<Answer, String> {
        let harmful_before = count(&context.state)?;
        let (decision, harmful) = match harm(&input) {
            None => (Decision::Keep("no significant harm".into()), 0),
            Some(harm) => {
                let harmful = harmful_before.saturating_add(1);
                let enough = i64::from(harmful) >= PATIENCE.of(&context.settings);
                let decide = if enough {
                    Decision::Stop
                } else {
                    Decision::RollBack
                };
                (decide(harm.into()), harmful)
            }
        };
        Ok(Answer {
            decision,
            state: harmful.to_le_bytes().to_vec(),
        })
    }
}

/// How many harmful rounds in a row there were before this one.
fn count(state: &[u8]) -> Result<u32, String> {
    if state.is_empty() {
        return Ok(0);
    }
    let bytes = state.try_into();
    bytes
        .map(u32::from_le_bytes)
        .map_err(|_| "the state is another strategy's".into())
}

/// What got significantly worse.
fn harm(input: &Input) -> Option<&'static str> {
    let both = |name| Some((find(&input.before, name)?, find(&input.after, name)?));
    if both("understanding_accuracy").is_some_and(|(before, after)| after.high < before.low) {
        Some("understanding_accuracy fell")
    } else if both("nonunified").is_some_and(|(before, after)| after.low > before.high) {
        Some("nonunified rose")
    } else {
        None
    }
}

fn find<'a>(metrics: &'a [Metric], name: &str) -> Option<&'a Metric> {
    metrics.iter().find(|metric| metric.name == name)
}

export!(Strategy);
