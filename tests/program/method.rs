//! The method's parts by name: losses, schemes, judges, perturbations, controls, interpolation.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    command, files, folder, in_repository, lasting, ledger, repository_path, rows, sc_host,
    sc_host_given, small_run,
};

fn json(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list").iter();
    list.map(|n| n.as_f64().expect("a number")).collect()
}

/// Anyone can hold the losses against another trainer: here against TRL's values.
#[test]
fn losses_are_computed_from_standard_input() {
    let golden = json(&in_repository("host/train/tests/data/dpo-golden.json"));
    let inputs = golden["inputs"].to_string();
    let folder = folder();
    for (key, arguments) in [
        ("sigmoid", "sigmoid --beta 0.1"),
        ("sigmoid", "dpo --beta 0.1"),
        (
            "sigmoid_ls0.1 (TRL<=0.28 cDPO)",
            "sigmoid --beta 0.1 --label-smoothing 0.1",
        ),
        ("robust_ls0.1", "robust --beta 0.1 --label-smoothing 0.1"),
        ("hinge", "hinge --beta 0.1"),
        ("ipo (len-normalised)", "ipo --beta 0.1"),
        ("apo_zero", "apo-zero --beta 0.1"),
        (
            "simpo beta=2.0 gamma=1.0 (TRL CPO loss term only, w/o cpo_alpha*nll)",
            "simpo --beta 2 --gamma 1",
        ),
        (
            "kto_pair legacy (TRL 0.8.6) concat[chosen,rejected]",
            "kto --beta 0.1",
        ),
    ] {
        let mut all = vec!["loss", "eval", "--json", "--objective"];
        all.extend(arguments.split(' '));
        let printed = sc_host_given(folder.path(), &all, &inputs).succeeded();
        let printed = &printed.json_lines()[0];
        let found = numbers(&printed["per_sequence"]);
        let expected = numbers(&golden["per_sequence"][key]);
        assert_eq!(found.len(), expected.len(), "{arguments}");
        for (found, expected) in found.iter().zip(&expected) {
            let error = (found - expected).abs() / expected.abs().max(1.0);
            assert!(error < 1e-9, "{arguments}: {found} for {expected}");
        }
        let mean = printed["mean"].as_f64().expect("a mean");
        assert!((mean - found.iter().sum::<f64>() / found.len() as f64).abs() < 1e-12);
    }
    let sft = ["loss", "eval", "--objective", "sft", "--json"];
    let printed = sc_host_given(folder.path(), &sft, &inputs).succeeded();
    let found = numbers(&printed.json_lines()[0]["per_sequence"]);
    assert!((found[0] - 2310.5 / 576.0).abs() < 1e-12);
}

