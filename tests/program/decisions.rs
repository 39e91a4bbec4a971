//! Strategies in the course of a run: edited, failing, chained, replaced, replayed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    SMALL, files, folder, lasting, ledger, repository_path, rows, sc_host, small_run,
};

/// A gate that keeps every round but fails in round `fails_in`.
fn gate(fails_in: u32, reason: &str) -> String {
    format!(
        "fn quality_gate(input, context) {{\n\
             if context.round == {fails_in} {{ throw \"I give up\"; }}\n\
             keep(\"{reason}\")\n\
         }}\n"
    )
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("written");
}

#[test]
fn a_run_that_a_strategy_stopped_goes_on_with_another_one_as_if_nothing_had_been() {
    let folder = folder();
    write(folder.path(), "tired.rhai", &gate(2, "fine"));
    write(folder.path(), "steady.rhai", &gate(0, "fine"));
    let stopped = small_run(folder.path(), &["--strategy", "tired.rhai"]);
    assert_eq!(stopped.code, Some(1));
    assert!(
        stopped.stderr.contains("sc-host run --resume out"),
        "{}",
        stopped.stderr
    );
    // What cannot go on changes nothing.
    let before = files(&folder.path().join("out"));
    let other_seed = ["run", "--resume", "out", "--seed", "9"];
    let refused = sc_host(folder.path(), &other_seed);
    assert!(
        refused.stderr.contains("its seed is 0, not 9"),
        "{}",
        refused.stderr
    );
    let other_figures = ["run", "--resume", "out", "--evaluate", "70"];
    let refused = sc_host(folder.path(), &other_figures);
    assert!(
        refused.stderr.contains("measured on 60 prompts") && refused.stderr.contains("70 prompts"),
        "{}",
        refused.stderr
    );
    let other_scheme = [
        "run", "--resume", "out", "--scheme", "static", "--rounds", "1",
    ];
    let refused = sc_host(folder.path(), &other_scheme);
    assert!(
        refused.stderr.contains("its scheme is online, not static"),
        "{}",
        refused.stderr
    );
    assert!(files(&folder.path().join("out")) == before);
    let resumed = [
        "run",
        "--json",
        "--resume",
        "out",
        "--strategy",
        "steady.rhai",
    ];
    let events = sc_host(folder.path(), &resumed).succeeded().json_lines();
    assert_eq!(events.last().expect("a summary")["rounds"], 2);
    let whole = [
        &[
            "run",
            "--json",
            "--out",
            "whole",
            "--strategy",
            "steady.rhai",
        ],
        &SMALL[..],
    ];
    sc_host(folder.path(), &whole.concat()).succeeded();
    let (out, whole) = (folder.path().join("out"), folder.path().join("whole"));
    let (found, expected) = (lasting(&out), lasting(&whole));
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&found), names(&expected));
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        // What a gate answered is recorded with its digest, and the names differ.
        if !name.starts_with("inputs/") && !name.ends_with("memory.json") {
            assert!(found == expected, "{name} differs");
        }
    }
    let gate = ledger(&out, "quality-gate");
    assert!(
        gate[1]["error"]
            .as_str()
            .is_some_and(|e| e.contains("I give up"))
    );
    assert_eq!(gate[1]["then"], "the run stops");
    assert_eq!(gate[2]["resumed_after"], 1);
    assert_eq!(
        (&gate[3]["strategy"], &gate[3]["round"]),
        (&"steady".into(), &2.into())
    );
    // A run that was killed in its last evaluation is brought to its end.
    let summary = whole.join("summary.json");
    let expected = fs::read(&summary).expect("a summary");
    fs::remove_file(&summary).expect("no summary");
    sc_host(folder.path(), &["run", "--resume", "whole"]).succeeded();
    assert!(fs::read(&summary).expect("a summary") == expected);
    // All rounds are done; more can be asked for.
    let more = sc_host(folder.path(), &["run", "--resume", "out"]);
    assert_eq!(more.code, Some(1));
    assert!(
        more.stderr.contains("hint: `--rounds 3`"),
        "{}",
        more.stderr
    );
}

