//! How the tiny model is pretrained: every number in one place.

use serde::{Deserialize, Serialize};

/// All stages, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The image tokenizer.
    pub tokenizer: TokenizerRecipe,
    /// What joins images, words and codes.
    pub eye: EyeRecipe,
    /// Drawing and judging, as often as they are trained.
    pub language: Vec<LanguageRecipe>,
}

/// Training of the image tokenizer. Its codes are given, so that they mean something from the
/// start: encoder and decoder learn to follow them, each by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerRecipe {
    /// Steps of the decoder.
    pub decoder_steps: usize,
    /// Steps of the encoder.
    pub encoder_steps: usize,
    /// Pictures a step.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Largest gradient norm.
    pub max_gradient_norm: f64,
    /// Weight of an object's pixels in the reconstruction; white pixels have 1.
    pub object_weight: f64,
    /// Factor on the cosines of latents and codes in the encoder's cross-entropy.
    pub cosine_scale: f64,
}

/// Training of what joins images, words and codes, before there is a language model to use it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EyeRecipe {
    /// Steps.
    pub steps: usize,
    /// Pictures a step.
    pub images: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Weight of an empty cell; one with an object has 1.
    pub white_weight: f64,
}

/// Training of the language model, with all but the image tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageRecipe {
    /// Steps.
    pub steps: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How drawing is taught.
    pub drawing: DrawingRecipe,
    /// How judging is taught.
    pub judging: JudgingRecipe,
    /// Weight of the eye's loss.
    pub eye_weight: f64,
}

/// How drawing is taught.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawingRecipe {
    /// Pictures a step.
    pub samples: usize,
    /// Weight of the loss.
    pub weight: f64,
    /// Share of captions with one attribute wrong: this is what makes drawing weaker than judging.
    pub wrong_captions: f64,
    /// Share of captions replaced by padding, for guidance.
    pub dropped_captions: f64,
    /// Share of pictures for prompts that ask for one object, beside those among all prompts.
    pub single_objects: f64,
    /// Weight of an object's token at the start; a white cell's token has 1.
    pub object_weight: f64,
    /// Shares of the steps between which that weight falls to 1.
    pub object_weight_falls: (f64, f64),
}

/// How judging is taught.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgingRecipe {
    /// Pictures a step.
    pub images: usize,
    /// Questions in the words of a verdict about each picture.
    pub matches: usize,
    /// Questions in other words: one of two paraphrases or the contradiction, drawn at random.
    pub other_wordings: usize,
    /// Questions whether something is there.
    pub presences: usize,
    /// Weight of the loss.
    pub weight: f64,
    /// Weight of the description's loss.
    pub description_weight: f64,
}

impl Default for Recipe {
    fn default() -> Recipe {
        let drawing = DrawingRecipe {
            samples: 96,
            weight: 1.5,
            wrong_captions: 0.25,
            dropped_captions: 0.1,
            single_objects: 0.12,
            object_weight: 6.0,
            object_weight_falls: (0.4, 0.65),
        };
        let judging = JudgingRecipe {
            images: 24,
            matches: 4,
            other_wordings: 1,
            presences: 2,
            weight: 1.0,
            description_weight: 0.5,
        };
        let first = LanguageRecipe {
            steps: 1700,
            learning_rate: 2e-3,
            drawing: drawing.clone(),
            judging: judging.clone(),
            eye_weight: 0.3,
        };
        let second = LanguageRecipe {
            steps: 1300,
            learning_rate: 1.2e-3,
            drawing: DrawingRecipe {
                samples: 64,
                object_weight: 1.0,
                ..drawing
            },
            judging: JudgingRecipe {
                images: 32,
                ..judging
            },
            eye_weight: 0.3,
        };
        Recipe {
            tokenizer: TokenizerRecipe {
                decoder_steps: 3500,
                encoder_steps: 1200,
                batch: 8,
                learning_rate: 8e-3,
                max_gradient_norm: 10.0,
                object_weight: 4.0,
                cosine_scale: 12.0,
            },
            eye: EyeRecipe {
                steps: 400,
                images: 32,
                learning_rate: 2e-3,
                white_weight: 0.1,
            },
            language: vec![first, second],
        }
    }
}

impl Recipe {
    /// The recipe with all steps scaled by `factor`, at least one each: to try the machinery.
    pub fn scaled(&self, factor: f64) -> Recipe {
        let scale = |steps: usize| ((steps as f64 * factor).round() as usize).max(1);
        let mut scaled = self.clone();
        scaled.tokenizer.decoder_steps = scale(self.tokenizer.decoder_steps);
        scaled.tokenizer.encoder_steps = scale(self.tokenizer.encoder_steps);
        scaled.eye.steps = scale(self.eye.steps);
        for language in &mut scaled.language {
            language.steps = scale(language.steps);
        }
        scaled
    }
}
