//! Checkpoints and texts made to do harm: each is refused by name, with a hint, and in time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use sc_core::plan::Sampling;
use sc_core::rng::stream;
use sc_model::verify::verify;
use sc_model::{CheckpointSource, Config, DrawRequest, Error, JanusModel, UnifiedModel};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{copy_checkpoint, fixture, load};

/// A copy of the tiny model, to be damaged.
fn tiny() -> TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    let name = "janus-tiny-world";
    copy_checkpoint(name, place.path());
    let templates = fixture(name).join("templates.json");
    fs::copy(templates, place.path().join("templates.json")).expect("is copied");
    place
}

fn edit(folder: &Path, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(file);
    let mut json = serde_json::from_slice(&fs::read(&path).expect("is read")).expect("parses");
    change(&mut json);
    fs::write(path, json.to_string()).expect("is written");
}

fn try_load(folder: &Path) -> Result<JanusModel, Error> {
    let source = CheckpointSource::Directory(folder.to_path_buf());
    JanusModel::load(&source, &Device::Cpu)
}

/// The message of an error, which must have a hint and leave the terminal alone.
fn message<T>(result: Result<T, Error>, parts: &[&str]) -> String {
    let error = result.err().unwrap_or_else(|| panic!("{parts:?}: passes"));
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(error.hint().is_some(), "no hint: {message}");
    assert!(!message.contains('\u{1b}'), "{message:?}");
    message
}

fn change_tensors(folder: &Path, change: impl Fn(&str, &mut Vec<f32>)) {
    let path = folder.join("model.safetensors");
    let tensors = candle_core::safetensors::load(&path, &Device::Cpu).expect("is read");
    let changed: BTreeMap<String, Tensor> = tensors
        .into_iter()
        .map(|(name, tensor)| {
            let flat = tensor.flatten_all().and_then(|t| t.to_vec1());
            let mut values: Vec<f32> = flat.expect("f32");
            change(&name, &mut values);
            let changed = Tensor::from_vec(values, tensor.shape(), &Device::Cpu);
            (name, changed.expect("fits"))
        })
        .collect();
    safetensors::serialize_to_file(changed, None, &path).expect("is written");
}

fn draw(model: &JanusModel, prompt: &str) -> Result<(), Error> {
    let request = DrawRequest {
        prompt: prompt.into(),
        rng: stream(1, "test", &[]),
    };
    let sampling = Sampling {
        temperature: 1.0,
        guidance: 1.0,
    };
    model.draw(&[request], &sampling).map(|_| ())
}

fn judge(model: &JanusModel, prompt: &str) -> Result<(), Error> {
    let side = model.image_size();
    let pixels = Tensor::zeros((1, 3, side, side), candle_core::DType::F32, &Device::Cpu);
    let pixels = pixels.expect("is made");
    model.judge(&pixels, &[prompt.into()]).map(|_| ())
}

#[test]
fn words_outside_the_vocabulary_are_refused() {
    let place = tiny();
    edit(place.path(), "tokenizer.json", |json| {
        json["model"]["vocab"]["red"] = 64.into();
    });
    let parts = ["tokenizer.json", "`red` is 64", "vocab_size (64)"];
    message(try_load(place.path()), &parts);
}

#[test]
fn truncation_padding_and_added_tokens_of_the_tokenizer_do_nothing() {
    let expected = load(tiny().path()).text().draw_ids("a red ring").ok();
    let place = tiny();
    edit(place.path(), "tokenizer.json", |json| {
        json["truncation"] = json!({
            "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 5
        });
        json["padding"] = json!({
            "strategy": {"Fixed": 1_000_000_000_000_u64}, "direction": "Left",
            "pad_to_multiple_of": null, "pad_id": 4_000_000_000_u32, "pad_type_id": 0,
            "pad_token": "x"
        });
        json["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {}
        });
    });
    let ids = load(place.path()).text().draw_ids("a red ring").ok();
    assert!(expected.is_some());
    assert_eq!(ids, expected);
}

#[test]
fn a_tokenizer_that_blows_texts_up_is_refused() {
    let bomb =
        json!({"type": "Replace", "pattern": {"String": "a"}, "content": "a".repeat(10_000)});
    for (field, list) in [("normalizer", "normalizers"), ("decoder", "decoders")] {
        let place = tiny();
        edit(place.path(), "tokenizer.json", |json| {
            json[field] = json!({"type": "Sequence", list: [bomb, bomb, bomb]});
        });
        let field = format!("`{field}`");
        message(
            try_load(place.path()),
            &["tokenizer.json", &field, "1000000000000 times"],
        );
    }
}

