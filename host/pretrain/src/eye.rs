//! What joins images, words and codes: the aligned image features of a cell become what the words
//! of its colour and shape are, so do the embeddings of its code, and the generation head finds
//! the code in the sum of the words. Without it the language model is long in finding out.

use candle_core::{D, Tensor};
use candle_nn::ops::log_softmax;
use sc_core::rng::stream;
use sc_model::{JanusModel, UnifiedModel};
use sc_world::codes::{CODES, WHITE, meaning_of};
use sc_world::question::cell_words;

use crate::descent::Descent;
use crate::error::PretrainError;
use crate::material::Material;
use crate::recipe::EyeRecipe;
use crate::stages::Progress;
use crate::tokenizer::planes;

/// Largest gradient norm of this stage and of the language model's.
pub(crate) const MAX_GRADIENT_NORM: f64 = 1.0;

/// Parts that this stage trains.
const TRAINED: [&str; 6] = [
    "model.vision_model.",
    "model.aligner.",
    "model.language_model.embed_tokens.",
    "model.generation_embeddings.",
    "model.generation_aligner.",
    "model.generation_head.",
];

/// Word ids of colour and shape of every code.
pub(crate) struct CodeWords {
    words: Vec<[u32; 2]>,
    white_weight: f64,
}

impl CodeWords {
    pub(crate) fn new(model: &JanusModel, white_weight: f64) -> Result<CodeWords, PretrainError> {
        let words = (0..CODES as u32)
            .map(|code| {
                let (colour, shape) = cell_words(code);
                Ok([model.text().word_id(colour)?, model.text().word_id(shape)?])
            })
            .collect::<Result<_, PretrainError>>()?;
        Ok(CodeWords {
            words,
            white_weight,
        })
    }

    /// Codes that show something, white among them.
    fn meaningful() -> impl Iterator<Item = u32> {
        (0..CODES as u32).filter(|&code| code == WHITE || meaning_of(code).is_some())
    }

    /// Cross-entropy of word logits [rows, vocab] against half the colour's and half the shape's
    /// word of each row's code.
    fn loss(&self, logits: &Tensor, codes: &[u32]) -> Result<Tensor, PretrainError> {
        let weight = |code: u32| match code {
            WHITE => self.white_weight,
            _ => 1.0,
        };
        let total: f64 = codes.iter().map(|&code| weight(code)).sum();
        let shares: Vec<f32> = codes
            .iter()
            .map(|&code| (weight(code) / total) as f32)
            .collect();
        let targets: Vec<u32> = codes
            .iter()
            .flat_map(|&code| self.words[code as usize])
            .collect();
        let device = logits.device();
        let targets = Tensor::from_vec(targets, (codes.len(), 2), device)?;
        let shares = Tensor::new(shares, device)?;
        let picked = log_softmax(logits, D::Minus1)?.gather(&targets, 1)?;
        Ok((picked.mean(1)? * shares)?.sum_all()?.neg()?)
    }

    /// The three losses together, for pixels [B, 3, 32, 32] that show `codes`, image by image.
    pub(crate) fn losses(
        &self,
        model: &JanusModel,
        pixels: &Tensor,
        codes: &[u32],
    ) -> Result<Tensor, PretrainError> {
        let seen = model.feature_word_logits(pixels)?.flatten(0, 1)?;
        let all: Vec<u32> = CodeWords::meaningful().collect();
        let read = Tensor::new(all.as_slice(), model.device())?;
        let drawn = model.code_word_logits()?.index_select(&read, 0)?;
        let named: Vec<[u32; 2]> = all.iter().map(|&code| self.words[code as usize]).collect();
        let found = log_softmax(&model.word_code_logits(&named)?, D::Minus1)?;
        let found = found.gather(&read.unsqueeze(1)?, 1)?.mean_all()?.neg()?;
        Ok(((self.loss(&seen, codes)? + self.loss(&drawn, &all)?)? + found)?)
    }
}

pub(crate) fn train(
    model: &JanusModel,
    recipe: &EyeRecipe,
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<(), PretrainError> {
    let material = Material::new();
    let words = CodeWords::new(model, recipe.white_weight)?;
    let trains = |name: &str| TRAINED.iter().any(|prefix| name.starts_with(prefix));
    let mut descent = Descent::new(
        model,
        trains,
        recipe.steps,
        recipe.learning_rate,
        MAX_GRADIENT_NORM,
    )?;
    for step in 0..recipe.steps {
        let mut rng = stream(seed, "pretrain-eye", &[step as u64]);
        let (mut pixels, mut codes) = (Vec::new(), Vec::new());
        for _ in 0..recipe.images {
            let scene = material.any_scene(&mut rng);
            pixels.extend(scene.render(&mut rng));
            codes.extend(scene.codes);
        }
        let pixels = planes(pixels, recipe.images)?;
        let loss = words.losses(model, &pixels, &codes)?;
        progress.step(descent.step(&loss)?);
    }
    Ok(())
}
