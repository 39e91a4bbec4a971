//! Drawing images and asking the model what it thinks of them.

use sc_core::answer::parse_answer;
use sc_core::candidate::{Candidate, Group, Verdict};
use sc_core::history::PromptHistory;
use sc_core::plan::Sampling;
use sc_core::prompt::Prompt;
use sc_core::rng;
use sc_model::{Answer, DrawRequest, UnifiedModel};
use sha2::{Digest, Sha256};

use crate::error::RunError;

/// Images drawn, decoded and judged at a time. Bounds the memory for pixels; results do not
/// depend on it.
const CHUNK: usize = 512;

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

/// An image that the model drew, and what it says of it.
pub struct JudgedImage {
    /// The image's tokens.
    pub tokens: Vec<u32>,
    /// Pixels \[3, S, S\] in −1..1, not quantised.
    pub pixels: Vec<f32>,
    /// Mean token log-probability under the model that drew it.
    pub log_prob: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// Probability of yes against no, in 0–1.
    pub p_yes: f64,
    /// The answer's text, empty where the model answers by logits.
    pub answer: String,
}

/// Draws and judges `orders`, handing each image to `take` with its position.
///
/// # Errors
/// When the model fails, or `take` does.
pub fn draw_and_judge(
    model: &dyn UnifiedModel,
    orders: &[Order<'_>],
    sampling: &Sampling,
    seed: u64,
    purpose: &str,
    progress: &mut dyn FnMut(u64),
    take: &mut dyn FnMut(usize, JudgedImage) -> Result<(), RunError>,
) -> Result<(), RunError> {
    for (chunk, orders) in orders.chunks(CHUNK).enumerate() {
        let requests: Vec<DrawRequest> = orders
            .iter()
            .map(|order| DrawRequest {
                prompt: order.prompt.text.clone(),
                rng: rng::stream(seed, purpose, &order.stream),
            })
            .collect();
        let drawings = model.draw(&requests, sampling)?;
        let tokens: Vec<Vec<u32>> = drawings
            .iter()
            .map(|drawing| drawing.tokens.clone())
            .collect();
        let pixels = model.decode(&tokens)?;
        let prompts: Vec<String> = orders
            .iter()
            .map(|order| order.prompt.text.clone())
            .collect();
        let answers = model.judge(&pixels, &prompts)?;
        let pixels = pixels.flatten_from(1)?.to_vec2::<f32>()?;
        let images = drawings.into_iter().zip(pixels).zip(answers);
        for (offset, ((drawing, pixels), answer)) in images.enumerate() {
            let (verdict, p_yes, answer) = read_answer(answer);
            let image = JudgedImage {
                tokens: drawing.tokens,
                pixels,
                log_prob: drawing.log_prob,
                verdict,
                p_yes,
                answer,
            };
            take(chunk * CHUNK + offset, image)?;
        }
        progress(orders.len() as u64);
    }
    Ok(())
}

/// Verdict, p-yes and text of an answer. By logits, an image is rejected when p-yes ≤ 0.5.
pub fn read_answer(answer: Answer) -> (Verdict, f64, String) {
    match answer {
        Answer::YesNo { yes, no } => {
            let p_yes = 1.0 / (1.0 + (f64::from(no) - f64::from(yes)).exp());
            if p_yes.is_nan() {
                return (Verdict::Unparsed, 0.5, String::new());
            }
            let verdict = if p_yes > 0.5 {
                Verdict::Accepted
            } else {
                Verdict::Rejected
            };
            (verdict, p_yes, String::new())
        }
        Answer::Text(text) => {
            let verdict = parse_answer(&text);
            let p_yes = match verdict {
                Verdict::Accepted => 1.0,
                Verdict::Rejected => 0.0,
                Verdict::Unparsed => 0.5,
            };
            (verdict, p_yes, text)
        }
    }
}

/// The candidates of one prompt, with the tokens that the strategies do not see.
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
            p_yes: image.p_yes,
            verdict: image.verdict,
            answer: image.answer,
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
