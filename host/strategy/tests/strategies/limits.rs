//! What a strategy does wrong while it is called ends that call, with the error that names it.

use std::time::{Duration, Instant};

use crate::common::{bounds, context, file, groups, histories, load, metrics, past, prompts};
use sc_core::choice::{FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::role::Role;
use sc_strategy::{CallError, CallFailure, CurriculumInput, Limits, Reply, Runtime, StrategySet};

const MISBEHAVING: &str = "tests/fixtures/plugins/misbehaving.wasm";

fn with_fault(role: Role, fault: &str) -> StrategySet {
    load(&[MISBEHAVING], &[&format!("{role}.fault={fault}")])
}

/// Asks `role` of a strategy with `fault`; gives the failure.
fn failure(role: Role, fault: &str) -> CallError {
    let set = with_fault(role, fault);
    let context = context(3);
    let groups = groups(3, 4);
    let result = match role {
        Role::Curriculum => {
            let (prompts, histories, past) = (prompts(9), histories(9), past());
            let (bounds, defaults) = bounds(9);
            let input = CurriculumInput {
                prompts: &prompts,
                histories: &histories,
                past: &past,
                bounds,
                defaults,
            };
            set.curriculum.strategy.plan(&context, &input).map(drop)
        }
        Role::DataFilter => set.data_filter.strategy.filter(&context, &groups).map(drop),
        Role::PairSelection => set
            .pair_selection
            .strategy
            .select(&context, &groups, Objective::Dpo)
            .map(drop),
        Role::QualityGate => decide(&set, 3).map(drop),
    };
    match result {
        Ok(()) => panic!("{role} with fault {fault} was let through"),
        Err(error) => error,
    }
}

fn decide(set: &StrategySet, round: u32) -> Result<Reply<GateDecision>, CallError> {
    set.quality_gate
        .strategy
        .decide(&context(round), &metrics(300, 500), &metrics(200, 500))
}

#[test]
fn every_fault_is_named() {
    for role in Role::ALL {
        for (fault, expected) in [
            ("trap", "unreachable"),
            ("endless", "out of fuel"),
            ("recursion", "it trapped: wasm trap"),
            ("memory", "512 MiB of memory"),
            ("huge-log", "more than"),
            ("huge-state", "its state is 1048577 bytes long"),
            ("huge-output", "handed over more than"),
            ("refuse", "it refused: not today "),
        ] {
            // These take a while; one role is enough for them.
            let slow = ["endless", "memory"].contains(&fault);
            if slow && role != Role::QualityGate {
                continue;
            }
            let error = failure(role, fault);
            let text = error.to_string();
            assert!(text.contains(expected), "{role}, {fault}: {text}");
            assert!(text.contains("`misbehaving`"), "{text}");
            assert!(
                text.contains(role.name()) && text.contains("round 3"),
                "{text}"
            );
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
}

#[test]
fn no_invalid_answer_leaves_the_sandbox() {
    let answers = [
        (
            Role::Curriculum,
            &[
                ("unknown-prompt", "`plan.prompts[0].prompt` is 4294967295"),
                ("prompt-twice", "each prompt once"),
                ("no-prompts", "at least one prompt"),
                ("no-images", "plan.prompts[0].images"),
                ("too-many-images", "4097 images in all"),
                ("weight-nan", "`plan.prompts[0].weight` is NaN"),
                ("too-many-epochs", "`plan.epochs` is 9"),
                ("rate-infinite", "learning-rate-scale"),
                ("temperature-negative", "temperature` is -1"),
                ("stop-with-bell", "control or format character"),
            ][..],
        ),
        (
            Role::DataFilter,
            &[
                ("too-few-groups", "2 groups long"),
                ("too-many-decisions", "5 decisions long"),
                ("no-reason", "`decisions[0][0].drop` is empty"),
                ("long-reason", "201 bytes long"),
            ],
        ),
        (
            Role::PairSelection,
            &[
                ("unknown-group", "`choices[0].group` is 3"),
                ("unknown-candidate", "`choices[0].rejected` is 1000"),
                ("itself", "another candidate"),
                ("weight-zero", "`choices[0].weight` is 0"),
                ("target-for-dpo", "as the objective is dpo"),
                ("too-many-choices", "1000 long"),
            ],
        ),
        (Role::QualityGate, &[("long-reason", "201 bytes long")]),
    ];
    for (role, faults) in answers {
        for (fault, expected) in faults {
            let error = failure(role, fault);
            let text = error.to_string();
            assert!(
                matches!(error.failure, CallFailure::Invalid(_)),
                "{fault}: {text}"
            );
            assert!(text.contains(expected), "{fault}: {text}");
            assert!(error.hint().is_some());
        }
    }
}

#[test]
fn a_deadline_holds_inside_and_outside_of_host_calls() {
    let runtime = Runtime::with_cache_directory(
        Limits {
            fuel: u64::MAX,
            deadline: Duration::from_millis(100),
            ..Limits::default()
        },
        None,
    )
    .unwrap();
    for fault in ["endless", "endless-host-calls"] {
        let setting = format!("quality-gate.fault={fault}");
        let set = StrategySet::load(&[file(MISBEHAVING)], &[setting], &runtime).unwrap();
        let start = Instant::now();
        let error = decide(&set, 1).unwrap_err();
        assert!(
            matches!(error.failure, CallFailure::Deadline { .. }),
            "{error}"
        );
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn a_strategy_is_as_good_as_new_after_a_failure() {
    let set = with_fault(Role::QualityGate, "none");
    let broken = with_fault(Role::QualityGate, "trap");
    for _ in 0..3 {
        assert!(decide(&broken, 1).is_err());
        assert!(decide(&set, 1).is_ok());
    }
}

#[test]
fn log_lines_beyond_the_cap_do_no_harm() {
    assert!(decide(&with_fault(Role::QualityGate, "log-flood"), 1).is_ok());
}

#[test]
fn the_largest_valid_answer_passes_at_100_000_candidates() {
    let groups = groups(12_500, 8);
    let set = with_fault(Role::DataFilter, "full-answer");
    let reply = set
        .data_filter
        .strategy
        .filter(&context(1), &groups)
        .unwrap();
    assert_eq!(reply.answer.len(), 12_500);
    assert!(matches!(&reply.answer[9][3], FilterDecision::Drop(reason) if reason.len() == 200));
    // And a script has the memory for as many.
    let set = load(&["scripts/filter.rhai", "scripts/pairs.rhai"], &[]);
    let reply = set
        .data_filter
        .strategy
        .filter(&context(1), &groups)
        .unwrap();
    assert_eq!(reply.answer.len(), 12_500);
    let reply = set
        .pair_selection
        .strategy
        .select(&context(1), &groups, Objective::Dpo)
        .unwrap();
    assert!(reply.answer.len() > 5000);
}

#[test]
fn chance_depends_on_seed_round_and_role_alone() {
    let reason = |seed, round| {
        let mut context = context(round);
        context.seed = seed;
        let set = with_fault(Role::QualityGate, "random");
        let reply = set
            .quality_gate
            .strategy
            .decide(&context, &[], &[])
            .unwrap();
        match reply.answer {
            GateDecision::Keep { reason } => reason,
            other => panic!("{other:?}"),
        }
    };
    let first = reason(1, 1);
    assert_eq!(first, reason(1, 1));
    assert_ne!(first, reason(2, 1));
    assert_ne!(first, reason(1, 2));
    let (a, b) = first.split_once(' ').unwrap();
    assert_ne!(a, b);
}
