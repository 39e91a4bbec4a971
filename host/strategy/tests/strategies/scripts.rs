//! The scripts that come with the program, and what scripts can do in general.

use std::fs;

use crate::common::{
    bounds, context, decide, groups, histories, load, metrics, past, prompts, runtime,
};
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::plan::CurriculumDecision;
use sc_strategy::{
    CallFailure, CurriculumInput, LoadError, NoServices, StrategyRequest, StrategySet,
};

/// Loads the script `text`.
fn script(text: &str, settings: &[&str]) -> Result<StrategySet, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.rhai");
    fs::write(&path, text).unwrap();
    let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    let request = StrategyRequest::of(&[path.to_str().unwrap().to_owned()], &settings);
    StrategySet::load(&request, runtime())
}

#[test]
fn the_filter_script_answers_like_the_builtin() {
    let groups = groups(50, 8);
    for margin in ["0", "0.2", "0.35", "0.5"] {
        let setting = format!("data-filter.min_margin={margin}");
        let builtin = load(&["builtin:verdict"], &[&setting]);
        let script = load(&["scripts/filter.rhai"], &[&setting]);
        let answer = |set: &StrategySet| {
            set.data_filters[0]
                .strategy()
                .filter(&context(1), &groups, &mut NoServices)
                .unwrap()
                .answer
        };
        assert_eq!(answer(&builtin), answer(&script), "margin {margin}");
    }
}

#[test]
fn the_pair_script_answers_like_the_builtin() {
    let groups = groups(50, 8);
    let builtin = load(&["builtin:best-worst"], &[]);
    let script = load(&["scripts/pairs.rhai"], &[]);
    for objective in [Objective::Sigmoid, Objective::Sft] {
        let answer = |set: &StrategySet| {
            set.pair_selection
                .strategy()
                .select(&context(1), &groups, objective, &mut NoServices)
                .unwrap()
                .answer
        };
        let expected = answer(&builtin);
        assert!(expected.len() > 20);
        assert_eq!(expected, answer(&script), "{objective}");
    }
}

fn gate(set: &StrategySet, round: u32, state: &[u8], after: [u64; 2]) -> (GateDecision, Vec<u8>) {
    let mut context = context(round);
    context.state = state.to_vec();
    let reply = decide(
        set,
        &context,
        &metrics(300, 500),
        &metrics(after[0], after[1]),
    )
    .unwrap();
    (reply.answer, reply.state)
}