#[test]
fn what_happens_when_a_strategy_fails_is_the_runs_to_say() {
    let folder = folder();
    write(folder.path(), "tired.rhai", &gate(1, "fine"));
    let arguments = [
        "--strategy",
        "tired.rhai",
        "--on-strategy-failure",
        "quality-gate=skip",
    ];
    small_run(folder.path(), &arguments).succeeded();
    let gate = ledger(&folder.path().join("out"), "quality-gate");
    assert_eq!(gate[0]["then"], "`builtin:no-harm` decides");
    assert_eq!(gate[1]["strategy"], "builtin:no-harm");
    assert_eq!(
        (&gate[2]["strategy"], &gate[2]["reason"]),
        (&"tired".into(), &"fine".into())
    );
}

/// Waits until the run in `out` has a ledger row that `is_it`.
fn wait_for(out: &Path, is_it: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    loop {
        let file = out.join("ledger.jsonl");
        if file.is_file() && rows(&file).iter().any(&is_it) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "no such row");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_watched_script_is_taken_from_the_next_round_on_and_a_broken_one_is_not() {
    let folder = folder();
    let out = folder.path().join("out");
    write(folder.path(), "mine.rhai", &gate(0, "first"));
    let arguments = ["run", "--out", "out", "--watch", "--strategy", "mine.rhai"];
    let mut run = Command::new(env!("CARGO_BIN_EXE_sc-host"))
        .args(arguments)
        .args(SMALL)
        .args(["--rounds", "200"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let of_gate = |row: &Value| row["role"] == "quality-gate";
    wait_for(&out, |row| of_gate(row) && row["reason"] == "first");
    write(
        folder.path(),
        "mine.rhai",
        "fn quality_gate(input, context) { nonsense",
    );
    wait_for(&out, |row| of_gate(row) && row["edit"] == "refused");
    write(folder.path(), "mine.rhai", &gate(0, "second"));
    wait_for(&out, |row| of_gate(row) && row["reason"] == "second");
    run.kill().expect("killed");
    run.wait().expect("ended");
    let gate = ledger(&out, "quality-gate");
    let refused = gate
        .iter()
        .find(|row| row["edit"] == "refused")
        .expect("a row");
    assert!(
        refused["error"]
            .as_str()
            .is_some_and(|e| e.contains("line 1"))
    );
    let taken = gate
        .iter()
        .find(|row| row["edit"] == "taken")
        .expect("a row");
    assert_eq!(taken["before"], gate[0]["digest"]);
    for row in &gate {
        let first = row["digest"] == gate[0]["digest"];
        match row["reason"].as_str() {
            Some("first") => assert!(first),
            Some("second") => assert!(!first && row["digest"] == taken["digest"]),
            _ => {}
        }
    }
}

#[test]
fn the_resolved_configuration_runs_again_as_it_is() {
    let folder = folder();
    let filter = repository_path("scripts/filter.rhai");
    let arguments = [
        "--strategy",
        &filter,
        "--set",
        "data-filter.min_margin=0.3",
        "--seed",
        "5",
    ];
    small_run(folder.path(), &arguments).succeeded();
    let again = ["run", "--config", "out/config.toml", "--out", "again"];
    sc_host(folder.path(), &again).succeeded();
    let (mut first, mut second) = (
        files(&folder.path().join("out")),
        files(&folder.path().join("again")),
    );
    for files in [&mut first, &mut second] {
        files.remove(Path::new("timings.jsonl"));
    }
    assert_eq!(first.len(), second.len());
    for (name, bytes) in &first {
        assert!(
            second.get(name) == Some(bytes),
            "{} differs",
            name.display()
        );
    }
    // A file that has changed since is not taken for what it was.
    let text = fs::read_to_string(folder.path().join("out/config.toml")).expect("written");
    let (start, rest) = text.split_once("sha256:").expect("a digest");
    write(
        folder.path(),
        "other.toml",
        &format!("{start}sha256:0{}", &rest[1..]),
    );
    let refused = sc_host(folder.path(), &["run", "--config", "other.toml"]);
    assert!(
        refused.stderr.contains("the configuration names sha256:0"),
        "{}",
        refused.stderr
    );
    for (line, expected) in [
        ("speed = 3", "unknown field `speed`"),
        ("rounds = \"many\"", "rounds"),
        ("[limits]\nfuel = \"much\"", "fuel=much"),
    ] {
        write(folder.path(), "bad.toml", line);
        let refused = sc_host(folder.path(), &["run", "--config", "bad.toml"]);
        assert_eq!(refused.code, Some(1), "{line}");
        assert!(
            refused.stderr.contains(expected),
            "{line}: {}",
            refused.stderr
        );
        assert!(refused.stderr.contains("hint:"), "{}", refused.stderr);
    }
}

#[test]
fn filters_form_a_chain_and_gates_combine() {
    let folder = folder();
    write(
        folder.path(),
        "odd.rhai",
        "fn data_filter(groups, context) { groups.map(|group| group.candidates.map(|candidate|\n\
             if candidate.index % 2 == 1 { drop(\"odd\") } else { keep() })) }\n",
    );
    write(
        folder.path(),
        "never.rhai",
        "fn quality_gate(input, context) { roll_back(\"never\") }",
    );
    let gates = ["--strategy", "never.rhai", "--strategy", "builtin:no-harm"];
    let filters = ["--strategy", "odd.rhai", "--strategy", "builtin:verdict"];
    let refused = small_run(folder.path(), &gates);
    assert!(
        refused
            .stderr
            .contains("hint: `--combine quality-gate=any-roll-back`")
    );
    let combine = ["--combine", "quality-gate=any-roll-back"];
    let all = [&gates[..], &filters[..], &combine[..]].concat();
    small_run(folder.path(), &all).succeeded();
    let out = folder.path().join("out");
    let chain = ledger(&out, "data-filter");
    assert_eq!(chain.len(), 4);
    assert_eq!(chain[0]["dropped"]["odd"], 40);
    let (first, second) = (&chain[0], &chain[1]);
    let judged = second["kept"].as_u64().unwrap_or(0)
        + second["dropped"].as_object().map_or(0, |dropped| {
            dropped.values().filter_map(Value::as_u64).sum()
        });
    assert_eq!(first["kept"], judged, "the second sees what the first left");
    assert_eq!(ledger(&out, "quality-gate").len(), 4);
    let metrics = rows(&out.join("metrics.jsonl"));
    assert!(metrics[1..].iter().all(|round| round["kept"] == false));
}

#[test]
fn replays_come_when_the_plan_says() {
    let folder = folder();
    let plugin = repository_path("plugins/curriculum.wasm");
    let arguments = ["--strategy", &plugin, "--set", "curriculum.epoch=2"];
    let arguments = [
        &arguments[..],
        &["--epochs", "3", "--images-per-prompt", "1"],
    ]
    .concat();
    small_run(folder.path(), &arguments).succeeded();
    let out = folder.path().join("out");
    let replayed = ledger(&out, "curriculum")[1]["replayed"].clone();
    let replayed = replayed.as_array().expect("a list");
    assert!(!replayed.is_empty() && replayed.iter().all(|replay| replay["epoch"] == 2));
    let filter = ledger(&out, "data-filter");
    assert_eq!(filter.len(), 3, "once in round 1, twice in round 2");
    assert_eq!(
        (&filter[2]["round"], &filter[2]["epoch"]),
        (&2.into(), &2.into())
    );
    let drawn = &rows(&out.join("metrics.jsonl"))[2]["drawn"];
    assert_eq!(
        drawn, 40,
        "the replays are drawn in the middle of the training"
    );
}

#[test]
fn other_strategies_are_tried_on_what_a_run_has_recorded() {
    let folder = folder();
    let filter = repository_path("scripts/filter.rhai");
    small_run(folder.path(), &["--strategy", &filter]).succeeded();
    let replay = |arguments: &[&str]| -> Value {
        let all = [&["replay", "out", "--json"], arguments].concat();
        let lines = sc_host(folder.path(), &all).succeeded().json_lines();
        lines.into_iter().next_back().expect("a line")
    };
    let same = replay(&["--strategy", &filter]);
    assert_eq!(
        (&same["decisions"], &same["changed"]),
        (&240.into(), &0.into())
    );
    let all = [
        "builtin:uniform",
        "builtin:verdict",
        "builtin:best-worst",
        "builtin:no-harm",
    ];
    let all: Vec<&str> = all.iter().flat_map(|name| ["--strategy", name]).collect();
    assert_eq!(replay(&all)["changed"], 0);
    let strict = replay(&[
        "--strategy",
        &filter,
        "--set",
        "data-filter.min_margin=0.499",
    ]);
    let changed = strict["changed"].as_u64().expect("a number");
    assert!(changed > 0);
    let role = &strict["roles"]["data-filter"];
    assert_eq!(role["changed"], changed);
    let example = &role["examples"][0];
    assert!(example["prompt"].is_string() && example["now"] == "drop: undecided");
    let text = sc_host(
        folder.path(),
        &["replay", "out", "--strategy", "builtin:replay"],
    );
    assert!(text.succeeded().stdout.contains("curriculum: "));
    let none = sc_host(
        folder.path(),
        &["replay", "absent", "--strategy", "builtin:replay"],
    );
    assert!(
        none.stderr.contains("hint: name a run directory"),
        "{}",
        none.stderr
    );
}

#[test]
fn a_service_that_is_not_granted_is_missed_before_anything_begins() {
    let folder = folder();
    let asking = repository_path("tests/fixtures/plugins/misbehaving-asking.wasm");
    let refused = small_run(folder.path(), &["--strategy", &asking]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("wants the service `model`"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("--grant model:500"),
        "{}",
        refused.stderr
    );
    assert!(!folder.path().join("out").exists());
    let granted = ["--strategy", &asking, "--grant", "model:5"];
    small_run(folder.path(), &granted).succeeded();
    let filter = ledger(&folder.path().join("out"), "data-filter");
    assert_eq!(filter[0]["usage"]["questions_charged"], 1);
    // The model is not there in a replay, but what it said is.
    let replay = [
        "replay",
        "out",
        "--json",
        "--strategy",
        &asking,
        "--grant",
        "model:5",
    ];
    let replayed = sc_host(folder.path(), &replay).succeeded().json_lines();
    assert_eq!(replayed[0]["changed"], 0);
}

#[test]
fn strategies_are_looked_at_and_tried_without_a_run() {
    let folder = folder();
    let json = |arguments: &[&str]| -> Vec<Value> {
        let all = [&["strategy"], arguments, &["--json"]].concat();
        sc_host(folder.path(), &all).succeeded().json_lines()
    };
    let plugin = repository_path("plugins/curriculum.wasm");
    let inspected = &json(&["inspect", &plugin])[0];
    assert_eq!(inspected["roles"], serde_json::json!(["curriculum"]));
    assert_eq!(inspected["contract"], "0.1.0");
    assert_eq!(inspected["parameters"][0]["name"], "replay_share");
    let set = ["check", &plugin, "--set", "curriculum.replay_share=0.25"];
    let checked = &json(&set)[0];
    assert_eq!(checked["ok"], true);
    assert_eq!(checked["checked"][0]["parameters"]["replay_share"], 0.25);
    let script = repository_path("scripts/gate.rhai");
    let tested = &json(&["test", &script])[0];
    assert_eq!(tested["passed"], true, "{tested}");
    let measured = &json(&["bench", &script])[0]["measurements"][0];
    assert!(measured["fuel"].as_u64().is_some_and(|fuel| fuel > 0));
    let scripts = repository_path("scripts");
    assert!(
        json(&["list", &scripts])
            .iter()
            .any(|one| one["name"] == "gate")
    );
    assert_eq!(json(&["limits"])[0]["log_lines"], 100);
    // Golden cases hold a strategy to what it said.
    let blessed = ["strategy", "test", &script, "--bless", "cases"];
    sc_host(folder.path(), &blessed).succeeded();
    assert_eq!(json(&["test", &script])[0]["passed"], true);
    // They keep the parameters that were set.
    let margin = repository_path("scripts/margin.rhai");
    let setting = "data-filter.min_margin=0.4";
    let blessed = ["test", &margin, "--set", setting, "--bless", "margins"];
    assert!(json(&blessed)[0]["cases"].as_u64().is_some_and(|n| n > 0));
    assert_eq!(
        json(&["test", &margin, "--cases", "margins"])[0]["passed"],
        true
    );
    let other = ["strategy", "test", "builtin:no-harm", "--json"];
    let differs = sc_host(folder.path(), &other);
    assert_eq!(differs.code, Some(1), "another gate gives other reasons");
    assert!(differs.stdout.contains("\"outcome\":\"differs\""));
}
