//! What scripts return, read with messages that a script's author understands.

use rhai::{Array, Dynamic, Map};

use crate::exports::sc::strategy::curriculum::{Defaults, PlannedPrompt, RoundPlan};
use crate::exports::sc::strategy::{curriculum, data_filter, pair_selection, quality_gate};
use crate::helpers::{Choice, Decision};
use crate::sc::strategy::types::{Objective, Sampling};

/// Most characters of a wrong value that a message shows.
const SHOWN: usize = 40;

fn wrong(place: &str, expected: &str, found: &Dynamic) -> String {
    let found = match found.type_name() {
        "()" => "nothing".to_owned(),
        "i64" | "f64" | "bool" => found.to_string(),
        "string" => format!("{:?}", found.to_string().chars().take(SHOWN).collect::<String>()),
        other => other.rsplit("::").next().unwrap_or(other).to_owned(),
    };
    format!("{place} must be {expected}, not {found}")
}

fn array(place: &str, expected: &str, value: Dynamic) -> Result<Array, String> {
    if value.is_array() {
        value.into_array().map_err(str::to_owned)
    } else {
        Err(wrong(place, expected, &value))
    }
}

/// A whole number of the contract.
fn natural(place: &str, value: i64) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("{place} is {value}; expected 0 to {}", u32::MAX))
}

pub fn filter(value: Dynamic) -> Result<Vec<Vec<data_filter::Decision>>, String> {
    const EXPECTED: &str = "an array with one keep() or drop(reason) for each candidate";
    array(
        "what `data_filter` returns",
        "an array with an array for each group",
        value,
    )?
    .into_iter()
    .enumerate()
    .map(|(group, decisions)| {
        array(&format!("group {group}"), EXPECTED, decisions)?
            .into_iter()
            .enumerate()
            .map(|(position, value)| match value.try_cast_result() {
                Ok(Decision::Keep(_)) => Ok(data_filter::Decision::Keep),
                Ok(Decision::Drop(reason)) => Ok(data_filter::Decision::Drop(reason.into())),
                Ok(Decision::RollBack(_) | Decision::Stop(_)) => Err(format!(
                    "candidate {position} of group {group} must be keep() or drop(reason)"
                )),
                Err(value) => Err(wrong(
                    &format!("candidate {position} of group {group}"),
                    "keep() or drop(reason)",
                    &value,
                )),
            })
            .collect()
    })
    .collect()
}

pub fn choices(value: Dynamic) -> Result<Vec<pair_selection::Choice>, String> {
    const EXPECTED: &str = "target(group, candidate) or pair(group, chosen, rejected)";
    array(
        "what `pair_selection` returns",
        "an array of target(…) or pair(…)",
        value,
    )?
    .into_iter()
    .enumerate()
    .map(|(position, value)| {
        let place = |name: &str| format!("{name} of choice {position}");
        match value.try_cast_result() {
            Ok(Choice::Target {
                group,
                candidate,
                weight,
            }) => Ok(pair_selection::Choice::Target(pair_selection::Target {
                group: natural(&place("the group"), group)?,
                candidate: natural(&place("the candidate"), candidate)?,
                weight,
            })),
            Ok(Choice::Pair {
                group,
                chosen,
                rejected,
                weight,
            }) => Ok(pair_selection::Choice::Pair(pair_selection::Pair {
                group: natural(&place("the group"), group)?,
                chosen: natural(&place("the chosen candidate"), chosen)?,
                rejected: natural(&place("the rejected candidate"), rejected)?,
                weight,
            })),
            Err(value) => Err(wrong(&format!("choice {position}"), EXPECTED, &value)),
        }
    })
    .collect()
}

pub fn gate(value: Dynamic) -> Result<quality_gate::Decision, String> {
    const PLACE: &str = "what `quality_gate` returns";
    const EXPECTED: &str = "keep(reason), roll_back(reason) or stop(reason)";
    match value.try_cast_result() {
        Ok(Decision::Keep(reason)) => Ok(quality_gate::Decision::Keep(reason.into())),
        Ok(Decision::RollBack(reason)) => Ok(quality_gate::Decision::RollBack(reason.into())),
        Ok(Decision::Stop(reason)) => Ok(quality_gate::Decision::Stop(reason.into())),
        Ok(Decision::Drop(_)) => Err(format!("{PLACE} must be {EXPECTED}, not drop(reason)")),
        Err(value) => Err(wrong(PLACE, EXPECTED, &value)),
    }
}

