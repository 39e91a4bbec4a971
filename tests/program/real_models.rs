//! What those need who have a Janus of their own: both layouts, adapters, prompts and questions from
//! files.

use std::fs;

use crate::support::{files, folder, lasting, repository_path, rows, sc_host, small_run};

#[test]
fn checkpoints_of_both_layouts_and_adapters_are_verified() {
    let folder = folder();
    let path = |name: &str| repository_path(&format!("tests/fixtures/{name}"));
    let expected = path("janus-a/expected.safetensors");
    let (a, original, adapter) = (
        path("janus-a"),
        path("janus-a-original"),
        path("janus-a-lora"),
    );
    for (arguments, tensors) in [
        (vec!["model", "verify", &a, "--json"], 34),
        (
            vec![
                "model",
                "verify",
                &original,
                "--expected",
                &expected,
                "--json",
            ],
            34,
        ),
        (
            vec!["model", "verify", &a, "--adapter", &adapter, "--json"],
            4,
        ),
    ] {
        let printed = sc_host(folder.path(), &arguments).succeeded().json_lines();
        assert_eq!(printed[0]["passed"], true, "{arguments:?}");
        let compared = printed[0]["tensors"].as_array().map(Vec::len);
        assert_eq!(compared, Some(tensors), "{arguments:?}");
    }
    // Held against the values without the adapter, the adapted model fails.
    let swapped = [
        "model",
        "verify",
        &a,
        "--adapter",
        &adapter,
        "--expected",
        &expected,
        "--json",
    ];
    let outcome = sc_host(folder.path(), &swapped);
    assert_eq!(outcome.code, Some(1));
    assert_eq!(outcome.json_lines()[0]["passed"], false);
    let wrong = sc_host(
        folder.path(),
        &[
            "score",
            "--adapter",
            &adapter,
            "--model",
            &path("janus-tiny-world"),
        ],
    );
    assert_eq!(wrong.code, Some(1));
    for part in ["does not fit the model", "layers.0", "hint:"] {
        assert!(wrong.stderr.contains(part), "{}", wrong.stderr);
    }
}

/// An adapter is all that a run trains and keeps; interrupted, it comes to the same bytes.
#[test]
fn a_run_trains_an_adapter() {
    let folder = folder();
    let lora = [
        "--train",
        "lora",
        "--lora-rank",
        "4",
        "--rslora",
        "--lora-dropout",
        "0.1",
        "--rounds",
    ];
    let whole = small_run(folder.path(), &[&lora[..], &["2"]].concat()).succeeded();
    let whole = whole.json_lines().last().cloned().expect("a summary");
    let out = folder.path().join("out");
    let kept = files(&out.join("model"));
    let names: Vec<String> = kept.keys().map(|name| name.display().to_string()).collect();
    assert_eq!(names, ["adapter_config.json", "adapter_model.safetensors"]);
    let first = lasting(&out);

    fs::rename(&out, folder.path().join("whole")).expect("is moved");
    small_run(folder.path(), &[&lora[..], &["1"]].concat()).succeeded();
    let went_on = ["run", "--json", "--resume", "out", "--rounds", "2"];
    let again = sc_host(folder.path(), &went_on).succeeded();
    assert_eq!(
        again.json_lines().last().map(|s| &s["after"]),
        Some(&whole["after"])
    );
    let second = lasting(&out);
    assert_eq!(first.len(), second.len());
    for ((name, bytes), (same, others)) in first.iter().zip(&second) {
        assert_eq!(name, same);
        // What strategies are asked says how many rounds there will be.
        assert!(bytes == others || name.starts_with("inputs"), "{name}");
    }

    // The adapter's folder names its base.
    let printed = sc_host(folder.path(), &["model", "info", "out/model", "--json"]).succeeded();
    let info = &printed.json_lines()[0];
    assert_eq!(info["adapter"]["rank"], 4);
    assert_eq!(info["adapter"]["modules"], 28);
    // It is trained on as it was made.
    let other = [
        "run",
        "--model",
        "out/model",
        "--train",
        "lora",
        "--lora-rank",
        "8",
    ];
    let other = sc_host(folder.path(), &other);
    assert_eq!(other.code, Some(1));
    assert!(
        other.stderr.contains("`--lora-rank` is given"),
        "{}",
        other.stderr
    );
    // Trained whole, it would have to be merged first.
    let full = sc_host(folder.path(), &["run", "--model", "out/model"]);
    assert_eq!(full.code, Some(1));
    assert!(full.stderr.contains("`--train` is full"), "{}", full.stderr);
}

