//! Whole runs: what they print, what they leave, and that they repeat.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{
    files, folder, in_repository, ledger, repository_path, rows, sc_host, small_run,
};

/// Weights that training may change, by the start of their names.
const TRAINED: [&str; 4] = [
    "model.language_model.layers.",
    "model.language_model.norm.",
    "model.generation_aligner.",
    "model.generation_head.",
];

#[test]
fn prints_events_and_leaves_what_the_readme_says() {
    let folder = folder();
    let plugin = repository_path("plugins/curriculum.wasm");
    let outcome = small_run(folder.path(), &["--strategy", &plugin, "--seed", "5"]).succeeded();
    let events = outcome.json_lines();
    assert!(events.iter().all(|event| event["event"].is_string()));
    let summary = events.last().expect("a summary");
    assert_eq!(summary["event"], "summary");
    assert_eq!(
        (&summary["run"], &summary["seed"]),
        (&"out".into(), &5.into())
    );
    assert_eq!(summary["rounds"], 2);
    for side in ["before", "after"] {
        for figure in [
            "nonunified",
            "generation_accuracy",
            "understanding_accuracy",
            "weak_generation_share",
        ] {
            let figure = &summary[side][figure];
            let at = |key: &str| figure[key].as_f64().expect("a number");
            assert!(0.0 <= at("low") && at("low") <= at("value"), "{figure}");
            assert!(at("value") <= at("high") && at("high") <= 1.0, "{figure}");
            assert!(figure["n"].is_u64());
        }
        assert_eq!(summary[side]["nonunified"]["unparsed"], 0);
    }

    let out = folder.path().join("out");
    let stored: Value =
        serde_json::from_slice(&fs::read(out.join("summary.json")).expect("a summary"))
            .expect("JSON");
    let mut without_run = summary.clone();
    without_run
        .as_object_mut()
        .expect("an object")
        .remove("run");
    assert_eq!(stored, without_run);
    for name in [
        "config.toml",
        "images/before.png",
        "images/after.png",
        "images/after/00.png",
    ] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let metrics = rows(&out.join("metrics.jsonl"));
    let rounds: Vec<&Value> = metrics.iter().map(|row| &row["round"]).collect();
    assert_eq!(rounds, [0, 1, 2]);
    assert!(metrics[1]["evaluation"]["by_category"]["spatial"]["nonunified"]["n"].is_u64());

    let text = fs::read_to_string(out.join("ledger.jsonl")).expect("a ledger");
    assert_eq!(text.lines().count(), 8, "four decisions a round");
    let place = folder.path().display().to_string();
    for (name, bytes) in files(&out) {
        let found = String::from_utf8_lossy(&bytes);
        assert!(!found.contains(&place), "{} names a place", name.display());
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_wherever_it_runs() {
    let plugin = repository_path("plugins/curriculum.wasm");
    let script = repository_path("scripts/filter.rhai");
    let leave = |seed: &str| {
        let folder = folder();
        small_run(
            folder.path(),
            &["--strategy", &plugin, "--strategy", &script, "--seed", seed],
        )
        .succeeded();
        let mut left = files(&folder.path().join("out"));
        assert!(left.remove(Path::new("timings.jsonl")).is_some());
        left
    };
    let (first, second, other) = (leave("3"), leave("3"), leave("4"));
    for (name, bytes) in &first {
        assert!(
            second.get(name) == Some(bytes),
            "{} differs",
            name.display()
        );
    }
    assert_eq!(first.len(), second.len());
    assert!(first != other, "the seed changes something");
}

#[test]
fn only_the_generation_path_changes() {
    for objective in ["sft", "dpo"] {
        let folder = folder();
        small_run(
            folder.path(),
            &["--objective", objective, "--prompts", "80"],
        )
        .succeeded();
        let base = fs::read(in_repository("models/tiny/model.safetensors")).expect("the base");
        let trained = fs::read(folder.path().join("out/model/model.safetensors")).expect("a model");
        let (base, trained) = (
            SafeTensors::deserialize(&base).expect("weights"),
            SafeTensors::deserialize(&trained).expect("weights"),
        );
        assert_eq!(base.names().len(), trained.names().len());
        for (name, tensor) in base.tensors() {
            let after = trained.tensor(&name).expect("the same names");
            let same = tensor.data() == after.data();
            let may_change = TRAINED.iter().any(|start| name.starts_with(start));
            assert_eq!(same, !may_change, "{objective}: {name}");
            assert_eq!(
                (tensor.dtype(), tensor.shape()),
                (after.dtype(), after.shape())
            );
        }
    }
}

#[test]
fn a_round_that_keeps_nothing_trains_nothing_and_says_so() {
    let folder = folder();
    let outcome = small_run(
        folder.path(),
        &["--rounds", "1", "--set", "data-filter.min_margin=0.5"],
    )
    .succeeded();
    assert!(outcome.stdout.contains(r#""event":"nothing_to_train_on""#));
    let out = folder.path().join("out");
    assert_eq!(ledger(&out, "data-filter")[0]["kept"], 0);
    let record = &rows(&out.join("metrics.jsonl"))[1];
    assert_eq!(record["training"]["steps"], 0);
    let events = outcome.json_lines();
    let summary = events.last().expect("a summary");
    assert_eq!(summary["before"], summary["after"]);
    let base = fs::read(in_repository("models/tiny/model.safetensors")).expect("the base");
    let model = fs::read(out.join("model/model.safetensors")).expect("the model");
    let (base, model) = (
        SafeTensors::deserialize(&base).expect("weights"),
        SafeTensors::deserialize(&model).expect("weights"),
    );
    for (name, tensor) in base.tensors() {
        assert!(
            tensor.data() == model.tensor(&name).expect("a tensor").data(),
            "{name}"
        );
    }
}

#[test]
fn a_model_of_another_world_is_refused_before_anything_is_written() {
    let folder = folder();
    let model = repository_path("tests/fixtures/janus-a");
    let outcome = small_run(folder.path(), &["--model", &model]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.contains("12 pixels a side"),
        "{}",
        outcome.stderr
    );
    assert!(!folder.path().join("out").exists());
}

/// A run must not be lost because the one who watched it went away.
#[test]
fn a_run_goes_on_when_nobody_reads_what_it_prints() {
    let folder = folder();
    // A strategy that logs: that, too, is lost.
    let plugin = repository_path("plugins/curriculum.wasm");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_sc-host"))
        .args(["run", "--out", "out", "--strategy", &plugin])
        .args(crate::support::SMALL)
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .expect("/dev/full"),
        )
        .status()
        .expect("the program starts");
    assert!(status.success());
    assert!(folder.path().join("out/summary.json").is_file());
}

/// Whoever reads a cut output must learn why it is cut.
#[test]
fn output_that_cannot_be_written_is_named() {
    let folder = folder();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sc-host"))
        .args(["model", "info", "--json"])
        .current_dir(folder.path())
        .stdout(
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .expect("/dev/full"),
        )
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("standard output"), "{stderr}");
}

#[test]
fn score_and_run_agree_on_the_same_model_and_seed() {
    let folder = folder();
    let run = sc_host(
        folder.path(),
        &[
            "run",
            "--json",
            "--out",
            "out",
            "--rounds",
            "1",
            "--prompts",
            "5",
            "--epochs",
            "1",
            "--images-per-prompt",
            "1",
            "--evaluate",
            "1000",
            "--seed",
            "9",
        ],
    )
    .succeeded();
    let score = sc_host(folder.path(), &["score", "--seed", "9", "--json"]).succeeded();
    let events = run.json_lines();
    let summary = events.last().expect("a summary");
    assert_eq!(
        summary["before"]["nonunified"],
        score.json_lines()[0]["nonunified"]
    );
}

#[test]
fn without_json_people_get_a_table_and_the_way_to_the_pictures() {
    let folder = folder();
    let outcome = sc_host(
        folder.path(),
        &[&["run", "--rounds", "1"], &crate::support::SMALL[..]].concat(),
    )
    .succeeded();
    for expected in [
        "Nonunified score",
        "generation accuracy",
        "before",
        "after",
        "runs/1/images",
    ] {
        assert!(
            outcome.stdout.contains(expected),
            "{expected}: {}",
            outcome.stdout
        );
    }
}
