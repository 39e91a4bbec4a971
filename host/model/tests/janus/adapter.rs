//! Low-rank adapters: what PEFT computes with them, what is trained, and what is said of those
//! that do not fit.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use sc_model::verify::verify;
use sc_model::{Adapter, Error, JanusModel, LoraSettings, Naming, UnifiedModel};

use crate::common::{fixture, largest, load};

fn adapted(folder: &Path) -> Result<JanusModel, Error> {
    load(&fixture("janus-a")).with_adapter(folder)
}

fn check_against_peft(model: &JanusModel) {
    let expected = fixture("janus-a-lora").join("expected.safetensors");
    let inputs = fixture("janus-a").join("expected.safetensors");
    let report = verify(model, &expected, Some(&inputs)).expect("is read");
    let failed: Vec<_> = report.tensors.iter().filter(|t| !t.passed).collect();
    assert!(report.passed, "{failed:?}");
    assert_eq!(report.tensors.len(), 4);
}

#[test]
fn an_adapted_model_computes_what_peft_does() {
    let folder = fixture("janus-a-lora");
    check_against_peft(&adapted(&folder).expect("fits"));
    check_against_peft(&adapted(&folder).expect("fits").without_kernels());
    check_against_peft(&adapted(&folder).expect("fits").as_large());
    // Without the adapter the same values are others.
    let inputs = fixture("janus-a").join("expected.safetensors");
    let report = verify(
        &load(&fixture("janus-a")),
        &folder.join("expected.safetensors"),
        Some(&inputs),
    );
    assert!(!report.expect("is read").passed);
}

#[test]
fn a_written_adapter_is_the_same_under_both_namings() {
    let model = adapted(&fixture("janus-a-lora")).expect("fits");
    let adapter = model.parameters().adapter().expect("an adapter");
    assert_eq!(adapter.modules().count(), 21);
    for naming in [Naming::HuggingFace, Naming::Original] {
        let place = tempfile::tempdir().expect("a temporary folder");
        adapter.write(place.path(), naming).expect("is written");
        let base = Adapter::base_of(place.path()).expect("is read");
        assert_eq!(base.as_deref(), Some("janus-a"));
        let again = adapted(place.path()).expect("fits");
        check_against_peft(&again);
        let again = again.parameters().adapter().expect("an adapter");
        assert_eq!(again.settings().rank, adapter.settings().rank);
        for ((name, a), (same, b)) in adapter.iter().zip(again.iter()) {
            assert_eq!(name, same);
            assert_eq!(
                largest(&(a.as_tensor() - b.as_tensor()).expect("fits")),
                0.0
            );
        }
    }
}

fn log_probs(model: &JanusModel) -> Tensor {
    let tokens: Vec<u32> = (0..36).map(|i| i * 7 % 96).collect();
    model
        .token_log_probs(&[("a b", &tokens)], &[false])
        .expect("log-probabilities")
}

#[test]
fn a_new_adapter_changes_nothing_and_alone_is_trained() {
    let base = log_probs(&load(&fixture("janus-a")));
    for rslora in [false, true] {
        let settings = LoraSettings {
            rank: 3,
            rslora,
            ..LoraSettings::default()
        };
        for kernels in 0..3 {
            let model = load(&fixture("janus-a"))
                .with_new_adapter(&settings, "janus-a", 5)
                .expect("fits");
            let model = match kernels {
                0 => model,
                1 => model.without_kernels(),
                _ => model.as_large(),
            };
            let ours = log_probs(&model);
            assert!(largest(&(&ours - &base).expect("fits")) < 1e-5);
            let gradients = ours.sum_all().and_then(|sum| sum.backward());
            let gradients = gradients.expect("a backward pass");
            for (_, _, var) in model.parameters().iter() {
                assert!(gradients.get(var).is_none());
            }
            let adapter = model.parameters().adapter().expect("an adapter");
            for (name, var) in adapter.iter() {
                let gradient = gradients.get(var).expect("a gradient");
                assert_eq!(gradient.dims(), var.dims(), "{name}");
                // B is zero at first, and so is what reaches A through it.
                let size = largest(gradient);
                assert_eq!(
                    size > 0.0,
                    name.ends_with("lora_B.weight"),
                    "{name}: {size}"
                );
            }
        }
    }
}