/// What the model cannot be asked is found before the first image is drawn and a file is written.
#[test]
fn prompts_and_questions_that_do_not_fit_the_model_are_named() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect(name);
    write("token.txt", "a dog\na cat\na <begin_of_image> b\n");
    write(
        "long.txt",
        &format!("a dog\na cat\n{}\n", "word ".repeat(20_000)),
    );
    write("fine.txt", "a dog\na cat\n");
    write("image.txt", "{prompt} {image}?");
    write("none.txt", "Is this a dog?");
    write(
        "huge.txt",
        &format!("{{prompt}} {}", "word ".repeat(20_000)),
    );
    let base = repository_path("tests/fixtures/janus-a");
    for (arguments, said) in [
        (&["--prompts", "token.txt"][..], "`<begin_of_image>`"),
        (&["--prompts", "long.txt"], "a prompt cannot be used"),
        (
            &["--prompts", "fine.txt", "--question", "image.txt"],
            "`{image}`",
        ),
        (
            &["--prompts", "fine.txt", "--question", "none.txt"],
            "`{prompt}`",
        ),
        (
            &["--prompts", "fine.txt", "--question", "huge.txt"],
            "`--question huge.txt` cannot be asked",
        ),
    ] {
        for command in [&["score"][..], &["run", "--out", "never"]] {
            let all = [command, &["--model", &base], arguments].concat();
            let outcome = sc_host(folder.path(), &all);
            assert_eq!(outcome.code, Some(1), "{all:?}: {}", outcome.stderr);
            for part in [said, "hint:"] {
                assert!(outcome.stderr.contains(part), "{all:?}: {}", outcome.stderr);
            }
            assert!(!folder.path().join("never").exists());
        }
    }
}

#[test]
fn options_of_adapters_that_cannot_be_used_are_named() {
    let folder = folder();
    for (arguments, said) in [
        (&["--lora-rank", "4"][..], "`--lora-rank` is given"),
        (&["--train", "lora", "--lora-rank", "0"], "lora.rank"),
        (&["--train", "lora", "--lora-targets", "("], "lora.targets"),
        (
            &["--train", "lora", "--lora-targets", "nobody"],
            "names no linear layer",
        ),
        (
            &[
                "--train",
                "lora",
                "--interpolate",
                "0.5",
                "--interpolate-at",
                "round",
            ],
            "`--interpolate-at` is round",
        ),
        (&["--dtype", "bf16"], "the weights are held in bf16"),
        (&["--device", "gpu"], "`--device` is `gpu`"),
        (&["--eval-prompts", "x"], "without `--prompts FILE`"),
        (
            &["--prompts", "nowhere.txt"],
            "cannot read `--prompts nowhere.txt`",
        ),
        (&["--prompts", "-3"], "`--prompts` is -3"),
    ] {
        let all = [&["run", "--out", "never"][..], arguments].concat();
        let outcome = sc_host(folder.path(), &all);
        assert_eq!(outcome.code, Some(1), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("hint:"), "{}", outcome.stderr);
        assert!(!folder.path().join("never").exists());
    }
}

