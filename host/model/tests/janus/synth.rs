//! Made-up checkpoints: they load and work as real ones do, in both layouts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Tensor};
use sc_core::plan::Sampling;
use sc_core::rng::stream;
use sc_model::synth::{ModelSize, Synthesis};
use sc_model::{
    CheckpointSource, Config, DrawRequest, Error, JanusModel, Naming, Parameters, UnifiedModel,
};

use crate::common::{load, pixels};

const LAYOUTS: [Naming; 2] = [Naming::HuggingFace, Naming::Original];

fn tiny(dtype: DType, seed: u64, layout: Naming) -> Synthesis {
    Synthesis {
        size: ModelSize::Tiny,
        dtype,
        seed,
        layout,
    }
}

/// The checkpoint in a new folder.
fn written(synthesis: &Synthesis) -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    let told = std::cell::Cell::new(0);
    let progress = |bytes| told.set(told.get() + bytes);
    let report = synthesis.write(place.path(), progress).expect("is written");
    assert_eq!(Some(told.get()), synthesis.weight_bytes().ok());
    let on_disk = files(place.path());
    assert_eq!(report.files, on_disk.keys().cloned().collect::<Vec<_>>());
    let bytes: usize = on_disk.values().map(Vec::len).sum();
    assert_eq!(report.bytes, bytes as u64);
    place
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("is read"))
        })
        .collect()
}

fn draw(model: &JanusModel) -> Vec<Vec<u32>> {
    let requests = ["two green rings", "a dog"].map(|prompt| DrawRequest {
        prompt: prompt.to_owned(),
        rng: stream(1, "draw", &[]),
    });
    let sampling = Sampling {
        guidance: 5.0,
        temperature: 1.0,
    };
    let drawings = model.draw(&requests, &sampling).expect("draws");
    drawings.into_iter().map(|drawing| drawing.tokens).collect()
}

#[test]
fn both_layouts_load_draw_and_judge_the_same_in_every_dtype() {
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        let outcomes = LAYOUTS.map(|layout| {
            let folder = written(&tiny(dtype, 7, layout));
            let model = load(folder.path());
            assert_eq!(model.config().naming, layout);
            assert_eq!(model.parameters().stored_dtype(), Some(dtype));
            let drawn = draw(&model);
            let decoded = model.decode(&drawn).expect("decodes");
            let prompts = ["two green rings", "a dog"].map(str::to_owned);
            let answers = model.judge(&decoded, &prompts).expect("judges");
            let questions = ["What is it?".to_owned()];
            let asked = model.ask(&pixels(&model, 1), &questions).expect("answers");
            let decoded = decoded.flatten_all().and_then(|d| d.to_vec1::<f32>());
            let values = weights(model.parameters());
            let answers = format!("{answers:?} {asked:?}");
            (drawn, decoded.expect("numbers"), answers, values)
        });
        assert!(outcomes[0].1.iter().all(|value| value.is_finite()));
        assert!(outcomes[0] == outcomes[1], "{dtype:?}");
    }
}

fn weights(parameters: &Parameters) -> Vec<(String, Vec<f32>)> {
    let value = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1();
    parameters
        .iter()
        .map(|(name, _, var)| (name.to_owned(), value(var).expect("numbers")))
        .collect()
}

#[test]
fn a_seed_makes_the_same_bytes_and_another_other_weights() {
    for layout in LAYOUTS {
        let of = |seed| files(written(&tiny(DType::BF16, seed, layout)).path());
        let first = of(1);
        assert!(first == of(1), "{layout:?}");
        for (name, bytes) in of(2) {
            assert_eq!(
                first[&name] == bytes,
                name != "model.safetensors",
                "{layout:?} {name}"
            );
        }
        // As a pool of another size does it.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        let other = pool.expect("threads").install(|| of(1));
        assert!(first == other, "{layout:?}");
    }
}

#[test]
fn the_authors_layout_holds_what_theirs_holds() {
    let folder = written(&tiny(DType::F32, 1, Naming::Original));
    let bytes = fs::read(folder.path().join("model.safetensors")).expect("is read");
    let ours = safetensors::SafeTensors::deserialize(&bytes).expect("is whole");
    let fixture = crate::common::fixture("janus-a-original").join("pytorch_model.bin");
    let pickled = candle_core::pickle::read_all(fixture).expect("is read");
    // What layers there are depends on the sizes; what a layer holds does not.
    let kind = |name: &str| -> String {
        let digits = |c: char| if c.is_ascii_digit() { '#' } else { c };
        name.chars().map(digits).collect()
    };
    let kinds: std::collections::BTreeSet<String> = ours.names().into_iter().map(kind).collect();
    for (name, value) in &pickled {
        assert!(kinds.contains(&kind(name)), "{name}");
        if let Ok(view) = ours.tensor(name) {
            assert_eq!(view.shape().len(), value.dims().len(), "{name}");
        }
    }
    for (name, shape) in [
        ("vision_model.vision_tower.pos_embed", vec![1, 64, 48]),
        ("vision_model.vision_tower.attn_pool.latent", vec![1, 1, 48]),
        (
            "vision_model.vision_tower.attn_pool.kv.weight",
            vec![96, 48],
        ),
        (
            "vision_model.vision_tower.blocks.0.attn.qkv.weight",
            vec![144, 48],
        ),
        ("gen_vision_model.quantize.codebook_used", vec![65_536]),
    ] {
        assert_eq!(ours.tensor(name).expect(name).shape(), shape, "{name}");
    }
}

