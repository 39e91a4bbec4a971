//! The builtins, and the components that are to answer like them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{bounds, context, groups, histories, load, metrics, past, prompts};
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::plan::{CurriculumDecision, RoundPlan};
use sc_strategy::{CallContext, CurriculumInput, StrategySet};

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
        .strategy
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
        let replayed: Vec<u32> = plan
            .prompts
            .iter()
            .filter(|planned| planned.replayed)
            .map(|planned| planned.prompt)
            .collect();
        assert_eq!(replayed.len(), if round < 3 { 0 } else { 32 });
        assert!(
            replayed
                .iter()
                .all(|&prompt| histories[prompt as usize].failed_so_far())
        );
        assert_eq!(plan.prompts.len(), 64);
    }
}
