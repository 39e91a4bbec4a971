//! The options of losses, and what holds where none is given.

use std::ops::RangeInclusive;

use sc_core::choice::Objective;
use serde::{Deserialize, Serialize};

use crate::loss::Loss;

/// Which of an image's tokens count how much, in log-probabilities and in the NLL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenWeights {
    /// All alike.
    #[default]
    Uniform,
    /// By one over the root of how often the token's code comes in the round's images, scaled so
    /// that the mean over them is 1: what is rare, such as an object among background, counts more.
    Rare,
}

impl TokenWeights {
    /// The weight of each code, by how often it comes in `images`; none where all count alike.
    pub fn by_code<'a>(
        self,
        images: impl Iterator<Item = &'a [u32]>,
        codes: usize,
    ) -> Option<Vec<f32>> {
        if self == TokenWeights::Uniform {
            return None;
        }
        let mut counts = vec![0_u64; codes];
        for &token in images.flatten() {
            counts[token as usize] += 1;
        }
        let total: u64 = counts.iter().sum();
        // A code that does not come counts as one that comes once.
        let raw: Vec<f64> = counts
            .iter()
            .map(|&count| 1.0 / (count.max(1) as f64).sqrt())
            .collect();
        let sum: f64 = raw.iter().zip(&counts).map(|(w, &n)| w * n as f64).sum();
        let scale = if sum > 0.0 { total as f64 / sum } else { 1.0 };
        Some(raw.iter().map(|weight| (weight * scale) as f32).collect())
    }
}

/// Options of the loss; each that is absent is the objective's own default ([`Loss::new`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossSettings {
    /// Scale of the rewards, β.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// ε of sigmoid and robust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f64>,
    /// γ of SimPO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// Whether IPO and SimPO divide by the number of tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_normalised: Option<bool>,
    /// Factor on the NLL term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nll_weight: Option<f64>,
    /// KTO: factor on images to imitate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desirable_weight: Option<f64>,
    /// KTO: factor on images to avoid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undesirable_weight: Option<f64>,
    /// Which tokens count how much.
    pub token_weights: TokenWeights,
}

/// An option that is a number: its name, whether it was given, and what it may be.
pub type NumberOption = (&'static str, Option<f64>, RangeInclusive<f64>);

impl LossSettings {
    /// Every option that is a number, with its range.
    pub fn numbers(&self) -> [NumberOption; 6] {
        [
            ("beta", self.beta, 1e-6..=1e3),
            ("label_smoothing", self.label_smoothing, 0.0..=0.49),
            ("gamma", self.gamma, 0.0..=100.0),
            ("nll_weight", self.nll_weight, 0.0..=1e3),
            ("desirable_weight", self.desirable_weight, 0.0..=1e3),
            ("undesirable_weight", self.undesirable_weight, 0.0..=1e3),
        ]
    }
}

/// Reward that a nat of a whole image's log-probability comes to by default, whatever its length.
const BETA: f64 = 0.1;
/// Weight of the NLL term beside the losses whose slope is about β/2.
const NLL_WEIGHT: f64 = 5.0;

impl Loss {
    /// `objective` on images of `tokens` tokens, with the given options and its own defaults:
    ///
    /// - β 0.1 on summed log-probabilities; with length normalisation 0.1·N, so that the reward of a
    ///   nat of the whole image is the same at 16 tokens and at 576;
    /// - ε 0, of robust 0.1; γ 1, a margin of 10 nats an image; IPO and SimPO length-normalised;
    /// - NLL weight 5; of IPO 1000/N², without length normalisation 1000: as strong beside its slope
    ///   1/(βN) as 5 is beside sigmoid's β/2; of SFT, which is the NLL, none.
    pub fn new(objective: Objective, settings: &LossSettings, tokens: usize) -> Loss {
        let n = tokens as f64;
        let by_length = matches!(objective, Objective::Ipo | Objective::Simpo);
        let length_normalised = by_length && settings.length_normalised.unwrap_or(true);
        let beta = settings
            .beta
            .unwrap_or(if length_normalised { BETA * n } else { BETA });
        let smoothing = match objective {
            Objective::Robust => 0.1,
            _ => 0.0,
        };
        let length = if length_normalised { n } else { 1.0 };
        let nll_weight = match objective {
            Objective::Sft => 0.0,
            Objective::Ipo => NLL_WEIGHT * 2.0 / (BETA * length).powi(2),
            _ => NLL_WEIGHT,
        };
        Loss {
            objective,
            beta,
            label_smoothing: settings.label_smoothing.unwrap_or(smoothing),
            gamma: settings.gamma.unwrap_or(1.0),
            length_normalised,
            nll_weight: settings.nll_weight.unwrap_or(nll_weight),
            desirable_weight: settings.desirable_weight.unwrap_or(1.0),
            undesirable_weight: settings.undesirable_weight.unwrap_or(1.0),
            token_weights: settings.token_weights,
            tokens,
        }
    }
}
