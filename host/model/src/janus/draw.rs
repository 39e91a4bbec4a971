//! Drawing: image tokens one by one, with guidance on paired rows.

use candle_core::{D, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use sc_core::plan::Sampling;

use crate::error::{Error, Result};
use crate::janus::JanusModel;
use crate::janus::llama::{Cache, Rows};
use crate::kernels;
use crate::unified::{DrawRequest, Drawing};

impl JanusModel {
    /// Draws the first `tokens` tokens of one image a request, all of them at most: to measure how
    /// long they take.
    ///
    /// # Errors
    /// As [`UnifiedModel::draw`](crate::UnifiedModel::draw), and when no tokens are asked for.
    pub fn draw_beginnings(
        &self,
        requests: &[DrawRequest],
        sampling: &Sampling,
        tokens: usize,
    ) -> Result<Vec<Drawing>> {
        if tokens == 0 || tokens > self.config.vq.tokens() {
            let range = format!("1 to {}", self.config.vq.tokens());
            return Err(Error::argument("tokens", tokens, range));
        }
        let rows = requests
            .iter()
            .map(|request| self.text.draw_ids(&request.prompt))
            .collect::<Result<Vec<_>>>()?;
        let mut chances: Vec<ChaCha8Rng> =
            requests.iter().map(|request| request.rng.clone()).collect();
        self.draw_rows(&rows, &mut chances, sampling, tokens)
    }

    /// Draws the first `tokens` tokens of an image for each row of prompt ids (begin of sentence to
    /// begin of image), each with its own source of chance.
    pub(crate) fn draw_rows(
        &self,
        prompts: &[Vec<u32>],
        chances: &mut [ChaCha8Rng],
        sampling: &Sampling,
        tokens: usize,
    ) -> Result<Vec<Drawing>> {
        check(sampling)?;
        let guided = sampling.guidance != 1.0;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let mut drawings = Vec::with_capacity(prompts.len());
        if self.computing.has_small_kernels() {
            let unconditional: Vec<Vec<u32>> = (prompts.iter().filter(|_| guided))
                .map(|ids| self.text.unconditional(ids))
                .collect();
            let order = kernels::draw::Order {
                conditional: prompts,
                unconditional: &unconditional,
                tokens,
                sampling: *sampling,
                pad: self.text.special.pad,
            };
            let network = self.frozen.merged()?;
            drawings = kernels::draw::draw(&network, &order, chances)?;
        } else {
            let rows_an_image = if guided { 2 } else { 1 };
            let steps = longest + tokens;
            let portion = self.portion(steps * rows_an_image);
            for (prompts, chances) in prompts.chunks(portion).zip(chances.chunks_mut(portion)) {
                drawings.extend(self.draw_portion(prompts, chances, sampling, tokens)?);
            }
        }
        if drawings.iter().any(|drawing| !drawing.log_prob.is_finite()) {
            return Err(Error::NonFiniteOutput {
                what: "logits of image tokens",
            });
        }
        Ok(drawings)
    }

    fn draw_portion(
        &self,
        prompts: &[Vec<u32>],
        chances: &mut [ChaCha8Rng],
        sampling: &Sampling,
        tokens: usize,
    ) -> Result<Vec<Drawing>> {
        let network = &self.frozen;
        let guided = sampling.guidance != 1.0;
        let mut rows = prompts.to_vec();
        if guided {
            rows.extend(prompts.iter().map(|ids| self.text.unconditional(ids)));
        }
        let rows = Rows::padded(&rows, self.text.special.pad);
        let mut cache = Cache::default();
        let mut input = network.llama.embed(&rows.ids, rows.width)?;
        let mut pickers: Vec<Picker> = prompts.iter().map(|_| Picker::new(tokens)).collect();
        for step in 0..tokens {
            let hidden = network.llama.continued(&input, &rows.padding, &mut cache)?;
            let last = hidden.narrow(1, hidden.dim(1)? - 1, 1)?.squeeze(1)?;
            let logits = network.generation_head.forward(&last)?.to_vec2::<f32>()?;
            let mut next = Vec::with_capacity(rows.padding.sentences.len());
            for (image, (picker, chance)) in pickers.iter_mut().zip(&mut *chances).enumerate() {
                let unconditional = guided.then(|| logits[prompts.len() + image].as_slice());
                next.push(picker.pick(&logits[image], unconditional, sampling, chance));
            }
            if step + 1 < tokens {
                if guided {
                    next.extend_from_within(..);
                }
                let next = Tensor::new(next.as_slice(), &self.device)?;
                input = network.embed_image_tokens(&next)?.unsqueeze(D::Minus2)?;
            }
        }
        Ok(pickers.into_iter().map(Picker::finish).collect())
    }
}

fn check(sampling: &Sampling) -> Result<()> {
    if !sampling.guidance.is_finite() {
        return Err(Error::argument(
            "guidance",
            sampling.guidance,
            "a finite number",
        ));
    }
    if !(sampling.temperature.is_finite() && sampling.temperature >= 0.0) {
        return Err(Error::argument(
            "temperature",
            sampling.temperature,
            "a finite number from 0",
        ));
    }
    Ok(())
}

/// Picks one image's tokens from its logits.
pub(crate) struct Picker {
    tokens: Vec<u32>,
    log_prob: f64,
}

impl Picker {
    pub(crate) fn new(tokens: usize) -> Picker {
        Picker {
            tokens: Vec::with_capacity(tokens),
            log_prob: 0.0,
        }
    }

    /// Picks the next token by `conditional` logits, moved away from the `unconditional` ones as
    /// the guidance says. Logits that are not finite leave a log-probability that is none either.
    pub(crate) fn pick(
        &mut self,
        conditional: &[f32],
        unconditional: Option<&[f32]>,
        sampling: &Sampling,
        chance: &mut ChaCha8Rng,
    ) -> u32 {
        let guided: Option<Vec<f32>> = unconditional.map(|unconditional| {
            let weight = sampling.guidance as f32;
            let rows = conditional.iter().zip(unconditional);
            rows.map(|(c, u)| u + weight * (c - u)).collect()
        });
        let logits = guided.as_deref().unwrap_or(conditional);
        let finite = |logits: &[f32]| logits.iter().all(|logit| logit.is_finite());
        if !(finite(logits) && finite(conditional)) {
            self.log_prob = f64::NAN;
        }
        let token = choose(logits, sampling.temperature, chance);
        self.log_prob += log_softmax_at(conditional, token);
        let token = token as u32;
        self.tokens.push(token);
        token
    }

    pub(crate) fn finish(self) -> Drawing {
        Drawing {
            log_prob: self.log_prob / self.tokens.len() as f64,
            tokens: self.tokens,
        }
    }
}

fn largest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

fn log_softmax_at(logits: &[f32], index: usize) -> f64 {
    let top = largest(logits);
    let sum: f64 = logits
        .iter()
        .map(|logit| f64::from((logit - top).exp()))
        .sum();
    f64::from(logits[index] - top) - sum.ln()
}

/// The first of the largest at temperature 0; else a draw from the softmax, by the inverse of its
/// distribution function at one uniform number.
fn choose(logits: &[f32], temperature: f64, chance: &mut ChaCha8Rng) -> usize {
    let top = largest(logits);
    if temperature == 0.0 {
        return logits.iter().position(|logit| *logit == top).unwrap_or(0);
    }
    let scale = 1.0 / temperature;
    let weights: Vec<f64> = logits
        .iter()
        .map(|logit| (f64::from(logit - top) * scale).exp())
        .collect();
    let mut left = chance.random::<f64>() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return index;
        }
    }
    // Rounding may leave a crumb at the very end.
    weights
        .iter()
        .rposition(|weight| *weight > 0.0)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_follow_the_softmax() {
        let logits = [0.0, 1.0, -1.0, f32::NEG_INFINITY];
        let mut chance = sc_core::rng::stream(3, "test", &[]);
        let mut counts = [0_u32; 4];
        for _ in 0..20_000 {
            counts[choose(&logits, 0.5, &mut chance)] += 1;
        }
        let total: f64 = logits.iter().map(|l| f64::from(l * 2.0).exp()).sum();
        for (count, logit) in counts.iter().zip(logits) {
            let expected = f64::from(logit * 2.0).exp() / total;
            assert!((f64::from(*count) / 20_000.0 - expected).abs() < 0.01);
        }
        assert_eq!(choose(&logits, 0.0, &mut chance), 1);
    }

    #[test]
    fn senseless_sampling_is_refused_by_name() {
        for (temperature, guidance, named) in [
            (f64::NAN, 1.0, "temperature"),
            (-1.0, 1.0, "temperature"),
            (1.0, f64::INFINITY, "guidance"),
        ] {
            let error = check(&Sampling {
                temperature,
                guidance,
            })
            .expect_err("must be refused");
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
