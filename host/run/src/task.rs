//! What a run draws, and who knows the truth about it.

use candle_core::{Device, Tensor};
use rand_chacha::rand_core::RngCore;
use sc_core::prompt::{Prompt, Split};
use sc_world::{PartQuestion, Spec, Wording, part_questions};

use crate::error::RunError;
use crate::evaluation::EvaluatedOn;

/// An image with a statement that is known to be true or false of it.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledImage {
    /// Pixels \[3, S, S\] in −1..1, channel by channel.
    pub pixels: Vec<f32>,
    /// What is said of it, in a prompt's words.
    pub statement: String,
    /// Whether it is so.
    pub truth: bool,
    /// The statement's category.
    pub category: String,
}

/// Somebody who knows what an image shows. Strategies never hear of it: only the figures of a
/// round come from here.
pub trait Oracle {
    /// Whether the image shows what the prompt asks for. Pixels \[3, S, S\] in −1..1.
    ///
    /// # Errors
    /// When the prompt is none of the oracle's world.
    fn shows(&self, prompt: &str, pixels: &[f32]) -> Result<bool, RunError>;

    /// `n` labelled images of an evaluation set, from the held-out side, half of the statements true.
    fn labelled_images(&self, seed: u64, set: EvaluatedOn, n: usize) -> Vec<LabelledImage>;
}

/// Other ways to ask a model whether an image shows what a prompt asks for.
pub trait Questions {
    /// The same question in other words: yes means that it does.
    fn paraphrases(&self, prompt: &str) -> Vec<String>;

    /// The opposite question: yes means that it does not.
    fn contradiction(&self, prompt: &str) -> String;

    /// Questions about the parts of the prompt.
    ///
    /// # Errors
    /// When the prompt cannot be taken apart.
    fn parts(&self, prompt: &str) -> Result<Vec<PartQuestion>, RunError>;
}

/// What a run draws for.
pub trait Task {
    /// How the run's records name it.
    fn name(&self) -> &str;

    /// Prompts to draw for and train on; each one's id is its position.
    fn training_prompts(&self) -> &[Prompt];

    /// `n` held-out prompts of an evaluation set. A prompt may come several times; each time another
    /// image is drawn for it. The first ones do not depend on `n`.
    fn evaluation_prompts(&self, seed: u64, set: EvaluatedOn, n: usize) -> Vec<Prompt>;

    /// Who knows the truth, if anybody does.
    fn oracle(&self) -> Option<&dyn Oracle>;

    /// How the model can be asked.
    fn questions(&self) -> &dyn Questions;
}

/// The tiny world: its prompts, its renderer and its oracle.
pub struct TinyWorld {
    training: Vec<Prompt>,
}

impl TinyWorld {
    /// The world, with all its training prompts.
    pub fn new() -> TinyWorld {
        let training = sc_world::prompts(Split::Train)
            .iter()
            .zip(0..)
            .map(|(prompt, id)| prompt.to_prompt(id))
            .collect();
        TinyWorld { training }
    }
}

impl Default for TinyWorld {
    fn default() -> Self {
        TinyWorld::new()
    }
}

impl Task for TinyWorld {
    fn name(&self) -> &str {
        "tiny-world"
    }

    fn training_prompts(&self) -> &[Prompt] {
        &self.training
    }

    /// Categories alike, kinds of a category alike, prompts of a kind alike.
    fn evaluation_prompts(&self, seed: u64, set: EvaluatedOn, n: usize) -> Vec<Prompt> {
        let mut random = set.stream(seed, "prompts", &[]);
        sc_world::sample_prompts(Split::HeldOut, n, &mut random)
            .into_iter()
            .zip(0..)
            .map(|(prompt, id)| prompt.to_prompt(id))
            .collect()
    }

    fn oracle(&self) -> Option<&dyn Oracle> {
        Some(self)
    }

    fn questions(&self) -> &dyn Questions {
        self
    }
}

impl Questions for TinyWorld {
    fn paraphrases(&self, prompt: &str) -> Vec<String> {
        [Wording::Show, Wording::Picture]
            .map(|wording| wording.question(prompt))
            .to_vec()
    }

    fn contradiction(&self, prompt: &str) -> String {
        Wording::Contradict.question(prompt)
    }

    fn parts(&self, prompt: &str) -> Result<Vec<PartQuestion>, RunError> {
        Ok(part_questions(&prompt.parse()?))
    }
}

impl Oracle for TinyWorld {
    fn shows(&self, prompt: &str, pixels: &[f32]) -> Result<bool, RunError> {
        let spec: Spec = prompt.parse()?;
        Ok(sc_world::verdict(&spec, &sc_world::read(pixels)?))
    }

    fn labelled_images(&self, seed: u64, set: EvaluatedOn, n: usize) -> Vec<LabelledImage> {
        let seed = set.stream(seed, "labelled", &[]).next_u64();
        sc_world::labelled_renders(seed, n)
            .into_iter()
            .map(|render| LabelledImage {
                pixels: render.picture.to_planes(),
                statement: render.statement,
                truth: render.truth,
                category: render.category.name().to_owned(),
            })
            .collect()
    }
}

/// Images as one tensor \[B, 3, S, S\].
pub(crate) fn stack(images: &[&[f32]], size: usize, device: &Device) -> Result<Tensor, RunError> {
    let flat: Vec<f32> = images
        .iter()
        .flat_map(|image| image.iter().copied())
        .collect();
    Ok(Tensor::from_vec(
        flat,
        (images.len(), 3, size, size),
        device,
    )?)
}