#[test]
fn every_loss_is_listed_and_trains_a_run() {
    let folder = folder();
    let listed = sc_host(folder.path(), &["loss", "list", "--json"]).succeeded();
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let names: Vec<&str> = (listed.as_array().expect("a list").iter())
        .map(|loss| loss["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        names,
        [
            "sft", "sigmoid", "robust", "hinge", "ipo", "simpo", "apo-zero", "kto"
        ]
    );
    for name in names {
        let out = format!("out-{name}");
        let small = ["run", "--json", "--out", &out, "--objective", name];
        let sizes = "--rounds 1 --prompts 60 --epochs 2 --evaluate 20";
        let all: Vec<&str> = small.into_iter().chain(sizes.split(' ')).collect();
        let run = sc_host(folder.path(), &all).succeeded();
        let round = &rows(&folder.path().join(&out).join("metrics.jsonl"))[1];
        assert!(round["training"]["steps"].as_u64() > Some(0), "{name}");
        let plan = &ledger(&folder.path().join(&out), "curriculum")[0];
        assert_eq!(plan["objective"], name);
        let accuracy = &round["training"]["preference_accuracy"];
        assert_eq!(accuracy.is_null(), name == "sft", "{name}: {accuracy}");
        drop(run);
    }
}

#[test]
fn every_judge_supervises_a_run_by_questions_of_its_own() {
    let folder = folder();
    let mut verdicts = Vec::new();
    for (judge, questions_an_image) in [
        ("margin", Some(1)),
        ("verdict", Some(1)),
        ("wordings", Some(3)),
        ("consistency", Some(2)),
        ("decomposed", None),
        ("oracle", Some(0)),
    ] {
        let out = format!("out-{judge}");
        let small = ["run", "--json", "--out", &out, "--judge", judge];
        let sizes = "--rounds 1 --prompts 30 --epochs 1 --evaluate 20";
        let all: Vec<&str> = small.into_iter().chain(sizes.split(' ')).collect();
        sc_host(folder.path(), &all).succeeded();
        let out = folder.path().join(out);
        let summary = json(&out.join("summary.json"));
        let images = summary["cost"]["images"].as_u64().expect("a number");
        let questions = summary["cost"]["questions"].as_u64().expect("a number");
        match questions_an_image {
            Some(each) => assert_eq!(questions, each * images, "{judge}"),
            None => assert!(questions > images && questions < 6 * images, "{questions}"),
        }
        let config = fs::read_to_string(out.join("config.toml")).expect("a configuration");
        assert!(config.contains(&format!("judge = \"{judge}\"")), "{config}");
        let round = &rows(&out.join("metrics.jsonl"))[1];
        verdicts.push(round["accepted"].as_u64().expect("a number"));
        // The Nonunified score is by the model's own verdict whoever judges.
        let before = &summary["before"]["nonunified"];
        assert_eq!(before["n"], 20, "{judge}");
    }
    assert_eq!(verdicts[0], verdicts[1], "the same verdicts, sure or not");
    let differing = &verdicts[1..];
    assert!(
        differing.iter().any(|count| *count != verdicts[1]),
        "{verdicts:?}"
    );
}

/// What is changed about the supervision is told everywhere.
#[test]
fn perturbations_and_controls_are_told_loudly() {
    let folder = folder();
    for (arguments, told) in [
        (
            &["--perturb", "swapped-pairs=0.5", "--objective", "dpo"][..],
            "swapped-pairs=0.5",
        ),
        (&["--perturb", "sft-on-rejected"], "sft-on-rejected"),
        (&["--perturb", "random-verdicts"], "random-verdicts"),
        (&["--perturb", "inverted"], "inverted"),
        (&["--perturb", "permissive=2"], "permissive=2"),
        (&["--control", "random-accepts"], "random-accepts"),
        (&["--control", "replay-passed"], "replay-passed"),
    ] {
        let out = format!("out-{told}");
        let small = ["run", "--out", &out, "--rounds", "1", "--prompts", "30"];
        let sizes = ["--epochs", "1", "--evaluate", "20"];
        let run = sc_host(folder.path(), &[&small, &sizes[..], arguments].concat()).succeeded();
        let loud = format!("SUPERVISION IS CHANGED ON PURPOSE: {told}");
        assert!(run.stderr.contains(&loud), "{}", run.stderr);
        let loud = format!("SUPERVISION WAS CHANGED ON PURPOSE: {told}");
        assert!(run.stdout.contains(&loud), "{}", run.stdout);
        let out = folder.path().join(out);
        let summary = json(&out.join("summary.json"));
        assert_eq!(summary["supervision_changes"], serde_json::json!([told]));
        let round = &rows(&out.join("metrics.jsonl"))[1];
        assert_eq!(round["supervision_changes"], serde_json::json!([told]));
        let name = told.split('=').next().expect("a name");
        let mut in_ledger = rows(&out.join("ledger.jsonl"));
        in_ledger.retain(|row| row["change"] == name);
        assert_eq!(in_ledger.len(), 1, "{told}");
    }
    // An honest run says nothing of it.
    let honest = small_run(folder.path(), &[]).succeeded();
    assert!(!honest.stdout.contains("supervision_changes"));
}

/// Bad supervision is caught by the signal that can see it, and leaves no trace in the weights.
#[test]
fn the_gate_rolls_bad_supervision_back() {
    let folder = folder();
    for (name, arguments, signal) in [
        (
            "swapped",
            "--objective dpo --perturb swapped-pairs=1",
            "audit_flips",
        ),
        (
            "permissive",
            "--perturb permissive=60",
            "understanding_accuracy",
        ),
    ] {
        let small = format!(
            "run --out {name} --rounds 1 --prompts 120 --epochs 2 --evaluate 200 {arguments}"
        );
        let all: Vec<&str> = small.split(' ').collect();
        sc_host(folder.path(), &all).succeeded();
        let out = folder.path().join(name);
        let gate = &ledger(&out, "quality-gate")[0];
        assert_eq!(gate["decision"], "roll-back", "{gate}");
        let reason = gate["reason"].as_str().expect("a reason");
        assert!(reason.starts_with(signal), "{reason}");
        let base = in_repository("models/tiny/model.safetensors");
        let after = fs::read(out.join("model/model.safetensors")).expect("a model");
        assert!(weights(&after) == weights(&fs::read(base).expect("the base")));
        let optimizer = out.join("checkpoints/round-00001/now-optimizer.safetensors");
        let optimizer = fs::read(optimizer).expect("an optimizer");
        assert!(
            weights(&optimizer)
                .iter()
                .all(|(_, values)| values.iter().all(|v| *v == 0))
        );
    }
}

/// Name and bytes of each tensor.
fn weights(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let tensors = safetensors::SafeTensors::deserialize(file).expect("safetensors");
    let mut all: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec()))
        .collect();
    all.sort();
    all
}

