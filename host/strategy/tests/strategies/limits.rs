//! What a strategy does wrong while it is called ends that call, with the error that names it.

use std::time::{Duration, Instant};

use crate::common::{
    bounds, context, decide as decide_on, file, groups, histories, load, metrics, past, prompts,
    runtime,
};
use sc_core::candidate::Verdict;
use sc_core::choice::{FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::role::Role;
use sc_strategy::{
    CallError, CallFailure, CurriculumInput, Grants, Limits, NoServices, Reply, Runtime,
    StrategyRequest, StrategySet, trial::StandIn,
};

const MISBEHAVING: &str = "tests/fixtures/plugins/misbehaving.wasm";

fn with_fault(role: Role, fault: &str) -> StrategySet {
    load(&[MISBEHAVING], &[&format!("{role}.fault={fault}")])
}

/// Asks `role` of a strategy with `fault`; gives the failure.
fn failure(role: Role, fault: &str) -> CallError {
    let set = with_fault(role, fault);
    let context = context(3);
    let mut groups = groups(3, 4);
    groups[0].candidates[2].verdict = Verdict::Unparsed;
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
            set.curriculum.strategy().plan(&context, &input).map(drop)
        }
        Role::DataFilter => set.data_filters[0]
            .strategy()
            .filter(&context, &groups, &mut NoServices)
            .map(drop),
        Role::PairSelection => set
            .pair_selection
            .strategy()
            .select(&context, &groups, Objective::Sigmoid, &mut NoServices)
            .map(drop),
        Role::QualityGate => decide(&set, 3).map(drop),
    };
    match result {
        Ok(()) => panic!("{role} with fault {fault} was let through"),
        Err(error) => error,
    }
}

fn decide(set: &StrategySet, round: u32) -> Result<Reply<GateDecision>, CallError> {
    decide_on(set, &context(round), &metrics(300, 500), &metrics(200, 500))
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
                ("unknown-prompt", "`plan.draws[0].prompt` is 4294967295"),
                ("prompt-twice", "each prompt once"),
                ("draw-and-replay", "each prompt once at epoch 1"),
                ("replay-twice", "each prompt once at epoch 1"),
                ("replay-late", "expected 1 to 1, the plan's epochs"),
                (
                    "unknown-objective",
                    "`plan.objective` is `ppo`; expected one of sft, sigmoid",
                ),
                ("no-prompts", "at least one prompt"),
                ("no-images", "plan.draws[0].images"),
                ("too-many-images", "4097 images in all"),
                ("weight-nan", "`plan.draws[0].weight` is NaN"),
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
                ("weight-subnormal", "`choices[0].weight` is 5e-324"),
                ("weight-negative-zero", "`choices[0].weight` is -0"),
                ("target-for-dpo", "as the objective is sigmoid"),
                ("too-many-choices", "the same as one before it"),
                ("pair-twice", "the same as one before it"),
                ("unparsed-chosen", "whose answer could not be read"),
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
        let request = StrategyRequest::of(&[file(MISBEHAVING)], &[setting]);
        let set = StrategySet::load(&request, &runtime).unwrap();
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
    let reply = set.data_filters[0]
        .strategy()
        .filter(&context(1), &groups, &mut NoServices)
        .unwrap();
    assert_eq!(reply.answer.len(), 12_500);
    assert!(matches!(&reply.answer[9][3], FilterDecision::Drop(reason) if reason.len() == 200));
    // And a script has the memory for as many.
    let set = load(&["scripts/filter.rhai", "scripts/pairs.rhai"], &[]);
    let reply = set.data_filters[0]
        .strategy()
        .filter(&context(1), &groups, &mut NoServices)
        .unwrap();
    assert_eq!(reply.answer.len(), 12_500);
    let reply = set
        .pair_selection
        .strategy()
        .select(&context(1), &groups, Objective::Sigmoid, &mut NoServices)
        .unwrap();
    assert!(reply.answer.len() > 5000);
}

#[test]
fn chance_depends_on_seed_round_and_role_alone() {
    let reason = |seed, round| {
        let mut context = context(round);
        context.seed = seed;
        let set = with_fault(Role::QualityGate, "random");
        let reply = decide_on(&set, &context, &[], &[]).unwrap();
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

/// What a filter that asks the model is told when it asks what it must not.
#[test]
fn questions_are_checked_and_counted() {
    const ASKING: &str = "tests/fixtures/plugins/misbehaving-asking.wasm";
    let ask = |fault: &str, grant: &str| {
        let request = StrategyRequest {
            grants: Grants::parse(&[grant.to_owned()]).unwrap(),
            ..StrategyRequest::of(&[file(ASKING)], &[format!("data-filter.fault={fault}")])
        };
        let set = StrategySet::load(&request, runtime()).unwrap();
        let filter = set.data_filters[0].strategy();
        filter.filter(&context(1), &groups(3, 4), &mut StandIn)
    };
    let usage = ask("none", "model:5").unwrap().usage;
    assert_eq!((usage.questions, usage.questions_charged), (1, 1));
    for (fault, expected) in [
        ("ask-flood", "Quota(5)"),
        ("ask-unknown", "no candidate 1000 in group 0"),
        ("ask-unknown-group", "no candidate 0 in group 3"),
        ("ask-nothing", "question 0: it is empty"),
        ("ask-too-long", "2005 bytes long; expected at most 2000"),
    ] {
        let error = ask(fault, "model:5").unwrap_err().to_string();
        assert!(error.contains(expected), "{fault}: {error}");
    }
    let error = ask("none", "data-filter.model:0").unwrap_err().to_string();
    assert!(error.contains("Quota(0)"), "{error}");
    // Without a grant it is not loaded at all.
    let request = StrategyRequest::of(&[file(ASKING)], &[]);
    let error = StrategySet::load(&request, runtime()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "strategy `misbehaving-asking` wants the service `model`, which this run does not grant to it \
         as data-filter"
    );
    assert!(error.hint().unwrap().contains("--grant model:500"));
}
