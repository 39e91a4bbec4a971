//! A curriculum that draws random prompts each round, whatever happened before.
//!
//! The baseline that a curriculum must beat. The program's `builtin:uniform` is the same strategy
//! natively, and `scripts/uniform.rhai` as a script.

mod about;
mod plan;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "curriculum-strategy",
});

use exports::sc::strategy::about::{Description, Guest as About, Refusal};
use exports::sc::strategy::curriculum::{Answer, Context, Guest as Curriculum, Input};
use sc::strategy::types::{Role, Setting};

struct Strategy;

impl About for Strategy {
    fn describe() -> Description {
        about::description(
            "uniform",
            "Random prompts each round, whatever happened before.",
            Role::Curriculum,
            Vec::new(),
        )
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Curriculum for Strategy {
    fn plan(context: Context, input: Input) -> Result<Answer, String> {
        let all = input.prompts.iter().map(|prompt| prompt.id).collect();
        Ok(Answer {
            decision: plan::of_some(all, plan::wanted(&input), input),
            state: context.state,
        })
    }
}

export!(Strategy);
