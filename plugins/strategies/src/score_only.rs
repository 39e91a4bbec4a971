//! A quality gate that looks at the Nonunified score alone. A WARNING, not a recommendation.
//!
//! The score is the share of its own images that the model rejects. It falls when the images get
//! better, and it falls as well when the model no longer rejects bad ones: a judge that says "yes" to
//! everything has the best score there is. This gate keeps every such round. It is here to show what
//! a run does that trusts it; `plugins/probe.wasm` guards the judge too.
//!
//! `scripts/score-only.rhai` is the same strategy as a script.

mod about;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "quality-gate-strategy",
});

use exports::sc::strategy::about::{Description, Guest as About, Refusal};
use exports::sc::strategy::quality_gate::{
    Answer, Context, Decision, Guest as QualityGate, Input, Metric,
};
use sc::strategy::types::{Role, Setting};

struct Strategy;

impl About for Strategy {
    fn describe() -> Description {
        about::description(
            "score-only",
            "A warning: trusts the Nonunified score alone, which a permissive judge passes.",
            Role::QualityGate,
            Vec::new(),
        )
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl QualityGate for Strategy {
    fn decide(context: Context, input: Input) -> Result<Answer, String> {
        let decision = match (score(&input.before), score(&input.after)) {
            (Some(before), Some(after)) if after > before => {
                Decision::RollBack("nonunified rose".into())
            }
            _ => Decision::Keep("nonunified did not rise".into()),
        };
        Ok(Answer {
            decision,
            state: context.state,
        })
    }
}

fn score(metrics: &[Metric]) -> Option<f64> {
    let metric = metrics.iter().find(|metric| metric.name == "nonunified");
    metric.map(|metric| metric.value)
}

export!(Strategy);
