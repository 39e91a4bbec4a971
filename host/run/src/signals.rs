//! Signals by which a gate can tell a better model from one that only says so.
//!
//! The Nonunified score falls as well when the judge becomes permissive, and swapped pairs look like
//! any others: so a model's answers are held against their opposites, its images of one prompt
//! against each other, and what a round trains on is asked about once more in other words.

use std::cell::RefCell;

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use sc_core::candidate::Verdict;
use sc_core::metrics::{Mean, Metric, Share};
use sc_core::plan::Sampling;
use sc_core::prompt::Prompt;
use sc_core::rng;
use sc_model::{DrawRequest, UnifiedModel};
use sc_train::Examples;
use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::generation::Order;
use crate::judge::{Judge, Judgement, OwnVerdict, agree};
use crate::supervision::shuffle;
use crate::task::Questions;

/// Prompts of which several images are drawn.
const DIVERSE_PROMPTS: usize = 50;
/// Images of each.
const DIVERSE_IMAGES: u32 = 4;
/// Examples of a stage that are audited.
const AUDITED: usize = 200;

/// What is measured of a model beside its figures; absent where it cannot be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// Share of own images on which the answers to the question and to its opposite fit together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Share>,
    /// Mean share of the tokens in which two images of one prompt differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diversity: Option<Mean>,
}

impl Signals {
    /// By name, as strategies see them.
    pub fn metrics(&self) -> Vec<Metric> {
        let consistency = self.consistency.map(|c| Metric::new("consistency", c));
        let diversity = self.diversity.map(|d| Metric::from(("diversity", d)));
        consistency.into_iter().chain(diversity).collect()
    }
}

/// The model's own verdict, with its answer to the opposite question noted beside it.
pub(crate) struct Witness<'a> {
    questions: &'a dyn Questions,
    /// Whether the answers fit together, image by image.
    agreed: RefCell<Vec<bool>>,
}

impl<'a> Witness<'a> {
    /// A witness, if the model knows the words of the opposite question.
    pub(crate) fn new(
        questions: &'a dyn Questions,
        model: &dyn UnifiedModel,
    ) -> Result<Option<Witness<'a>>, RunError> {
        let known = model
            .unknown_words(&questions.contradiction(""))?
            .is_empty();
        Ok(known.then(|| Witness {
            questions,
            agreed: RefCell::default(),
        }))
    }

    pub(crate) fn consistency(&self) -> Share {
        let agreed = self.agreed.borrow();
        let hits = agreed.iter().filter(|agreed| **agreed).count();
        Share::of(hits as u64, agreed.len() as u64)
    }
}

impl Judge for Witness<'_> {
    fn judge(
        &self,
        model: &dyn UnifiedModel,
        pixels: &Tensor,
        prompts: &[String],
    ) -> Result<Vec<Judgement>, RunError> {
        let judgements = OwnVerdict.judge(model, pixels, prompts)?;
        let opposite: Vec<String> = prompts
            .iter()
            .map(|prompt| self.questions.contradiction(prompt))
            .collect();
        let answers = model
            .ask(pixels, &opposite)?
            .into_iter()
            .map(Judgement::read);
        let both = judgements.iter().zip(answers);
        let agreed = both.map(|(own, opposite)| agree(own.verdict, opposite.verdict));
        self.agreed.borrow_mut().extend(agreed);
        Ok(judgements)
    }
}

/// How far apart the images of a prompt are, over the first of some prompts; `purpose` names the
/// streams that they are drawn with.
pub(crate) fn diversity(
    model: &dyn UnifiedModel,
    prompts: &[Prompt],
    sampling: &Sampling,
    (seed, purpose): (u64, &str),
) -> Result<Option<Mean>, RunError> {
    let prompts = &prompts[..prompts.len().min(DIVERSE_PROMPTS)];
    let requests: Vec<DrawRequest> = Order::several(prompts, DIVERSE_IMAGES)
        .iter()
        .map(|order| DrawRequest {
            prompt: order.prompt.text.clone(),
            rng: rng::stream(seed, purpose, &order.stream),
        })
        .collect();
    let drawings = model.draw(&requests, sampling)?;
    let of_prompts = drawings.chunks(DIVERSE_IMAGES as usize);
    let distances: Vec<f64> = of_prompts
        .map(|images| {
            let images: Vec<&[u32]> = images.iter().map(|image| &*image.tokens).collect();
            mean_distance(&images)
        })
        .collect();
    Ok(Mean::of(&distances))
}

