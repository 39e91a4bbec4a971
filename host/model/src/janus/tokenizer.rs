//! The image tokenizer by itself: what it makes of pixels and of tokens, with and without
//! gradients.

use candle_core::Tensor;

use super::JanusModel;
use super::llama::COMPUTE;
use super::vq::{CodeSearch, Vq};
use crate::error::Result;
use crate::kernels::{self, vq::Chain};

impl JanusModel {
    /// Image tokens of pixels [B, 3, S, S] in −1..1, by the image tokenizer's encoder.
    ///
    /// # Errors
    /// When the size differs or the device fails.
    pub fn encode(&self, pixels: &Tensor, search: CodeSearch) -> Result<Vec<Vec<u32>>> {
        self.check_pixels(pixels)?;
        let vq = &self.frozen.vq;
        let latents = vq.encode(&pixels.detach())?;
        Ok(vq.nearest_codes(&latents, search)?.to_vec2::<u32>()?)
    }

    /// Pixels [B, 3, S, S] (not clipped) that the image tokenizer makes of its own latents of
    /// `pixels`: encoder and decoder joined without the code search, differentiable in both.
    ///
    /// # Errors
    /// When the size differs or the device fails.
    pub fn autoencode(&self, pixels: &Tensor) -> Result<Tensor> {
        self.check_pixels(pixels)?;
        let vq = &self.tracked.vq;
        Ok(vq.decode_latents(&vq.encode(pixels)?)?)
    }

    /// Pixels [B, 3, S, S] in −1..1, not clipped, that the image tokenizer makes of the tokens of
    /// B images, each row by row; differentiable in the codebook, whose rows are l2-normalised
    /// before the lookup, and in the whole decoder.
    ///
    /// # Errors
    /// When an image has another number of tokens than the model's, a token is no code, or the
    /// device fails.
    pub fn reconstruct(&self, tokens: &[Vec<u32>]) -> Result<Tensor> {
        for image in tokens {
            self.check_tokens(image)?;
        }
        if tokens.is_empty() {
            return self.no_pixels();
        }
        let vq = &self.tracked.vq;
        let codes = vq.look_up(&self.token_tensor(tokens)?)?;
        if self.computing.has_small_kernels() {
            return Ok(kernels::vq_backward::forward(&codes, &Chain::decoder(vq)?)?);
        }
        Ok(vq.decode_latents(&codes)?)
    }

    /// Cosines [B, N, codes] between what the image tokenizer's encoder makes of each place of
    /// `pixels` [B, 3, S, S] in −1..1 and each row of the codebook; differentiable in the encoder
    /// and the codebook, and in `pixels`. The token of a place in [`CodeSearch::Normalised`] is
    /// its code with the largest cosine.
    ///
    /// # Errors
    /// When the size differs or the device fails.
    pub fn code_cosines(&self, pixels: &Tensor) -> Result<Tensor> {
        let batch = self.check_pixels(pixels)?;
        let vq = &self.tracked.vq;
        if batch == 0 {
            let shape = (0, vq.config.tokens(), vq.config.codes);
            return Ok(Tensor::zeros(shape, COMPUTE, &self.device)?);
        }
        let latents = if self.computing.has_small_kernels() {
            kernels::vq_backward::forward(pixels, &Chain::encoder(vq)?)?
        } else {
            vq.encode(pixels)?
        };
        Ok(vq.cosines(&latents)?)
    }

    /// Pixels of no image.
    pub(super) fn no_pixels(&self) -> Result<Tensor> {
        let vq = &self.config.vq;
        let shape = (0, vq.out_channels, vq.image(), vq.image());
        Ok(Tensor::zeros(shape, COMPUTE, &self.device)?)
    }

    /// Pixels of image tokens that were checked, one portion, not clipped, without gradients.
    pub(crate) fn decode_unclipped(&self, tokens: &[Vec<u32>]) -> Result<Tensor> {
        let vq: &Vq = &self.frozen.vq;
        if self.computing.kernels {
            return Ok(kernels::vq::decode(tokens, vq)?);
        }
        Ok(vq.decode(&self.token_tensor(tokens)?)?)
    }

    /// Image tokens that were checked as [B, N].
    fn token_tensor(&self, tokens: &[Vec<u32>]) -> Result<Tensor> {
        let flat: Vec<u32> = tokens.iter().flatten().copied().collect();
        let shape = (tokens.len(), self.config.vq.tokens());
        Ok(Tensor::from_vec(flat, shape, &self.device)?)
    }
}
