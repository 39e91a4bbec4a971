//! What a round is trained on.

use candle_core::Tensor;

use crate::error::TrainError;

/// An image to imitate. Weights are relative: a round's are scaled to a mean of 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The prompt.
    pub prompt: String,
    /// The image's tokens.
    pub tokens: Vec<u32>,
    /// Weight in the loss.
    pub weight: f64,
}

/// A preferred and a dispreferred image of one prompt.
#[derive(Clone, Debug, PartialEq)]
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

/// What a round is trained on; the kind of example decides the loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Examples {
    /// Supervised fine-tuning: mean-token NLL of each image.
    Targets(Vec<Target>),
    /// Direct preference optimisation, with an NLL term on the chosen image.
    Pairs(Vec<Pair>),
}

impl Examples {
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

    /// Adds those of `more`, which are of the same kind.
    pub fn extend(&mut self, more: Examples) {
        match (self, more) {
            (Examples::Targets(targets), Examples::Targets(more)) => targets.extend(more),
            (Examples::Pairs(pairs), Examples::Pairs(more)) => pairs.extend(more),
            // One plan has one objective, so this is a round without examples so far.
            (of_another_kind, more) => *of_another_kind = more,
        }
    }
}

/// Reference log-probabilities of a round's pairs, summed over tokens, \[pairs\] each, taken once
/// from the model as it is at the round's start. Targets have none.
#[derive(Clone, Debug, Default)]
pub struct Reference(pub(crate) Option<ReferenceSums>);

#[derive(Clone, Debug)]
pub(crate) struct ReferenceSums {
    pub(crate) chosen: Tensor,
    pub(crate) rejected: Tensor,
}

impl Reference {
    /// How many pairs it covers.
    pub fn len(&self) -> usize {
        let sums = self.0.as_ref();
        sums.map_or(0, |sums| sums.chosen.elem_count())
    }

    /// Whether it covers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds those of further pairs, taken from the same model.
    ///
    /// # Errors
    /// When the device runs out of memory.
    pub fn extend(&mut self, more: Reference) -> Result<(), TrainError> {
        self.0 = match (self.0.take(), more.0) {
            (Some(first), Some(more)) => Some(ReferenceSums {
                chosen: Tensor::cat(&[first.chosen, more.chosen], 0)?,
                rejected: Tensor::cat(&[first.rejected, more.rejected], 0)?,
            }),
            (first, more) => first.or(more),
        };
        Ok(())
    }
}