#[test]
fn texts_beyond_the_positions_are_refused_before_anything_is_computed() {
    let model = load(tiny().path());
    let tokens = model.image_tokens();
    let reds = |count: usize| "red ".repeat(count);
    let around = model.text().draw_ids("").expect("fits").len();
    // 256 positions: the last prompt that fits, and one word more.
    let room = 256 - tokens - around;
    assert!(model.text().draw_ids(&reds(room)).is_ok());
    let parts = ["red red", "257 tokens", "256", "max_position_embeddings"];
    message(draw(&model, &reds(room + 1)), &parts);
    message(
        judge(&model, &reds(250)),
        &["red red", "max_position_embeddings"],
    );
    let image = vec![0; tokens];
    let long = reds(250);
    message(
        model.frozen_token_log_probs(&[(&long, &image)]),
        &["red red"],
    );

    let line = "red ".repeat(3_000_000);
    let said = message(draw(&model, &line), &["bytes", "256 tokens"]);
    assert!(said.len() < 300, "{said}");
    message(model.text().unknown_words(&line), &["12000000 bytes"]);
}

#[test]
fn a_template_beyond_the_positions_is_refused() {
    let place = tiny();
    edit(place.path(), "templates.json", |json| {
        let judge = json["judge"].as_str().expect("a text");
        let long = format!("{{prompt}}{}", " a".repeat(20_000));
        json["judge"] = judge.replace("{prompt}", &long).into();
    });
    let model = load(place.path());
    message(
        judge(&model, "a red ring"),
        &["a red ring", "max_position_embeddings"],
    );
}

#[test]
fn positions_default_as_the_reference_has_them() {
    let place = tiny();
    edit(place.path(), "config.json", |json| {
        let text = json["text_config"].as_object_mut().expect("an object");
        text.remove("max_position_embeddings");
    });
    let source = CheckpointSource::Directory(place.path().to_path_buf());
    assert_eq!(Config::read(&source).expect("is read").text.positions, 2048);
    edit(place.path(), "config.json", |json| {
        json["text_config"]["max_position_embeddings"] = 0.into();
    });
    message(
        try_load(place.path()),
        &["`text_config.max_position_embeddings` is 0"],
    );
}

#[test]
fn all_weights_that_are_not_finite_are_named() {
    let place = tiny();
    change_tensors(place.path(), |name, values| match name {
        "lm_head.weight" => values[7] = f32::NAN,
        "model.generation_head.vision_head.bias" => values[0] = f32::NEG_INFINITY,
        _ => {}
    });
    let parts = [
        "`lm_head.weight`",
        "`model.generation_head.vision_head.bias`",
    ];
    let said = message(try_load(place.path()), &parts);
    assert_eq!(said.lines().count(), 3, "{said}");
}

#[test]
fn outputs_that_are_not_finite_are_errors_and_no_verdicts() {
    let place = tiny();
    change_tensors(place.path(), |name, values| {
        if name.starts_with("model.generation_head") || name == "lm_head.weight" {
            values.fill(3e38);
        }
    });
    for model in [load(place.path()), load(place.path()).without_kernels()] {
        message(draw(&model, "a red ring"), &["logits of image tokens"]);
        message(judge(&model, "a red ring"), &["logits of words"]);
    }
}

#[test]
fn senseless_generation_defaults_are_refused() {
    for (field, value) in [
        ("guidance_scale", 1e308),
        ("guidance_scale", -5.0),
        ("temperature", 1e300),
        ("temperature", -0.5),
    ] {
        let place = tiny();
        edit(place.path(), "generation_config.json", |json| {
            json[field] = value.into()
        });
        let value = format!("{value:?}");
        let parts = ["generation_config.json", field, &value, "from 0 to 10"];
        message(try_load(place.path()), &parts);
    }
}

#[cfg(unix)]
#[test]
fn pipes_devices_directories_and_endless_files_are_refused() {
    type Put = fn(&Path);
    let device: Put = |path| std::os::unix::fs::symlink("/dev/zero", path).expect("is linked");
    let pipe: Put = |path| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.expect("runs").success());
    };
    let directory: Put = |path| fs::create_dir(path).expect("is made");
    let endless: Put = |path| {
        let file = fs::File::create(path).expect("is made");
        file.set_len((64 << 20) + 1).expect("is sized");
    };
    for (put, said) in [
        (device, "a pipe or device"),
        (pipe, "a pipe or device"),
        (directory, "a directory"),
        (endless, "67108865 bytes"),
    ] {
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            let place = tiny();
            let path = place.path().join(file);
            fs::remove_file(&path).expect("is removed");
            put(&path);
            let settings = file != "model.safetensors";
            if settings || !said.contains("bytes") {
                message(try_load(place.path()), &[file, said]);
            }
            if said.starts_with('a') {
                message(verify(&load(tiny().path()), &path, None), &[file, said]);
            }
        }
    }
}

