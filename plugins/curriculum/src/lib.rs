//! A curriculum that replays the prompts that failed so far.
//!
//! The self-improvement paper (Han et al., arXiv 2507.16663) puts a prompt of which nothing was
//! accepted into a discard pool, and later draws for that pool again with the improved model. Here
//! a part of each round's prompts comes from the pool, and the rest is chosen at random from the
//! prompts that have not failed.
//!
//! The program's `builtin:replay` is the same strategy natively; both draw from the same seeded
//! sequence, so they answer alike.

wit_bindgen::generate!({
    path: "../../wit",
    world: "curriculum-strategy",
});

use std::cell::Cell;

use exports::sc::strategy::about::{Description, Guest as About, Parameter, Setting};
use exports::sc::strategy::curriculum::{
    Answer, Context, Decision, Guest as Curriculum, Input, PlannedPrompt, PromptHistory, RoundPlan,
};
use sc::strategy::types::Value;
use sc::strategy::{log, random};

struct Strategy;

/// What `--set curriculum.KEY=VALUE` gives.
#[derive(Clone, Copy)]
struct Settings {
    /// The part of a round's prompts that replays failed ones, 0–1.
    replay_share: f64,
    /// The first round that replays.
    from_round: i64,
}

const DEFAULTS: Settings = Settings {
    replay_share: 0.5,
    from_round: 2,
};

thread_local! {
    static SETTINGS: Cell<Settings> = const { Cell::new(DEFAULTS) };
}

impl About for Strategy {
    fn describe() -> Description {
        Description {
            name: "replay-curriculum".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Draws again for prompts of which nothing was accepted so far.".into(),
            parameters: vec![
                Parameter {
                    name: "replay_share".into(),
                    help: "Part of a round's prompts that replays failed ones.".into(),
                    default: Value::Number(DEFAULTS.replay_share),
                    minimum: Some(0.0),
                    maximum: Some(1.0),
                },
                Parameter {
                    name: "from_round".into(),
                    help: "First round that replays.".into(),
                    default: Value::Integer(DEFAULTS.from_round),
                    minimum: Some(1.0),
                    maximum: None,
                },
            ],
        }
    }

    fn configure(settings: Vec<Setting>) -> Result<(), String> {
        let mut chosen = DEFAULTS;
        for setting in settings {
            match (setting.name.as_str(), setting.value) {
                ("replay_share", Value::Number(share)) => chosen.replay_share = share,
                ("from_round", Value::Integer(round)) => chosen.from_round = round,
                (name, _) => return Err(format!("`{name}` is no parameter of this strategy")),
            }
        }
        SETTINGS.set(chosen);
        Ok(())
    }
}

impl Curriculum for Strategy {
    fn plan(context: Context, input: Input) -> Result<Answer, String> {
        let settings = SETTINGS.get();
        let images = input.defaults.images_per_prompt.max(1);
        let affordable = (input.bounds.max_images / images).max(1) as usize;
        let wanted = (input.defaults.prompts as usize)
            .min(affordable)
            .min(input.prompts.len());

        let (mut failed, mut others): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for history in &input.histories {
            let pool = if failed_so_far(history) {
                &mut failed
            } else {
                &mut others
            };
            pool.push(history.prompt);
        }
        let quota = if i64::from(context.round) < settings.from_round {
            0
        } else {
            (settings.replay_share * wanted as f64).round() as usize
        };
        // Too few of one kind are made up for by the other.
        let replays = quota
            .min(failed.len())
            .max(wanted.saturating_sub(others.len()));
        choose(&mut failed, replays);
        choose(&mut others, wanted - replays);
        log::write(
            log::Level::Info,
            &format!("{} prompts replayed, {} others", failed.len(), others.len()),
        );

        let planned = |prompt: u32, replayed: bool| PlannedPrompt {
            prompt,
            images,
            weight: 1.0,
            replayed,
        };
        let prompts = failed
            .iter()
            .map(|&prompt| planned(prompt, true))
            .chain(others.iter().map(|&prompt| planned(prompt, false)))
            .collect();
        Ok(Answer {
            decision: Decision::Round(RoundPlan {
                prompts,
                sampling: input.defaults.sampling,
                objective: input.defaults.objective,
                epochs: input.defaults.epochs,
                learning_rate_scale: 1.0,
            }),
            state: context.state,
        })
    }
}

fn failed_so_far(history: &PromptHistory) -> bool {
    history.attempts > 0 && history.accepted == 0
}

/// Leaves `count` of `pool`, chosen at random (a partial Fisher–Yates shuffle).
fn choose(pool: &mut Vec<u32>, count: usize) {
    for position in 0..count {
        let other = position + below(pool.len() - position);
        pool.swap(position, other);
    }
    pool.truncate(count);
}

/// A random number below `bound`.
fn below(bound: usize) -> usize {
    ((u128::from(random::next()) * bound as u128) >> 64) as usize
}

export!(Strategy);