/// Mean over all pairs of images of the share of tokens in which they differ.
fn mean_distance(images: &[&[u32]]) -> f64 {
    let (mut differing, mut compared) = (0, 0);
    for (position, one) in images.iter().enumerate() {
        for other in &images[position + 1..] {
            differing += one.iter().zip(*other).filter(|(a, b)| a != b).count();
            compared += one.len();
        }
    }
    differing as f64 / compared.max(1) as f64
}

/// Counts of an audit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Audit {
    flipped: u64,
    asked: u64,
}

impl Audit {
    /// Share of what was audited that other words turn round; none where nothing was.
    pub(crate) fn flips(&self) -> Option<Share> {
        (self.asked > 0).then(|| Share::of(self.flipped, self.asked))
    }

    pub(crate) fn add(&mut self, other: Audit) {
        self.flipped += other.flipped;
        self.asked += other.asked;
    }
}

/// Asks `model`, as it is before it is trained on them, about a sample of `examples` in other words
/// than those that it judged by: does it still prefer the image that is to be preferred, accept what
/// is to be imitated, reject what is to be avoided?
pub(crate) fn audit(
    model: &dyn UnifiedModel,
    questions: &dyn Questions,
    examples: &Examples,
    random: &mut ChaCha8Rng,
) -> Result<Audit, RunError> {
    let mut order: Vec<usize> = (0..examples.len()).collect();
    shuffle(&mut order, random);
    order.truncate(AUDITED);
    // Each image once, and each example's positions among them.
    let mut images: Vec<(&str, &[u32])> = Vec::new();
    for &at in &order {
        match examples {
            Examples::Targets(targets) => {
                images.push((&targets[at].prompt, &targets[at].tokens));
            }
            Examples::Pairs(pairs) => {
                images.push((&pairs[at].prompt, &pairs[at].chosen));
                images.push((&pairs[at].prompt, &pairs[at].rejected));
            }
        }
    }
    let Some(p_yes) = in_other_words(model, questions, &images)? else {
        return Ok(Audit::default());
    };
    let flipped = match examples {
        Examples::Targets(targets) => {
            let asked = order.iter().zip(&p_yes);
            asked
                .filter(|&(&at, &p_yes)| (p_yes > 0.5) != targets[at].desirable)
                .count()
        }
        Examples::Pairs(_) => p_yes.chunks(2).filter(|pair| pair[0] <= pair[1]).count(),
    };
    Ok(Audit {
        flipped: flipped as u64,
        asked: order.len() as u64,
    })
}

/// p-yes of images by the paraphrases and the opposite question, averaged over those whose words the
/// model knows; none where it knows none.
fn in_other_words(
    model: &dyn UnifiedModel,
    questions: &dyn Questions,
    images: &[(&str, &[u32])],
) -> Result<Option<Vec<f64>>, RunError> {
    if images.is_empty() {
        return Ok(None);
    }
    let tokens: Vec<Vec<u32>> = images.iter().map(|(_, tokens)| tokens.to_vec()).collect();
    let pixels = model.decode(&tokens)?;
    let wordings = questions.paraphrases("").len();
    let mut sums = vec![0.0; images.len()];
    let mut asked = 0;
    for wording in 0..=wordings {
        let is_opposite = wording == wordings;
        let question = |prompt: &str| match is_opposite {
            true => questions.contradiction(prompt),
            false => questions.paraphrases(prompt).swap_remove(wording),
        };
        if !model.unknown_words(&question(""))?.is_empty() {
            continue;
        }
        let texts: Vec<String> = images.iter().map(|(prompt, _)| question(prompt)).collect();
        for (sum, answer) in sums.iter_mut().zip(model.ask(&pixels, &texts)?) {
            let judgement = Judgement::read(answer);
            *sum += match (judgement.verdict, is_opposite) {
                (Verdict::Unparsed, _) => 0.5,
                (_, false) => judgement.p_yes,
                (_, true) => 1.0 - judgement.p_yes,
            };
        }
        asked += 1;
    }
    if asked == 0 {
        return Ok(None);
    }
    Ok(Some(
        sums.iter().map(|sum| sum / f64::from(asked)).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_the_mean_over_pairs() {
        let images: [&[u32]; 3] = [&[1, 2], &[1, 2], &[1, 3]];
        // 0, ½ and ½.
        assert!((mean_distance(&images) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(mean_distance(&[&[1]]), 0.0);
    }
}
