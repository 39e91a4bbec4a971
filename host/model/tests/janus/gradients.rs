//! Gradients reach every weight, and the CPU's kernels compute what the plain operations do.

use crate::common::{
    UNDERSTANDING, assert_close, assert_reached, fixture, grouped_query_checkpoint, largest, load,
    pixels,
};
use candle_core::{Tensor, Var};
use sc_core::plan::Sampling;
use sc_core::rng::stream;
use sc_model::{DrawRequest, Group, JanusModel, UnifiedModel};

const GENERATION: [Group; 4] = [
    Group::LanguageModel,
    Group::GenerationEmbeddings,
    Group::GenerationAligner,
    Group::GenerationHead,
];
fn images(model: &JanusModel, count: usize) -> Vec<Vec<u32>> {
    let codes = model.image_codes() as u32;
    (0..count as u32)
        .map(|image| {
            (0..model.image_tokens() as u32)
                .map(|t| (image * 5 + t * 7) % codes)
                .collect()
        })
        .collect()
}

fn generation_loss(model: &JanusModel) -> Tensor {
    let images = images(model, 3);
    let batch = [
        ("w5 w6 w7", images[0].as_slice()),
        ("w8", &images[1]),
        ("w9 w10 w11 w12 w13", &images[2]),
    ];
    model
        .token_log_probs(&batch, &[false, false, true])
        .and_then(|t| Ok(t.sqr()?.mean_all()?))
        .expect("a loss")
}

#[test]
fn gradients_reach_the_generation_path() {
    for model in [
        load(&fixture("janus-a")),
        load(&fixture("janus-a")).without_kernels(),
    ] {
        assert_reached(&model, &generation_loss(&model), &GENERATION);
    }
}

#[test]
fn gradients_reach_the_understanding_path() {
    let model = load(&fixture("janus-a"));
    let questions = ["w5 w6".to_string(), "w7 w8 w9".to_string()];
    let loss = model
        .question_logits(&pixels(&model, 2), &questions)
        .and_then(|t| Ok(t.sqr()?.mean_all()?))
        .expect("a loss");
    assert_reached(&model, &loss, &UNDERSTANDING);
}

#[test]
fn gradients_reach_the_image_tokenizer() {
    let model = load(&fixture("janus-a"));
    let pixels = pixels(&model, 2);
    let reconstruction = model.autoencode(&pixels).expect("pixels");
    let loss = (reconstruction - &pixels).and_then(|t| t.sqr()?.mean_all());
    let loss = loss.expect("a loss");
    let gradients = loss.backward().expect("a backward pass");
    for (name, var) in model.parameters().of_groups(&[Group::VqModel]) {
        if name == "model.vqmodel.quantize.embedding.weight" {
            // Latents pass by the codebook here; decoding given tokens reads it.
            continue;
        }
        let gradient = gradients
            .get(var)
            .unwrap_or_else(|| panic!("`{name}` has no gradient"));
        let size = largest(gradient);
        let shifts_scores = name.ends_with(".k.bias");
        assert!(
            size.is_finite() && (size > 0.0 || shifts_scores),
            "`{name}`: {size}"
        );
    }
}

#[test]
fn kernels_equal_plain_operations_in_value_and_gradient() {
    let place = tempfile::tempdir().expect("a temporary folder");
    grouped_query_checkpoint(place.path());
    for folder in [fixture("janus-a"), place.path().to_path_buf()] {
        let fast = load(&folder);
        let plain = load(&folder).without_kernels();
        let (fast_loss, plain_loss) = (generation_loss(&fast), generation_loss(&plain));
        assert_close("loss", &fast_loss, &plain_loss, 1e-5);
        let fast_gradients = fast_loss.backward().expect("a backward pass");
        let plain_gradients = plain_loss.backward().expect("a backward pass");
        let vars: Vec<(&str, &Var)> = fast.parameters().of_groups(&GENERATION).collect();
        for (name, var) in vars {
            let other = plain.parameters().get(name).expect("the same weights");
            let a = fast_gradients.get(var).expect("a gradient");
            let b = plain_gradients.get(other).expect("a gradient");
            assert_close(name, a, b, 2e-5);
        }

        let images = images(&fast, 3);
        let a = fast.decode(&images).expect("decodes");
        assert_close("decode", &a, &plain.decode(&images).expect("decodes"), 1e-5);
        let questions: Vec<String> = (0..3).map(|i| format!("w{}", 5 + i)).collect();
        let pixels = pixels(&fast, 3);
        let a = fast.question_logits(&pixels, &questions).expect("logits");
        let b = plain.question_logits(&pixels, &questions).expect("logits");
        assert_close("logits", &a, &b, 1e-5);

        for guidance in [1.0, 3.0] {
            let requests: Vec<DrawRequest> = (0..5)
                .map(|i| DrawRequest {
                    prompt: "w5 w6 w7 w8"
                        .split(' ')
                        .take(1 + i % 4)
                        .collect::<Vec<_>>()
                        .join(" "),
                    rng: stream(2, "test", &[i as u64]),
                })
                .collect();
            let sampling = Sampling {
                temperature: 1.0,
                guidance,
            };
            let a = fast.draw(&requests, &sampling).expect("draws");
            let b = plain.draw(&requests, &sampling).expect("draws");
            for ((a, b), request) in a.iter().zip(&b).zip(&requests) {
                assert_eq!(a.tokens, b.tokens);
                assert!((a.log_prob - b.log_prob).abs() < 1e-5);
                // Step by step with known keys and values, or all at once: the same.
                let image = [(request.prompt.as_str(), a.tokens.as_slice())];
                for model in [&fast, &plain] {
                    let all = model.token_log_probs(&image, &[false]).expect("scores");
                    let mean = all
                        .mean_all()
                        .and_then(|t| t.to_scalar::<f32>())
                        .expect("a number");
                    assert!((f64::from(mean) - a.log_prob).abs() < 1e-5);
                }
            }
        }
    }
}
