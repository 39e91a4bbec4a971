//! Questions that share an image's row: each as if it were asked alone.

use candle_core::{D, Tensor, Var};
use candle_nn::ops::log_softmax;
use sc_model::{Branch, Group, JanusModel, UnifiedModel};

use crate::common::{
    UNDERSTANDING, assert_close, assert_reached, copy_checkpoint, fixture,
    grouped_query_checkpoint, largest, load, pixels,
};

const QUESTIONS: [(&str, &str); 5] = [
    ("match a red circle ?", "yes"),
    ("match two purple triangles and a blue square ?", "no"),
    ("a ring ?", "no yes"),
    ("match a circle left of a square ?", "a circle and a square"),
    ("match four yellow circles ?", "yes"),
];

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec1().expect("a row of numbers")
}

/// The first questions for one image and the last for another.
fn tiny_branches(model: &JanusModel) -> Vec<Vec<Branch>> {
    let branch = |(question, answer): &(&str, &str)| {
        let branch = model.text().branch(question, answer);
        branch.expect("a question")
    };
    let (first, second) = QUESTIONS.split_at(3);
    vec![
        first.iter().map(branch).collect(),
        second.iter().map(branch).collect(),
    ]
}

#[test]
fn a_branch_continues_the_image_prefix() {
    let tiny = load(&fixture("janus-tiny-world"));
    let other = load(&fixture("janus-a"));
    let words = [("w5 w6", "w7 w8"), ("w9 ?", "w10")];
    for (model, questions) in [(&tiny, &QUESTIONS[..]), (&other, &words)] {
        let text = model.text();
        let prefix = text.image_prefix_ids().expect("a prefix");
        assert_eq!(prefix.last(), Some(&text.special.end_of_image));
        for (question, answer) in questions {
            let Branch { ids, predicted } = text.branch(question, answer).expect("a branch");
            let (asked, answered) = ids.split_at(ids.len() - predicted);
            let whole = text.ask_ids(question).expect("a question");
            assert_eq!([&prefix, asked].concat(), whole);
            assert_eq!(predicted, answer.split(' ').count());
            assert_eq!(text.decode(answered).expect("words"), *answer);
        }
        assert!(text.branch("w5", "").is_err());
        assert!(text.branch("w5", "<end_of_image>").is_err());
    }
}

#[test]
fn branches_are_questions_asked_alone() {
    let place = tempfile::tempdir().expect("a temporary folder");
    copy_checkpoint("janus-tiny-world", place.path());
    // Without a role after the question, the next word may be asked for after each of its words.
    let templates = serde_json::json!({
        "draw": "<｜begin▁of▁sentence｜> {prompt} <begin_of_image>",
        "judge": "<｜begin▁of▁sentence｜> <begin_of_image> {image} <end_of_image> {prompt}",
        "ask": "<｜begin▁of▁sentence｜> <|User|> <begin_of_image> {image} <end_of_image> {question}",
    });
    std::fs::write(place.path().join("templates.json"), templates.to_string()).expect("is written");
    for model in [load(place.path()), load(place.path()).without_kernels()] {
        let texts = ["a red circle left of a blue square", "four rings", "yes"];
        let branches: Vec<Branch> = texts
            .iter()
            .enumerate()
            .map(|(skipped, text)| {
                let branch = model.text().branch(text, "no").expect("a branch");
                Branch {
                    predicted: branch.ids.len() - skipped.min(1),
                    ids: branch.ids,
                }
            })
            .collect();
        let pixels = pixels(&model, 2);
        let found = model
            .branch_log_probs(&pixels, &[branches.clone(), branches[1..].to_vec()])
            .expect("log-probabilities");
        let mut found = values(&found).into_iter();
        for (image, texts) in [&texts[..], &texts[1..]].into_iter().enumerate() {
            let image = pixels.narrow(0, image, 1).expect("an image");
            for (text, branch) in texts.iter().zip(&branches[branches.len() - texts.len()..]) {
                let words: Vec<&str> = text.split(' ').collect();
                for token in branch.ids.len() - branch.predicted..branch.ids.len() {
                    let before = words[..token].join(" ");
                    let logits = model.question_logits(&image, &[before]).expect("logits");
                    let all = log_softmax(&logits, D::Minus1).and_then(|t| t.get(0));
                    let alone = values(&all.expect("a row"))[branch.ids[token] as usize];
                    let together = found.next().expect("a value for each");
                    assert!((alone - together).abs() < 1e-5, "{alone} is not {together}");
                }
            }
        }
        assert_eq!(found.next(), None);
    }
}