/// Weights of the published models, counted by hand from their sizes.
#[test]
fn published_sizes_have_their_shapes_and_counts() {
    for (size, hidden, intermediate, layers, gigabytes) in [
        (ModelSize::JanusPro1B, 2048, 5632, 24, 4.2),
        (ModelSize::JanusPro7B, 4096, 11_008, 30, 14.8),
    ] {
        let hf = Synthesis {
            size,
            dtype: DType::BF16,
            seed: 0,
            layout: Naming::HuggingFace,
        };
        let shapes = JanusModel::tensor_shapes(&hf.config()).expect("has shapes");
        for (name, shape) in [
            ("lm_head.weight", vec![102_400, hidden]),
            (
                "model.language_model.embed_tokens.weight",
                vec![102_400, hidden],
            ),
            (
                "model.language_model.layers.0.mlp.up_proj.weight",
                vec![intermediate, hidden],
            ),
            (
                "model.language_model.layers.0.self_attn.v_proj.weight",
                vec![hidden, hidden],
            ),
            (
                "model.vision_model.embeddings.patch_embedding.weight",
                vec![1024, 3, 16, 16],
            ),
            (
                "model.vision_model.embeddings.position_embedding.weight",
                vec![576, 1024],
            ),
            (
                "model.vision_model.encoder.layers.23.mlp.fc1.weight",
                vec![4096, 1024],
            ),
            ("model.aligner.fc1.weight", vec![hidden, 1024]),
            ("model.aligner.hidden_layers.0.weight", vec![hidden, hidden]),
            ("model.generation_embeddings.weight", vec![16_384, 8]),
            ("model.generation_aligner.fc1.weight", vec![hidden, 8]),
            (
                "model.generation_head.vision_head.weight",
                vec![16_384, hidden],
            ),
            ("model.vqmodel.quantize.embedding.weight", vec![16_384, 8]),
            ("model.vqmodel.post_quant_conv.weight", vec![256, 8, 1, 1]),
            ("model.vqmodel.decoder.conv_in.weight", vec![512, 256, 3, 3]),
            ("model.vqmodel.decoder.conv_out.weight", vec![3, 128, 3, 3]),
            (
                "model.vqmodel.decoder.up.0.attn.2.q.weight",
                vec![512, 512, 1, 1],
            ),
            ("model.vqmodel.encoder.conv_in.weight", vec![128, 3, 3, 3]),
        ] {
            assert_eq!(shapes.get(name), Some(&shape), "{size:?} {name}");
        }
        let last = format!(
            "model.language_model.layers.{}.input_layernorm.weight",
            layers - 1
        );
        assert!(shapes.contains_key(&last));
        assert!(
            !shapes.contains_key(&last.replace(&(layers - 1).to_string(), &layers.to_string()))
        );

        let block = 4 * hidden * hidden + 3 * hidden * intermediate + 2 * hidden;
        let language = layers * block + hidden + 2 * 102_400 * hidden;
        let eye_block = 12 * 1024 * 1024 + 13 * 1024;
        let eye = 24 * eye_block + (3 * 16 * 16 + 1) * 1024 + 576 * 1024 + 2 * 1024;
        let square = hidden * hidden + hidden;
        let aligners = (1024 * hidden + hidden + square) + (8 * hidden + hidden + square);
        let head = square + 16_384 * hidden + 16_384;
        let beside_vq = language + eye + aligners + head + 16_384 * 8;
        let vq: usize = (shapes.iter())
            .filter(|(name, _)| name.starts_with("model.vqmodel."))
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        // VQ-16 of LlamaGen, which it is: 72 million.
        assert!((71_000_000..73_000_000).contains(&vq), "{vq}");
        let parameters = hf.parameters().expect("is counted");
        assert_eq!(parameters, beside_vq + vq, "{size:?}");
        let bytes = hf.weight_bytes().expect("is counted");
        assert!((bytes as f64 / 1e9 - gigabytes).abs() < 0.05, "{bytes}");
        let header = bytes - 2 * parameters as u64;
        assert!((100_000..400_000).contains(&header), "{header}");
    }
}

#[test]
fn a_folder_that_is_taken_stays_as_it_is() {
    let place = tempfile::tempdir().expect("a temporary folder");
    fs::write(place.path().join("mine"), b"mine").expect("is written");
    let synthesis = tiny(DType::F32, 1, Naming::HuggingFace);
    let error = synthesis.write(place.path(), |_| {}).expect_err("fails");
    assert!(matches!(error, Error::OutputFolder { .. }), "{error}");
    assert_eq!(files(place.path()).len(), 1);
    let absent = place.path().join("absent");
    let wrong = tiny(DType::I64, 1, Naming::HuggingFace);
    let error = wrong.write(&absent, |_| {}).expect_err("fails");
    assert!(error.to_string().contains("i64"), "{error}");
    assert_eq!(files(place.path()).len(), 1);
}

#[test]
fn configuration_is_read_back_from_tensors_in_the_authors_layout() {
    let synthesis = tiny(DType::F32, 1, Naming::Original);
    let folder = written(&synthesis);
    let source = CheckpointSource::Directory(folder.path().to_owned());
    assert_eq!(Config::read(&source).expect("is read"), synthesis.config());
}
