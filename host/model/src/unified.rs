//! What the run asks of a unified multimodal model: draw, judge, answer, and say how likely an
//! image is.

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use sc_core::plan::Sampling;

use crate::error::Result;
use crate::parameters::Parameters;

/// One image to draw.
#[derive(Clone, Debug)]
pub struct DrawRequest {
    /// What the image shall show.
    pub prompt: String,
    /// The image's own chance: it does not depend on what else is drawn with it. Unused when
    /// drawing greedily.
    pub rng: ChaCha8Rng,
}

/// A drawn image.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Image tokens, row by row.
    pub tokens: Vec<u32>,
    /// Mean log-probability a token under the conditional logits, at temperature 1 and without
    /// guidance.
    pub log_prob: f64,
}

/// What a model answers to a question about an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Logits of the next token for the two words that a verdict is read from.
    YesNo {
        /// Logit of yes.
        yes: f32,
        /// Logit of no.
        no: f32,
    },
    /// Greedily decoded text.
    Text {
        /// The text.
        text: String,
        /// Where a score was asked for: how much likelier 1 than 0 is as the digit after "The score
        /// is", as the probability of 1 against 0.
        score_one: Option<f64>,
    },
}

impl Answer {
    /// Probability of yes against no, σ(yes − no), or of the score 1 against 0; `None` for text
    /// without a score.
    pub fn p_yes(&self) -> Option<f64> {
        match self {
            Answer::YesNo { yes, no } => {
                Some(1.0 / (1.0 + (f64::from(*no) - f64::from(*yes)).exp()))
            }
            Answer::Text { score_one, .. } => *score_one,
        }
    }
}

/// A model that draws and understands images with one set of weights.
///
/// Batches of any length may be passed; the model cuts them into portions that fit the memory.
pub trait UnifiedModel {
    /// Where the weights are.
    fn device(&self) -> &Device;

    /// Tokens of an image.
    fn image_tokens(&self) -> usize;

    /// Pixels per side of a drawn image.
    fn image_size(&self) -> usize;

    /// Images that are best drawn at a time: results do not depend on it.
    fn images_at_a_time(&self) -> usize {
        512
    }

    /// Codes that an image token can be.
    fn image_codes(&self) -> usize;

    /// The weights, as variables that an optimizer may change.
    fn parameters(&self) -> &Parameters;

    /// Draws one image a request; greedily at temperature 0.
    ///
    /// # Errors
    /// When a prompt holds a special token, the sampling is not finite, or the device fails.
    fn draw(&self, requests: &[DrawRequest], sampling: &Sampling) -> Result<Vec<Drawing>>;

    /// Pixels [B, 3, S, S] of image tokens in −1..1, as the model judges them: one that answers in
    /// sentences sees what a file would hold, in bytes.
    ///
    /// # Errors
    /// When an image has another number of tokens, or a token is no code.
    fn decode(&self, tokens: &[Vec<u32>]) -> Result<Tensor>;

    /// Asks of each image (`pixels` [B, 3, S, S] in −1..1) whether it shows its prompt, in the
    /// words that the model was trained to be asked in.
    ///
    /// # Errors
    /// When the counts or sizes differ, a prompt holds a special token, or the device fails.
    fn judge(&self, pixels: &Tensor, prompts: &[String]) -> Result<Vec<Answer>>;

    /// Asks each image its question.
    ///
    /// # Errors
    /// As [`UnifiedModel::judge`].
    fn ask(&self, pixels: &Tensor, questions: &[String]) -> Result<Vec<Answer>>;

    /// The words of `text` that the model has no token for; a model that cuts words into pieces has
    /// one for all.
    ///
    /// # Errors
    /// When the text cannot be read at all.
    fn unknown_words(&self, text: &str) -> Result<Vec<String>> {
        let _ = text;
        Ok(Vec::new())
    }

    /// Log-probabilities \[B\] of the answer yes or no (`yes[i]`) to whether each image shows its
    /// prompt, among all words, in the words that the model was trained to be asked in.
    /// Differentiable in the language model and the understanding path.
    ///
    /// # Errors
    /// As [`UnifiedModel::judge`], and when the model answers in sentences.
    fn verdict_log_probs(
        &self,
        pixels: &Tensor,
        prompts: &[String],
        yes: &[bool],
    ) -> Result<Tensor>;

    /// Log-probabilities [B, N] of the tokens of given images (prompt, tokens), each token after
    /// those before it: conditional, at temperature 1, without guidance. Differentiable in the
    /// language model and the generation groups. `caption_dropped[i]` replaces the words of
    /// prompt i by padding, as in guidance's unconditional row.
    ///
    /// # Errors
    /// When counts differ, an image has another number of tokens, or a token is no code.
    fn token_log_probs(&self, batch: &[(&str, &[u32])], caption_dropped: &[bool])
    -> Result<Tensor>;

    /// [`UnifiedModel::token_log_probs`] as a training step takes them: an adapter that has dropout
    /// is under it, by masks that depend on `seed` alone.
    ///
    /// # Errors
    /// As [`UnifiedModel::token_log_probs`].
    fn training_log_probs(
        &self,
        batch: &[(&str, &[u32])],
        caption_dropped: &[bool],
        seed: u64,
    ) -> Result<Tensor> {
        let _ = seed;
        self.token_log_probs(batch, caption_dropped)
    }

    /// [`UnifiedModel::token_log_probs`] with all captions and without a graph, for a reference
    /// model or for scoring; cheaper where the model has a way without gradients.
    ///
    /// # Errors
    /// As [`UnifiedModel::token_log_probs`].
    fn frozen_token_log_probs(&self, batch: &[(&str, &[u32])]) -> Result<Tensor> {
        let kept = vec![false; batch.len()];
        Ok(self.token_log_probs(batch, &kept)?.detach())
    }
}
