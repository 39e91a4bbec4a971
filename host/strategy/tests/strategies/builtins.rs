//! The builtins, and the components that are to answer like them.

use crate::common::{bounds, context, decide, groups, histories, load, metrics, past, prompts};
use sc_core::candidate::{Candidate, Group, Verdict};
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::history::PromptHistory;
use sc_core::metrics::{Mean, Metric, RoundMetrics, Share};
use sc_core::plan::{CurriculumDecision, RoundPlan};
use sc_strategy::{
    CallContext, CurriculumInput, GateInput, NoServices, StrategySet, builtin_names,
};

fn plan(set: &StrategySet, context: &CallContext, count: u32) -> RoundPlan {
    let (prompts, histories, past) = (prompts(count), histories(count), past());
    let (bounds, defaults) = bounds(count);
    let input = CurriculumInput {
        prompts: &prompts,
        histories: &histories,
        past: &past,
        bounds,
        defaults,
    };
    match set
        .curriculum
        .strategy()
        .plan(context, &input)
        .unwrap()
        .answer
    {
        CurriculumDecision::Round(plan) => plan,
        CurriculumDecision::Stop(reason) => panic!("stopped: {reason}"),
    }
}

#[test]
fn the_replay_builtin_and_component_answer_alike() {
    for share in ["0", "0.3", "1"] {
        let setting = format!("curriculum.replay_share={share}");
        let builtin = load(&["builtin:replay"], &[&setting]);
        let component = load(&["plugins/curriculum.wasm"], &[&setting]);
        // From few prompts, where one kind must make up for the other, to many.
        for count in [1, 5, 90, 400] {
            for round in 1..4 {
                let context = context(round);
                assert_eq!(
                    plan(&builtin, &context, count),
                    plan(&component, &context, count),
                    "share {share}, {count} prompts, round {round}"
                );
            }
        }
    }
}

#[test]
fn replays_are_failed_prompts_from_the_round_on_that_is_set() {
    let set = load(&["plugins/curriculum.wasm"], &["curriculum.from_round=3"]);
    let histories = histories(400);
    for round in 1..5 {
        let plan = plan(&set, &context(round), 400);
        let replayed: Vec<u32> = plan.replays.iter().map(|replay| replay.prompt).collect();
        assert_eq!(replayed.len(), if round < 3 { 0 } else { 32 });
        assert!(
            replayed
                .iter()
                .all(|&prompt| histories[prompt as usize].failed_so_far())
        );
        assert_eq!(plan.draws.len() + plan.replays.len(), 64);
    }
}

#[test]
fn uniform_draws_other_prompts_each_round_and_the_same_for_the_same_seed() {
    let set = load(&[], &[]);
    let first = plan(&set, &context(1), 400);
    assert_eq!(first, plan(&set, &context(1), 400));
    assert_ne!(first, plan(&set, &context(2), 400));
    assert_eq!((first.draws.len(), first.replays.len()), (64, 0));
}

/// A group of candidates with these p-yes, accepted from 0.5 on, and all images different.
fn group(p_yes: &[f64]) -> Group {
    Group {
        prompt: prompts(1).remove(0),
        history: PromptHistory::default(),
        candidates: p_yes
            .iter()
            .zip(0..)
            .map(|(&p_yes, index)| Candidate {
                index,
                p_yes,
                verdict: if p_yes >= 0.5 {
                    Verdict::Accepted
                } else {
                    Verdict::Rejected
                },
                answer: String::new(),
                log_prob: -1.0,
                image_hash: u64::from(index),
            })
            .collect(),
    }
}

#[test]
fn verdict_drops_what_is_unparsed_undecided_or_seen_before() {
    let mut group = group(&[0.9, 0.6, 0.1, 0.95, 0.45, 0.7]);
    group.candidates[2].image_hash = 0;
    group.candidates[3].verdict = Verdict::Unparsed;
    let set = load(&[], &["data-filter.min_margin=0.2"]);
    let reply = set.data_filters[0]
        .strategy()
        .filter(&context(1), &[group], &mut NoServices)
        .unwrap();
    let drop = |reason: &str| FilterDecision::Drop(reason.into());
    assert_eq!(
        reply.answer,
        [[
            FilterDecision::Keep,
            drop("undecided"),
            drop("duplicate"),
            drop("unparsed"),
            drop("undecided"),
            // |0.7 − 0.5| is a little less than 0.2 in binary.
            drop("undecided"),
        ]]
    );
}

