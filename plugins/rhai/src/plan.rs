//! The plan that a curriculum returns.

use rhai::Dynamic;

use crate::exports::sc::strategy::curriculum::{Decision, Defaults, Draw, Replay, RoundPlan};
use crate::fields::{Fields, natural, wrong};
use crate::helpers;
use crate::sc::strategy::types::Sampling;

const PLACE: &str = "what `curriculum` returns";
const EXPECTED: &str = "a map with `draws` or `replays`, or stop(reason)";

pub fn decision(value: Dynamic, defaults: Defaults) -> Result<Decision, String> {
    let value = match value.try_cast_result() {
        Ok(helpers::Decision::Stop(reason)) => return Ok(Decision::Stop(reason.into())),
        Ok(other) => return Err(format!("{PLACE} must be {EXPECTED}, not {}", other.name())),
        Err(value) => value,
    };
    let mut fields = Fields::of(PLACE, EXPECTED, value)?;
    fields.place = "the plan".to_owned();
    let draws = fields.array("draws")?;
    let replays = fields.array("replays")?;
    if draws.is_none() && replays.is_none() {
        return Err("the plan has neither `draws` nor `replays`".to_owned());
    }
    let draws = draws
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(position, value)| draw(position, value, &defaults))
        .collect::<Result<_, String>>()?;
    let replays = replays
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(position, value)| replay(position, value, &defaults))
        .collect::<Result<_, String>>()?;
    let plan = RoundPlan {
        draws,
        replays,
        sampling: sampling(fields.fields("sampling")?, defaults.sampling)?,
        objective: fields.text("objective")?.unwrap_or(defaults.objective),
        epochs: fields.natural("epochs")?.unwrap_or(defaults.epochs),
        learning_rate_scale: fields.number("learning_rate_scale")?.unwrap_or(1.0),
    };
    fields.end()?;
    Ok(Decision::Round(plan))
}

/// What draws and replays have in common.
struct Planned {
    prompt: u32,
    images: u32,
    weight: f64,
    /// What else is written; none where only an id is.
    rest: Option<Fields>,
}

/// A prompt's id, or a map with `prompt`.
fn planned(place: &str, value: Dynamic, defaults: &Defaults) -> Result<Planned, String> {
    if let Ok(id) = value.as_int() {
        return Ok(Planned {
            prompt: natural(place, id)?,
            images: defaults.images_per_prompt,
            weight: 1.0,
            rest: None,
        });
    }
    if !value.is_map() {
        return Err(wrong(place, "an id or a map with `prompt`", &value));
    }
    let mut fields = Fields::of(place, "a map", value)?;
    Ok(Planned {
        prompt: fields
            .natural("prompt")?
            .ok_or_else(|| format!("{place} has no `prompt`"))?,
        images: fields
            .natural("images")?
            .unwrap_or(defaults.images_per_prompt),
        weight: fields.number("weight")?.unwrap_or(1.0),
        rest: Some(fields),
    })
}

fn draw(position: usize, value: Dynamic, defaults: &Defaults) -> Result<Draw, String> {
    let planned = planned(&format!("draw {position} of the plan"), value, defaults)?;
    planned.rest.map_or(Ok(()), Fields::end)?;
    Ok(Draw {
        prompt: planned.prompt,
        images: planned.images,
        weight: planned.weight,
    })
}

fn replay(position: usize, value: Dynamic, defaults: &Defaults) -> Result<Replay, String> {
    let planned = planned(&format!("replay {position} of the plan"), value, defaults)?;
    let mut epoch = None;
    if let Some(mut fields) = planned.rest {
        epoch = fields.natural("epoch")?;
        fields.end()?;
    }
    Ok(Replay {
        prompt: planned.prompt,
        images: planned.images,
        weight: planned.weight,
        epoch: epoch.unwrap_or(1),
    })
}

fn sampling(fields: Option<Fields>, defaults: Sampling) -> Result<Sampling, String> {
    let Some(mut fields) = fields else {
        return Ok(defaults);
    };
    let sampling = Sampling {
        temperature: fields
            .number("temperature")?
            .unwrap_or(defaults.temperature),
        guidance: fields.number("guidance")?.unwrap_or(defaults.guidance),
    };
    fields.end()?;
    Ok(sampling)
}
