//! Understanding: answers to questions about images.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::janus::JanusModel;
use crate::janus::llama::{Cache, Rows};
use crate::janus::network::Network;
use crate::kernels;
use crate::ops;
use crate::unified::Answer;

/// Longest text answer, in tokens: the paper's format takes a short sentence.
const MAX_ANSWER_TOKENS: usize = 64;

fn finite_words(logits: &[f32]) -> Result<()> {
    if logits.iter().all(|logit| logit.is_finite()) {
        Ok(())
    } else {
        Err(Error::NonFiniteOutput {
            what: "logits of words",
        })
    }
}

impl JanusModel {
    /// Answers to rows of ids, each about its image; where they are text, the score in it is asked
    /// for by itself as well.
    pub(super) fn answer_rows(
        &self,
        pixels: &Tensor,
        rows: &[Vec<u32>],
        asks_for_score: bool,
    ) -> Result<Vec<Answer>> {
        self.check_images(pixels, rows.len(), "questions")?;
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let portion = self.portion(longest);
        let mut answers = Vec::with_capacity(rows.len());
        for (number, rows) in rows.chunks(portion).enumerate() {
            let pixels = pixels.narrow(0, number * portion, rows.len())?.detach();
            let rows = Rows::padded(rows, self.text.special.pad);
            answers.extend(match self.text.yes_no {
                Some(words) => self.verdicts(&pixels, &rows, words)?,
                None => self.texts(&pixels, &rows, asks_for_score)?,
            });
        }
        Ok(answers)
    }

    /// Logits [B, vocab] of the word that answers each image's question; differentiable in all
    /// of the understanding path.
    ///
    /// # Errors
    /// When the counts or sizes differ, a question holds a special token, or the device fails.
    pub fn question_logits(&self, pixels: &Tensor, questions: &[String]) -> Result<Tensor> {
        self.check_images(pixels, questions.len(), "questions")?;
        let rows = questions
            .iter()
            .map(|question| self.text.ask_ids(question))
            .collect::<Result<Vec<_>>>()?;
        let rows = Rows::padded(&rows, self.text.special.pad);
        self.next_word_logits(&self.tracked, pixels, &rows)
    }

    /// Log-probabilities \[B\] of yes or no as the verdict on each image; differentiable in all of the
    /// understanding path.
    pub(super) fn answer_log_probs(
        &self,
        pixels: &Tensor,
        prompts: &[String],
        yes: &[bool],
    ) -> Result<Tensor> {
        self.check_images(pixels, prompts.len(), "prompts")?;
        self.check_images(pixels, yes.len(), "answers")?;
        let Some((yes_id, no_id)) = self.text.yes_no else {
            return Err(Error::argument(
                "model",
                "one that answers in sentences",
                "one whose verdict is the next word, yes or no",
            ));
        };
        let rows = prompts
            .iter()
            .map(|prompt| self.text.judge_ids(prompt))
            .collect::<Result<Vec<_>>>()?;
        let rows = Rows::padded(&rows, self.text.special.pad);
        let logits = self.next_word_logits(&self.tracked, &pixels.detach(), &rows)?;
        let answers: Vec<u32> = (yes.iter())
            .map(|&yes| if yes { yes_id } else { no_id })
            .collect();
        let answers = Tensor::new(answers, &self.device)?;
        Ok(ops::target_log_probs(&logits, &answers)?)
    }

    /// Logits [B, vocab] of the word after each row.
    fn next_word_logits(&self, network: &Network, pixels: &Tensor, rows: &Rows) -> Result<Tensor> {
        let input = self.embed_with_images(network, pixels, rows)?;
        let last = |hidden: Tensor| hidden.narrow(1, rows.width - 1, 1)?.squeeze(1);
        let last = if self.computing.has_small_kernels() {
            let merged = network.merged()?;
            let hidden = kernels::llama::forward(&input, &merged.llama, &rows.padding)?;
            network.llama.final_norm(&last(hidden)?)?
        } else {
            last(network.llama.forward(&input, &rows.padding)?)?
        };
        Ok(network.word_logits(&last.contiguous()?)?)
    }

    fn verdicts(&self, pixels: &Tensor, rows: &Rows, (yes, no): (u32, u32)) -> Result<Vec<Answer>> {
        let logits = self
            .next_word_logits(&self.frozen, pixels, rows)?
            .to_vec2::<f32>()?;
        logits
            .into_iter()
            .map(|logits| {
                let (yes, no) = (logits[yes as usize], logits[no as usize]);
                finite_words(&[yes, no])?;
                Ok(Answer::YesNo { yes, no })
            })
            .collect()
    }

