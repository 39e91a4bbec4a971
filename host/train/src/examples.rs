//! What a round is trained on.

use candle_core::Tensor;
use sc_core::choice::Takes;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// An image by itself. Weights are relative: a round's are scaled to a mean of 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The prompt.
    pub prompt: String,
    /// The image's tokens.
    pub tokens: Vec<u32>,
    /// Weight in the loss.
    pub weight: f64,
    /// Whether it is to be imitated or to be avoided.
    pub desirable: bool,
}

/// A preferred and a dispreferred image of one prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The prompt of both.
    pub prompt: String,
    /// Tokens of the preferred image.
    pub chosen: Vec<u32>,
    /// Tokens of the dispreferred image.
    pub rejected: Vec<u32>,
    /// Weight in the loss.
    pub weight: f64,
}

/// What a round is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Examples {
    /// Images by themselves, for SFT and KTO.
    Targets(Vec<Target>),
    /// A better and a worse image of a prompt, for preference losses.
    Pairs(Vec<Pair>),
}

impl Examples {
    /// None yet of what an objective takes.
    pub fn none(takes: Takes) -> Examples {
        match takes {
            Takes::Pairs => Examples::Pairs(Vec::new()),
            Takes::Targets | Takes::LabelledTargets => Examples::Targets(Vec::new()),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Examples::Targets(targets) => targets.len(),
            Examples::Pairs(pairs) => pairs.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those from position `first` on.
    pub fn tail(&self, first: usize) -> Examples {
        match self {
            Examples::Targets(targets) => Examples::Targets(targets[first..].to_vec()),
            Examples::Pairs(pairs) => Examples::Pairs(pairs[first..].to_vec()),
        }
    }

    /// Adds those of `more`, which are of the same kind.
    pub fn extend(&mut self, more: Examples) {
        match (self, more) {
            (Examples::Targets(targets), Examples::Targets(more)) => targets.extend(more),
            (Examples::Pairs(pairs), Examples::Pairs(more)) => pairs.extend(more),
            // One plan has one objective, so this is a round without examples so far.
            (of_another_kind, more) => *of_another_kind = more,
        }
    }

    /// Tokens of every image.
    pub(crate) fn images(&self) -> impl Iterator<Item = &[u32]> {
        let (targets, pairs): (&[Target], &[Pair]) = match self {
            Examples::Targets(targets) => (targets, &[]),
            Examples::Pairs(pairs) => (&[], pairs),
        };
        let of_targets = targets.iter().map(|target| &*target.tokens);
        let of_pairs = pairs
            .iter()
            .flat_map(|pair| [&*pair.chosen, &*pair.rejected]);
        of_targets.chain(of_pairs)
    }

    /// Prompt and tokens of the images of the examples at `batch`: of pairs all preferred images,
    /// then all dispreferred ones in the same order.
    pub(crate) fn rows(&self, batch: &[usize]) -> Vec<(&str, &[u32])> {
        match self {
            Examples::Targets(targets) => (batch.iter())
                .map(|&at| (&*targets[at].prompt, &*targets[at].tokens))
                .collect(),
            Examples::Pairs(pairs) => {
                let chosen = batch
                    .iter()
                    .map(|&at| (&*pairs[at].prompt, &*pairs[at].chosen));
                let rejected = (batch.iter()).map(|&at| (&*pairs[at].prompt, &*pairs[at].rejected));
                chosen.chain(rejected).collect()
            }
        }
    }

    /// The weights, scaled to a mean of 1.
    pub(crate) fn relative_weights(&self) -> Vec<f64> {
        let weights: Vec<f64> = match self {
            Examples::Targets(targets) => targets.iter().map(|target| target.weight).collect(),
            Examples::Pairs(pairs) => pairs.iter().map(|pair| pair.weight).collect(),
        };
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        weights.iter().map(|weight| weight / mean).collect()
    }
}

/// Token log-probabilities of a round's images under the reference, taken once from the model as it
/// is at the round's start: \[examples, N\] for each image that an example has. Objectives without a
/// reference have none.
#[derive(Clone, Debug, Default)]
pub struct Reference(pub(crate) Vec<Tensor>);

impl Reference {
    /// Put together again from [`Reference::tensors`].
    pub fn of(tensors: Vec<Tensor>) -> Reference {
        Reference(tensors)
    }

    /// What it is made of.
    pub fn tensors(&self) -> &[Tensor] {
        &self.0
    }

    /// How many examples it covers.
    pub fn len(&self) -> usize {
        let rows = self.0.first().and_then(|rows| rows.dim(0).ok());
        rows.unwrap_or(0)
    }

    /// Whether it covers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds those of further examples, taken from the same model.
    ///
    /// # Errors
    /// When the device runs out of memory.
    pub fn extend(&mut self, more: Reference) -> Result<(), TrainError> {
        if self.is_empty() {
            *self = more;
            return Ok(());
        }
        for (rows, more) in self.0.iter_mut().zip(more.0) {
            *rows = Tensor::cat(&[&*rows, &more], 0)?;
        }
        Ok(())
    }

    /// The rows of some examples, in the order of [`Examples::rows`]; none where there is no
    /// reference.
    pub(crate) fn rows(&self, batch: &[usize]) -> Result<Option<Tensor>, TrainError> {
        let Some(first) = self.0.first() else {
            return Ok(None);
        };
        let at: Vec<u32> = batch.iter().map(|&index| index as u32).collect();
        let at = Tensor::new(at, first.device())?;
        let rows = self.0.iter().map(|rows| rows.index_select(&at, 0));
        let rows = rows.collect::<candle_core::Result<Vec<Tensor>>>()?;
        Ok(Some(Tensor::cat(&rows, 0)?))
    }
}
