use super::exports::sc::strategy::about::Parameter;
use super::exports::sc::strategy::curriculum::{
    Answer, Context, Decision, Draw, Guest, Input, RoundPlan,
};
use super::sc::strategy::random;
use super::sc::strategy::types::Setting;
use super::{Strategy, number, number_of};
use crate::curriculum::{Settings, choose, count};

pub fn parameters() -> Vec<Parameter> {
    vec![number(
        "share",
        "The part that is drawn of the prompts that the run asks for.",
        1.0,
        0.0,
        1.0,
    )]
}

pub fn settings(given: &[Setting]) -> Result<Settings, String> {
    Ok(Settings {
        share: number_of(given, "share")?,
    })
}

impl Guest for Strategy {
    fn plan(context: Context, input: Input) -> Result<Answer, String> {
        let settings = settings(&context.settings)?;
        let defaults = input.defaults;
        let images = defaults.images_per_prompt;
        let pool: Vec<u32> = input.prompts.iter().map(|prompt| prompt.id).collect();
        let wanted = count(
            defaults.prompts,
            pool.len(),
            images,
            input.bounds.max_images,
            &settings,
        );
        let draw = |prompt| Draw {
            prompt,
            images,
            weight: 1.0,
        };
        let draws = choose(pool, wanted, random::next).into_iter().map(draw);
        Ok(Answer {
            decision: Decision::Round(RoundPlan {
                draws: draws.collect(),
                replays: Vec::new(),
                sampling: defaults.sampling,
                objective: defaults.objective,
                epochs: defaults.epochs,
                learning_rate_scale: 1.0,
            }),
            // Whatever is to be remembered until the next round.
            state: context.state,
        })
    }
}
