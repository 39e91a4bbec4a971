//! A pretraining of a few steps: it repeats, goes on where it was interrupted, and learns.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::Device;
use sc_model::{CheckpointSource, JanusModel};
use sc_pretrain::{PretrainError, Recipe, Watcher, pretrain};

/// Notes the stages that were taken.
#[derive(Default)]
struct Stages(Vec<String>);

impl Watcher for Stages {
    fn stage(&mut self, name: &str, _: usize, work: Range<f64>) {
        assert!(0.0 <= work.start && work.start < work.end && work.end < 1.0 + 1e-9);
        self.0.push(name.to_owned());
    }

    fn step(&mut self, loss: f64) {
        assert!(loss.is_finite());
    }
}

/// A few steps of everything, with small batches.
fn short(steps: usize) -> Recipe {
    let mut recipe = Recipe::default();
    recipe.tokenizer.decoder_steps = steps;
    recipe.tokenizer.encoder_steps = steps;
    recipe.tokenizer.batch = 4;
    recipe.eye.steps = steps;
    recipe.eye.images = 4;
    for language in &mut recipe.language {
        language.steps = steps;
        language.drawing.samples = 8;
        language.judging.images = 4;
    }
    recipe
}

fn stages_of(out: &Path) -> PathBuf {
    out.with_extension("stages")
}

fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("model.safetensors")).expect("the weights")
}

#[test]
fn a_pretraining_repeats_goes_on_and_appears_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let recipe = short(2);
    let mut stages = Stages::default();
    let pretrained = pretrain(&one, 1, &recipe, &mut stages).expect("pretrained");
    assert_eq!(
        stages.0,
        [
            "1-decoder",
            "2-encoder",
            "3-eye",
            "4-language-1",
            "5-language-2"
        ]
    );
    assert!(!one.exists(), "nothing is there before it is published");
    let times = pretrained.times.len();
    assert_eq!(times, 5);
    pretrained.publish(b"{}".to_vec()).expect("published");
    assert_eq!(fs::read(one.join("provenance.json")).expect("read"), b"{}");
    assert!(!stages_of(&one).exists());
    JanusModel::load(&CheckpointSource::Directory(one.clone()), &Device::Cpu).expect("loads");

    // Another time, interrupted after the eye.
    pretrain(&other, 1, &recipe, &mut Stages::default()).expect("pretrained");
    for stage in ["4-language-1", "5-language-2"] {
        fs::remove_dir_all(stages_of(&other).join(stage)).expect("removed");
    }
    let mut stages = Stages::default();
    let pretrained = pretrain(&other, 1, &recipe, &mut stages).expect("pretrained");
    assert_eq!(stages.0, ["4-language-1", "5-language-2"]);
    pretrained.publish(b"{}".to_vec()).expect("published");
    assert!(weights(&one) == weights(&other), "the weights differ");
}

#[test]
fn what_is_there_of_another_pretraining_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("model");
    let recipe = short(1);
    let again = |out: &Path, seed, recipe: &Recipe| {
        pretrain(out, seed, recipe, &mut Stages::default()).map(|_| ())
    };
    again(&out, 1, &recipe).expect("pretrained");
    let field = |error| match error {
        Err(PretrainError::OtherPretraining { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(again(&out, 2, &recipe)), "seed");
    assert_eq!(field(again(&out, 1, &short(3))), "recipe");
    fs::write(stages_of(&out).join("pretraining.json"), "{").expect("written");
    assert!(matches!(
        again(&out, 1, &recipe),
        Err(PretrainError::Damaged { .. })
    ));
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).expect("made");
    fs::write(taken.join("file"), "").expect("written");
    assert!(matches!(
        again(&taken, 1, &recipe),
        Err(PretrainError::Occupied { .. })
    ));
}

#[test]
fn two_do_not_work_on_one_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("model");
    let first = pretrain(&out, 1, &short(1), &mut Stages::default()).expect("pretrained");
    let second = || pretrain(&out, 1, &short(1), &mut Stages::default()).map(|_| ());
    assert!(matches!(second(), Err(PretrainError::Busy { .. })));
    drop(first);
    second().expect("nobody is at work any more");
}

#[test]
fn every_loss_falls() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut recipe = short(30);
    recipe.eye.steps = 60;
    let out = folder.path().join("model");
    let pretrained = pretrain(&out, 1, &recipe, &mut Stages::default()).expect("pretrained");
    for time in &pretrained.times {
        assert!(time.loss_last < time.loss_first, "{time:?}");
    }
}