#[test]
fn names_in_files_are_shown_without_what_terminals_obey() {
    let place = tiny();
    let index = place.path().join("model.safetensors.index.json");
    for (entry, shown) in [
        ("\u{1b}[31mx\n", r"\u{1b}[31mx\u{a}"),
        ("..", "`..`"),
        (".", "`.`"),
        ("", "is ``"),
        ("../model.safetensors", "`../model.safetensors`"),
        ("a\\b", "a\\b"),
    ] {
        let map = json!({"weight_map": {"a": entry}});
        fs::write(&index, map.to_string()).expect("is written");
        let said = message(try_load(place.path()), &[shown]);
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    fs::remove_file(index).expect("is removed");
    let path = place.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).expect("is read");
    let any = tensors["lm_head.weight"].clone();
    tensors.insert("\u{1b}[31mbad\nerror: fake".into(), any);
    candle_core::safetensors::save(&tensors, &path).expect("is written");
    let said = message(
        try_load(place.path()),
        &[r"`\u{1b}[31mbad\u{a}error: fake`"],
    );
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn odd_reference_files_are_refused_or_fail() {
    let folder = fixture("janus-a");
    let model = load(&folder);
    let place = tempfile::tempdir().expect("a temporary folder");
    message(verify(&model, place.path(), None), &["a directory"]);
    message(
        verify(&model, &place.path().join("nothing"), None),
        &["nothing"],
    );
    let path = place.path().join("expected.safetensors");
    let all = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu)
        .expect("is read");

    let inputs = all.iter().filter(|(name, _)| name.starts_with("in."));
    let inputs = inputs
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    candle_core::safetensors::save(&inputs, &path).expect("is written");
    message(verify(&model, &path, None), &["names no expected value"]);

    for dimension in [0, 1] {
        let mut empty = all.clone();
        for (name, value) in &mut empty {
            if name.starts_with("in.") && value.rank() > dimension {
                *value = value.narrow(dimension, 0, 0).expect("fits");
            }
        }
        empty.insert("out.\u{1b}[31m".into(), all["out.vision_hidden"].clone());
        candle_core::safetensors::save(&empty, &path).expect("is written");
        let report = verify(&model, &path, None).expect("is read");
        for tensor in &report.tensors {
            // The pixels are those of the expected tokens, which stay.
            let kept = tensor.name == "out.gen_pixels_nhwc";
            assert_eq!(tensor.passed, kept, "{tensor:?}");
            assert_eq!(tensor.reason.is_none(), kept, "{tensor:?}");
        }
        let shown = report.tensors.iter().find(|t| t.name.contains("31m"));
        assert_eq!(shown.map(|t| t.name.as_str()), Some(r"out.\u{1b}[31m"));
    }

    let mut blind = all.clone();
    let mask = blind["in.gen_mask"].zeros_like().expect("zeros");
    blind.insert("in.gen_mask".into(), mask);
    let hidden = &all["out.vision_hidden"];
    let flat = hidden.flatten_all().and_then(|t| t.to_vec1());
    let mut values: Vec<f32> = flat.expect("f32");
    values[0] = f32::NAN;
    let hidden = Tensor::from_vec(values, hidden.shape(), &Device::Cpu).expect("fits");
    blind.insert("out.vision_hidden".into(), hidden);
    candle_core::safetensors::save(&blind, &path).expect("is written");
    let report = verify(&model, &path, None).expect("is read");
    for name in ["out.gen_tokens", "out.gen_token_logps", "out.vision_hidden"] {
        let tensor = report.tensors.iter().find(|tensor| tensor.name == name);
        assert_eq!(tensor.map(|tensor| tensor.passed), Some(false), "{name}");
    }
}

#[test]
fn a_failed_save_leaves_nothing_behind() {
    let place = tiny();
    let model = load(place.path());
    let out = tempfile::tempdir().expect("a temporary folder");
    let saved = out.path().join("model");
    model.parameters().save(&saved).expect("is saved");
    let file = place.path().join("tokenizer.json");
    fs::remove_file(&file).expect("is removed");
    fs::create_dir(&file).expect("is made");
    message(model.parameters().save(&saved), &["tokenizer.json"]);
    let left: Vec<_> = fs::read_dir(out.path())
        .expect("is read")
        .map(|entry| entry.expect("is read").file_name())
        .collect();
    assert_eq!(left, ["model"]);
    load(&saved);
}