#[test]
fn verdicts_are_those_of_the_judge() {
    let model = load(&fixture("janus-tiny-world"));
    let pixels = pixels(&model, 1);
    let asked: Vec<_> = QUESTIONS.iter().map(|(question, _)| *question).collect();
    let branches: Vec<Branch> = asked
        .iter()
        .map(|question| model.text().branch(question, "yes").expect("a branch"))
        .collect();
    let together = model
        .frozen_branch_log_probs(&pixels, &[branches])
        .expect("log-probabilities");
    let (yes, _) = model.text().yes_no.expect("answers by two words");
    for (question, together) in asked.iter().zip(values(&together)) {
        let logits = model
            .question_logits(&pixels, &[question.to_string()])
            .expect("logits");
        let all = log_softmax(&logits, D::Minus1).and_then(|t| t.get(0));
        let alone = values(&all.expect("a row"))[yes as usize];
        assert!((alone - together).abs() < 1e-5, "{alone} is not {together}");
    }
}

#[test]
fn a_branch_does_not_see_another() {
    let folder = fixture("janus-tiny-world");
    for model in [load(&folder), load(&folder).without_kernels()] {
        let pixels = pixels(&model, 2);
        let mut branches = tiny_branches(&model);
        let log_probs = |branches: &[Vec<Branch>]| {
            let tracked = model.branch_log_probs(&pixels, branches).expect("tracked");
            let frozen = model
                .frozen_branch_log_probs(&pixels, branches)
                .expect("frozen");
            assert_close("without a graph", &frozen, &tracked, 1e-5);
            values(&tracked)
        };
        let before = log_probs(&branches);
        let read = branches[0][1].ids.len() - branches[0][1].predicted;
        for id in &mut branches[0][1].ids[..read] {
            *id = 20 + *id % 20;
        }
        let after = log_probs(&branches);
        for (place, (before, after)) in before.iter().zip(&after).enumerate() {
            // The second question's answer is one word, after the first's.
            assert_eq!(place == 1, before.to_bits() != after.to_bits(), "{place}");
        }
    }
}

/// Branches of any words for two images of a model that has `w5` and so on; the last is predicted
/// from its first word on.
fn word_branches(model: &JanusModel) -> Vec<Vec<Branch>> {
    let branch = |question: &str, answer: &str| {
        let branch = model.text().branch(question, answer);
        branch.expect("a question")
    };
    let whole = branch("w6 w5", "w11");
    vec![
        vec![branch("w5 w6 w7", "w8"), branch("w9", "w10 w11 w12")],
        vec![Branch {
            predicted: whole.ids.len(),
            ids: whole.ids,
        }],
    ]
}

/// A number that every predicted token has a part of its own in.
fn branch_loss(model: &JanusModel, branches: &[Vec<Branch>]) -> Tensor {
    let loss = model
        .branch_log_probs(&pixels(model, branches.len()), branches)
        .and_then(|log_probs| {
            let weights: Vec<f32> = (0..log_probs.elem_count())
                .map(|i| 0.5 + (i * 7 % 5) as f32)
                .collect();
            let weights = Tensor::new(weights, log_probs.device())?;
            Ok((log_probs * weights)?.mean_all()?)
        });
    loss.expect("a loss")
}

