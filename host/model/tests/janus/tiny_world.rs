//! The trained tiny model against what transformers drew and judged with it.

use crate::common::{fixture, load};
use candle_core::{Device, Tensor};
use sc_core::plan::Sampling;
use sc_core::rng::stream;
use sc_model::{Answer, DrawRequest, JanusModel, UnifiedModel};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    drawings: Vec<Drawn>,
    images: Vec<Image>,
    renders: Vec<Render>,
}

#[derive(Deserialize)]
struct Drawn {
    prompt: String,
    guidance: f64,
    tokens: Vec<u32>,
    p_yes: f64,
}

#[derive(Deserialize)]
struct Image {
    prompt: String,
    tokens: Vec<u32>,
    p_yes: f64,
}

#[derive(Deserialize)]
struct Render {
    index: u32,
    statement: String,
    p_yes: f64,
}

fn expected() -> Expected {
    let path = fixture("janus-tiny-world").join("expected.json");
    let text = std::fs::read_to_string(path).expect("the fixture is there");
    serde_json::from_str(&text).expect("the fixture parses")
}

fn request(prompt: &str, image: u64) -> DrawRequest {
    DrawRequest {
        prompt: prompt.to_string(),
        rng: stream(5, "test", &[image]),
    }
}

fn assert_p_yes(answers: &[Answer], expected: &[f64]) {
    assert_eq!(answers.len(), expected.len());
    for (position, (answer, expected)) in answers.iter().zip(expected).enumerate() {
        let p_yes = answer.p_yes().expect("the tiny model answers by two words");
        let error = (p_yes - expected).abs();
        assert!(error < 1e-4, "{position}: {p_yes} is not {expected}");
    }
}

/// Draws greedily at guidance 1 and 2, judges what was drawn, and compares.
fn check_greedy(model: &JanusModel, expected: &[Drawn], count: usize) {
    for guidance in [1.0, 2.0] {
        let cases: Vec<&Drawn> = expected
            .iter()
            .filter(|drawn| drawn.guidance == guidance)
            .collect();
        assert_eq!(cases.len(), count);
        let requests: Vec<_> = cases.iter().map(|case| request(&case.prompt, 0)).collect();
        let sampling = Sampling {
            temperature: 0.0,
            guidance,
        };
        let drawings = model.draw(&requests, &sampling).expect("draws");
        for (drawing, case) in drawings.iter().zip(&cases) {
            assert_eq!(drawing.tokens, case.tokens, "{} at {guidance}", case.prompt);
        }
        let tokens: Vec<_> = cases.iter().map(|case| case.tokens.clone()).collect();
        let pixels = model.decode(&tokens).expect("decodes");
        let prompts: Vec<_> = cases.iter().map(|case| case.prompt.clone()).collect();
        let answers = model.judge(&pixels, &prompts).expect("judges");
        let p_yes: Vec<f64> = cases.iter().map(|case| case.p_yes).collect();
        assert_p_yes(&answers, &p_yes);
    }
}

#[test]
fn greedy_drawings_and_their_judgement() {
    let model = load(&fixture("janus-tiny-world"));
    check_greedy(&model, &expected().drawings, 24);
}

/// `shipped.json` is what transformers 5.23 drew with `models/tiny`, and how it judged that.
#[test]
fn the_shipped_model_draws_and_judges_as_in_transformers() {
    let expected: Vec<Drawn> =
        serde_json::from_str(include_str!("shipped.json")).expect("the values parse");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny");
    check_greedy(&load(folder.as_ref()), &expected, 15);
}