#[test]
fn gradients_of_an_adapter_are_those_of_plain_operations() {
    let of = |model: &JanusModel| -> Vec<(String, Tensor)> {
        let loss = log_probs(model).mean_all().expect("a mean");
        let gradients = loss.backward().expect("a backward pass");
        let adapter = model.parameters().adapter().expect("an adapter");
        adapter
            .iter()
            .map(|(name, var)| (name, gradients.get(var).expect("a gradient").clone()))
            .collect()
    };
    let folder = fixture("janus-a-lora");
    let plain = of(&adapted(&folder).expect("fits").without_kernels());
    for model in [
        adapted(&folder).expect("fits"),
        adapted(&folder).expect("fits").as_large(),
    ] {
        for ((name, expected), (_, found)) in plain.iter().zip(of(&model)) {
            let difference = largest(&(expected - &found).expect("fits"));
            let size = largest(expected);
            assert!(difference <= 1e-4 * size, "{name}: {difference} of {size}");
        }
    }
}

/// Mean log-probability under dropout, and the gradients of an adapter.
fn under_dropout(model: &JanusModel, seed: u64) -> (f32, Vec<Vec<f32>>) {
    let tokens: Vec<u32> = (0..36).map(|i| i * 7 % 96).collect();
    let loss = model
        .training_log_probs(&[("a b", &tokens)], &[false], seed)
        .and_then(|log_probs| Ok(log_probs.mean_all()?))
        .expect("log-probabilities");
    let gradients = loss.backward().expect("a backward pass");
    let adapter = model.parameters().adapter().expect("an adapter");
    let gradients = adapter.iter().map(|(_, var)| {
        let gradient = gradients.get(var).expect("a gradient").flatten_all();
        gradient.and_then(|g| g.to_vec1()).expect("numbers")
    });
    (loss.to_scalar().expect("a number"), gradients.collect())
}

#[test]
fn dropout_is_of_training_alone_and_of_its_seed() {
    // PEFT's own configuration says how much an adapter that it made is to drop.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let given = fixture("janus-a-lora");
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(given.join(file), folder.path().join(file)).expect("is copied");
    }
    let config = folder.path().join("adapter_config.json");
    let text = fs::read_to_string(&config).expect("is read");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
    json["lora_dropout"] = 0.25.into();
    fs::write(&config, json.to_string()).expect("is written");

    let dropping = adapted(folder.path()).expect("fits");
    let plain = adapted(&given).expect("fits");
    assert_eq!(
        largest(&(log_probs(&dropping) - log_probs(&plain)).expect("fits")),
        0.0
    );
    let (without, _) = under_dropout(&plain, 1);
    let (loss, gradients) = under_dropout(&dropping, 1);
    assert_ne!(loss, without);
    let again = under_dropout(&dropping, 1);
    assert_eq!((loss, &gradients), (again.0, &again.1));
    assert_ne!(loss, under_dropout(&dropping, 2).0);
    // What is computed again for a gradient leaves out the same inputs.
    let large = adapted(folder.path()).expect("fits").as_large();
    let (of_large, recomputed) = under_dropout(&large, 1);
    assert!((of_large - loss).abs() < 1e-5, "{of_large} and {loss}");
    for (expected, found) in gradients.iter().zip(&recomputed) {
        let size = expected.iter().fold(0.0_f32, |top, x| top.max(x.abs()));
        for (expected, found) in expected.iter().zip(found) {
            assert!((expected - found).abs() <= 1e-4 * size);
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(Change, &[&str]); 9] = [
        (
            |json| json["peft_type"] = "IA3".into(),
            &["peft_type", "IA3"],
        ),
        (|json| json["use_dora"] = true.into(), &["use_dora"]),
        (|json| json["bias"] = "all".into(), &["bias", "all"]),
        (
            |json| json["modules_to_save"] = serde_json::json!(["lm_head"]),
            &["modules_to_save", "lm_head"],
        ),
        (
            |json| json["init_lora_weights"] = "pissa".into(),
            &["init_lora_weights", "pissa"],
        ),
        (|json| json["r"] = 8.into(), &["lora_A", "expected [8, "]),
        (|json| json["use_dora"] = 1.into(), &["use_dora"]),
        (
            |json| json["alpha_pattern"] = serde_json::json!({"q_proj": 0}),
            &["alpha_pattern", "q_proj"],
        ),
        (
            |json| json["rank_pattern"] = serde_json::json!({"(": 4}),
            &["rank_pattern", "`(`"],
        ),
    ];
    for (change, named) in cases {
        let place = copied();
        let path = place.path().join("adapter_config.json");
        let mut json = serde_json::from_slice(&fs::read(&path).expect("is read")).expect("parses");
        change(&mut json);
        fs::write(&path, json.to_string()).expect("is written");
        said(place.path(), named);
    }
    type Damage = fn(&mut Vec<(String, Tensor)>);
    let files: [(Damage, &[&str]); 4] = [
        (
            |tensors| tensors[0].0 = tensors[0].0.replace("layers.0", "layers.9"),
            &["layers.9", "no linear layer"],
        ),
        (
            |tensors| tensors[0].1 = tensors[0].1.narrow(1, 0, 5).expect("fits"),
            &["layers.0", "[4, 5]", "expected [4, "],
        ),
        (
            |tensors| drop(tensors.remove(1)),
            &["only one of `lora_A` and `lora_B`"],
        ),
        (
            |tensors| tensors[0].1 = (&tensors[0].1 / 0.0).expect("divides"),
            &["not finite"],
        ),
    ];
    for (change, named) in files {
        let place = copied();
        let path = place.path().join("adapter_model.safetensors");
        let mut tensors: Vec<(String, Tensor)> =
            candle_core::safetensors::load(&path, &Device::Cpu)
                .expect("is read")
                .into_iter()
                .collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        change(&mut tensors);
        safetensors::serialize_to_file(tensors, None, &path).expect("is written");
        said(place.path(), named);
    }
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    said(nowhere.path(), &["adapter_config.json"]);
}

