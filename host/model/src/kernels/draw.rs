//! Drawing on the CPU: each task takes some images from their prompts to their last token.

use candle_core::Result;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sc_core::plan::Sampling;

use super::attention::Span;
use super::llama::Stack;
use super::pool::Buffer;
use super::score::Head;
use super::values;
use crate::janus::draw::Picker;
use crate::janus::llama::Rows;
use crate::janus::network::Network;
use crate::unified::Drawing;

/// Most rows of a task; its keys and values shall stay in the cache.
const TASK_ROWS: usize = 64;

/// What is to be drawn.
pub(crate) struct Order<'a> {
    /// A prompt an image.
    pub(crate) conditional: &'a [Vec<u32>],
    /// Prompts of guidance, or nothing at guidance 1.
    pub(crate) unconditional: &'a [Vec<u32>],
    /// Tokens an image.
    pub(crate) tokens: usize,
    pub(crate) sampling: Sampling,
    /// What fills short prompts up.
    pub(crate) pad: u32,
}

/// Draws an image a prompt.
pub(crate) fn draw(
    network: &Network,
    order: &Order,
    chances: &mut [ChaCha8Rng],
) -> Result<Vec<Drawing>> {
    let Order {
        conditional,
        unconditional,
        tokens,
        sampling,
        pad,
    } = *order;
    let longest = conditional.iter().map(Vec::len).max().unwrap_or(0);
    let codes = candle_core::Tensor::arange(
        0,
        network.vq.config.codes as u32,
        network.generation_embeddings.device(),
    )?;
    let drawer = Drawer {
        stack: Stack::new(&network.llama, longest + tokens)?,
        head: Head::generation(network)?,
        words: values(&network.llama.embeddings)?,
        codes: values(&network.embed_image_tokens(&codes)?)?,
        hidden: network.llama.config.hidden,
        tokens,
        pad,
        sampling,
    };
    let rows_an_image = if unconditional.is_empty() { 1 } else { 2 };
    let share = conditional.len().div_ceil(rayon::current_num_threads());
    let images = share.clamp(1, TASK_ROWS / rows_an_image);
    let nobody: &[Vec<u32>] = &[];
    Ok(conditional
        .par_chunks(images)
        .zip(chances.par_chunks_mut(images))
        .enumerate()
        .flat_map_iter(|(task, (prompts, chances))| {
            let guides = if unconditional.is_empty() {
                nobody
            } else {
                &unconditional[task * images..][..prompts.len()]
            };
            drawer.task(prompts, guides, chances)
        })
        .collect())
}

struct Drawer {
    stack: Stack,
    head: Head,
    /// Inputs for words, [vocabulary, hidden].
    words: Vec<f32>,
    /// Inputs for image tokens, [codes, hidden].
    codes: Vec<f32>,
    hidden: usize,
    tokens: usize,
    pad: u32,
    sampling: Sampling,
}

impl Drawer {
    fn task(
        &self,
        prompts: &[Vec<u32>],
        guides: &[Vec<u32>],
        chances: &mut [ChaCha8Rng],
    ) -> Vec<Drawing> {
        let rows = Rows::padded(&[prompts, guides].concat(), self.pad);
        let count = prompts.len() + guides.len();
        let sentences = &rows.padding.sentences;
        let capacity = rows.width + self.tokens;
        let mut caches: Vec<Buffer> = (self.stack.layers.iter())
            .map(|_| Buffer::dirty(count * capacity * self.stack.pair))
            .collect();
        let mut pickers: Vec<Picker> = prompts.iter().map(|_| Picker::new(self.tokens)).collect();
        let mut input = self.look_up(&self.words, &rows.ids);
        let (mut first, mut steps) = (0, rows.width);
        for token in 0..self.tokens {
            let span = Span {
                sentences,
                first,
                steps,
                capacity,
                sees_all: false,
            };
            let mut output = Buffer::dirty(input.len());
            for (layer, cache) in self.stack.layers.iter().zip(&mut caches) {
                layer.forward(span, &self.stack.rotation, &input, cache, &mut output);
                std::mem::swap(&mut input, &mut output);
            }
            first += steps;
            let mut last = Buffer::dirty(count * self.hidden);
            let outputs = input.chunks_exact(steps * self.hidden);
            for (last, x) in last.chunks_exact_mut(self.hidden).zip(outputs) {
                last.copy_from_slice(&x[(steps - 1) * self.hidden..]);
            }
            let trace = self.head.forward(&last);
            let logits: Vec<&[f32]> = trace.outputs.chunks_exact(self.head.tokens()).collect();
            let mut next = Vec::with_capacity(count);
            for (image, (picker, chance)) in pickers.iter_mut().zip(&mut *chances).enumerate() {
                let guide = logits.get(prompts.len() + image).copied();
                next.push(picker.pick(logits[image], guide, &self.sampling, chance));
            }
            if token + 1 < self.tokens {
                // Guided rows come in pairs of one token.
                if !guides.is_empty() {
                    next.extend_from_within(..);
                }
                input = self.look_up(&self.codes, &next);
                steps = 1;
            }
        }
        pickers.into_iter().map(Picker::finish).collect()
    }

    fn look_up(&self, table: &[f32], ids: &[u32]) -> Buffer {
        let mut rows = Buffer::dirty(ids.len() * self.hidden);
        for (row, id) in rows.chunks_exact_mut(self.hidden).zip(ids) {
            row.copy_from_slice(&table[*id as usize * self.hidden..][..self.hidden]);
        }
        rows
    }
}
