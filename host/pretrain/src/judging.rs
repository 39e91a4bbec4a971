//! What judging is taught with: pictures of several origins, and questions about them whose
//! answers are known.

use candle_core::Tensor;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sc_core::rng::stream;
use sc_model::{Branch, JanusModel, UnifiedModel};
use sc_world::codes::WHITE;
use sc_world::labelled::contradiction;
use sc_world::question::{description, is_present, presence_question, true_specs};
use sc_world::{
    Colour, Group, Number, ObjectSpec, Reading, Relation, Shape, Spec, Wording, is_held_out,
    verdict,
};

use crate::error::PretrainError;
use crate::material::{Material, Scene, random_code};
use crate::recipe::JudgingRecipe;
use crate::tokenizer::planes;

/// Most cells of a damaged picture that are changed.
const MOST_DAMAGED: usize = 3;
/// Among false statements: the share that differ from a true one in one attribute.
const NEARLY_TRUE: f64 = 0.8;
/// Tries to find a question with the wanted answer.
const TRIES: usize = 20;

/// Where a picture comes from.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    /// The renderer.
    Render,
    /// The image tokenizer's decoder.
    Decoded,
    /// The decoder, after some cells were changed, as in a bad drawing.
    Damaged,
}

/// A picture and the questions about it.
struct Exercise {
    origin: Origin,
    scene: Scene,
    /// Planes of a render.
    render: Vec<f32>,
    questions: Vec<Question>,
}

/// A question whose answer is known.
struct Question {
    asked: Spec,
    /// How it is asked whether the picture shows it; `None` for whether it is there.
    wording: Option<Wording>,
    yes: bool,
}

impl Question {
    fn text(&self) -> String {
        match self.wording {
            Some(wording) => wording.question(&self.asked.to_string()),
            None => presence_question(&self.asked),
        }
    }
}

/// A step's pictures with their questions.
pub(crate) struct Lesson {
    exercises: Vec<Exercise>,
    /// [B, 3, 32, 32] in −1..1.
    pub(crate) pixels: Tensor,
}

impl Lesson {
    pub(crate) fn new(
        model: &JanusModel,
        material: &Material,
        recipe: &JudgingRecipe,
        (seed, [part, step]): (u64, [u64; 2]),
    ) -> Result<Lesson, PretrainError> {
        let exercises: Vec<Exercise> = (0..recipe.images as u64)
            .into_par_iter()
            .map(|index| {
                let mut rng = stream(seed, "pretrain-judging", &[part, step, index]);
                Exercise::new(material, recipe, index, &mut rng)
            })
            .collect();
        let decoded: Vec<Vec<u32>> = exercises
            .iter()
            .filter(|exercise| exercise.origin != Origin::Render)
            .map(|exercise| exercise.scene.codes.clone())
            .collect();
        let decoded = model.decode(&decoded)?.flatten_from(1)?.to_vec2::<f32>()?;
        let mut decoded = decoded.into_iter();
        let mut values = Vec::new();
        for exercise in &exercises {
            match exercise.origin {
                Origin::Render => values.extend(&exercise.render),
                Origin::Decoded | Origin::Damaged => {
                    values.extend(decoded.next().unwrap_or_default());
                }
            }
        }
        let pixels = planes(values, exercises.len())?;
        Ok(Lesson { exercises, pixels })
    }

    /// Codes of all pictures, one after another.
    pub(crate) fn codes(&self) -> Vec<u32> {
        let scenes = self.exercises.iter().map(|exercise| &exercise.scene);
        scenes.flat_map(|scene| scene.codes.clone()).collect()
    }