fn copied() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(fixture("janus-a-lora").join(file), place.path().join(file)).expect("is copied");
    }
    place
}

fn said(folder: &Path, named: &[&str]) {
    let message = adapted(folder).err().expect("is refused").to_string();
    for part in named {
        assert!(message.contains(part), "{part:?} in {message}");
    }
}

#[test]
fn settings_out_of_range_are_named() {
    type Change = fn(&mut LoraSettings);
    let cases: [(Change, &str); 5] = [
        (|s| s.rank = 0, "lora.rank"),
        (|s| s.alpha = f64::NAN, "lora.alpha"),
        (|s| s.targets = "(".into(), "lora.targets"),
        (|s| s.targets = ")|(.*".into(), "lora.targets"),
        (|s| s.targets = "nothing".into(), "names no linear layer"),
    ];
    for (change, named) in cases {
        let mut settings = LoraSettings::default();
        change(&mut settings);
        let model = load(&fixture("janus-a")).with_new_adapter(&settings, "janus-a", 0);
        let message = model.err().expect("is refused").to_string();
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn half_precision_stays_within_its_bounds() {
    let exact = log_probs(&load(&fixture("janus-a")));
    for precision in [sc_model::Precision::BF16, sc_model::Precision::F16] {
        let source = sc_model::CheckpointSource::Directory(fixture("janus-a"));
        let model = JanusModel::load_as(&source, precision, &Device::Cpu).expect("loads");
        for (name, group, var) in model.parameters().iter() {
            let full = matches!(
                group,
                sc_model::Group::VisionModel | sc_model::Group::VqModel
            );
            assert_eq!(var.dtype() == DType::F32, full, "{name}");
        }
        let half = log_probs(&model);
        let difference = largest(&(&half - &exact).expect("fits"));
        assert!(difference > 0.0 && difference < 0.1, "{difference}");
        let frozen = model
            .frozen_token_log_probs(&[("a b", &(0..36).map(|i| i * 7 % 96).collect::<Vec<_>>())])
            .expect("log-probabilities");
        assert!(largest(&(&half - &frozen).expect("fits")) < 1e-5);
    }
}
