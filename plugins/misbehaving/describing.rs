//! A strategy that fails when it is asked what it is.

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "quality-gate-strategy",
});

use exports::sc::strategy::about::{self, Description, Refusal};
use exports::sc::strategy::quality_gate::{Answer, Context, Decision, Guest, Input};
use sc::strategy::types::{Role, Setting};

struct Strategy;

impl about::Guest for Strategy {
    fn describe() -> Description {
        panic!("who knows");
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Guest for Strategy {
    fn decide(context: Context, _: Input) -> Result<Answer, String> {
        Ok(Answer {
            decision: Decision::Keep("as told".into()),
            state: context.state,
        })
    }
}

export!(Strategy);