fn eye_loss(model: &JanusModel) -> Tensor {
    let logits = model
        .feature_word_logits(&pixels(model, 3))
        .expect("logits");
    let patches = model.config().vision.tokens();
    assert_eq!(logits.dims(), [3, patches, model.config().text.vocab]);
    let loss = log_softmax(&logits, D::Minus1).and_then(|t| t.narrow(2, 3, 5)?.sqr()?.mean_all());
    loss.expect("a loss")
}

/// Value and gradients of the kernels against the plain operations'.
fn assert_equal_losses(
    (fast, plain): (&JanusModel, &JanusModel),
    loss: impl Fn(&JanusModel) -> Tensor,
    groups: &[Group],
) {
    let (fast_loss, plain_loss) = (loss(fast), loss(plain));
    assert_close("loss", &fast_loss, &plain_loss, 1e-5);
    let fast_gradients = fast_loss.backward().expect("a backward pass");
    let plain_gradients = plain_loss.backward().expect("a backward pass");
    let vars: Vec<(&str, &Var)> = fast.parameters().of_groups(groups).collect();
    for (name, var) in vars {
        let other = plain.parameters().get(name).expect("the same weights");
        let (a, b) = (fast_gradients.get(var), plain_gradients.get(other));
        let (Some(a), Some(b)) = (a, b) else {
            assert!(a.is_none() && b.is_none(), "{name}");
            continue;
        };
        if name.ends_with("k_proj.bias") {
            // Truly 0: it shifts all scores of a query alike.
            assert!(largest(a) < 1e-6, "{name}: {}", largest(a));
        } else {
            assert_close(name, a, b, 1e-4);
        }
    }
}

#[test]
fn kernels_learn_what_plain_operations_do() {
    let place = tempfile::tempdir().expect("a temporary folder");
    grouped_query_checkpoint(place.path());
    let both = |folder: &std::path::Path| (load(folder), load(folder).without_kernels());
    let (fast, plain) = both(&fixture("janus-tiny-world"));
    let branches = tiny_branches(&fast);
    let loss = |model: &JanusModel| branch_loss(model, &branches);
    assert_equal_losses((&fast, &plain), loss, &UNDERSTANDING);
    assert_equal_losses((&fast, &plain), eye_loss, &UNDERSTANDING);

    let (fast, plain) = both(place.path());
    let branches = word_branches(&fast);
    let loss = |model: &JanusModel| branch_loss(model, &branches);
    assert_equal_losses((&fast, &plain), loss, &UNDERSTANDING);
    assert_equal_losses((&fast, &plain), eye_loss, &UNDERSTANDING);
}

#[test]
fn gradients_reach_the_understanding_path_from_branches() {
    let model = load(&fixture("janus-a"));
    let loss = branch_loss(&model, &word_branches(&model));
    assert_reached(&model, &loss, &UNDERSTANDING);
    assert_reached(
        &model,
        &eye_loss(&model),
        &[Group::VisionModel, Group::Aligner],
    );
}

#[test]
fn what_cannot_be_a_branch_is_refused() {
    let model = load(&fixture("janus-tiny-world"));
    let pixels = pixels(&model, 1);
    let placeholder = model.text().special.image_placeholder;
    let unreadable = [
        (vec![9, 10], 0),
        (vec![9, 10], 3),
        (vec![], 0),
        (vec![9, 64], 1),
        (vec![64, 9], 1),
        (vec![9; 300], 1),
        (vec![placeholder, 9], 1),
    ];
    for (ids, predicted) in unreadable {
        let branches = vec![vec![Branch { ids, predicted }]];
        let refused = model.branch_log_probs(&pixels, &branches);
        assert!(refused.is_err(), "{branches:?}");
    }
    let branch = Branch {
        ids: vec![9],
        predicted: 1,
    };
    assert!(
        model
            .branch_log_probs(&pixels, &[vec![branch.clone()], vec![]])
            .is_err()
    );
    let nothing = model
        .branch_log_probs(&pixels, &[vec![]])
        .expect("no values");
    assert_eq!(nothing.dims(), [0]);
    let one = model
        .branch_log_probs(&pixels, &[vec![branch]])
        .expect("a value");
    assert_eq!(one.dims(), [1]);
}
