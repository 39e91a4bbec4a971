//! The shipped strategies that there are twice, as a component and as a script: twins say the same
//! of themselves and decide the same.

use rand::Rng;
use sc_core::candidate::{Candidate, Group, Verdict};
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::history::PromptHistory;
use sc_core::metrics::{Metric, Share};
use sc_core::plan::{CurriculumDecision, PlanBounds, PlanDefaults, Sampling};
use sc_core::prompt::Prompt;
use sc_core::rng::stream;
use sc_strategy::{
    CallContext, CallError, CurriculumInput, GateInput, Reply, StrategySet, inspect, trial::StandIn,
};

use crate::common::{file, past};
use crate::forms::{Form, INPUTS, Twins};

/// What of a reply is to be the same: the answer, and what it took to find it.
fn told<T>(reply: Result<Reply<T>, CallError>) -> (T, u64, u64) {
    let Reply { answer, usage, .. } = reply.unwrap();
    (answer, usage.questions, usage.questions_charged)
}

/// Fails unless all are equal; `what` says of what they are.
fn assert_alike<T: PartialEq + std::fmt::Debug>(answers: &[T], forms: &[Form], what: &str) {
    for (answer, form) in answers.iter().zip(forms) {
        let (first, form) = (&forms[0].source, &form.source);
        assert_eq!(&answers[0], answer, "{first} and {form}, {what}");
    }
}

fn curricula() -> Vec<Twins> {
    const REPLAY: &[&str] = &["", "replay_share=0.3", "from_round=4", "replay_share=1"];
    vec![
        Twins::named("curriculum", "curriculum", REPLAY).and("builtin:replay"),
        Twins::named("curriculum", "curriculum", &["epoch=2", "epoch=5"]).and("builtin:replay"),
        Twins::named("curriculum", "easy-to-hard", &["", "start=0", "start=0.77"]),
        Twins::named("curriculum", "uniform", &[""]).and("builtin:uniform"),
    ]
}

fn data_filters() -> Vec<Twins> {
    const MARGINS: &[&str] = &["", "min_margin=0", "min_margin=0.35", "min_margin=0.5"];
    const DECOMPOSED: &[&str] = &[
        "",
        "min_p_yes=0.9",
        "template=does this image show {part}, really {part} ?",
    ];
    vec![
        Twins::named("data-filter", "margin", MARGINS),
        Twins::named("data-filter", "duplicates", &[""]),
        Twins::named(
            "data-filter",
            "unparsed",
            &["", "max_share=0", "max_share=0.34"],
        ),
        Twins {
            questions: &[0, 7, 1000],
            ..Twins::named("data-filter", "decomposed", DECOMPOSED)
        },
    ]
}

fn pair_selections() -> Vec<Twins> {
    const BEST_WORST: &[&str] = &["", "min_gap=0", "min_gap=0.6", "accept=0.5"];
    const ALL_PAIRS: &[&str] = &["", "most=1", "most=64", "min_gap=0", "accept=0.5"];
    vec![
        Twins {
            role: "pair-selection",
            forms: [
                file("plugins/best-worst.wasm"),
                file("scripts/pairs.rhai"),
                "builtin:best-worst".to_owned(),
            ]
            .into_iter()
            .flat_map(Form::all_of)
            .collect(),
            settings: BEST_WORST,
            questions: &[],
        },
        Twins::named("pair-selection", "all-pairs", ALL_PAIRS),
        Twins::named(
            "pair-selection",
            "hardest",
            &["", "max_gap=0.25", "max_gap=0"],
        ),
    ]
}

fn quality_gates() -> Vec<Twins> {
    vec![
        Twins::named("quality-gate", "probe", &["", "patience=1", "patience=3"]),
        Twins::named("quality-gate", "score-only", &[""]),
    ]
}

/// A p-yes: often one that others have too, or one at an end.
fn p_yes(random: &mut impl Rng) -> f64 {
    match random.random_range(0..8) {
        0 => random.random(),
        1 => f64::from(random.random_range(0..=2_u32)) / 2.0,
        _ => f64::from(random.random_range(0..=20_u32)) / 20.0,
    }
}

fn prompt(random: &mut impl Rng, id: u32) -> Prompt {
    const TEXTS: [&str; 9] = [
        "a red ring",
        "a cross right of a square",
        "a red ring and a blue cross and a green square",
        "a ring left of a cross",
        "a ring to the right of a cross",
        "a ring above a cross",
        "a ring and a ring",
        "a band and a ballroom",
        " and  below ",
    ];
    Prompt {
        id,
        text: TEXTS[random.random_range(0..TEXTS.len())].to_owned(),
        category: String::new(),
        tags: Vec::new(),
    }
}

