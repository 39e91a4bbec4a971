//! Gradients reach every weight, and the CPU's kernels compute what the plain operations do.

use crate::common::{
    UNDERSTANDING, assert_close, assert_reached, fixture, grouped_query_checkpoint, largest, load,
    pixels,
};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use sc_core::plan::Sampling;
use sc_core::rng::stream;
use sc_model::{CodeSearch, DrawRequest, Group, JanusModel, UnifiedModel};

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

/// A loss of the image tokenizer's decoder and one of its encoder.
fn tokenizer_losses(model: &JanusModel) -> [(Tensor, Tensor); 2] {
    let pixels = pixels(model, 3);
    let rebuilt = model.reconstruct(&images(model, 3)).expect("tokens");
    let cosines = model.code_cosines(&pixels).expect("pixels");
    assert_eq!(rebuilt.dims(), pixels.dims());
    assert_eq!(
        cosines.dims(),
        [3, model.image_tokens(), model.image_codes()]
    );
    let error = (&rebuilt - &pixels).and_then(|t| t.sqr()?.mean_all());
    let spread = cosines.exp().and_then(|t| t.sum(2)?.log()?.mean_all());
    [
        (rebuilt, error.expect("a loss")),
        (cosines, spread.expect("a loss")),
    ]
}

fn largest_gradient(model: &JanusModel, gradients: &GradStore) -> f32 {
    let vars = model.parameters().of_groups(&[Group::VqModel]);
    vars.filter_map(|(_, var)| gradients.get(var))
        .map(largest)
        .fold(0.0, f32::max)
}

#[test]
fn the_tokenizers_kernels_equal_plain_operations_in_value_and_gradient() {
    let place = tempfile::tempdir().expect("a temporary folder");
    grouped_query_checkpoint(place.path());
    for folder in [
        fixture("janus-tiny-world"),
        fixture("janus-a"),
        place.path().to_path_buf(),
    ] {
        let fast = load(&folder);
        let plain = load(&folder).without_kernels();
        let mut reached = 0;
        let sides = tokenizer_losses(&fast)
            .into_iter()
            .zip(tokenizer_losses(&plain));
        for ((a, a_loss), (b, b_loss)) in sides {
            assert_close("output", &a, &b, 1e-5);
            let a = a_loss.backward().expect("a backward pass");
            let b = b_loss.backward().expect("a backward pass");
            let top = largest_gradient(&plain, &b);
            for (name, var) in fast.parameters().of_groups(&[Group::VqModel]) {
                let other = plain.parameters().get(name).expect("the same weights");
                let (Some(a), Some(b)) = (a.get(var), b.get(other)) else {
                    assert!(a.get(var).is_none() && b.get(other).is_none(), "{name}");
                    continue;
                };
                reached += 1;
                assert_eq!(a.dims(), var.dims(), "{name}");
                // A bias on all keys shifts all scores of a query alike, and one before a norm of
                // single channels is taken away by it: the true gradients are 0.
                if name.ends_with(".bias") && largest(b) < 1e-6 * top {
                    assert!(largest(a) < 1e-6 * top, "{name}: {}", largest(a));
                    continue;
                }
                assert!(largest(a) > 0.0, "{name}");
                assert_close(name, a, b, 1e-4);
            }
        }
        // The codebook is in both.
        let weights = fast.parameters().of_groups(&[Group::VqModel]).count();
        assert_eq!(reached, weights + 1);
    }
}

#[test]
fn the_tokenizer_with_gradients_is_the_one_without() {
    let model = load(&fixture("janus-tiny-world"));
    let images = images(&model, 4);
    let rebuilt = model.reconstruct(&images).expect("tokens");
    let clipped = rebuilt.clamp(-1f32, 1f32).expect("clamps");
    let decoded = model.decode(&images).expect("decodes");
    assert_close("pixels", &clipped, &decoded, 1e-5);

    let cosines = model.code_cosines(&decoded).expect("pixels");
    let nearest = cosines.argmax(2).and_then(|t| t.to_vec2::<u32>());
    let encoded = model.encode(&decoded, CodeSearch::Normalised);
    assert_eq!(nearest.expect("codes"), encoded.expect("encodes"));

    assert!(model.reconstruct(&[vec![0; 3]]).is_err());
    assert_eq!(
        model.reconstruct(&[]).expect("nothing").dim(0).ok(),
        Some(0)
    );
    assert!(
        model
            .code_cosines(&decoded.narrow(2, 0, 5).expect("cuts"))
            .is_err()
    );
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
        // In steps of a byte.
        assert_close(
            "decode",
            &a,
            &plain.decode(&images).expect("decodes"),
            0.008,
        );
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