#[test]
fn best_worst_pairs_the_ends_and_imitates_what_is_sure() {
    let groups = [
        group(&[0.3, 0.95, 0.1, 0.95, 0.1]),
        group(&[0.6, 0.7]),
        group(&[0.1, 0.2]),
        group(&[0.55, 0.45]),
    ];
    let set = load(&[], &[]);
    let select = |objective| {
        set.pair_selection
            .strategy()
            .select(&context(1), &groups, objective, &mut NoServices)
            .unwrap()
            .answer
    };
    // Of equals the first; no pair without both verdicts or with too small a gap.
    assert_eq!(
        select(Objective::Sigmoid),
        [Choice::Pair {
            group: 0,
            chosen: 1,
            rejected: 2,
            weight: 1.0
        }]
    );
    let target = |candidate| Choice::Target {
        group: 0,
        candidate,
        weight: 1.0,
        desirable: true,
    };
    assert_eq!(select(Objective::Sft), [target(1), target(3)]);
}

#[test]
fn no_harm_rolls_back_only_what_is_significantly_worse() {
    let kept = |after: (u64, u64), settings: &[&str]| {
        let set = load(&[], settings);
        let reply = decide(
            &set,
            &context(1),
            &metrics(300, 500),
            &metrics(after.0, after.1),
        )
        .unwrap();
        matches!(reply.answer, GateDecision::Keep { .. })
    };
    assert!(kept((200, 500), &[]));
    assert!(kept((310, 490), &[]));
    assert!(!kept((200, 400), &[]));
    assert!(!kept((420, 500), &[]));
    assert!(kept((420, 500), &["quality-gate.tolerance=0.2"]));
}

/// Each signal by itself is told as what decided, and the third round of harm in a row ends the run.
#[test]
fn no_harm_names_the_signal_that_decided() {
    let share = |name: &str, hits: u64| Metric::new(name, Share::of(hits, 1000));
    let good = [
        share("audit_flips", 20),
        share("understanding_accuracy", 960),
        share("consistency", 950),
        Metric::from(("diversity", Mean::of(&[0.28, 0.3, 0.29, 0.31]).unwrap())),
        share("nonunified", 400),
    ];
    let decided = |after: &[Metric], past: &[RoundMetrics]| {
        let set = load(&[], &[]);
        let input = GateInput {
            before: &good[1..],
            after,
            past,
        };
        let gate = set.quality_gates[0].strategy();
        gate.decide(&context(1), &input).unwrap().answer
    };
    assert!(matches!(decided(&good, &[]), GateDecision::Keep { .. }));
    let bad = [
        share("audit_flips", 300),
        share("understanding_accuracy", 900),
        share("consistency", 880),
        Metric::from(("diversity", Mean::of(&[0.1, 0.11, 0.12, 0.1]).unwrap())),
        share("nonunified", 500),
    ];
    for (position, metric) in bad.iter().enumerate() {
        let mut after = good.clone();
        after[position] = metric.clone();
        let GateDecision::RollBack { reason } = decided(&after, &[]) else {
            panic!("{} does no harm", metric.name);
        };
        assert!(reason.starts_with(&metric.name), "{reason}");
    }
    // A little every round is seen against the run's beginning.
    let round = |kept: bool, metrics: &[Metric]| RoundMetrics {
        round: 0,
        kept,
        metrics: metrics.to_vec(),
    };
    let mut first = good.clone();
    first[1] = share("understanding_accuracy", 1000);
    let reason = decided(&good, &[round(true, &first)]);
    assert!(
        reason.reason().contains("at the run's beginning"),
        "{reason:?}"
    );
    let past = [round(true, &good), round(false, &good), round(false, &good)];
    let mut after = good.clone();
    after[0] = bad[0].clone();
    let stopped = decided(&after, &past);
    assert!(matches!(&stopped, GateDecision::Stop { reason } if reason.starts_with("audit_flips")));
}

#[test]
fn keep_all_keeps_what_no_harm_would_not() {
    let set = load(&["builtin:keep-all"], &[]);
    let reply = decide(&set, &context(1), &metrics(100, 900), &metrics(900, 100));
    assert!(matches!(reply.unwrap().answer, GateDecision::Keep { .. }));
}

#[test]
fn builtins_are_named_and_keep_their_state() {
    assert_eq!(
        builtin_names(),
        [
            "builtin:uniform",
            "builtin:replay",
            "builtin:verdict",
            "builtin:best-worst",
            "builtin:no-harm",
            "builtin:keep-all"
        ]
    );
    let set = load(&["builtin:best-worst"], &["pair-selection.accept=0.5"]);
    assert_eq!(set.pair_selection.identity().parameters["accept"], 0.5);
    let mut context = context(1);
    context.state = vec![1, 2, 3];
    let reply = set.data_filters[0]
        .strategy()
        .filter(&context, &groups(2, 2), &mut NoServices)
        .unwrap();
    assert_eq!(reply.state, [1, 2, 3]);
}