fn history(random: &mut impl Rng) -> PromptHistory {
    let attempts = random.random_range(0..4);
    if attempts == 0 {
        return PromptHistory::default();
    }
    PromptHistory {
        attempts,
        accepted: random.random_range(0..=1) * random.random_range(0..=attempts),
        mean_p_yes: p_yes(random),
        best_p_yes: p_yes(random),
        last_round: Some(1),
        times_trained: random.random_range(0..3),
    }
}

/// Groups of all shapes: empty ones, those of one candidate or of one verdict, ties, equal images.
fn groups(random: &mut impl Rng) -> Vec<Group> {
    let count = random.random_range(0..6);
    (0..count)
        .map(|id| {
            let size = [0, 1, 2, 8, 8, 12][random.random_range(0..6)];
            let only = [None, None, Some(Verdict::Accepted), Some(Verdict::Rejected)]
                [random.random_range(0..4)];
            let unparsed = [0.0, 0.1, 0.5, 1.0][random.random_range(0..4)];
            let step = random.random_range(1..3);
            let candidates = (0..size).map(|position| {
                let mut candidate = Candidate {
                    index: position * step,
                    p_yes: p_yes(random),
                    verdict: Verdict::Unparsed,
                    answer: String::new(),
                    log_prob: -1.5,
                    image_hash: u64::MAX.wrapping_add(random.random_range(0..12)),
                };
                if random.random_bool(unparsed) {
                    candidate.p_yes = 0.5;
                } else {
                    let by_p_yes = if candidate.p_yes > 0.5 {
                        Verdict::Accepted
                    } else {
                        Verdict::Rejected
                    };
                    candidate.verdict = only.unwrap_or(by_p_yes);
                }
                candidate
            });
            let candidates = candidates.collect();
            Group {
                prompt: prompt(random, id),
                history: history(random),
                candidates,
            }
        })
        .collect()
}

/// A round by chance.
fn context(random: &mut impl Rng) -> CallContext {
    let rounds = random.random_range(1..8);
    CallContext {
        seed: random.random(),
        round: random.random_range(1..=rounds),
        rounds,
        epoch: random.random_range(1..3),
        link: 0,
        state: Vec::new(),
    }
}

#[test]
fn twins_say_the_same_of_themselves() {
    let all = [
        curricula(),
        data_filters(),
        pair_selections(),
        quality_gates(),
    ];
    for twins in all.iter().flatten() {
        let of_kind = |ending: &str| {
            let mut forms = twins.forms.iter();
            forms.find(|form| form.source.ends_with(ending)).unwrap()
        };
        let [component, script] = [".wasm", ".rhai"].map(|ending| {
            let form = of_kind(ending);
            let mut about = inspect(&form.source, form.runtime).unwrap();
            about.services.retain(|service| service.needs_grant());
            about
        });
        let form = &of_kind(".rhai").source;
        let defaults = |parameters: &[sc_strategy::Parameter]| -> Vec<_> {
            let named = parameters.iter();
            named.map(|p| (p.name.clone(), p.default.clone())).collect()
        };
        assert_eq!(
            defaults(&component.parameters),
            defaults(&script.parameters)
        );
        assert_eq!(component.roles, script.roles, "{form}");
        assert_eq!(component.services, script.services, "{form}");
        // That one is kept short: it gives neither ranges nor a summary.
        if !form.ends_with("pairs.rhai") || form.ends_with("all-pairs.rhai") {
            assert_eq!(component.parameters, script.parameters, "{form}");
            assert_eq!(component.summary, script.summary, "{form}");
        }
    }
}

#[test]
fn twin_curricula_plan_the_same() {
    for twins in curricula() {
        let mut drawn = 0;
        twins.each_variant(|sets, inputs| {
            for number in inputs {
                let mut random = stream(11, "twin curricula", &[u64::from(number)]);
                let count = [1, 2, 9, 40][random.random_range(0..4)];
                let prompts: Vec<Prompt> = (0..count).map(|id| prompt(&mut random, id)).collect();
                let histories: Vec<_> = prompts.iter().map(|_| history(&mut random)).collect();
                let past = past();
                let input = CurriculumInput {
                    prompts: &prompts,
                    histories: &histories,
                    past: &past,
                    bounds: PlanBounds {
                        prompt_count: count,
                        max_images: random.random_range(8..200),
                        max_epochs: 8,
                    },
                    defaults: PlanDefaults {
                        prompts: random.random_range(1..20),
                        images_per_prompt: random.random_range(1..9),
                        sampling: Sampling::default(),
                        objective: Objective::ALL[random.random_range(0..Objective::ALL.len())],
                        epochs: random.random_range(1..4),
                    },
                };
                let context = context(&mut random);
                let plan = |set: &StrategySet| {
                    let reply = set.curriculum.strategy().plan(&context, &input);
                    told(reply).0
                };
                let plans: Vec<CurriculumDecision> = sets.iter().map(plan).collect();
                if let CurriculumDecision::Round(plan) = &plans[0] {
                    drawn += plan.draws.len();
                }
                assert_alike(&plans, &twins.forms, &format!("{context:?}: {input:?}"));
            }
        });
        assert!(drawn > INPUTS as usize);
    }
}