/// The fields of a map, each taken once, so that a misspelt one is found at the end.
struct Fields {
    place: String,
    map: Map,
}

impl Fields {
    fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Dynamic) -> Option<T>,
    ) -> Result<Option<T>, String> {
        match self.map.remove(name) {
            None => Ok(None),
            Some(value) => read(&value)
                .map(Some)
                .ok_or_else(|| wrong(&format!("`{name}` of {}", self.place), expected, &value)),
        }
    }

    fn natural(&mut self, name: &str) -> Result<Option<u32>, String> {
        let value = self.take(name, "a whole number", |value| value.as_int().ok())?;
        value
            .map(|value| natural(&format!("`{name}` of {}", self.place), value))
            .transpose()
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, String> {
        self.take(name, "a number", number)
    }

    fn end(self) -> Result<(), String> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("{} has an unknown field `{key}`", self.place)),
        }
    }
}

fn number(value: &Dynamic) -> Option<f64> {
    value
        .as_float()
        .ok()
        .or_else(|| value.as_int().ok().map(|value| value as f64))
}

pub fn curriculum(value: Dynamic, defaults: &Defaults) -> Result<curriculum::Decision, String> {
    const PLACE: &str = "what `curriculum` returns";
    const EXPECTED: &str = "a map with `prompts`, or stop(reason)";
    let value = match value.try_cast_result() {
        Ok(Decision::Stop(reason)) => return Ok(curriculum::Decision::Stop(reason.into())),
        Ok(_) => return Err(format!("{PLACE} must be {EXPECTED}")),
        Err(value) => value,
    };
    let map = value
        .try_cast_result::<Map>()
        .map_err(|value| wrong(PLACE, EXPECTED, &value))?;
    let mut fields = Fields {
        place: "the plan".into(),
        map,
    };
    let prompts = fields
        .take("prompts", "an array", |value| {
            value.clone().into_array().ok()
        })?
        .ok_or("the plan has no `prompts`")?
        .into_iter()
        .enumerate()
        .map(|(position, value)| planned(position, value, defaults))
        .collect::<Result<_, String>>()?;
    let sampling = fields
        .take("sampling", "a map", |value| value.clone().try_cast::<Map>())?
        .map_or(Ok(defaults.sampling), |map| {
            sampling(map, defaults.sampling)
        })?;
    let objective = fields.take("objective", "\"dpo\" or \"sft\"", |value| {
        match value.as_immutable_string_ref().ok()?.as_str() {
            "dpo" => Some(Objective::Dpo),
            "sft" => Some(Objective::Sft),
            _ => None,
        }
    })?;
    let plan = RoundPlan {
        prompts,
        sampling,
        objective: objective.unwrap_or(defaults.objective),
        epochs: fields.natural("epochs")?.unwrap_or(defaults.epochs),
        learning_rate_scale: fields.number("learning_rate_scale")?.unwrap_or(1.0),
    };
    fields.end()?;
    Ok(curriculum::Decision::Round(plan))
}

/// A prompt of the plan: its id, or a map with `prompt`.
fn planned(position: usize, value: Dynamic, defaults: &Defaults) -> Result<PlannedPrompt, String> {
    let place = format!("prompt {position} of the plan");
    if let Ok(id) = value.as_int() {
        return Ok(PlannedPrompt {
            prompt: natural(&place, id)?,
            images: defaults.images_per_prompt,
            weight: 1.0,
            replayed: false,
        });
    }
    let map = value
        .try_cast_result::<Map>()
        .map_err(|value| wrong(&place, "an id or a map with `prompt`", &value))?;
    let mut fields = Fields { place, map };
    let planned = PlannedPrompt {
        prompt: fields
            .natural("prompt")?
            .ok_or_else(|| format!("{} has no `prompt`", fields.place))?,
        images: fields
            .natural("images")?
            .unwrap_or(defaults.images_per_prompt),
        weight: fields.number("weight")?.unwrap_or(1.0),
        replayed: fields
            .take("replayed", "true or false", |value| value.as_bool().ok())?
            .unwrap_or(false),
    };
    fields.end()?;
    Ok(planned)
}

fn sampling(map: Map, defaults: Sampling) -> Result<Sampling, String> {
    let mut fields = Fields {
        place: "`sampling` of the plan".into(),
        map,
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