#[test]
fn given_images_and_renders_are_judged() {
    let model = load(&fixture("janus-tiny-world"));
    let expected = expected();
    let tokens: Vec<_> = expected.images.iter().map(|i| i.tokens.clone()).collect();
    let prompts: Vec<_> = expected.images.iter().map(|i| i.prompt.clone()).collect();
    let p_yes: Vec<f64> = expected.images.iter().map(|i| i.p_yes).collect();
    let pixels = model.decode(&tokens).expect("decodes");
    assert_p_yes(&model.judge(&pixels, &prompts).expect("judges"), &p_yes);

    let renders = image::open(fixture("janus-tiny-world").join("renders.png"))
        .expect("the fixture is there")
        .to_rgb8();
    let size = model.image_size() as u32;
    let mut values = Vec::new();
    for render in &expected.renders {
        for channel in 0..3 {
            for y in 0..size {
                for x in 0..size {
                    let byte = renders.get_pixel(size * render.index + x, y)[channel];
                    values.push(f32::from(byte) / 127.5 - 1.0);
                }
            }
        }
    }
    let side = size as usize;
    let shape = (expected.renders.len(), 3, side, side);
    let pixels = Tensor::from_vec(values, shape, &Device::Cpu).expect("fits");
    let statements: Vec<_> = expected
        .renders
        .iter()
        .map(|r| r.statement.clone())
        .collect();
    let p_yes: Vec<f64> = expected.renders.iter().map(|r| r.p_yes).collect();
    assert_p_yes(&model.judge(&pixels, &statements).expect("judges"), &p_yes);

    // The judge's question, asked freely, is the same question.
    let questions: Vec<_> = statements.iter().map(|s| format!("match {s} ?")).collect();
    assert_p_yes(&model.ask(&pixels, &questions).expect("answers"), &p_yes);
}

const PROMPTS: [&str; 4] = [
    "a circle and a ring",
    "two purple triangles and a blue square",
    "a red circle left of a blue square",
    "four yellow circles",
];

fn draw(model: &JanusModel, images: &[u64], guidance: f64) -> Vec<sc_model::Drawing> {
    let requests: Vec<_> = images
        .iter()
        .map(|image| request(PROMPTS[(*image % 4) as usize], *image))
        .collect();
    let sampling = Sampling {
        temperature: 1.0,
        guidance,
    };
    model.draw(&requests, &sampling).expect("draws")
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    let model = load(&fixture("janus-tiny-world"));
    for guidance in [1.0, 2.0] {
        let images: Vec<u64> = (0..40).collect();
        let together = draw(&model, &images, guidance);
        for image in &images {
            let alone = draw(&model, &[*image], guidance);
            let same = &together[*image as usize];
            assert_eq!(&alone[0], same, "image {image}");
        }
        let reversed: Vec<u64> = images.iter().rev().copied().collect();
        let mut again = draw(&model, &reversed, guidance);
        again.reverse();
        assert_eq!(again, together);
    }
}

#[test]
fn log_probs_do_not_depend_on_padding_and_agree_with_drawing() {
    let model = load(&fixture("janus-tiny-world"));
    let drawings = draw(&model, &[0, 1, 2, 3], 1.0);
    let batch: Vec<(&str, &[u32])> = PROMPTS
        .iter()
        .zip(&drawings)
        .map(|(prompt, drawing)| (*prompt, drawing.tokens.as_slice()))
        .collect();
    let together = model.token_log_probs(&batch, &[false; 4]).expect("scores");
    let frozen = model.frozen_token_log_probs(&batch).expect("scores");
    for (row, drawing) in drawings.iter().enumerate() {
        let alone = model
            .token_log_probs(&batch[row..=row], &[false])
            .and_then(|t| Ok(t.get(0)?.to_vec1::<f32>()?))
            .expect("scores");
        for all in [&together, &frozen] {
            let padded = all
                .get(row)
                .and_then(|t| t.to_vec1::<f32>())
                .expect("a row");
            for (a, b) in alone.iter().zip(&padded) {
                assert!((a - b).abs() < 1e-5, "{a} is not {b}");
            }
        }
        let mean = alone.iter().map(|v| f64::from(*v)).sum::<f64>() / alone.len() as f64;
        assert!((mean - drawing.log_prob).abs() < 1e-5);
    }
    let dropped = model.token_log_probs(&batch, &[true; 4]).expect("scores");
    let difference = (dropped - &together)
        .and_then(|t| t.abs()?.max_all()?.to_scalar::<f32>())
        .expect("a number");
    assert!(difference > 0.1, "a dropped caption changes nothing");
}
