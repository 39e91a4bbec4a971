//! Strategies from outside: each kind drives a run and leaves its trace.

use std::fs;

use sha2::{Digest, Sha256};

use crate::support::{folder, in_repository, ledger, repository_path, small_run};

fn digest(path: &str) -> String {
    let bytes = fs::read(in_repository(path)).expect("a strategy");
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn the_ledger_names_who_decided() {
    let folder = folder();
    let plugin = repository_path("plugins/curriculum.wasm");
    let script = repository_path("scripts/filter.rhai");
    small_run(
        folder.path(),
        &[
            "--strategy",
            &plugin,
            "--strategy",
            &script,
            "--strategy",
            "builtin:best-worst",
            "--images-per-prompt",
            "1",
        ],
    )
    .succeeded();
    let out = folder.path().join("out");
    for (role, expected) in [
        ("curriculum", Some(digest("plugins/curriculum.wasm"))),
        ("data-filter", Some(digest("scripts/filter.rhai"))),
        ("pair-selection", None),
        ("quality-gate", None),
    ] {
        let rows = ledger(&out, role);
        assert_eq!(rows.len(), 2, "{role}");
        for row in rows {
            assert_eq!(row["digest"].as_str(), expected.as_deref(), "{row}");
            assert!(row["strategy"].is_string());
        }
    }
    let replayed = ledger(&out, "curriculum")[1]["replayed"].clone();
    let replayed = replayed.as_array().expect("a list");
    assert!(!replayed.is_empty(), "with one image a prompt many fail");
}

#[test]
fn each_script_drives_a_run() {
    for (script, role, objective) in [
        ("scripts/filter.rhai", "data-filter", "sft"),
        ("scripts/pairs.rhai", "pair-selection", "dpo"),
        ("scripts/pairs.rhai", "pair-selection", "sft"),
        ("scripts/gate.rhai", "quality-gate", "sft"),
    ] {
        let folder = folder();
        let path = repository_path(script);
        small_run(
            folder.path(),
            &["--strategy", &path, "--objective", objective],
        )
        .succeeded();
        let rows = ledger(&folder.path().join("out"), role);
        assert_eq!(rows.len(), 2);
        for row in &rows {
            assert_eq!(row["digest"], digest(script).as_str());
        }
        if role == "pair-selection" {
            let kind = if objective == "dpo" {
                "pairs"
            } else {
                "targets"
            };
            assert!(rows[0][kind].as_u64() > Some(0), "{rows:?}");
        }
    }
}

#[test]
fn editing_the_first_line_of_the_filter_changes_what_it_keeps() {
    let text = fs::read_to_string(in_repository("scripts/filter.rhai")).expect("the filter");
    assert!(text.starts_with("const MIN_MARGIN = 0.2;"));
    let kept = |margin: &str| {
        let folder = folder();
        let edited = text.replace(
            "const MIN_MARGIN = 0.2;",
            &format!("const MIN_MARGIN = {margin};"),
        );
        fs::write(folder.path().join("filter.rhai"), edited).expect("written");
        small_run(
            folder.path(),
            &["--strategy", "filter.rhai", "--rounds", "1"],
        )
        .succeeded();
        ledger(&folder.path().join("out"), "data-filter")[0]["kept"].as_u64()
    };
    let (loose, strict) = (kept("0.2"), kept("0.999"));
    assert!(strict < loose, "{strict:?} of {loose:?}");
}

#[test]
fn a_script_and_the_builtin_that_it_mirrors_keep_the_same() {
    let kept = |strategy: &str| {
        let folder = folder();
        small_run(folder.path(), &["--strategy", strategy]).succeeded();
        ledger(&folder.path().join("out"), "data-filter")
            .iter()
            .map(|row| row["kept"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kept("builtin:verdict"),
        kept(&repository_path("scripts/filter.rhai"))
    );
}

#[test]
fn a_strategy_that_fails_stops_the_run_and_whole_rounds_stay() {
    let folder = folder();
    fs::write(
        folder.path().join("late.rhai"),
        "fn quality_gate(input, context) {\n\
             if context.round == 2 { throw \"I have seen enough\"; }\n\
             keep(\"fine\")\n\
         }\n",
    )
    .expect("written");
    let outcome = small_run(folder.path(), &["--strategy", "late.rhai", "--rounds", "3"]);
    assert_eq!(outcome.code, Some(1));
    for expected in [
        "error:",
        "late",
        "quality-gate",
        "round 2",
        "I have seen enough",
    ] {
        assert!(
            outcome.stderr.contains(expected),
            "{expected}: {}",
            outcome.stderr
        );
    }
    let out = folder.path().join("out");
    assert!(out.join("model/model.safetensors").is_file());
    assert!(!out.join("summary.json").exists());
    let gate = ledger(&out, "quality-gate");
    assert_eq!(gate[0]["decision"], "keep");
    assert!(
        gate[1]["error"]
            .as_str()
            .is_some_and(|e| e.contains("I have seen enough"))
    );
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    assert_eq!(
        metrics.lines().count(),
        2,
        "round 0 and the round that is whole"
    );
}

#[test]
fn a_gate_that_rolls_back_leaves_the_base() {
    let folder = folder();
    fs::write(
        folder.path().join("never.rhai"),
        "fn quality_gate(input, context) { roll_back(\"never\") }\n",
    )
    .expect("written");
    let outcome = small_run(folder.path(), &["--strategy", "never.rhai"]).succeeded();
    let events = outcome.json_lines();
    let summary = events.last().expect("a summary");
    assert_eq!(summary["rounds_kept"], 0);
    assert_eq!(summary["before"], summary["after"]);
}