    /// Mean negative log-likelihood of the answers, and of the descriptions' words.
    pub(crate) fn loss(
        &self,
        model: &JanusModel,
        recipe: &JudgingRecipe,
    ) -> Result<Tensor, PretrainError> {
        let text = model.text();
        let mut branches = Vec::with_capacity(self.exercises.len());
        let mut weights: Vec<f32> = Vec::new();
        let images = self.exercises.len() as f64;
        for exercise in &self.exercises {
            let mut of_image: Vec<Branch> = Vec::with_capacity(exercise.questions.len() + 1);
            let share = recipe.weight / (images * exercise.questions.len() as f64);
            for question in &exercise.questions {
                let answer = if question.yes { "yes" } else { "no" };
                of_image.push(text.branch(&question.text(), answer)?);
                weights.push(share as f32);
            }
            let told = text.branch("describe", &description(&exercise.scene.codes))?;
            let share = recipe.description_weight / (images * told.predicted as f64);
            weights.resize(weights.len() + told.predicted, share as f32);
            of_image.push(told);
            branches.push(of_image);
        }
        let log_probs = model.branch_log_probs(&self.pixels, &branches)?;
        let weights = Tensor::from_vec(weights, log_probs.shape(), model.device())?;
        Ok((log_probs * weights)?.sum_all()?.neg()?)
    }
}

impl Exercise {
    fn new(
        material: &Material,
        recipe: &JudgingRecipe,
        index: u64,
        rng: &mut ChaCha8Rng,
    ) -> Exercise {
        let origin = match index % 4 {
            0 | 1 => Origin::Render,
            2 => Origin::Decoded,
            _ => Origin::Damaged,
        };
        let spec = material.prompt(rng);
        let mut scene = Scene::of(spec, rng);
        if origin == Origin::Damaged {
            scene = damaged(scene, rng);
        }
        let reading = scene.reading();
        let statements = Statements::new(spec, &reading, material);
        let mut questions = Vec::new();
        for number in 0..recipe.matches + recipe.other_wordings {
            let wording = if number < recipe.matches {
                Wording::Match
            } else {
                let others = [Wording::Contradict, Wording::Show, Wording::Picture];
                others[rng.random_range(0..others.len())]
            };
            let asked = statements.draw(rng);
            questions.push(Question {
                yes: wording.yes_is_right(verdict(&asked, &reading)),
                wording: Some(wording),
                asked,
            });
        }
        for _ in 0..recipe.presences {
            let asked = presence(&reading, rng);
            questions.push(Question {
                yes: is_present(&asked, &reading),
                wording: None,
                asked,
            });
        }
        Exercise {
            render: match origin {
                Origin::Render => scene.render(rng),
                Origin::Decoded | Origin::Damaged => Vec::new(),
            },
            origin,
            scene,
            questions,
        }
    }
}

/// A few cells with other codes.
fn damaged(scene: Scene, rng: &mut impl Rng) -> Scene {
    let mut codes = scene.codes;
    let filled: Vec<usize> = (0..codes.len()).filter(|&at| codes[at] != WHITE).collect();
    for _ in 0..rng.random_range(1..=MOST_DAMAGED) {
        // Half of the changes hit an object: otherwise most would add one.
        let at = match filled.choose(rng) {
            Some(&at) if rng.random_bool(0.5) => at,
            _ => rng.random_range(0..codes.len()),
        };
        codes[at] = if rng.random_bool(0.3) {
            WHITE
        } else {
            random_code(rng)
        };
    }
    Scene::showing(codes)
}

/// What may be said of a picture.
struct Statements<'a> {
    /// What the picture was made for.
    spec: &'a Spec,
    reading: &'a Reading,
    material: &'a Material,
    /// All that is true of it and not held out.
    truths: Vec<Spec>,
}

