//! `score`, `model info` and `model verify`.

use std::collections::HashMap;
use std::fs;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::support::{copy_checkpoint, folder, repository_path, sc_host};

#[test]
fn score_counts_every_image_of_a_prompt_file() {
    let folder = folder();
    fs::write(
        folder.path().join("prompts.txt"),
        "a red circle and a blue square\n\n  two green rings  \r\n",
    )
    .expect("written");
    let score = |seed: &str| {
        sc_host(
            folder.path(),
            &[
                "score",
                "--prompts",
                "prompts.txt",
                "--images-per-prompt",
                "7",
                "--seed",
                seed,
                "--json",
            ],
        )
        .succeeded()
        .stdout
    };
    let first = score("1");
    assert_eq!(first, score("1"));
    let value: serde_json::Value = serde_json::from_str(&first).expect("one object");
    let nonunified = &value["nonunified"];
    let counted = nonunified["n"]
        .as_u64()
        .zip(nonunified["unparsed"].as_u64());
    assert_eq!(counted.map(|(n, unparsed)| n + unparsed), Some(14));
    assert_eq!(first.lines().count(), 1);
}

#[test]
fn score_warns_of_words_that_the_model_cannot_tell_apart() {
    let folder = folder();
    fs::write(
        folder.path().join("prompts.txt"),
        "a red circle\na red dog\n",
    )
    .expect("written");
    let arguments = ["score", "--prompts", "prompts.txt", "--json"];
    let outcome = sc_host(folder.path(), &arguments).succeeded();
    assert!(outcome.stderr.contains("\"dog\""), "{}", outcome.stderr);
    assert_eq!(outcome.json_lines()[0]["prompts_with_unknown_words"], 1);
}

#[test]
fn draw_puts_prompts_from_arguments_and_files_on_one_sheet() {
    let folder = folder();
    fs::write(
        folder.path().join("two.txt"),
        "two green rings\na ring and a cross\n",
    )
    .expect("written");
    let outcome = sc_host(
        folder.path(),
        &[
            "draw",
            "--prompts",
            "a ring left of a cross",
            "two.txt",
            "--out",
            "sheet.png",
            "--json",
        ],
    )
    .succeeded();
    let sheet = &outcome.json_lines()[0];
    let prompts: Vec<&str> = sheet["images"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|image| image["prompt"].as_str())
        .collect();
    assert_eq!(
        prompts,
        [
            "a ring left of a cross",
            "two green rings",
            "a ring and a cross"
        ]
    );
    let png = fs::read(folder.path().join("sheet.png")).expect("a sheet");
    assert!(png.starts_with(b"\x89PNG"));
}

#[test]
fn the_world_is_evaluated_by_category_at_each_guidance() {
    let folder = folder();
    let outcome = sc_host(
        folder.path(),
        &[
            "world",
            "evaluate",
            "--guidance",
            "1,2",
            "--evaluate",
            "100",
            "--json",
        ],
    )
    .succeeded();
    let guidances = outcome.json_lines()[0]["guidances"].clone();
    let guidances = guidances.as_array().expect("a list");
    assert_eq!(guidances.len(), 2);
    for at in guidances {
        assert_eq!(at["overall"]["nonunified"]["n"], 100);
        assert_eq!(
            at["by_category"].as_object().map(serde_json::Map::len),
            Some(5)
        );
    }
    assert_ne!(
        guidances[0]["overall"]["nonunified"],
        guidances[1]["overall"]["nonunified"]
    );
}

#[test]
fn info_names_family_sizes_and_special_tokens() {
    let folder = folder();
    let outcome = sc_host(folder.path(), &["model", "info", "--json"]).succeeded();
    let info = &outcome.json_lines()[0];
    let text = info.to_string();
    for expected in [
        "janus",
        "905355",
        "<image_placeholder>",
        "language_model",
        "f32",
    ] {
        assert!(text.to_lowercase().contains(expected), "{expected}: {text}");
    }
    let people = sc_host(folder.path(), &["model", "info"])
        .succeeded()
        .stdout;
    assert!(people.contains("language_model"), "{people}");
}

#[test]
fn verify_passes_on_the_reference_and_fails_on_one_changed_value() {
    let folder = folder();
    let checkpoint = copy_checkpoint("tests/fixtures/janus-a", folder.path());
    let verify = || sc_host(folder.path(), &["model", "verify", "checkpoint", "--json"]);
    let outcome = verify().succeeded();
    let report = &outcome.json_lines()[0];
    assert_eq!(report["passed"], true);
    let tensors = report["tensors"].as_array().expect("a list");
    assert!(
        tensors
            .iter()
            .filter(|t| t["name"].as_str().is_some_and(|n| n.starts_with("grad.")))
            .count()
            >= 15
    );
    for tensor in tensors {
        assert!(
            tensor["max_rel"].as_f64() <= tensor["limit"].as_f64(),
            "{tensor}"
        );
    }

    let file = checkpoint.join("expected.safetensors");
    let bytes = fs::read(&file).expect("expected values");
    for changed in [
        "out.text_logits",
        "out.vq_tokens_l2",
        "grad.model.language_model.norm.weight",
    ] {
        let expected = SafeTensors::deserialize(&bytes).expect("expected values");
        let mut data = expected
            .tensor(changed)
            .expect("the tensor")
            .data()
            .to_vec();
        // The last element: a token by 1, a float by a thousandth of its size or more.
        let at = data.len() - if changed.contains("tokens") { 8 } else { 2 };
        data[at] ^= 0x01 << if changed.contains("tokens") { 0 } else { 6 };
        let tensors: HashMap<String, TensorView<'_>> = expected
            .tensors()
            .into_iter()
            .map(|(name, tensor)| {
                let bytes = if name == changed {
                    &data[..]
                } else {
                    tensor.data()
                };
                let view = TensorView::new(tensor.dtype(), tensor.shape().to_vec(), bytes);
                (name, view.expect("the same shape"))
            })
            .collect();
        let spoilt = safetensors::serialize(&tensors, None).expect("serialised");
        fs::write(&file, spoilt).expect("written");
        let outcome = verify();
        assert_eq!(outcome.code, Some(1), "{changed}");
        let report = &outcome.json_lines()[0];
        assert_eq!(report["passed"], false);
        let failed: Vec<&str> = report["tensors"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|tensor| tensor["passed"] == false)
            .filter_map(|tensor| tensor["name"].as_str())
            .collect();
        assert_eq!(failed, [changed]);
    }
}

#[test]
fn an_expected_name_that_nobody_knows_is_a_failure() {
    let folder = folder();
    let checkpoint = copy_checkpoint("tests/fixtures/janus-a", folder.path());
    let bytes = fs::read(checkpoint.join("expected.safetensors")).expect("expected values");
    let expected = SafeTensors::deserialize(&bytes).expect("expected values");
    let tensors: HashMap<String, TensorView<'_>> = expected
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            (
                if name == "out.vision_hidden" {
                    "out.vision_hiden".into()
                } else {
                    name
                },
                tensor,
            )
        })
        .collect();
    let renamed = safetensors::serialize(&tensors, None).expect("serialised");
    fs::write(folder.path().join("renamed.safetensors"), renamed).expect("written");
    let path = repository_path("tests/fixtures/janus-a");
    let outcome = sc_host(
        folder.path(),
        &[
            "model",
            "verify",
            &path,
            "--expected",
            "renamed.safetensors",
        ],
    );
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stdout.contains("FAILED"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("out.vision_hiden"));
}
