//! How curricula choose at random, and the plan that they make of it.

use crate::exports::sc::strategy::curriculum::{Decision, Draw, Input, RoundPlan};
use crate::sc::strategy::random;

/// How many prompts the run's settings ask for, within what the bounds and the table allow.
pub fn wanted(input: &Input) -> usize {
    let affordable = input.bounds.max_images / input.defaults.images_per_prompt.max(1);
    (input.defaults.prompts as usize)
        .min(affordable.max(1) as usize)
        .min(input.prompts.len())
}

/// A plan by the run's settings for `count` prompts of `pool`, chosen at random.
pub fn of_some(mut pool: Vec<u32>, count: usize, input: Input) -> Decision {
    choose(&mut pool, count);
    let images = input.defaults.images_per_prompt.max(1);
    let draw = |prompt| Draw {
        prompt,
        images,
        weight: 1.0,
    };
    Decision::Round(RoundPlan {
        draws: pool.into_iter().map(draw).collect(),
        replays: Vec::new(),
        sampling: input.defaults.sampling,
        objective: input.defaults.objective,
        epochs: input.defaults.epochs,
        learning_rate_scale: 1.0,
    })
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