#[test]
fn interpolation_keeps_part_of_the_way() {
    let folder = folder();
    let run = |part: &str, at: &str| {
        let out = format!("out-{part}-{at}");
        let small = format!(
            "run --out {out} --rounds 2 --prompts 40 --epochs 1 --evaluate 20 --interpolate {part} \
             --interpolate-at {at}"
        );
        let all: Vec<&str> = small.split(' ').collect();
        sc_host(folder.path(), &all).succeeded();
        let out = folder.path().join(out);
        weights(&fs::read(out.join("model/model.safetensors")).expect("a model"))
    };
    let base = fs::read(in_repository("models/tiny/model.safetensors")).expect("the base");
    let base = weights(&base);
    assert!(run("0", "run") == base);
    assert!(run("0", "round") == base);
    let (whole, half) = (run("1", "run"), run("0.5", "run"));
    let floats = |bytes: &[u8]| -> Vec<f32> {
        let chunks = bytes.chunks_exact(4);
        chunks
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    };
    let mut moved = 0;
    for ((base, half), whole) in base.iter().zip(&half).zip(&whole) {
        let (base, half, whole) = (floats(&base.1), floats(&half.1), floats(&whole.1));
        for ((base, half), whole) in base.iter().zip(&half).zip(&whole) {
            assert!((half - (base + whole) / 2.0).abs() < 1e-6);
            moved += usize::from(base != whole);
        }
    }
    assert!(moved > 100_000, "{moved}");
}

/// Runs the program until a checkpoint of that name is there, then kills it.
fn killed_at(folder: &Path, arguments: &[&str], out: &str, checkpoint: &str) {
    let mut child = command(folder, arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let place = folder.join(out).join("checkpoints").join(checkpoint);
    let began = Instant::now();
    while !place.exists() {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "no {checkpoint}"
        );
        let ended = child.try_wait().expect("its state");
        assert!(ended.is_none(), "it ended before {checkpoint}");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
}

/// What overflows is an error, not a value.
#[test]
fn a_loss_that_is_no_number_is_none() {
    let inputs = r#"{"chosen_logps":[1e308],"rejected_logps":[-1e308],"ref_chosen_logps":[-1e308],
        "ref_rejected_logps":[1e308],"len":16}"#;
    let folder = folder();
    let arguments = [
        "loss",
        "eval",
        "--json",
        "--objective",
        "sigmoid",
        "--beta",
        "0.1",
    ];
    let outcome = sc_host_given(folder.path(), &arguments, inputs);
    assert_eq!(outcome.code, Some(1));
    for part in ["sequence 0", "finite", "hint:"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}

/// In the middle of a round, and in both schemes: with a reference and without, before a replay and
/// after one.
#[test]
fn a_run_killed_between_passes_goes_on_to_the_same_bytes() {
    let folder = folder();
    let curriculum = repository_path("plugins/curriculum.wasm");
    let stat = "--scheme static --prompts 60 --images-per-prompt 4 --epochs 8 --evaluate 30";
    let online = "--objective dpo --rounds 2 --prompts 60 --epochs 6 --evaluate 30 \
                  --checkpoint-passes 2 --set curriculum.epoch=3 --set curriculum.from_round=2";
    for (name, arguments, checkpoint) in [
        ("static", stat, "round-00000-pass-00002"),
        ("static-late", stat, "round-00000-pass-00006"),
        ("static-trained", stat, "round-00000-pass-00008"),
        ("online", online, "round-00001-pass-00004"),
    ] {
        let whole_out = format!("{name}-whole");
        let settings: Vec<&str> = arguments.split_whitespace().collect();
        let with = |out: &'_ str| {
            let fixed = ["run", "--strategy", &curriculum, "--out", out];
            let all = fixed.into_iter().chain(settings.iter().copied());
            all.map(str::to_owned).collect::<Vec<String>>()
        };
        let whole = with(&whole_out);
        let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
        sc_host(folder.path(), &whole).succeeded();
        let cut = with(name);
        let cut: Vec<&str> = cut.iter().map(String::as_str).collect();
        killed_at(folder.path(), &cut, name, checkpoint);
        // What the round has been decided by cannot be changed in the middle of it.
        for late in ["--objective=sigmoid", "--epochs=3", "--prompts=50"] {
            let refused = sc_host(folder.path(), &["run", "--resume", name, late]);
            assert_eq!(refused.code, Some(1), "{late}");
            assert!(refused.stderr.contains("in the middle of round"), "{late}");
        }
        let state = folder
            .path()
            .join(name)
            .join("checkpoints")
            .join(checkpoint);
        let (round, aside) = (state.join("round.bin"), folder.path().join("aside"));
        fs::rename(&round, &aside).expect("is moved");
        let refused = sc_host(folder.path(), &["run", "--resume", name]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("round.bin"), "{}", refused.stderr);
        fs::rename(&aside, &round).expect("is moved back");
        let resumed = sc_host(folder.path(), &["run", "--resume", name]).succeeded();
        assert!(
            resumed.stderr.contains("goes on after pass"),
            "{}",
            resumed.stderr
        );
        let out = |name: &str| lasting(&folder.path().join(name));
        for ((one, whole), (other, resumed)) in out(&whole_out).iter().zip(out(name)) {
            assert_eq!(*one, other);
            assert!(*whole == resumed, "{name}: {one} differs");
        }
        assert_eq!(out(&whole_out).len(), out(name).len());
        let gates = |name: &str| ledger(&folder.path().join(name), "quality-gate");
        let mut resumed = gates(name);
        resumed.retain(|row| row["resumed_after"].is_null());
        assert_eq!(gates(&whole_out), resumed, "the gate is asked alike");
    }
}

