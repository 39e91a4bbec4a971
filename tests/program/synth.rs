//! `model synth`: made-up checkpoints that every command takes.

use std::fs;

use crate::bad_input::{Case, check_all};
use crate::support::{files, folder, sc_host};

#[test]
fn a_made_up_checkpoint_is_written_whole_and_taken_by_other_commands() {
    let place = folder();
    let arguments = [
        "model", "synth", "tiny", "--out", "made", "--seed", "3", "--json",
    ];
    let outcome = sc_host(place.path(), &arguments).succeeded();
    let report = &outcome.json_lines()[0];
    assert_eq!(report["out"], "made");
    let made = files(&place.path().join("made"));
    let names: Vec<String> = made.keys().map(|name| name.display().to_string()).collect();
    assert_eq!(report["files"], serde_json::json!(names));
    let bytes: usize = made.values().map(Vec::len).sum();
    assert_eq!(report["bytes"], bytes);
    assert_eq!(files(place.path()).len(), made.len());

    let info = sc_host(place.path(), &["model", "info", "made", "--json"]).succeeded();
    let info = &info.json_lines()[0];
    assert_eq!(info["parameters"], report["parameters"]);
    assert_eq!(info["dtype"], "bf16");
    assert_eq!(info["verdict"], "text");

    let original = [
        "model", "synth", "tiny", "--out", "theirs", "--layout", "original",
    ];
    let people = sc_host(place.path(), &original).succeeded();
    assert!(people.stdout.contains("random"), "{}", people.stdout);
    for model in ["made", "theirs"] {
        let draw = [
            "draw",
            "--model",
            model,
            "--prompts",
            "a dog",
            "--out",
            &format!("{model}.png"),
        ];
        sc_host(place.path(), &draw).succeeded();
    }
}

#[test]
fn what_cannot_be_made_up_is_said() {
    let place = folder();
    fs::create_dir(place.path().join("full")).expect("a folder");
    fs::write(place.path().join("full/mine"), b"mine").expect("written");
    check_all(
        place.path(),
        &[
            Case {
                name: "an unknown model",
                arguments: &["model", "synth", "janus-pro-2b", "--out", "x"],
                expected: &["janus-pro-2b", "janus-pro-1b"],
            },
            Case {
                name: "a folder that is taken",
                arguments: &["model", "synth", "tiny", "--out", "full"],
                expected: &["`full` is not empty", "absent or empty", "new folder"],
            },
            Case {
                name: "a file in the folder's place",
                arguments: &["model", "synth", "tiny", "--out", "full/mine"],
                expected: &["full/mine", "is a file"],
            },
            Case {
                name: "a folder inside a file",
                arguments: &["model", "synth", "tiny", "--out", "full/mine/x"],
                expected: &["full/mine/x"],
            },
            Case {
                name: "a folder without a name",
                arguments: &["model", "synth", "tiny", "--out", ".."],
                expected: &["`..` ends in no name"],
            },
            Case {
                name: "a dtype that is not stored",
                arguments: &["model", "synth", "tiny", "--out", "x", "--dtype", "f64"],
                expected: &["--dtype", "f64"],
            },
            Case {
                name: "an unknown layout",
                arguments: &["model", "synth", "tiny", "--out", "x", "--layout", "gguf"],
                expected: &["--layout", "gguf"],
            },
            Case {
                name: "no folder",
                arguments: &["model", "synth", "tiny"],
                expected: &["--out"],
            },
        ],
    );
}
