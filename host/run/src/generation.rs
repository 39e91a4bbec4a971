//! Drawing images and having them judged.

use sc_core::candidate::{Candidate, Group};
use sc_core::history::PromptHistory;
use sc_core::plan::Sampling;
use sc_core::prompt::Prompt;
use sc_core::rng;
use sc_model::{DrawRequest, UnifiedModel};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::RunError;
use crate::judge::{Judge, Judgement};

/// An image to draw: what, and the random stream that draws it.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// What the image's random stream hangs on, beside seed and purpose.
    pub stream: Vec<u64>,
}

impl<'a> Order<'a> {
    /// `images` of each prompt, with streams by the prompt's position and, from the second image
    /// on, the image's number: the first image of each does not depend on how many follow.
    pub fn several(prompts: &'a [Prompt], images: u32) -> Vec<Order<'a>> {
        prompts
            .iter()
            .zip(0..)
            .flat_map(|(prompt, position)| {
                (0..images).map(move |image| Order {
                    prompt,
                    stream: match image {
                        0 => vec![position],
                        later => vec![position, u64::from(later)],
                    },
                })
            })
            .collect()
    }
}

/// An image that the model drew, and what is said of it.
pub struct JudgedImage {
    /// The image's tokens.
    pub tokens: Vec<u32>,
    /// Pixels \[3, S, S\] in −1..1, not quantised.
    pub pixels: Vec<f32>,
    /// Mean token log-probability under the model that drew it.
    pub log_prob: f64,
    /// What the judge says.
    pub judgement: Judgement,
}

/// How images are drawn and judged.
pub struct Studio<'a> {
    /// Who draws.
    pub model: &'a dyn UnifiedModel,
    /// Who judges.
    pub judge: &'a dyn Judge,
    /// How to draw.
    pub sampling: &'a Sampling,
    /// Seed of the images' streams.
    pub seed: u64,
    /// Purpose of the images' streams.
    pub purpose: &'a str,
}

impl Studio<'_> {
    /// Draws and judges `orders`, handing each image to `take` with its position; `progress` is told
    /// of every image.
    ///
    /// # Errors
    /// When the model or the judge fails, or `take` does.
    pub fn draw_and_judge(
        &self,
        orders: &[Order<'_>],
        progress: &mut dyn FnMut(u64),
        take: &mut dyn FnMut(usize, JudgedImage) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        // Bounds the memory for pixels, and how long nothing is told.
        let at_a_time = self.model.images_at_a_time();
        for (chunk, orders) in orders.chunks(at_a_time).enumerate() {
            let requests: Vec<DrawRequest> = orders
                .iter()
                .map(|order| DrawRequest {
                    prompt: order.prompt.text.clone(),
                    rng: rng::stream(self.seed, self.purpose, &order.stream),
                })
                .collect();
            let drawings = self.model.draw(&requests, self.sampling)?;
            let tokens: Vec<Vec<u32>> = drawings
                .iter()
                .map(|drawing| drawing.tokens.clone())
                .collect();
            let pixels = self.model.decode(&tokens)?;
            let prompts: Vec<String> = orders
                .iter()
                .map(|order| order.prompt.text.clone())
                .collect();
            let judgements = self.judge.judge(self.model, &pixels, &prompts)?;
            let pixels = pixels.flatten_from(1)?.to_vec2::<f32>()?;
            let images = drawings.into_iter().zip(pixels).zip(judgements);
            for (offset, ((drawing, pixels), judgement)) in images.enumerate() {
                let image = JudgedImage {
                    tokens: drawing.tokens,
                    pixels,
                    log_prob: drawing.log_prob,
                    judgement,
                };
                take(chunk * at_a_time + offset, image)?;
            }
            progress(orders.len() as u64);
        }
        Ok(())
    }
}

/// The candidates of one prompt, with the tokens that the strategies do not see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrawnGroup {
    /// What the strategies see.
    pub group: Group,
    /// The images' tokens, by candidate index.
    pub tokens: Vec<Vec<u32>>,
}

impl DrawnGroup {
    /// A group without candidates.
    pub fn new(prompt: Prompt, history: PromptHistory) -> DrawnGroup {
        DrawnGroup {
            group: Group {
                prompt,
                history,
                candidates: Vec::new(),
            },
            tokens: Vec::new(),
        }
    }

    /// Adds an image as the next candidate.
    pub fn push(&mut self, image: JudgedImage) {
        self.group.candidates.push(Candidate {
            index: self.tokens.len() as u32,
            p_yes: image.judgement.p_yes,
            verdict: image.judgement.verdict,
            answer: image.judgement.answer,
            log_prob: image.log_prob,
            image_hash: image_hash(&image.tokens),
        });
        self.tokens.push(image.tokens);
    }
}

fn image_hash(tokens: &[u32]) -> u64 {
    let mut hasher = Sha256::new();
    for token in tokens {
        hasher.update(token.to_le_bytes());
    }
    let digest = hasher.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |hash, &byte| (hash << 8) | u64::from(byte))
}