#[test]
fn a_run_on_prompts_from_files_measures_what_it_can() {
    let folder = folder();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("is written");
    };
    write(
        "train.txt",
        "a red circle\na blue square\n{\"prompt\":\"two green circles\",\"tag\":\"counting\"}\n",
    );
    write("eval.txt", "a green square\nA red circle.\n");
    write("question.txt", "match {prompt} ?\n");
    let arguments = [
        "run",
        "--json",
        "--out",
        "out",
        "--prompts",
        "train.txt",
        "--eval-prompts",
        "eval.txt",
        "--question",
        "question.txt",
        "--images-per-prompt",
        "4",
        "--epochs",
        "2",
        "--rounds",
        "1",
        "--fixed-images",
        "2",
    ];
    let outcome = sc_host(folder.path(), &arguments).succeeded();
    assert!(
        outcome
            .stderr
            .contains("1 of the prompts to measure by are trained on too"),
        "{}",
        outcome.stderr
    );
    let told = "nobody knows what these prompts' images show";
    assert_eq!(outcome.stderr.matches(told).count(), 1);
    let lines = outcome.json_lines();
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["before"]["nonunified"]["n"], 2);
    for absent in [
        "generation_accuracy",
        "weak_generation_share",
        "understanding_accuracy",
    ] {
        assert!(summary["before"].get(absent).is_none(), "{absent}");
    }
    let out = folder.path().join("out");
    let categories = rows(&out.join("metrics.jsonl"));
    assert_eq!(categories.len(), 2);
    let config = fs::read_to_string(out.join("config.toml")).expect("is written");
    for line in [
        "task = \"prompts\"",
        "prompts = \"train.txt\"",
        "question = \"question.txt\"",
    ] {
        assert!(config.contains(line), "{config}");
    }
    // The configuration runs again as it is.
    let again = [
        "run",
        "--json",
        "--config",
        "out/config.toml",
        "--out",
        "again",
    ];
    sc_host(folder.path(), &again).succeeded();
    assert_eq!(lasting(&out), lasting(&folder.path().join("again")));

    write("question.txt", "is it a picture?");
    let outcome = sc_host(folder.path(), &arguments[..10]);
    assert_ne!(outcome.code, Some(0));
    let asked = [
        "score",
        "--prompts",
        "eval.txt",
        "--question",
        "question.txt",
    ];
    let outcome = sc_host(folder.path(), &asked);
    assert_eq!(outcome.code, Some(1));
    for part in ["question.txt", "{prompt}", "hint:"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    write("bad.txt", "a dog\n{\"text\":\"a cat\"}\n");
    let outcome = sc_host(folder.path(), &["score", "--prompts", "bad.txt"]);
    assert_eq!(outcome.code, Some(1));
    for part in ["line 2", "missing field `prompt`", "hint:"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}

/// What a run kept can be had whole, in either layout, or as the adapter alone.
#[test]
fn models_are_exported_for_other_programs() {
    let folder = folder();
    let base = repository_path("tests/fixtures/janus-a");
    let adapter = repository_path("tests/fixtures/janus-a-lora");
    let expected = format!("{adapter}/expected.safetensors");
    fs::copy(
        format!("{base}/expected.safetensors"),
        folder.path().join("inputs.safetensors"),
    )
    .expect("is copied");
    for format in ["hf", "original"] {
        let arguments = [
            "model",
            "export",
            &base,
            "--adapter",
            &adapter,
            "--format",
            format,
            "--to",
            format,
            "--json",
        ];
        let printed = sc_host(folder.path(), &arguments).succeeded().json_lines();
        assert_eq!(printed[0]["merged"], true);
        let to = folder.path().join(format);
        fs::copy(
            folder.path().join("inputs.safetensors"),
            to.join("expected.safetensors"),
        )
        .expect("is copied");
        let verify = ["model", "verify", format, "--expected", &expected, "--json"];
        let printed = sc_host(folder.path(), &verify).succeeded().json_lines();
        assert_eq!(printed[0]["passed"], true, "{format}");
        let again = sc_host(folder.path(), &arguments);
        assert_eq!(again.code, Some(1));
        assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
    }
    let lora = ["--train", "lora", "--lora-rank", "2", "--rounds", "1"];
    small_run(folder.path(), &lora).succeeded();
    let arguments = [
        "model", "export", "out", "--format", "peft", "--to", "alone",
    ];
    sc_host(folder.path(), &arguments).succeeded();
    assert_eq!(
        files(&folder.path().join("alone")),
        files(&folder.path().join("out/model"))
    );
    let none = [
        "model", "export", &base, "--format", "peft", "--to", "nothing",
    ];
    let outcome = sc_host(folder.path(), &none);
    assert_eq!(outcome.code, Some(1));
    for part in ["has no adapter", "hint:"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}
