//! What scripts are given beside the large records: the contract's words as arrays and maps.

use rhai::{Array, Dynamic, Map};

use crate::exports::sc::strategy::{curriculum, quality_gate};
use crate::records::{self, bits};
use crate::roles;
use crate::sc::strategy::types::{Context, Metric, Objective, Role, RoundMetrics, Sampling};
use crate::state;

fn map<const N: usize>(fields: [(&str, Dynamic); N]) -> Dynamic {
    fields
        .into_iter()
        .map(|(key, value)| (key.into(), value))
        .collect::<Map>()
        .into()
}

fn integer(value: impl Into<i64>) -> Dynamic {
    Dynamic::from(value.into())
}

fn array<'a, T: 'a>(items: &'a [T], value: impl Fn(&'a T) -> Dynamic) -> Dynamic {
    items.iter().map(value).collect::<Array>().into()
}

/// The context of a call. The settings are not in it: they are the script's constants.
pub fn context(role: Role, context: &Context) -> Result<Dynamic, String> {
    Ok(map([
        ("seed", bits(context.seed).into()),
        ("round", integer(context.round)),
        ("rounds", integer(context.rounds)),
        ("epoch", integer(context.epoch)),
        ("role", roles::name(role).into()),
        ("state", state::from_bytes(&context.state)?),
    ]))
}

pub fn objective(objective: &Objective) -> Dynamic {
    map([
        ("name", objective.name.as_str().into()),
        ("takes", objective.takes.as_str().into()),
    ])
}

/// Figures by name.
fn metrics(metrics: &[Metric]) -> Dynamic {
    metrics
        .iter()
        .map(|metric| {
            let figure = map([
                ("value", metric.value.into()),
                ("low", metric.low.into()),
                ("high", metric.high.into()),
                ("n", bits(metric.n).into()),
            ]);
            (metric.name.as_str().into(), figure)
        })
        .collect::<Map>()
        .into()
}

fn past(round: &RoundMetrics) -> Dynamic {
    map([
        ("round", integer(round.round)),
        ("kept", round.kept.into()),
        ("metrics", metrics(&round.metrics)),
    ])
}

fn sampling(sampling: Sampling) -> Dynamic {
    map([
        ("temperature", sampling.temperature.into()),
        ("guidance", sampling.guidance.into()),
    ])
}

fn bounds(bounds: curriculum::Bounds) -> Dynamic {
    map([
        ("max_images", integer(bounds.max_images)),
        ("max_epochs", integer(bounds.max_epochs)),
    ])
}

fn defaults(defaults: &curriculum::Defaults) -> Dynamic {
    map([
        ("prompts", integer(defaults.prompts)),
        ("images_per_prompt", integer(defaults.images_per_prompt)),
        ("sampling", sampling(defaults.sampling)),
        ("objective", defaults.objective.as_str().into()),
        ("epochs", integer(defaults.epochs)),
    ])
}

/// The input of a curriculum, and the defaults that its plan is completed with.
pub fn curriculum(input: curriculum::Input) -> (Dynamic, curriculum::Defaults) {
    let (prompts, histories) = records::table(input.prompts, input.histories);
    let argument = map([
        ("prompts", prompts),
        ("histories", histories),
        ("past", array(&input.past, past)),
        ("bounds", bounds(input.bounds)),
        ("defaults", defaults(&input.defaults)),
        ("objectives", array(&input.objectives, objective)),
    ]);
    (argument, input.defaults)
}

pub fn quality_gate(input: &quality_gate::Input) -> Dynamic {
    map([
        ("before", metrics(&input.before)),
        ("after", metrics(&input.after)),
        ("past", array(&input.past, past)),
    ])
}
