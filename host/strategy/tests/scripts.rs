//! The scripts that come with the program, and what scripts can do in general.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{bounds, context, groups, histories, load, metrics, past, prompts, runtime};
use sc_core::candidate::Verdict;
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::plan::CurriculumDecision;
use sc_strategy::{CallFailure, CurriculumInput, LoadError, StrategySet, Value};

/// Loads the script `text`.
fn script(text: &str, settings: &[&str]) -> Result<StrategySet, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.rhai");
    fs::write(&path, text).unwrap();
    let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    StrategySet::load(&[path.to_str().unwrap().to_owned()], &settings, runtime())
}

#[test]
fn the_filter_script_answers_like_the_builtin() {
    let groups = groups(50, 8);
    for margin in ["0", "0.2", "0.35", "0.5"] {
        let setting = format!("data-filter.min_margin={margin}");
        let builtin = load(&["builtin:verdict"], &[&setting]);
        let script = load(&["scripts/filter.rhai"], &[&setting]);
        let answer = |set: &StrategySet| {
            set.data_filter
                .strategy
                .filter(&context(1), &groups)
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
    for objective in [Objective::Dpo, Objective::Sft] {
        let answer = |set: &StrategySet| {
            set.pair_selection
                .strategy
                .select(&context(1), &groups, objective)
                .unwrap()
                .answer
        };
        let expected = answer(&builtin);
        assert!(expected.len() > 20);
        assert_eq!(expected, answer(&script), "{objective}");
    }
}