impl<'a> Statements<'a> {
    fn new(spec: &'a Spec, reading: &'a Reading, material: &'a Material) -> Statements<'a> {
        let mut truths = true_specs(reading);
        truths.retain(|truth| !is_held_out(truth));
        Statements {
            spec,
            reading,
            material,
            truths,
        }
    }

    /// A statement, true half the time where any is.
    fn draw(&self, rng: &mut impl Rng) -> Spec {
        let truth = if verdict(self.spec, self.reading) && rng.random_bool(0.5) {
            // What it was made for, so that all kinds are as frequent as among the prompts.
            Some(self.spec)
        } else {
            self.truths.choose(rng)
        };
        match truth {
            Some(truth) if rng.random_bool(0.5) => truth.clone(),
            Some(truth) if rng.random_bool(NEARLY_TRUE) => self.nearly(truth, rng),
            // A damaged picture: what it should have shown is the likeliest thing to be asked.
            None if rng.random_bool(NEARLY_TRUE) => self.spec.clone(),
            _ => self.another(rng),
        }
    }

    /// A false statement that differs from `truth` in one attribute.
    fn nearly(&self, truth: &Spec, rng: &mut impl Rng) -> Spec {
        match contradiction(truth, self.reading, |spec| !is_held_out(spec), rng) {
            Some((_, spec)) => spec,
            None => self.another(rng),
        }
    }

    /// Any prompt, most likely a false statement.
    fn another(&self, rng: &mut impl Rng) -> Spec {
        self.material.prompt(rng).clone()
    }
}

/// Something that may be there: one kind of object with a number, or a relation of two shapes;
/// about half the time it is.
fn presence(reading: &Reading, rng: &mut impl Rng) -> Spec {
    let wanted = rng.random_bool(0.5);
    let mut tries = 0;
    loop {
        let asked = any_presence(reading, rng);
        tries += 1;
        let fits = is_present(&asked, reading) == wanted || tries > TRIES;
        if fits && !is_held_out(&asked) {
            return asked;
        }
    }
}

fn any_presence(reading: &Reading, rng: &mut impl Rng) -> Spec {
    let objects = &reading.objects;
    let one = |shape| Group {
        number: Number::One,
        object: ObjectSpec {
            colour: None,
            shape,
        },
    };
    if objects.len() > 1 && rng.random_bool(0.4) {
        let relation = Relation::ALL[rng.random_range(0..Relation::ALL.len())];
        let pair: Vec<_> = objects.choose_multiple(rng, 2).collect();
        let groups = vec![one(pair[0].shape), one(pair[1].shape)];
        // Refused when both have one shape.
        if let Ok(spec) = Spec::new(groups, Some(relation)) {
            return spec;
        }
    }
    let seen = objects.choose(rng);
    let (mut colour, mut shape) = match seen {
        Some(object) => (object.colour, object.shape),
        None => (Colour::Red, Shape::Circle),
    };
    match rng.random_range(0..4) {
        0 => colour = Colour::ALL[rng.random_range(0..Colour::ALL.len())],
        1 => shape = Shape::ALL[rng.random_range(0..Shape::ALL.len())],
        _ => {}
    }
    let coloured = rng.random_bool(0.5).then_some(colour);
    let fits = |object: &&sc_world::PlacedObject| {
        object.shape == shape && coloured.is_none_or(|colour| colour == object.colour)
    };
    let count = objects.iter().filter(fits).count();
    let count = Number::ALL
        .into_iter()
        .find(|number| number.value() == count);
    let number = match count {
        Some(number) if rng.random_bool(0.6) => number,
        _ => Number::ALL[rng.random_range(0..Number::ALL.len())],
    };
    let group = Group {
        number,
        object: ObjectSpec {
            colour: coloured,
            shape,
        },
    };
    Spec::new(vec![group], None).expect("one group of at most four is a prompt")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn questions_are_balanced_and_tell_nothing_held_out() {
        let recipe = &Recipe::default().language[0].judging;
        let material = Material::new();
        let mut answers: BTreeMap<Option<Wording>, (usize, usize)> = BTreeMap::new();
        for index in 0..2000 {
            let mut rng = stream(1, "test", &[index]);
            let exercise = Exercise::new(&material, recipe, index, &mut rng);
            let asked = recipe.matches + recipe.other_wordings + recipe.presences;
            assert_eq!(exercise.questions.len(), asked);
            for question in &exercise.questions {
                assert!(!is_held_out(&question.asked), "{}", question.asked);
                let count = answers.entry(question.wording).or_default();
                count.0 += usize::from(question.yes);
                count.1 += 1;
            }
        }
        for (wording, (yes, all)) in answers {
            let share = yes as f64 / all as f64;
            assert!((0.35..0.65).contains(&share), "{wording:?}: {share}");
        }
    }
}