#[test]
fn twin_filters_keep_the_same() {
    for twins in data_filters() {
        let (mut kept, mut dropped) = (0, 0);
        twins.each_variant(|sets, inputs| {
            for number in inputs {
                let mut random = stream(12, "twin filters", &[u64::from(number)]);
                let groups = groups(&mut random);
                let context = CallContext {
                    // Questions are counted by the round, so each input has one of its own.
                    round: number,
                    ..context(&mut random)
                };
                let filter = |set: &StrategySet| {
                    let filter = set.data_filters[0].strategy();
                    told(filter.filter(&context, &groups, &mut StandIn))
                };
                let answers: Vec<_> = sets.iter().map(filter).collect();
                for decision in answers[0].0.iter().flatten() {
                    match decision {
                        FilterDecision::Keep => kept += 1,
                        FilterDecision::Drop(_) => dropped += 1,
                    }
                }
                assert_alike(&answers, &twins.forms, &format!("{groups:?}"));
            }
        });
        assert!(kept > INPUTS && dropped > INPUTS, "{kept} {dropped}");
    }
}

#[test]
fn twin_selections_choose_the_same() {
    for twins in pair_selections() {
        let (mut pairs, mut targets) = (0, 0);
        twins.each_variant(|sets, inputs| {
            for number in inputs {
                let mut random = stream(13, "twin selections", &[u64::from(number)]);
                let groups = groups(&mut random);
                let context = context(&mut random);
                let objective = Objective::ALL[random.random_range(0..Objective::ALL.len())];
                let select = |set: &StrategySet| {
                    let selection = set.pair_selection.strategy();
                    told(selection.select(&context, &groups, objective, &mut StandIn)).0
                };
                let answers: Vec<Vec<Choice>> = sets.iter().map(select).collect();
                for choice in &answers[0] {
                    match choice {
                        Choice::Pair { .. } => pairs += 1,
                        Choice::Target { .. } => targets += 1,
                    }
                }
                assert_alike(&answers, &twins.forms, &format!("{objective}: {groups:?}"));
            }
        });
        assert!(
            pairs > INPUTS / 10 && targets > INPUTS / 10,
            "{pairs} {targets}"
        );
    }
}

/// Figures by chance, a few of them missing.
fn figures(random: &mut impl Rng) -> Vec<Metric> {
    let names = [
        "nonunified",
        "generation_accuracy",
        "understanding_accuracy",
    ];
    let mut figures = Vec::new();
    for name in names {
        if random.random_ratio(9, 10) {
            let n = [0, 40, 600][random.random_range(0..3)];
            let hits = if n == 0 {
                0
            } else {
                random.random_range(0..=n)
            };
            figures.push(Metric::new(name, Share::of(hits, n)));
        }
    }
    figures
}

#[test]
fn twin_gates_decide_the_same_round_after_round() {
    const ROUNDS: u32 = 8;
    for twins in quality_gates() {
        let mut decided: std::collections::BTreeSet<String> = Default::default();
        twins.each_variant(|sets, inputs| {
            let mut states = vec![Vec::new(); sets.len()];
            for number in inputs {
                let mut random = stream(14, "twin gates", &[u64::from(number)]);
                let round = number % ROUNDS + 1;
                if round == 1 {
                    states.iter_mut().for_each(Vec::clear);
                }
                let (before, after) = (figures(&mut random), figures(&mut random));
                let past = past();
                let input = GateInput {
                    before: &before,
                    after: &after,
                    past: &past,
                };
                let common = context(&mut random);
                let mut answers = Vec::new();
                for (set, state) in sets.iter().zip(&mut states) {
                    let context = CallContext {
                        round,
                        rounds: ROUNDS,
                        state: state.clone(),
                        ..common.clone()
                    };
                    let gate = set.quality_gates[0].strategy();
                    let reply = gate.decide(&context, &input).unwrap();
                    *state = reply.state;
                    answers.push(reply.answer);
                }
                decided.insert(format!("{:?}", answers[0]));
                assert_alike(&answers, &twins.forms, &format!("round {round}: {input:?}"));
            }
        });
        assert!(decided.len() >= 2, "{decided:?}");
    }
}
