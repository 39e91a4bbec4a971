//! A curriculum that replays the prompts that failed so far.
//!
//! The self-improvement paper (Han et al., arXiv 2507.16663) puts a prompt of which nothing was
//! accepted into a discard pool, and later draws for that pool again with the improved model. Here
//! a part of each round's prompts comes from the pool, and the rest is chosen at random from the
//! prompts that have not failed.
//!
//! A run of one round, such as that of the static scheme, has no later round: there the prompts of
//! which nothing was accepted are drawn for again before a later pass over the round's examples,
//! half way unless `epoch` says otherwise.
//!
//! The program's `builtin:replay` is the same strategy natively; both draw from the same seeded
//! sequence, so they answer alike.

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "curriculum-strategy",
});

use exports::sc::strategy::about::{Description, Guest as About, Parameter, Refusal};
use exports::sc::strategy::curriculum::{
    Answer, Context, Decision, Draw, Guest as Curriculum, Input, PromptHistory, Replay, RoundPlan,
};
use sc::strategy::types::{Role, Setting, Value};
use sc::strategy::{log, random};

struct Strategy;

/// What `--set curriculum.KEY=VALUE` gives.
#[derive(Clone, Copy)]
struct Settings {
    /// The part of a round's prompts that replays failed ones, 0–1.
    replay_share: f64,
    /// The first round that replays.
    from_round: i64,
    /// The pass over the round's examples before which replays are drawn.
    epoch: i64,
}

const DEFAULTS: Settings = Settings {
    replay_share: 0.5,
    from_round: 2,
    epoch: 1,
};

impl Settings {
    /// Every setting is given with each call, by the names that `describe` says.
    fn of(context: &Context) -> Settings {
        let mut settings = DEFAULTS;
        for Setting { name, value } in &context.settings {
            match (name.as_str(), value) {
                ("replay_share", &Value::Number(share)) => settings.replay_share = share,
                ("from_round", &Value::Integer(round)) => settings.from_round = round,
                ("epoch", &Value::Integer(epoch)) => settings.epoch = epoch,
                _ => {}
            }
        }
        settings
    }
}

fn parameter(name: &str, help: &str, default: Value, range: (f64, Option<f64>)) -> Parameter {
    Parameter {
        name: name.into(),
        help: help.into(),
        default,
        minimum: Some(range.0),
        maximum: range.1,
        choices: Vec::new(),
    }
}

impl About for Strategy {
    fn describe() -> Description {
        Description {
            name: "replay-curriculum".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Draws again for prompts of which nothing was accepted so far.".into(),
            authors: Vec::new(),
            licence: env!("CARGO_PKG_LICENSE").into(),
            roles: vec![Role::Curriculum],
            services: Vec::new(),
            parameters: vec![
                parameter(
                    "replay_share",
                    "Part of a round's prompts that replays failed ones.",
                    Value::Number(DEFAULTS.replay_share),
                    (0.0, Some(1.0)),
                ),
                parameter(
                    "from_round",
                    "First round that replays.",
                    Value::Integer(DEFAULTS.from_round),
                    (1.0, None),
                ),
                parameter(
                    "epoch",
                    "Pass over the round's examples before which replays are drawn; 1 is the \
                     round's beginning, or half way where the run has one round.",
                    Value::Integer(DEFAULTS.epoch),
                    (1.0, None),
                ),
            ],
        }
    }

    fn check(_: Role, _: Vec<Setting>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Curriculum for Strategy {
    fn plan(context: Context, input: Input) -> Result<Answer, String> {
        let settings = Settings::of(&context);
        let images = input.defaults.images_per_prompt.max(1);
        let affordable = (input.bounds.max_images / images).max(1) as usize;
        let wanted = (input.defaults.prompts as usize)
            .min(affordable)
            .min(input.prompts.len());

        let (mut failed, mut others): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for (prompt, history) in input.prompts.iter().zip(&input.histories) {
            let pool = if failed_so_far(history) {
                &mut failed
            } else {
                &mut others
            };
            pool.push(prompt.id);
        }
        let quota = if i64::from(context.round) < settings.from_round {
            0
        } else {
            (settings.replay_share * wanted as f64).round() as usize
        };
        // Too few of one kind are made up for by the other.
        let replayed = quota
            .min(failed.len())
            .max(wanted.saturating_sub(others.len()));
        choose(&mut failed, replayed);
        choose(&mut others, wanted - replayed);
        log::write(
            log::Level::Info,
            &format!("{} prompts replayed, {} others", failed.len(), others.len()),
        );

        let last = input.defaults.epochs;
        let asked = settings.epoch.min(i64::from(last)) as u32;
        let epoch = match (others.is_empty(), context.rounds) {
            // A round cannot begin with nothing, whenever the replays are due.
            (true, _) => 1,
            (false, 1) if asked == 1 => (last / 2).max(2).min(last),
            _ => asked,
        };
        if context.rounds == 1 && epoch > 1 {
            // The host leaves out those of which something has been accepted by then.
            failed.extend(others.iter().take(affordable - wanted));
        }
        let draw = |prompt: u32| Draw {
            prompt,
            images,
            weight: 1.0,
        };
        let replay = |prompt: u32| Replay {
            prompt,
            images,
            weight: 1.0,
            epoch,
        };
        Ok(Answer {
            decision: Decision::Round(RoundPlan {
                draws: others.into_iter().map(draw).collect(),
                replays: failed.into_iter().map(replay).collect(),
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
