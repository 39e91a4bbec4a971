//! Drawing and judging: the language model with all that reads and writes for it.

use candle_core::Tensor;
use rand::Rng;
use rayon::prelude::*;
use sc_core::rng::stream;
use sc_model::{JanusModel, UnifiedModel};
use sc_world::codes::WHITE;
use sc_world::is_held_out;
use sc_world::labelled::contradiction;

use crate::descent::Descent;
use crate::error::PretrainError;
use crate::eye::{CodeWords, MAX_GRADIENT_NORM};
use crate::judging::Lesson;
use crate::material::{Material, Scene};
use crate::recipe::{DrawingRecipe, EyeRecipe, LanguageRecipe};
use crate::stages::Progress;

/// A picture to draw.
struct Sample {
    caption: String,
    codes: Vec<u32>,
    caption_dropped: bool,
}

/// The training of everything but the image tokenizer, a step at a time.
pub struct LanguageTraining<'a> {
    model: &'a JanusModel,
    recipe: &'a LanguageRecipe,
    material: Material,
    words: CodeWords,
    descent: Descent,
    seed: u64,
    part: u64,
    taken: usize,
}

impl<'a> LanguageTraining<'a> {
    /// A training that has taken no step. `part` tells several trainings of a pretraining apart.
    ///
    /// # Errors
    /// When the model does not know the world's words, or memory runs out.
    pub fn new(
        model: &'a JanusModel,
        recipe: &'a LanguageRecipe,
        eye: &EyeRecipe,
        seed: u64,
        part: u64,
    ) -> Result<LanguageTraining<'a>, PretrainError> {
        let trains = |name: &str| !name.starts_with("model.vqmodel.");
        Ok(LanguageTraining {
            model,
            recipe,
            material: Material::new(),
            words: CodeWords::new(model, eye.white_weight)?,
            descent: Descent::new(
                model,
                trains,
                recipe.steps,
                recipe.learning_rate,
                MAX_GRADIENT_NORM,
            )?,
            seed,
            part,
            taken: 0,
        })
    }

    /// Takes a step and answers its loss.
    ///
    /// # Errors
    /// When the model or the device fails, or the loss is no number any more.
    pub fn step(&mut self) -> Result<f64, PretrainError> {
        let (model, recipe) = (self.model, self.recipe);
        let at = (self.seed, [self.part, self.taken as u64]);
        let done = self.taken as f64 / recipe.steps as f64;
        let drawing = drawing_loss(model, &self.material, &recipe.drawing, done, at)?;
        let lesson = Lesson::new(model, &self.material, &recipe.judging, at)?;
        let judging = lesson.loss(model, &recipe.judging)?;
        let joined = self.words.losses(model, &lesson.pixels, &lesson.codes())?;
        let loss = ((drawing * recipe.drawing.weight)? + judging)?;
        let loss = (loss + (joined * recipe.eye_weight)?)?;
        self.taken += 1;
        Ok(self.descent.step(&loss)?)
    }
}

/// Takes all steps.
pub(crate) fn train(
    model: &JanusModel,
    recipe: &LanguageRecipe,
    eye: &EyeRecipe,
    (seed, part): (u64, u64),
    progress: &mut Progress<'_>,
) -> Result<(), PretrainError> {
    let mut training = LanguageTraining::new(model, recipe, eye, seed, part)?;
    for _ in 0..recipe.steps {
        progress.step(training.step()?);
    }
    Ok(())
}

/// Weighted mean of the tokens' negative log-likelihoods.
fn drawing_loss(
    model: &JanusModel,
    material: &Material,
    recipe: &DrawingRecipe,
    done: f64,
    (seed, [part, step]): (u64, [u64; 2]),
) -> Result<Tensor, PretrainError> {
    let samples: Vec<Sample> = (0..recipe.samples as u64)
        .into_par_iter()
        .map(|index| {
            let mut rng = stream(seed, "pretrain-drawing", &[part, step, index]);
            Sample::new(material, recipe, &mut rng)
        })
        .collect();
    let batch: Vec<(&str, &[u32])> = samples
        .iter()
        .map(|sample| (sample.caption.as_str(), sample.codes.as_slice()))
        .collect();
    let dropped: Vec<bool> = samples
        .iter()
        .map(|sample| sample.caption_dropped)
        .collect();
    let object = object_weight(recipe, done);
    let weights: Vec<f32> = samples
        .iter()
        .flat_map(|sample| &sample.codes)
        .map(|&code| if code == WHITE { 1.0 } else { object as f32 })
        .collect();
    let log_probs = model.token_log_probs(&batch, &dropped)?;
    let weights = Tensor::from_vec(weights, log_probs.shape(), model.device())?;
    let sum = (log_probs * &weights)?.sum_all()?;
    Ok((sum / weights.sum_all()?)?.neg()?)
}

/// Weight of an object's token when `done` (0–1) of the steps are.
fn object_weight(recipe: &DrawingRecipe, done: f64) -> f64 {
    let (from, to) = recipe.object_weight_falls;
    let fallen = ((done - from) / (to - from)).clamp(0.0, 1.0);
    recipe.object_weight + (1.0 - recipe.object_weight) * fallen
}

impl Sample {
    fn new(material: &Material, recipe: &DrawingRecipe, rng: &mut impl Rng) -> Sample {
        let spec = if rng.random_bool(recipe.single_objects) {
            material.single_object(rng)
        } else {
            material.prompt(rng)
        };
        let scene = Scene::of(spec, rng);
        let wrong = if rng.random_bool(recipe.wrong_captions) {
            contradiction(spec, &scene.reading(), |spec| !is_held_out(spec), rng)
        } else {
            None
        };
        Sample {
            caption: match wrong {
                Some((_, wrong)) => wrong.to_string(),
                None => spec.to_string(),
            },
            codes: scene.codes,
            caption_dropped: rng.random_bool(recipe.dropped_captions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn objects_weigh_more_at_first() {
        let recipe = &Recipe::default().language[0].drawing;
        let (from, to) = recipe.object_weight_falls;
        assert_eq!(object_weight(recipe, 0.0), recipe.object_weight);
        assert_eq!(object_weight(recipe, from), recipe.object_weight);
        assert_eq!(object_weight(recipe, to), 1.0);
        assert_eq!(object_weight(recipe, 1.0), 1.0);
        let between = object_weight(recipe, (from + to) / 2.0);
        assert!(1.0 < between && between < recipe.object_weight);
    }

    #[test]
    fn captions_are_wrong_as_often_as_asked_and_never_held_out() {
        let recipe = &Recipe::default().language[0].drawing;
        let material = Material::new();
        let mut wrong = 0;
        for index in 0..1000 {
            let sample = Sample::new(&material, recipe, &mut stream(1, "test", &[index]));
            let spec: sc_world::Spec = sample.caption.parse().expect("a prompt");
            assert!(!is_held_out(&spec), "{}", sample.caption);
            let reading = Scene::showing(sample.codes).reading();
            wrong += usize::from(!sc_world::verdict(&spec, &reading));
        }
        let share = wrong as f64 / 1000.0;
        assert!((share - recipe.wrong_captions).abs() < 0.06, "{share}");
    }
}
