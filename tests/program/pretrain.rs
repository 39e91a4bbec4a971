//! A short pretraining by the program: its losses fall, it repeats, and what it leaves is a
//! checkpoint that every command takes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{files, folder, sc_host};

fn pretrain(folder: &Path, out: &str, steps: &str) -> Value {
    let arguments = [
        "world",
        "pretrain",
        "--out",
        out,
        "--seed",
        "3",
        "--steps",
        steps,
        "--evaluate",
        "40",
        "--json",
    ];
    let outcome = sc_host(folder, &arguments).succeeded();
    assert!(outcome.stderr.contains("left"), "{}", outcome.stderr);
    outcome.json_lines().remove(0)
}

#[test]
fn a_pretraining_leaves_a_model_that_every_command_takes() {
    let folder = folder();
    let provenance = pretrain(folder.path(), "model", "0.03");
    let stages = provenance["stages"].as_array().expect("a list");
    assert_eq!(stages.len(), 5);
    for stage in stages {
        let loss = |key: &str| stage[key].as_f64().expect("a number");
        assert!(loss("loss_last") < loss("loss_first"), "{stage}");
    }
    let stored = fs::read(folder.path().join("model/provenance.json")).expect("written");
    let stored: Value = serde_json::from_slice(&stored).expect("JSON");
    assert_eq!(stored, provenance);
    assert_eq!(
        provenance["figures"]["guidances"].as_array().map(Vec::len),
        Some(5)
    );
    assert!(!folder.path().join("model.stages").exists());

    let evaluation = sc_host(
        folder.path(),
        &[
            "world",
            "evaluate",
            "--model",
            "model",
            "--evaluate",
            "40",
            "--json",
        ],
    );
    let evaluation = evaluation.succeeded().json_lines().remove(0);
    assert_eq!(
        evaluation["guidances"][0]["overall"],
        provenance["figures"]["guidances"][0]["overall"]
    );
    for arguments in [
        &["model", "info", "model"][..],
        &[
            "draw",
            "--model",
            "model",
            "--prompts",
            "a ring",
            "--out",
            "sheet.png",
        ],
        &[
            "run",
            "--model",
            "model",
            "--rounds",
            "1",
            "--prompts",
            "5",
            "--images-per-prompt",
            "2",
            "--evaluate",
            "5",
        ],
    ] {
        sc_host(folder.path(), arguments).succeeded();
    }

    // What is there is not written over.
    let again = ["world", "pretrain", "--out", "model"];
    let outcome = sc_host(folder.path(), &again);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("not empty"), "{}", outcome.stderr);
}

#[test]
fn the_same_seed_gives_the_same_model() {
    let folder = folder();
    let leave = |out: &str| {
        // A slash at the end, as shells complete a name, changes nothing.
        pretrain(folder.path(), &format!("{out}/"), "0.002");
        let mut left = files(&folder.path().join(out));
        let provenance = left.remove(Path::new("provenance.json")).expect("written");
        let provenance: Value = serde_json::from_slice(&provenance).expect("JSON");
        (left, provenance["figures"].clone())
    };
    assert!(leave("one") == leave("other"));
}
