//! Loading, saving and describing checkpoints, and what is said of broken ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use sc_model::info::info;
use sc_model::{CheckpointSource, Error, Group, JanusModel, UnifiedModel};

use crate::common::{copy_checkpoint, fixture, grouped_query_checkpoint, load};

fn try_load(folder: &Path) -> Result<JanusModel, Error> {
    let source = CheckpointSource::Directory(folder.to_path_buf());
    JanusModel::load(&source, &Device::Cpu)
}

fn weights(folder: &Path) -> BTreeMap<String, Tensor> {
    let path = folder.join("model.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu)
        .expect("is read")
        .into_iter()
        .collect()
}

fn save_weights(tensors: &BTreeMap<String, Tensor>, path: &Path) {
    safetensors::serialize_to_file(tensors, None, path).expect("is written");
}

fn bytes(tensor: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = tensor.flatten_all().and_then(|t| t.to_vec1()).expect("f32");
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn saving_gives_back_every_bit() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let saved = place.path().join("model");
    let model = load(&fixture("janus-tiny-world"));
    // Twice: the second replaces the first.
    model.parameters().save(&saved).expect("is saved");
    model.parameters().save(&saved).expect("is saved");
    let (before, after) = (weights(&fixture("janus-tiny-world")), weights(&saved));
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    for (name, value) in &before {
        assert_eq!(bytes(value), bytes(&after[name]), "{name}");
    }
    for file in [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "templates.json",
    ] {
        let read = |folder: &Path| fs::read(folder.join(file)).expect("is read");
        assert_eq!(read(&saved), read(&fixture("janus-tiny-world")), "{file}");
    }
    // transformers asks for the framework's name.
    let header = fs::read(saved.join("model.safetensors")).expect("is read");
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&header).expect("a header");
    let format = metadata
        .metadata()
        .as_ref()
        .and_then(|m| m.get("format").cloned());
    assert_eq!(format.as_deref(), Some("pt"));
    assert_eq!(fs::read_dir(place.path()).expect("is read").count(), 1);
    load(&saved);
}

#[test]
fn half_precision_is_saved_as_it_came() {
    let place = tempfile::tempdir().expect("a temporary folder");
    copy_checkpoint("janus-a", place.path());
    let half: BTreeMap<String, Tensor> = weights(place.path())
        .into_iter()
        .map(|(name, value)| {
            (
                name,
                value.to_dtype(candle_core::DType::BF16).expect("converts"),
            )
        })
        .collect();
    save_weights(&half, &place.path().join("model.safetensors"));
    let model = load(place.path());
    assert_eq!(info(&model).dtype, "bf16");
    let saved = place.path().join("saved");
    model.parameters().save(&saved).expect("is saved");
    for (name, value) in weights(&saved) {
        assert_eq!(value.dtype(), candle_core::DType::BF16, "{name}");
        let f32s = |t: &Tensor| bytes(&t.to_dtype(candle_core::DType::F32).expect("converts"));
        assert_eq!(f32s(&value), f32s(&half[&name]), "{name}");
    }
}

