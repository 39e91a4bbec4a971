//! The authors' layout beside transformers': the same weights under other names, whole and in
//! shards, pickled and not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use sc_model::verify::verify;
use sc_model::{CheckpointSource, Config, Error, JanusModel, Naming};

use crate::common::{fixture, load};

fn check(folder: &Path) {
    let model = load(folder);
    assert_eq!(model.config().naming, Naming::Original);
    let report = verify(
        &model,
        &fixture("janus-a").join("expected.safetensors"),
        None,
    );
    let report = report.expect("is read");
    let failed: Vec<_> = report.tensors.iter().filter(|t| !t.passed).collect();
    assert!(report.passed, "{failed:?}");
}

/// The authors' checkpoint with its weights as `store` puts them.
fn stored(store: impl Fn(&Path, &BTreeMap<String, Tensor>)) -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(
            fixture("janus-a-original").join(file),
            place.path().join(file),
        )
        .expect("is copied");
    }
    let pickled =
        candle_core::pickle::read_all(fixture("janus-a-original").join("pytorch_model.bin"));
    let tensors: BTreeMap<String, Tensor> = pickled.expect("is read").into_iter().collect();
    store(place.path(), &tensors);
    place
}

fn try_load(folder: &Path) -> Result<JanusModel, Error> {
    let source = CheckpointSource::Directory(folder.to_path_buf());
    JanusModel::load(&source, &Device::Cpu)
}

#[test]
fn the_authors_layout_computes_the_same() {
    check(&fixture("janus-a-original"));
}

#[test]
fn the_same_configuration_is_read_from_both_layouts() {
    let read = |name: &str| {
        let source = CheckpointSource::Directory(fixture(name));
        Config::read(&source).expect("is read")
    };
    let original = read("janus-a-original");
    let same = Config {
        naming: Naming::HuggingFace,
        image_token_id: read("janus-a").image_token_id,
        ..original
    };
    assert_eq!(same, read("janus-a"));
}

#[test]
fn the_authors_names_load_from_safetensors_in_shards() {
    let place = stored(|folder, tensors| {
        let mut shards = [BTreeMap::new(), BTreeMap::new()];
        let mut map = BTreeMap::new();
        for (number, (name, value)) in tensors.iter().enumerate() {
            let shard = number % 2;
            map.insert(name, format!("model-{shard}.safetensors"));
            shards[shard].insert(name, value.contiguous().expect("is copied"));
        }
        for (number, shard) in shards.iter().enumerate() {
            let path = folder.join(format!("model-{number}.safetensors"));
            safetensors::serialize_to_file(shard, None, &path).expect("is written");
        }
        let index = serde_json::json!({ "weight_map": map }).to_string();
        fs::write(folder.join("model.safetensors.index.json"), index).expect("is written");
    });
    check(place.path());
}

#[test]
fn what_is_wrong_is_said_in_the_authors_names() {
    let save = |folder: &Path, tensors: &BTreeMap<String, Tensor>| {
        let path = folder.join("model.safetensors");
        safetensors::serialize_to_file(tensors, None, &path).expect("is written");
    };
    let place = stored(|folder, tensors| {
        let mut tensors = tensors.clone();
        let gone = "vision_model.vision_tower.blocks.1.attn.qkv.weight";
        tensors.remove(gone);
        let cut = tensors["gen_embed.weight"].narrow(1, 0, 7).expect("fits");
        tensors.insert("gen_embed.weight".into(), cut);
        let blank = tensors["aligner.layers.0.bias"].clone();
        tensors.insert("nobody.knows".into(), blank);
        save(folder, &tensors);
    });
    let message = try_load(place.path()).err().expect("fails").to_string();
    for part in [
        "`vision_model.vision_tower.blocks.1.attn.qkv.weight` [144, 48] is missing",
        "`gen_embed.weight` has the shape [96, 7], expected [96, 8]",
        "`nobody.knows` [64] is unknown",
    ] {
        assert!(message.contains(part), "{part:?} in {message}");
    }
    assert_eq!(message.lines().count(), 4);
}

#[test]
fn a_configuration_of_the_authors_that_cannot_be_followed_is_named() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(Change, &[&str]); 8] = [
        (
            |json| json["model_type"] = "llava".into(),
            &["model_type", "llava", "multi_modality"],
        ),
        (
            |json| drop(json["vision_config"]["params"]["heads"].take()),
            &["vision_config.params.heads"],
        ),
        (
            |json| {
                let params = json["vision_config"]["params"].as_object_mut();
                params.expect("an object").remove("heads");
            },
            &[
                "vision_config.params.heads",
                "missing",
                "siglip_large_patch16_384",
            ],
        ),
        (
            |json| json["language_config"]["num_attention_heads"] = 7.into(),
            &["language_config.num_key_value_heads"],
        ),
        (
            |json| json["gen_vision_config"]["params"]["decoder_ch_mult"] = vec![1, 2, 4].into(),
            &["gen_vision_config.params.decoder_ch_mult", "[1, 2, 4]"],
        ),
        (
            |json| json["gen_vision_config"]["cls"] = "VQ-8".into(),
            &["gen_vision_config.cls", "VQ-8", "VQ-16"],
        ),
        (
            |json| json["aligner_config"]["params"]["projector_type"] = "linear".into(),
            &["aligner_config.params.projector_type", "mlp_gelu"],
        ),
        (
            |json| {
                let whole = json.as_object_mut().expect("an object");
                whole.remove("language_config");
            },
            &["language_config"],
        ),
    ];
    for (change, named) in cases {
        let place = stored(|folder, tensors| {
            let path = folder.join("model.safetensors");
            safetensors::serialize_to_file(tensors, None, &path).expect("is written");
        });
        let path = place.path().join("config.json");
        let mut json = serde_json::from_slice(&fs::read(&path).expect("is read")).expect("parses");
        change(&mut json);
        fs::write(&path, json.to_string()).expect("is written");
        let message = try_load(place.path()).err().expect("fails").to_string();
        for part in named {
            assert!(message.contains(part), "{part:?} in {message}");
        }
    }
}
