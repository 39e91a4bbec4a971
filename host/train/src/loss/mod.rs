//! Losses on the log-probabilities of images.
//!
//! A sequence is one image; its log-probability is the sum over its tokens, in nats. [`Loss`] is what a
//! run trains with; [`formula`] holds the formulas by themselves, [`catalogue`] what people read of
//! them, and [`settings`] the options. All take and return tensors of one element a sequence, in f32
//! or f64, and gradients flow to the policy's log-probabilities alone: pass the reference's detached.

pub mod catalogue;
pub mod formula;
pub mod settings;

use candle_core::{Result, Tensor};
use sc_core::choice::Objective;

use self::formula::PairLogProbs;
pub use self::settings::{LossSettings, TokenWeights};

/// Mean token negative log-likelihood of each image, \[B\], from its token log-probabilities
/// \[B, N\].
pub fn token_nll(token_log_probs: &Tensor) -> Result<Tensor> {
    token_log_probs.mean(1)?.neg()
}

/// An objective with all its options: what a round is trained with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// The formula.
    pub objective: Objective,
    /// Scale of the rewards.
    pub beta: f64,
    /// ε, the share of labels that are taken to be flipped.
    pub label_smoothing: f64,
    /// Margin that SimPO asks of the rewards.
    pub gamma: f64,
    /// Whether IPO and SimPO divide log-probabilities by the number of tokens.
    pub length_normalised: bool,
    /// Factor on the mean-token NLL of the images to imitate, added to a preference loss.
    pub nll_weight: f64,
    /// KTO: factor on the loss of images to imitate.
    pub desirable_weight: f64,
    /// KTO: factor on the loss of images to avoid.
    pub undesirable_weight: f64,
    /// Which tokens count how much.
    pub token_weights: TokenWeights,
    /// Tokens of an image, N.
    pub tokens: usize,
}

impl Loss {
    /// Whether the log-probabilities of a reference model enter into it.
    pub fn needs_reference(&self) -> bool {
        !matches!(self.objective, Objective::Sft | Objective::Simpo)
    }

    /// The number that log-probabilities are divided by.
    fn length(&self) -> f64 {
        if self.length_normalised {
            self.tokens as f64
        } else {
            1.0
        }
    }

    /// Preference loss of each pair, \[B\], without the NLL term.
    ///
    /// # Errors
    /// When the shapes differ, or the objective takes no pairs.
    pub fn pairs(&self, pairs: &PairLogProbs<'_>) -> Result<Tensor> {
        let (beta, smoothing) = (self.beta, self.label_smoothing);
        match self.objective {
            Objective::Sigmoid => formula::sigmoid(&pairs.margin()?, beta, smoothing),
            Objective::Robust => formula::robust(&pairs.margin()?, beta, smoothing),
            Objective::Hinge => formula::hinge(&pairs.margin()?, beta),
            Objective::Ipo => formula::ipo(&pairs.margin()?, beta, self.length()),
            Objective::Simpo => {
                let difference = (pairs.chosen - pairs.rejected)?;
                formula::simpo(&difference, beta, self.gamma, self.length())
            }
            Objective::ApoZero => {
                formula::apo_zero(&pairs.chosen_ratio()?, &pairs.rejected_ratio()?, beta)
            }
            Objective::Sft | Objective::Kto => {
                candle_core::bail!("`{}` takes no pairs", self.objective)
            }
        }
    }

    /// What a pair's preference is measured by, \[B\]: above 0 where the policy prefers the chosen
    /// image, against the reference where there is one.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn pair_margin(&self, pairs: &PairLogProbs<'_>) -> Result<Tensor> {
        if self.needs_reference() {
            pairs.margin()
        } else {
            pairs.chosen - pairs.rejected
        }
    }

    /// KTO's loss of each image, \[B\], from its log-ratio Δ and whether it is to be imitated.
    ///
    /// # Errors
    /// When the counts differ.
    pub fn labelled(&self, ratios: &Tensor, desirable: &[bool]) -> Result<Tensor> {
        let weights = (self.desirable_weight, self.undesirable_weight);
        formula::kto(ratios, desirable, self.beta, weights)
    }
}
