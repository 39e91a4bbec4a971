//! What scripts are given: the contract's records as arrays and maps.

use rhai::{Array, Dynamic, ImmutableString, Map};

use crate::exports::sc::strategy::curriculum::{Input, PromptHistory};
use crate::sc::strategy::types::{
    Candidate, Context, Group, Metric, Objective, Prompt, Sampling, Verdict,
};
use crate::state;

fn map<const N: usize>(fields: [(&str, Dynamic); N]) -> Map {
    let mut map = Map::new();
    for (key, value) in fields {
        map.insert(key.into(), value);
    }
    map
}

/// A map that is copied when it is used, not with each list that it stands in: Rhai copies a list
/// to walk through it.
fn shared(map: Map) -> Dynamic {
    Dynamic::from(map).into_shared()
}

fn integer(value: impl Into<i64>) -> Dynamic {
    Dynamic::from(value.into())
}

/// 64 bits as a script's integer: equal bits, equal numbers.
fn bits(value: u64) -> Dynamic {
    Dynamic::from(value.cast_signed())
}

pub fn context(context: &Context) -> Result<Dynamic, String> {
    Ok(map([
        ("seed", bits(context.seed)),
        ("round", integer(context.round)),
        ("rounds", integer(context.rounds)),
        ("state", state::from_bytes(&context.state)?),
    ])
    .into())
}

fn prompt(prompt: Prompt) -> Map {
    let tags: Map = prompt
        .tags
        .into_iter()
        .map(|tag| (tag.key.into(), tag.value.into()))
        .collect();
    map([
        ("id", integer(prompt.id)),
        ("text", prompt.text.into()),
        ("category", prompt.category.into()),
        ("tags", tags.into()),
    ])
}

/// The words for verdicts, and for no answer, made once and shared by all candidates.
struct Words {
    accepted: ImmutableString,
    rejected: ImmutableString,
    unparsed: ImmutableString,
    silent: ImmutableString,
}

fn candidate(candidate: Candidate, words: &Words) -> Dynamic {
    let verdict = match candidate.verdict {
        Verdict::Accepted => &words.accepted,
        Verdict::Rejected => &words.rejected,
        Verdict::Unparsed => &words.unparsed,
    };
    let answer = candidate
        .answer
        .map_or_else(|| words.silent.clone(), ImmutableString::from)
        .into();
    shared(map([
        ("index", integer(candidate.index)),
        ("p_yes", candidate.p_yes.into()),
        ("verdict", verdict.clone().into()),
        ("answer", answer),
        ("log_prob", candidate.log_prob.into()),
        ("image_hash", bits(candidate.image_hash)),
    ]))
}

pub fn groups(groups: Vec<Group>) -> Dynamic {
    let words = Words {
        accepted: "accepted".into(),
        rejected: "rejected".into(),
        unparsed: "unparsed".into(),
        silent: ImmutableString::new(),
    };
    (0_i64..)
        .zip(groups)
        .map(|(index, group)| {
            let candidates: Array = group
                .candidates
                .into_iter()
                .map(|one| candidate(one, &words))
                .collect();
            map([
                ("index", index.into()),
                ("prompt", shared(prompt(group.prompt))),
                ("candidates", candidates.into()),
            ])
            .into()
        })
        .collect::<Array>()
        .into()
}

pub fn objective(objective: Objective) -> Dynamic {
    match objective {
        Objective::Dpo => "dpo",
        Objective::Sft => "sft",
    }
    .into()
}

/// Figures by name.
pub fn metrics(metrics: &[Metric]) -> Dynamic {
    metrics
        .iter()
        .map(|metric| {
            let figure = map([
                ("value", metric.value.into()),
                ("low", metric.low.into()),
                ("high", metric.high.into()),
                ("n", bits(metric.n)),
            ]);
            (metric.name.as_str().into(), figure.into())
        })
        .collect::<Map>()
        .into()
}

fn history(history: &PromptHistory) -> Dynamic {
    map([
        ("prompt", integer(history.prompt)),
        ("attempts", integer(history.attempts)),
        ("accepted", integer(history.accepted)),
        ("mean_p_yes", history.mean_p_yes.into()),
        ("best_p_yes", history.best_p_yes.into()),
        (
            "last_round",
            history.last_round.map_or(Dynamic::UNIT, integer),
        ),
        ("times_trained", integer(history.times_trained)),
    ])
    .into()
}

fn sampling(sampling: Sampling) -> Dynamic {
    map([
        ("temperature", sampling.temperature.into()),
        ("guidance", sampling.guidance.into()),
    ])
    .into()
}

pub fn curriculum(input: &Input) -> Dynamic {
    let prompts: Array = input
        .prompts
        .iter()
        .map(|p| prompt(p.clone()).into())
        .collect();
    let histories: Array = input.histories.iter().map(history).collect();
    let past: Array = input
        .past
        .iter()
        .map(|round| {
            map([
                ("round", integer(round.round)),
                ("kept", round.kept.into()),
                ("metrics", metrics(&round.metrics)),
            ])
            .into()
        })
        .collect();
    map([
        ("prompts", prompts.into()),
        ("histories", histories.into()),
        ("past", past.into()),
        (
            "bounds",
            map([
                ("max_images", integer(input.bounds.max_images)),
                ("max_epochs", integer(input.bounds.max_epochs)),
            ])
            .into(),
        ),
        (
            "defaults",
            map([
                ("prompts", integer(input.defaults.prompts)),
                (
                    "images_per_prompt",
                    integer(input.defaults.images_per_prompt),
                ),
                ("sampling", sampling(input.defaults.sampling)),
                ("objective", objective(input.defaults.objective)),
                ("epochs", integer(input.defaults.epochs)),
            ])
            .into(),
        ),
    ])
    .into()
}