#[test]
fn the_gate_script_remembers_rounds_that_were_undone() {
    let set = load(&["scripts/gate.rhai"], &[]);
    let (good, bad) = ([200, 500], [200, 400]);
    let (answer, state) = gate(&set, 1, &[], good);
    assert!(matches!(answer, GateDecision::Keep { .. }));
    let (answer, state) = gate(&set, 2, &state, bad);
    let reason = "understanding_accuracy fell".to_owned();
    assert_eq!(
        answer,
        GateDecision::RollBack {
            reason: reason.clone()
        }
    );
    assert_eq!(state, br#"{"undone":1}"#);
    let (answer, kept) = gate(&set, 3, &state, bad);
    assert_eq!(answer, GateDecision::Stop { reason });
    // Without `remember` the state stays.
    assert_eq!(kept, state);
    let (answer, _) = gate(&set, 1, &[], [400, 500]);
    assert!(matches!(answer, GateDecision::RollBack { .. }));
    let patient = load(&["scripts/gate.rhai"], &["quality-gate.patience=1"]);
    assert!(matches!(
        gate(&patient, 1, &[], bad).0,
        GateDecision::Stop { .. }
    ));
}

fn reason(text: &str, settings: &[&str]) -> String {
    let set = script(text, settings).unwrap();
    match gate(&set, 1, &[], [1, 1]).0 {
        GateDecision::Keep { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn constants_are_parameters_and_seen_by_all_functions() {
    let text = r#"
        // How far.
        const MARGIN = 0.25;
        const TIMES = -3;
        const ON = true;
        const WORD = "w"; // What to say.
        const TWICE = MARGIN * 2.0;
        const LIST = [1, 2];
        fn inner() {
            // Closures see them too, and closures in closures.
            let nested = [1].map(|x| [x].map(|y| MARGIN * y + TWICE))[0][0];
            if nested != MARGIN + TWICE { throw "closure" }
            `${MARGIN} ${TIMES} ${ON} ${WORD} ${TWICE} ${LIST.len()}`
        }
        fn quality_gate(input, context) { keep(inner()) }
    "#;
    assert_eq!(reason(text, &[]), "0.25 -3 true w 0.5 2");
    assert_eq!(
        reason(
            text,
            &[
                "quality-gate.margin=1",
                "quality-gate.times=7",
                "quality-gate.on=false",
                "quality-gate.word=x y",
            ]
        ),
        "1.0 7 false x y 2.0 2"
    );
    let set = script(text, &["quality-gate.times=7"]).unwrap();
    let settings = serde_json::to_value(&set.quality_gates[0].identity().parameters).unwrap();
    assert_eq!(
        settings,
        serde_json::json!({"margin": 0.25, "times": 7, "on": true, "word": "w"})
    );
    // Neither what is computed nor what is no simple value is a parameter.
    assert!(script(text, &["quality-gate.twice=1"]).is_err());
    assert!(script(text, &["quality-gate.list=1"]).is_err());
}

#[test]
fn a_parameter_does_not_change_a_local_variable_of_its_name() {
    let text = "const x = 1;
        fn other(x) { x }
        fn quality_gate(input, context) { let x = 5; keep(`${x} ${other(6)}`) }";
    assert_eq!(reason(text, &["quality-gate.x=2"]), "5 6");
}

#[test]
fn a_script_is_identified_by_its_file() {
    let set = load(&["scripts/filter.rhai"], &[]);
    let identity = set.data_filters[0].identity();
    assert_eq!(identity.name, "filter");
    assert!(identity.source.ends_with("scripts/filter.rhai"));
    let digest = identity.digest.as_deref().unwrap();
    assert!(digest.starts_with("sha256:") && digest.len() == 71);
    assert_eq!(set.quality_gates[0].identity().name, "builtin:no-harm");
    assert_eq!(set.quality_gates[0].identity().digest, None);
}

#[test]
fn errors_of_scripts_carry_line_and_column() {
    for (body, expected) in [
        (
            "\n  nonsense()",
            "line 2, column 3: Function not found: nonsense",
        ),
        ("\n\n throw \"too bad\"", "line 3, column 2: too bad"),
        (
            "1",
            "what `quality_gate` returns must be keep(reason), roll_back(reason) or stop(reason), not 1",
        ),
        ("\"ppo\"", "or stop(reason), not \"ppo\""),
        ("", "not nothing"),
        ("drop(\"x\")", "not drop(reason)"),
        ("keep(1)", "line 1, column 35: Function not found: keep"),
        ("remember(0.0 / 0.0); keep(\"\")", "no finite number"),
        ("remember(|x| x); keep(\"\")", "cannot be kept"),
    ] {
        let text = format!("fn quality_gate(input, context) {{ {body} }}");
        let set = script(&text, &[]).unwrap();
        let error = decide(&set, &context(2), &[], &[]).unwrap_err();
        assert!(matches!(error.failure, CallFailure::Script(_)), "{error}");
        let message = error.to_string();
        assert!(message.contains(expected), "{body}: {message}");
        assert!(message.contains("`mine`"), "{message}");
    }
}

#[test]
fn a_script_fills_several_roles_and_plans_rounds() {
    let text = r#"
        const COUNT = 3;
        fn curriculum(input, context) {
            if context.round > 2 { return stop("enough"); }
            let again = [];
            for id in 0..input.prompts.len() {
                let history = input.histories[id];
                if again.len() < COUNT && history.attempts > 0 && history.accepted == 0 {
                    again.push(#{ prompt: id, images: 2, weight: 2 });
                }
            }
            let draws = [input.prompts[0].id];
            #{ draws: draws, replays: again, epochs: 1, sampling: #{ temperature: 0.5 } }
        }
        fn pair_selection(groups, objective, context) {
            [pair(0, 0, 1), pair(1, 1, 0, 0.5)]
        }
    "#;
    let set = script(text, &["curriculum.count=2"]).unwrap();
    assert_eq!(set.pair_selection.identity().name, "mine");
    assert_eq!(set.curriculum.identity().parameters["count"], 2);
    assert_eq!(set.pair_selection.identity().parameters["count"], 3);
    let (prompts, histories, past) = (prompts(9), histories(9), past());
    let (bounds, defaults) = bounds(9);
    let input = CurriculumInput {
        prompts: &prompts,
        histories: &histories,
        past: &past,
        bounds,
        defaults,
    };
    let plan = |round| {
        set.curriculum
            .strategy()
            .plan(&context(round), &input)
            .unwrap()
            .answer
    };
    let CurriculumDecision::Round(round) = plan(1) else {
        panic!("stopped")
    };
    let replays = round.replays.iter();
    let replays: Vec<_> = replays
        .map(|r| (r.prompt, r.images, r.weight, r.epoch))
        .collect();
    assert_eq!(replays, [(1, 2, 2.0, 1), (4, 2, 2.0, 1)]);
    assert_eq!((round.draws[0].prompt, round.draws[0].images), (0, 8));
    assert_eq!((round.epochs, round.sampling.temperature), (1, 0.5));
    assert_eq!(round.sampling.guidance, defaults.sampling.guidance);
    assert_eq!(plan(3), CurriculumDecision::Stop("enough".into()));
    let pairs = set
        .pair_selection
        .strategy()
        .select(
            &context(1),
            &groups(2, 2),
            Objective::Sigmoid,
            &mut NoServices,
        )
        .unwrap();
    assert_eq!(
        pairs.answer[1],
        Choice::Pair {
            group: 1,
            chosen: 1,
            rejected: 0,
            weight: 0.5
        }
    );
}

#[test]
fn scripts_share_the_random_sequence_of_their_call() {
    let text = "fn quality_gate(input, context) {
        let a = random(); let b = random(10);
        if a < 0.0 || a >= 1.0 || b < 0 || b > 9 { throw \"range\" }
        keep(`${a} ${b}`)
    }";
    assert_eq!(reason(text, &[]), reason(text, &[]));
}

#[test]
fn the_script_of_the_page_on_strategies_runs() {
    let page = fs::read_to_string(crate::common::file("wit/README.md")).unwrap();
    let text = page.split("```rhai\n").nth(1).unwrap();
    let text = text.split("```").next().unwrap();
    let set = script(text, &["data-filter.min_margin=0.3"]).unwrap();
    let groups = groups(20, 4);
    let filter = &set.data_filters[0].strategy();
    let reply = filter
        .filter(&context(1), &groups, &mut NoServices)
        .unwrap();
    for (group, decisions) in groups.iter().zip(reply.answer) {
        for (candidate, decision) in group.candidates.iter().zip(decisions) {
            let undecided = (candidate.p_yes - 0.5).abs() < 0.3;
            assert_eq!(decision != FilterDecision::Keep, undecided);
        }
    }
}

/// Asks `text` for a gate's decision; gives the failure and its hint.
fn gate_failure(text: &str) -> (CallFailure, String) {
    let set = script(
        &format!("fn quality_gate(input, context) {{ {text} }}"),
        &[],
    )
    .unwrap();
    let error = decide(&set, &context(1), &metrics(300, 500), &metrics(200, 500))
        .map(drop)
        .unwrap_err();
    let hint = error.hint().unwrap();
    (error.failure, hint)
}

#[test]
fn what_scripts_cannot_have_is_named() {
    for huge in [
        "blob(4000000000)",
        "let a = []; a.pad(2000000000, 0)",
        "blob(600000000, 1)",
    ] {
        let (failure, _) = gate_failure(&format!("{huge}; keep(\"x\")"));
        assert!(
            matches!(failure, CallFailure::Memory { .. }),
            "{huge}: {failure}"
        );
    }
    for (text, expected) in [
        ("sleep(100); keep(\"x\")", "there is no clock"),
        ("throw \"no figures\"", "line 1, column 35: no figures"),
        ("keep(1 / 0)", "line 1"),
        (
            "let a = [1]; a.map(|x| a.len()); keep(\"x\")",
            "a closure uses the variable that it is called on",
        ),
    ] {
        let (failure, hint) = gate_failure(text);
        assert!(failure.to_string().contains(expected), "{text}: {failure}");
        assert!(hint.contains("mend the script"), "{hint}");
    }
    for blank in ["keep()", "stop(\" \")", "roll_back(\"\\u200b\")"] {
        let (failure, _) = gate_failure(blank);
        assert_eq!(
            failure.to_string(),
            "its answer is invalid: `reason` is empty; expected a reason",
            "{blank}"
        );
    }
}

#[test]
fn a_mark_before_the_text_is_skipped() {
    let text = "\u{feff}fn quality_gate(input, context) { keep(\"x\") }";
    assert!(script(text, &[]).is_ok());
}

#[test]
fn a_wrong_setting_without_help_is_answered_with_an_example() {
    let text = "const EDGE = 0.25;\nfn data_filter(groups, context) { [] }";
    let error = script(text, &["data-filter.edge=much"]).err().unwrap();
    assert_eq!(
        error.hint().as_deref(),
        Some("for example `--set data-filter.edge=0.25`")
    );
    for comment in ["// How far.", "   // How far.", "\t//How far."] {
        let text = text.replace('\n', &format!("{comment}\n"));
        let error = script(&text, &["data-filter.edge=much"]).err().unwrap();
        assert!(error.hint().unwrap().contains("How far."), "{comment}");
    }
}
