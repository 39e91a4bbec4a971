//! What joins images, words and codes without the language model between: for training it before
//! there is one.

use candle_core::Tensor;

use crate::error::Result;
use crate::janus::JanusModel;
use crate::janus::llama::COMPUTE;
use crate::ops;

impl JanusModel {
    /// Word logits [codes, vocab] of every image code: its aligned embedding times the word
    /// embeddings. Differentiable in the generation embeddings, their aligner and the words'
    /// embeddings.
    ///
    /// # Errors
    /// When the device fails.
    pub fn code_word_logits(&self) -> Result<Tensor> {
        let network = &self.tracked;
        let codes = network.generation_embeddings.to_dtype(COMPUTE)?;
        let aligned = network.generation_aligner.forward(&codes)?;
        Ok(ops::linear(&aligned, &network.llama.embeddings, None)?)
    }

    /// Code logits [rows, codes] of the generation head for the sum of each row's word embeddings.
    /// Differentiable in the head and the words' embeddings.
    ///
    /// # Errors
    /// When an id is no word or the device fails.
    pub fn word_code_logits<const WORDS: usize>(&self, rows: &[[u32; WORDS]]) -> Result<Tensor> {
        let network = &self.tracked;
        let words = network.llama.embed(rows.as_flattened(), WORDS)?.sum(1)?;
        Ok(network.generation_head.forward(&words)?)
    }
}