/// The paper's form: everything is drawn once, and what had failed again half way; the control draws
/// as many that had passed.
#[test]
fn the_static_scheme_draws_again_for_what_had_failed() {
    let folder = folder();
    let run = |out: &str, more: &[&str]| {
        let curriculum = repository_path("scripts/curriculum.rhai");
        let fixed = [
            "run",
            "--json",
            "--scheme",
            "static",
            "--strategy",
            &curriculum,
        ];
        let sizes = "--prompts 80 --images-per-prompt 3 --epochs 4 --evaluate 20";
        let sizes: Vec<&str> = sizes.split(' ').collect();
        let run = sc_host(
            folder.path(),
            &[&fixed[..], &["--out", out], &sizes, more].concat(),
        );
        run.succeeded().json_lines()
    };
    let lines = run("replay", &[]);
    let event = |name: &str| lines.iter().find(|line| line["event"] == name);
    let plan = event("plan").expect("a plan");
    assert_eq!((&plan["prompts"], &plan["later"]), (&80.into(), &80.into()));
    let again = event("drawn_again").expect("drawn again");
    assert_eq!(again["pass"], 2);
    let prompts = again["prompts"].as_u64().expect("a number");
    assert!((1..60).contains(&prompts), "{again}");
    let summary = event("summary").expect("a summary");
    assert_eq!(summary["scheme"], "static");
    assert_eq!(summary["cost"]["images"], 3 * (80 + prompts));

    run("control", &["--control", "replay-passed"]);
    let mut changes = rows(&folder.path().join("control/ledger.jsonl"));
    changes.retain(|row| row["change"] == "replay-passed" && row["epoch"] == 2);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0]["changed"], prompts, "as many as had failed");
}

/// Judging before and after is compared on images of the first model that are kept.
#[test]
fn co_improvement_is_measured_on_fixed_images() {
    let folder = folder();
    let small = [
        "run",
        "--json",
        "--out",
        "out",
        "--rounds",
        "1",
        "--prompts",
        "40",
    ];
    let sizes = ["--evaluate", "30", "--fixed-images", "200"];
    let run = sc_host(folder.path(), &[&small[..], &sizes].concat()).succeeded();
    let lines = run.json_lines();
    let summary = lines.last().expect("a summary");
    let rate = &summary["understanding_win_rate"];
    let all = &summary["co_improvement"];
    assert_eq!(*rate, all["win_rate"]);
    assert_eq!(all["images"], 200);
    let flips = all["flips"].as_object().expect("flips").values();
    let flips: u64 = flips.map(|count| count.as_u64().expect("a count")).sum();
    assert_eq!(rate["n"], flips);
    if flips == 0 {
        assert_eq!(rate["value"], 0.5);
    }
    let area = &all["area"];
    assert!(area["before"].as_f64() > Some(0.8), "{area}");
    assert!(area["low"].as_f64() <= area["high"].as_f64());
    let images = rows(&folder.path().join("out/base-images.jsonl"));
    assert_eq!(images.len(), 200);
    assert!(files(&folder.path().join("out")).contains_key(Path::new("base-images.jsonl")));
}