    fn texts(&self, pixels: &Tensor, rows: &Rows, asks_for_score: bool) -> Result<Vec<Answer>> {
        let network = &self.frozen;
        let special = &self.text.special;
        let mut answers = vec![Vec::new(); rows.padding.sentences.len()];
        let mut finished = vec![false; answers.len()];
        let mut cache = Cache::default();
        let question = self.embed_with_images(network, pixels, rows)?;
        let mut logits = self.logits_after(&question, rows, &mut cache)?;
        let scores = match &self.text.score {
            Some(score) if asks_for_score => {
                let asked = cache.steps();
                let lead = score.lead.repeat(answers.len());
                let lead = network.llama.embed(&lead, score.lead.len())?;
                let digits = self
                    .logits_after(&lead, rows, &mut cache)?
                    .to_vec2::<f32>()?;
                cache.rewind(asked)?;
                digits
                    .iter()
                    .map(|digits| {
                        let [one, zero] = [score.one, score.zero].map(|id| digits[id as usize]);
                        Some(1.0 / (1.0 + f64::from(zero - one).exp()))
                    })
                    .collect()
            }
            _ => vec![None; answers.len()],
        };
        for _ in 0..MAX_ANSWER_TOKENS {
            let mut next = logits.argmax(1)?.to_vec1::<u32>()?;
            for (row, id) in next.iter_mut().enumerate() {
                finished[row] |= *id == special.eos;
                if finished[row] {
                    *id = special.pad;
                } else {
                    answers[row].push(*id);
                }
            }
            if finished.iter().all(|finished| *finished) {
                break;
            }
            let said = network.llama.embed(&next, 1)?;
            logits = self.logits_after(&said, rows, &mut cache)?;
        }
        let answers = answers.iter().zip(scores);
        answers
            .map(|(ids, score_one)| {
                Ok(Answer::Text {
                    text: self.text.decode(ids)?,
                    score_one,
                })
            })
            .collect()
    }

    /// Logits [B, vocab] of the word after inputs that follow those in `cache`.
    fn logits_after(&self, input: &Tensor, rows: &Rows, cache: &mut Cache) -> Result<Tensor> {
        let llama = &self.frozen.llama;
        let hidden = llama.continued(input, &rows.padding, cache)?;
        let last = hidden.narrow(1, hidden.dim(1)? - 1, 1)?.squeeze(1)?;
        let logits = self.frozen.word_logits(&last.contiguous()?)?;
        // A sum is finite only if all that it is of are.
        finite_words(&logits.sum(1)?.to_vec1()?)?;
        Ok(logits)
    }

    /// Word logits [B, L, vocab] at every step of left-padded rows about images; differentiable
    /// in all of the understanding path over the tracked network.
    pub(crate) fn text_logits(
        &self,
        network: &Network,
        pixels: &Tensor,
        rows: &Rows,
    ) -> Result<Tensor> {
        let input = self.embed_with_images(network, pixels, rows)?;
        let hidden = network.llama.forward(&input, &rows.padding)?;
        Ok(network.word_logits(&hidden)?)
    }

    /// Embedded rows [B, L, hidden] with the images' features where the placeholders stand.
    pub(super) fn embed_with_images(
        &self,
        network: &Network,
        pixels: &Tensor,
        rows: &Rows,
    ) -> Result<Tensor> {
        let features = self.image_features(network, pixels)?;
        let (images, patches, hidden) = features.dims3()?;
        let words = rows.ids.len();
        let placeholder = self.text.special.image_placeholder;
        // One table of words and features, and for each place the row of the table.
        let mut index = Vec::with_capacity(words);
        let mut feature = words;
        for (place, id) in rows.ids.iter().enumerate() {
            if *id == placeholder {
                index.push(feature as u32);
                feature += 1;
            } else {
                index.push(place as u32);
            }
        }
        for (row, ids) in rows.ids.chunks(rows.width).enumerate() {
            let places = ids.iter().filter(|id| **id == placeholder).count();
            if places != patches {
                return Err(Error::argument(
                    format!("image placeholders of row {row}"),
                    places,
                    format!("{patches}, one a patch of its image"),
                ));
            }
        }
        let table = Tensor::cat(
            &[
                network.llama.embed(&rows.ids, 1)?.squeeze(1)?,
                features.reshape((images * patches, hidden))?,
            ],
            0,
        )?;
        let index = Tensor::new(index.as_slice(), &self.device)?;
        Ok(table
            .index_select(&index, 0)?
            .reshape((images, rows.width, hidden))?)
    }

    /// The language model's inputs [B, patches, hidden] for images in −1..1.
    pub(super) fn image_features(&self, network: &Network, pixels: &Tensor) -> Result<Tensor> {
        let pixels = &self.preprocessor.seen(pixels)?;
        // The kernel hands no gradient back to the pixels: where one is wanted, the general path.
        if self.computing.has_small_kernels() && !pixels.track_op() {
            let merged = network.merged()?;
            let (tower, aligner) = (&merged.tower, &merged.aligner);
            return Ok(kernels::tower::image_features(pixels, tower, aligner)?);
        }
        Ok(network.image_features(pixels)?)
    }
}
