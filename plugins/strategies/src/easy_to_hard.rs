//! A curriculum that begins with the easiest prompts and ends with all.
//!
//! A prompt is the easier the higher its mean p-yes so far; one that was never tried counts as
//! undecided, 0.5. The part of the table that may be drawn grows linearly, from `start` in the first
//! round to all of it in the last one. From that part prompts are chosen at random.
//!
//! `scripts/easy-to-hard.rhai` is the same strategy as a script.

mod about;
mod plan;
mod ranged;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "curriculum-strategy",
});

use exports::sc::strategy::about::{Description, Guest as About, Refusal};
use exports::sc::strategy::curriculum::{
    Answer, Context, Guest as Curriculum, Input, PromptHistory,
};
use ranged::Ranged;
use sc::strategy::types::{Role, Setting};

struct Strategy;

const START: Ranged<f64> = Ranged {
    name: "start",
    help: "Part of the table that may be drawn in the first round.",
    default: 0.3,
    minimum: 0.0,
    maximum: 1.0,
};

/// The ease of a prompt that was never tried.
const UNTRIED: f64 = 0.5;

impl About for Strategy {
    fn describe() -> Description {
        about::description(
            "easy-to-hard",
            "Random prompts among the easiest, and among more of them each round.",
            Role::Curriculum,
            vec![START.parameter()],
        )
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Curriculum for Strategy {
    fn plan(context: Context, input: Input) -> Result<Answer, String> {
        let wanted = plan::wanted(&input);
        let share = share(START.of(&context.settings), &context);
        let allowed = (share * input.prompts.len() as f64).round() as usize;
        // The round's size is the run's business: never fewer than it asks for.
        let pool = easiest(&input, allowed.max(wanted));
        Ok(Answer {
            decision: plan::of_some(pool, wanted, input),
            state: context.state,
        })
    }
}

/// The part of the table that may be drawn in this round.
fn share(start: f64, context: &Context) -> f64 {
    if context.round >= context.rounds {
        return 1.0;
    }
    let passed = f64::from(context.round - 1) / f64::from(context.rounds - 1);
    start + (1.0 - start) * passed
}

fn ease(history: &PromptHistory) -> f64 {
    if history.attempts == 0 {
        UNTRIED
    } else {
        history.mean_p_yes
    }
}

/// The `count` easiest prompts, by id; of equally easy ones those with the lowest ids.
fn easiest(input: &Input, count: usize) -> Vec<u32> {
    let mut by_ease: Vec<f64> = input.histories.iter().map(ease).collect();
    by_ease.sort_by(|one, other| other.total_cmp(one));
    let Some(&least) = count.checked_sub(1).and_then(|last| by_ease.get(last)) else {
        return Vec::new();
    };
    let easier = by_ease.iter().filter(|&&ease| ease > least).count();
    let mut just_as_easy = count - easier;
    let mut chosen = Vec::with_capacity(count);
    for (prompt, history) in input.prompts.iter().zip(&input.histories) {
        let ease = ease(history);
        if ease > least {
            chosen.push(prompt.id);
        } else if ease == least && just_as_easy > 0 {
            just_as_easy -= 1;
            chosen.push(prompt.id);
        }
    }
    chosen
}

export!(Strategy);