#[test]
fn shards_load_as_one_file_does() {
    let place = tempfile::tempdir().expect("a temporary folder");
    copy_checkpoint("janus-a", place.path());
    let all = weights(place.path());
    fs::remove_file(place.path().join("model.safetensors")).expect("is removed");
    let mut map = BTreeMap::new();
    let mut shards = [BTreeMap::new(), BTreeMap::new()];
    for (number, (name, value)) in all.iter().enumerate() {
        map.insert(name.clone(), format!("model-{}.safetensors", number % 2));
        shards[number % 2].insert(name.clone(), value.clone());
    }
    for (number, shard) in shards.iter().enumerate() {
        save_weights(
            shard,
            &place.path().join(format!("model-{number}.safetensors")),
        );
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
    fs::write(place.path().join("model.safetensors.index.json"), index).expect("is written");
    let model = load(place.path());
    for (name, _, var) in model.parameters().iter() {
        assert_eq!(bytes(var.as_tensor()), bytes(&all[name]), "{name}");
    }
    fs::remove_file(place.path().join("model-1.safetensors")).expect("is removed");
    let message = try_load(place.path()).err().expect("fails").to_string();
    assert!(message.contains("model-1.safetensors"), "{message}");
}

#[test]
fn roll_back_restores_the_snapshot() {
    let model = load(&fixture("janus-a"));
    let groups = [Group::LanguageModel, Group::GenerationHead];
    let snapshot = model.parameters().snapshot(&groups).expect("is copied");
    let (name, var) = model
        .parameters()
        .of_groups(&groups)
        .next()
        .expect("a weight");
    let before = bytes(var.as_tensor());
    var.set(&var.ones_like().expect("ones")).expect("is set");
    assert_eq!(bytes(&snapshot[name]), before);
    model.parameters().replace(&snapshot).expect("fits");
    assert_eq!(bytes(var.as_tensor()), before);
    let mut wrong = snapshot.clone();
    wrong.insert("nobody".into(), snapshot[name].clone());
    assert!(model.parameters().replace(&wrong).is_err());
}

#[test]
fn broken_checkpoints_are_named() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, &[&str]); 10] = [
        (
            "no configuration",
            |f| remove(f, "config.json"),
            &["`config.json`"],
        ),
        (
            "no tokenizer",
            |f| remove(f, "tokenizer.json"),
            &["`tokenizer.json`"],
        ),
        (
            "no weights",
            |f| remove(f, "model.safetensors"),
            &["`model.safetensors`"],
        ),
        (
            "cut weights",
            |f| cut(f, 100_000),
            &["model.safetensors", "describes 4056044 bytes"],
        ),
        (
            "cut header",
            |f| cut(f, 5),
            &["model.safetensors", "5 bytes"],
        ),
        ("random weights", scramble, &["model.safetensors"]),
        (
            "other tensors",
            other_tensors,
            &[
                "`lm_head.weight` [320, 64] is missing",
                "`model.generation_head.vision_head.bias` has the shape [95], expected [96]",
                "`model.unheard_of` [95] is unknown",
            ],
        ),
        (
            "another family",
            |f| {
                edit(
                    f,
                    "config.json",
                    "\"model_type\": \"janus\"",
                    "\"model_type\": \"llava\"",
                )
            },
            &["config.json", "`model_type`", "`llava`", "`janus`"],
        ),
        (
            "no such heads",
            |f| {
                edit(
                    f,
                    "config.json",
                    "\"num_key_value_heads\": 4",
                    "\"num_key_value_heads\": 3",
                )
            },
            &["`text_config.num_key_value_heads`", "is 3", "divisor"],
        ),
        (
            "a special token missing",
            |f| edit(f, "tokenizer.json", "<begin_of_image>", "<start_of_image>"),
            &["tokenizer.json", "`<begin_of_image>`"],
        ),
    ];
    for (what, damage, parts) in cases {
        let place = tempfile::tempdir().expect("a temporary folder");
        copy_checkpoint("janus-a", place.path());
        damage(place.path());
        let error = try_load(place.path())
            .err()
            .unwrap_or_else(|| panic!("{what} loads"));
        let message = error.to_string();
        for part in parts {
            assert!(message.contains(part), "{what}: {part} is not in {message}");
        }
    }
    let nowhere = try_load(Path::new("/no/such/folder")).err().expect("fails");
    assert!(nowhere.to_string().contains("/no/such/folder"), "{nowhere}");
}

fn remove(folder: &Path, file: &str) {
    fs::remove_file(folder.join(file)).expect("is removed");
}

fn cut(folder: &Path, length: usize) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).expect("is read");
    fs::write(path, &bytes[..length]).expect("is written");
}

fn scramble(folder: &Path) {
    let noise: Vec<u8> = (0..5000_u32).map(|i| ((i * 7919) >> 3) as u8).collect();
    fs::write(folder.join("model.safetensors"), noise).expect("is written");
}

