//! Understanding to be learnt: how likely answers are when several questions about an image share
//! its row, and what the words say of the image's features.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::janus::JanusModel;
use crate::janus::llama::{COMPUTE, Rows};
use crate::janus::network::Network;
use crate::kernels;
use crate::ops;
use crate::text::Branch;

/// Which steps of each row predict, and which words, row by row.
struct Predictions {
    steps: Vec<Vec<usize>>,
    targets: Vec<u32>,
}

impl Predictions {
    /// Of `branches` in `rows`, which [`Rows::branched`] made of them.
    fn new(rows: &Rows, branches: &[Vec<Branch>]) -> Predictions {
        let mut targets = Vec::new();
        let mut steps = Vec::with_capacity(branches.len());
        for (sentence, branches) in rows.padding.sentences.iter().zip(branches) {
            let mut of_row = Vec::new();
            for (fork, branch) in sentence.forks.iter().zip(branches) {
                for token in branch.ids.len() - branch.predicted..branch.ids.len() {
                    // The step before predicts; that of a branch's first token ends the stem.
                    of_row.push(match token {
                        0 => sentence.forks[0] - 1,
                        _ => fork + token - 1,
                    });
                    targets.push(branch.ids[token]);
                }
            }
            steps.push(of_row);
        }
        Predictions { steps, targets }
    }
}

impl JanusModel {
    /// Log-probabilities [sum of `predicted`], image by image, branch by branch, token by token,
    /// of each predicted token given the image and what stands before it in its branch; `branches`
    /// holds each image's. Differentiable in all weights of the understanding path.
    ///
    /// # Errors
    /// When the counts or sizes differ, a branch predicts no token or more than it has, holds an
    /// id outside the vocabulary or an image of its own, or is too long; when the asking template
    /// has no image before its question; or when the device fails.
    pub fn branch_log_probs(&self, pixels: &Tensor, branches: &[Vec<Branch>]) -> Result<Tensor> {
        self.network_branch_log_probs(&self.tracked, pixels, branches)
    }

    /// The same without a graph.
    ///
    /// # Errors
    /// As [`JanusModel::branch_log_probs`].
    pub fn frozen_branch_log_probs(
        &self,
        pixels: &Tensor,
        branches: &[Vec<Branch>],
    ) -> Result<Tensor> {
        self.network_branch_log_probs(&self.frozen, pixels, branches)
    }

    fn network_branch_log_probs(
        &self,
        network: &Network,
        pixels: &Tensor,
        branches: &[Vec<Branch>],
    ) -> Result<Tensor> {
        self.check_images(pixels, branches.len(), "lists of branches")?;
        let prefix = self.text.image_prefix_ids()?;
        for branch in branches.iter().flatten() {
            self.check_branch(branch, prefix.len())?;
        }
        let read: Vec<Vec<&[u32]>> = (branches.iter())
            .map(|branches| branches.iter().map(Branch::read).collect())
            .collect();
        let rows = Rows::branched(&prefix, &read, self.text.special.pad);
        let predictions = Predictions::new(&rows, branches);
        if predictions.targets.is_empty() {
            return Ok(Tensor::zeros(0, COMPUTE, &self.device)?);
        }
        let input = self.embed_with_images(network, pixels, &rows)?;
        self.predict(network, &input, &rows, predictions)
    }

    /// Log-probabilities of the predicted words of embedded rows.
    fn predict(
        &self,
        network: &Network,
        input: &Tensor,
        rows: &Rows,
        Predictions { steps, targets }: Predictions,
    ) -> Result<Tensor> {
        if self.computing.has_small_kernels() {
            let network = network.merged()?;
            let hidden = kernels::llama::forward(input, &network.llama, &rows.padding)?;
            let log_probs = kernels::score::words(&hidden, &network, &steps, &targets)?;
            return Ok(log_probs);
        }
        let hidden = network.llama.forward(input, &rows.padding)?;
        let places: Vec<u32> = (steps.iter().enumerate())
            .flat_map(|(row, steps)| {
                steps
                    .iter()
                    .map(move |step| (row * rows.width + step) as u32)
            })
            .collect();
        let places = Tensor::new(places, &self.device)?;
        let predicting = hidden.flatten_to(1)?.index_select(&places, 0)?;
        let logits = network.word_logits(&predicting)?;
        let targets = Tensor::new(targets, &self.device)?;
        Ok(ops::target_log_probs(&logits, &targets)?)
    }

    fn check_branch(&self, branch: &Branch, prefix: usize) -> Result<()> {
        let text = &self.config.text;
        let Branch { ids, predicted } = branch;
        if !(1..=ids.len()).contains(predicted) {
            return Err(Error::argument(
                "number of predicted tokens",
                predicted,
                format!("1 to {}, the branch's tokens", ids.len()),
            ));
        }
        if prefix + ids.len() > text.positions {
            return Err(Error::argument(
                "length of a branch",
                ids.len(),
                format!(
                    "at most {} after the image",
                    text.positions.saturating_sub(prefix)
                ),
            ));
        }
        match ids.iter().find(|id| **id as usize >= text.vocab) {
            Some(id) => Err(Error::argument(
                "id in a branch",
                id,
                format!("below {}", text.vocab),
            )),
            None => Ok(()),
        }
    }

    /// Word logits [B, patches, vocab] of each image feature by itself: the products of what the
    /// aligner answers and the word embeddings. Differentiable in the tower, the aligner and the
    /// embeddings.
    ///
    /// # Errors
    /// When the size differs or the device fails.
    pub fn feature_word_logits(&self, pixels: &Tensor) -> Result<Tensor> {
        self.check_pixels(pixels)?;
        let features = self.image_features(&self.tracked, pixels)?;
        let words = &self.tracked.llama.embeddings;
        Ok(ops::linear(&features, words, None)?)
    }
}
