//! How likely given images are: teacher-forced log-probabilities of their tokens.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::janus::JanusModel;
use crate::janus::llama::{COMPUTE, Rows};
use crate::janus::network::Network;
use crate::kernels;
use crate::ops;
use crate::parameters::Adaptation;

impl JanusModel {
    pub(super) fn batch_log_probs(
        &self,
        network: &Network,
        batch: &[(&str, &[u32])],
        caption_dropped: &[bool],
    ) -> Result<Tensor> {
        if caption_dropped.len() != batch.len() {
            return Err(Error::argument(
                "caption_dropped",
                format!("{} long", caption_dropped.len()),
                format!("{} entries, one an image", batch.len()),
            ));
        }
        let mut rows = Vec::with_capacity(batch.len());
        for ((prompt, tokens), dropped) in batch.iter().zip(caption_dropped) {
            self.check_tokens(tokens)?;
            let ids = self.text.draw_ids(prompt)?;
            rows.push(if *dropped {
                self.text.unconditional(&ids)
            } else {
                ids
            });
        }
        let images: Vec<&[u32]> = batch.iter().map(|(_, tokens)| *tokens).collect();
        self.row_log_probs(network, &rows, &images)
    }

    /// Log-probabilities [B, N] of `images` after rows of prompt ids.
    pub(crate) fn row_log_probs(
        &self,
        network: &Network,
        prompts: &[Vec<u32>],
        images: &[&[u32]],
    ) -> Result<Tensor> {
        let tokens = self.config.vq.tokens();
        if prompts.is_empty() {
            return Ok(Tensor::zeros((0, tokens), COMPUTE, &self.device)?);
        }
        let rows = Rows::padded(prompts, self.text.special.pad);
        let flat: Vec<u32> = images.concat();
        let shape = (images.len(), tokens);
        let targets = Tensor::from_slice(&flat, shape, &self.device)?;
        let mut input = network.llama.embed(&rows.ids, rows.width)?;
        if tokens > 1 {
            // The last token is only predicted, never read.
            let read = targets.narrow(1, 0, tokens - 1)?;
            input = Tensor::cat(&[&input, &network.embed_image_tokens(&read)?], 1)?;
        }
        if self.computing.has_small_kernels() && network.adaptation != Adaptation::UnderDropout {
            let network = network.merged()?;
            let hidden = kernels::llama::forward(&input, &network.llama, &rows.padding)?;
            return Ok(kernels::score::image_tokens(
                &hidden,
                &network,
                rows.width - 1,
                &flat,
            )?);
        }
        let hidden = network.llama.forward(&input, &rows.padding)?;
        let predicting = hidden.narrow(1, rows.width - 1, tokens)?;
        let logits = network.generation_head.forward(&predicting)?;
        Ok(ops::target_log_probs(&logits, &targets)?)
    }
}