fn other_tensors(folder: &Path) {
    let mut tensors = weights(folder);
    tensors.remove("lm_head.weight");
    let name = "model.generation_head.vision_head.bias";
    let short = tensors[name]
        .narrow(0, 0, 95)
        .and_then(|t| t.copy())
        .expect("fits");
    tensors.insert(name.into(), short.clone());
    tensors.insert("model.unheard_of".into(), short);
    save_weights(&tensors, &folder.join("model.safetensors"));
}

fn edit(folder: &Path, file: &str, from: &str, to: &str) {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).expect("is read");
    assert!(text.contains(from), "{file} has no {from}");
    fs::write(path, text.replace(from, to)).expect("is written");
}

#[test]
fn texts_with_special_tokens_and_wrong_images_are_refused() {
    let model = load(&fixture("janus-a"));
    let tokens = vec![0_u32; model.image_tokens()];
    let hidden = model.token_log_probs(&[("w5 <image_placeholder>", &tokens)], &[false]);
    assert!(matches!(hidden, Err(Error::SpecialTokenInText { .. })));
    let short = model.token_log_probs(&[("w5", &tokens[1..])], &[false]);
    assert!(short.is_err());
    let beyond = model.decode(&[vec![model.image_codes() as u32; model.image_tokens()]]);
    assert!(beyond.is_err());
}

#[test]
fn a_model_is_described() {
    let tiny = info(&load(&fixture("janus-tiny-world")));
    assert_eq!(
        (tiny.family, tiny.dtype, tiny.parameters),
        ("janus", "f32", 905_355)
    );
    assert_eq!(
        (tiny.image_size, tiny.verdict, tiny.guidance),
        (32, "yes-no", Some(1.0))
    );
    let sum: usize = tiny.groups.iter().map(|group| group.parameters).sum();
    assert_eq!(sum, tiny.parameters);

    let place = tempfile::tempdir().expect("a temporary folder");
    grouped_query_checkpoint(place.path());
    let other = info(&load(place.path()));
    assert_eq!(
        (other.language_model.heads, other.language_model.kv_heads),
        (6, 2)
    );
    assert_eq!(
        (other.image_tokenizer.levels, other.image_tokenizer.tokens),
        (3, 9)
    );
    assert_eq!(other.verdict, "text");
}

#[test]
fn files_inside_the_program_load() {
    static FILES: [(&str, &[u8]); 3] = [
        (
            "config.json",
            include_bytes!("../../../../tests/fixtures/janus-a/config.json"),
        ),
        (
            "tokenizer.json",
            include_bytes!("../../../../tests/fixtures/janus-a/tokenizer.json"),
        ),
        (
            "model.safetensors",
            include_bytes!("../../../../tests/fixtures/janus-a/model.safetensors"),
        ),
    ];
    let source = CheckpointSource::Embedded {
        name: "janus-a",
        files: &FILES,
    };
    let embedded = JanusModel::load(&source, &Device::Cpu).expect("loads");
    let on_disk = load(&fixture("janus-a"));
    for (name, _, var) in on_disk.parameters().iter() {
        let same = embedded.parameters().get(name).expect("the same names");
        assert_eq!(bytes(same.as_tensor()), bytes(var.as_tensor()), "{name}");
    }
    let place = tempfile::tempdir().expect("a temporary folder");
    let saved = place.path().join("model");
    embedded.parameters().save(&saved).expect("is saved");
    load(&saved);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn damaged_files_are_errors_and_never_a_panic(
        file in proptest::sample::select(vec!["config.json", "tokenizer.json", "model.safetensors"]),
        // The headers and the configuration lie in the first bytes.
        places in proptest::collection::vec((0_usize..1900, proptest::prelude::any::<u8>()), 1..6),
    ) {
        let place = tempfile::tempdir().expect("a temporary folder");
        copy_checkpoint("janus-a", place.path());
        let path = place.path().join(file);
        let mut bytes = fs::read(&path).expect("is read");
        for (at, byte) in places {
            bytes[at] = byte;
        }
        fs::write(path, bytes).expect("is written");
        // It may still load: a byte of a tensor's name decides nothing but the name.
        if let Err(error) = try_load(place.path()) {
            proptest::prop_assert!(!error.to_string().is_empty());
        }
    }
}
