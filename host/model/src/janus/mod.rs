//! The Janus family (arXiv 2410.13848, 2501.17811): one language model that reads images through
//! a vision tower and draws them token by token.
//!
//! Configured wholly by the checkpoint's files; modules are called as transformers calls them.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use sc_core::plan::Sampling;

use crate::adapter::{Adapter, LinearShape, LoraSettings};
use crate::checkpoint::folder::NewFolder;
use crate::checkpoint::names::Naming;
use crate::checkpoint::source::CheckpointSource;
use crate::config::preprocessor::{Preprocessor, in_bytes};
use crate::config::{Config, GenerationDefaults};
use crate::error::{Error, Result};
use crate::parameters::{Detached, Group, Parameters, Precision, UnderDropout};
use crate::text::Text;
use crate::unified::{Answer, DrawRequest, Drawing, UnifiedModel};

mod alignment;
mod answer;
pub(crate) mod draw;
mod likelihood;
pub(crate) mod llama;
pub(crate) mod mlp;
pub(crate) mod network;
mod questions;
mod tokenizer;
pub(crate) mod tower;
pub(crate) mod vq;

use network::Network;
pub use vq::CodeSearch;

/// Memory that the activations of one portion of a batch may take, in bytes.
const PORTION_BYTES: usize = 128 << 20;
/// The same for a model whose weights alone take more.
const LARGE_PORTION_BYTES: usize = 4 << 30;
/// Images that a large one draws at a time at most: more read the weights no less often by much,
/// and are waited for longer.
const LARGE_IMAGES: usize = 16;
/// Most rows in a portion: beyond it larger products gain nothing.
const PORTION_ROWS: usize = 256;

/// Largest tower and language model, in weights, that are small: the CPU's kernels for these hold
/// a rearranged copy, and win by staying in the cache.
const SMALL_WEIGHTS: usize = 64 << 20;

/// A Janus model.
pub struct JanusModel {
    config: Config,
    defaults: GenerationDefaults,
    text: Text,
    preprocessor: Preprocessor,
    pub(crate) device: Device,
    pub(crate) parameters: Parameters,
    /// Modules over the variables: gradients reach the weights, or the adapter if there is one.
    pub(crate) tracked: Network,
    /// Modules over the same storage without a graph.
    pub(crate) frozen: Network,
    computing: Computing,
}

/// How a model is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Computing {
    /// Whether the model is too large for a core's cache: another size of portions, and other
    /// kernels.
    large: bool,
    /// Whether the CPU's kernels run; plain tensor operations do where not.
    kernels: bool,
}

impl Computing {
    fn has_large_kernels(self) -> bool {
        self.large && self.kernels
    }

    fn has_small_kernels(self) -> bool {
        !self.large && self.kernels
    }
}

/// The modules over the variables, and over the same storage without a graph.
fn networks(parameters: &Parameters, config: &Config, computing: Computing) -> (Network, Network) {
    let mut tracked = Network::new(parameters, config);
    let mut frozen = Network::new(&Detached(parameters), config);
    for network in [&mut tracked, &mut frozen] {
        network.llama.wide = computing.has_large_kernels();
    }
    (tracked, frozen)
}

impl JanusModel {
    /// Loads a checkpoint in transformers' or the authors' layout, its weights in the dtype of
    /// [`Precision::Auto`].
    ///
    /// # Errors
    /// When a file is missing, cut or corrupt, a value cannot be followed, a special token is
    /// missing, or the tensors are not those of the configuration (all that differ are named).
    pub fn load(source: &CheckpointSource, device: &Device) -> Result<JanusModel> {
        JanusModel::load_as(source, Precision::Auto, device)
    }

    /// The same with the weights in the dtype that `precision` says.
    ///
    /// # Errors
    /// As [`JanusModel::load`], and when the dtype has no room for a weight.
    pub fn load_as(
        source: &CheckpointSource,
        precision: Precision,
        device: &Device,
    ) -> Result<JanusModel> {
        let config = Config::read(source)?;
        let defaults = GenerationDefaults::read(source)?;
        let text = Text::read(source, &config)?;
        let preprocessor = Preprocessor::read(source)?;
        let expected = Network::inventory(&config)?.tensors;
        let naming = config.naming;
        let parameters = Parameters::load(source, naming, &expected, precision, device)?;
        let tower_and_llama: usize = [Group::VisionModel, Group::LanguageModel]
            .into_iter()
            .map(|group| parameters.count(group))
            .sum();
        tracing::debug!(
            checkpoint = source.name(),
            tensors = expected.len(),
            "loaded"
        );
        let small = tower_and_llama <= SMALL_WEIGHTS && parameters.held_dtype() == Some(DType::F32);
        let computing = Computing {
            large: !small,
            kernels: device.is_cpu(),
        };
        let (tracked, frozen) = networks(&parameters, &config, computing);
        Ok(JanusModel {
            computing,
            tracked,
            frozen,
            config,
            defaults,
            text,
            preprocessor,
            device: device.clone(),
            parameters,
        })
    }

    /// Names and shapes of the tensors that a checkpoint of this configuration holds.
    ///
    /// # Errors
    /// When the device runs out of memory.
    pub fn tensor_shapes(config: &Config) -> Result<BTreeMap<String, Vec<usize>>> {
        Ok(Network::inventory(config)?.tensors)
    }

    /// The linear layers of a model of this configuration, which can be adapted, by module.
    ///
    /// # Errors
    /// When the device runs out of memory.
    pub fn linear_layers(config: &Config) -> Result<BTreeMap<String, LinearShape>> {
        Ok(Network::inventory(config)?.linears())
    }

    /// Puts a new adapter on the model, which is called `base`: it changes nothing until it is
    /// trained, and is from then on all that is.
    ///
    /// # Errors
    /// When a setting is out of its range, names no module, or the device fails.
    pub fn with_new_adapter(
        self,
        settings: &LoraSettings,
        base: &str,
        seed: u64,
    ) -> Result<JanusModel> {
        let linears = JanusModel::linear_layers(&self.config)?;
        let adapter = Adapter::new(&linears, settings, (base, seed), &self.device)?;
        Ok(self.adapted(adapter))
    }

    /// Puts the adapter in a folder of PEFT's layout on the model.
    ///
    /// # Errors
    /// When it is missing, damaged, of another kind or for another model.
    pub fn with_adapter(self, folder: &Path) -> Result<JanusModel> {
        let linears = JanusModel::linear_layers(&self.config)?;
        let adapter = Adapter::read(folder, &linears, &self.device)?;
        Ok(self.adapted(adapter))
    }

    fn adapted(mut self, adapter: Adapter) -> JanusModel {
        self.parameters.adapt(adapter);
        let computing = self.computing;
        self.computed(computing)
    }

    /// Turns the CPU's kernels off: everything is then computed by plain tensor operations, as on
    /// other devices. For tests and measurements.
    pub fn without_kernels(self) -> JanusModel {
        let computing = Computing {
            kernels: false,
            ..self.computing
        };
        self.computed(computing)
    }

    /// Computes as a large model does, whatever the size: for tests and measurements.
    pub fn as_large(self) -> JanusModel {
        let computing = Computing {
            large: true,
            ..self.computing
        };
        self.computed(computing)
    }

    fn computed(mut self, computing: Computing) -> JanusModel {
        self.computing = computing;
        (self.tracked, self.frozen) = networks(&self.parameters, &self.config, computing);
        self
    }

    /// Writes the adapter to the folder `out`, which must be absent or empty, in PEFT's layout.
    ///
    /// # Errors
    /// When the model has none, the folder is taken, or a file cannot be written.
    pub fn export_adapter(&self, out: &Path) -> Result<()> {
        let Some(adapter) = self.parameters.adapter() else {
            return Err(Error::argument(
                "model",
                "one without an adapter",
                "one with one",
            ));
        };
        let folder = NewFolder::begin(out, 0)?;
        adapter.write(&folder.path(""), Naming::HuggingFace)?;
        folder.publish()
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the checkpoint says of drawing.
    pub fn generation_defaults(&self) -> GenerationDefaults {
        self.defaults
    }

    /// Asks another judging question; see [`Text::set_question`].
    ///
    /// # Errors
    /// As there.
    pub fn with_question(mut self, question: &str) -> Result<JanusModel> {
        self.text.set_question(question)?;
        Ok(self)
    }

    /// The tokenizer, special tokens and templates.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// The vision tower's output [B, patches, width] for pixels [B, 3, S, S] in −1..1;
    /// differentiable.
    ///
    /// # Errors
    /// When the size differs or the device fails.
    pub fn vision_hidden(&self, pixels: &Tensor) -> Result<Tensor> {
        self.check_pixels(pixels)?;
        Ok(self.tracked.tower.forward(pixels)?)
    }

    pub(crate) fn check_pixels(&self, pixels: &Tensor) -> Result<usize> {
        let vision = &self.config.vision;
        match pixels.dims() {
            &[batch, channels, height, width]
                if channels == vision.channels
                    && height == vision.image
                    && width == vision.image =>
            {
                Ok(batch)
            }
            other => Err(Error::argument(
                "shape of pixels",
                format!("{other:?}"),
                format!("[B, {}, {1}, {1}]", vision.channels, vision.image),
            )),
        }
    }

    /// Checks the pixels of `count` images, one for each of `what`.
    fn check_images(&self, pixels: &Tensor, count: usize, what: &str) -> Result<()> {
        let images = self.check_pixels(pixels)?;
        if images != count {
            return Err(Error::argument(
                "number of images",
                images,
                format!("{count}, as many as {what}"),
            ));
        }
        Ok(())
    }

    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        let vq = &self.config.vq;
        if tokens.len() != vq.tokens() {
            return Err(Error::argument(
                "image tokens",
                format!("{} long", tokens.len()),
                format!("{} tokens", vq.tokens()),
            ));
        }
        match tokens.iter().find(|token| **token as usize >= vq.codes) {
            Some(token) => Err(Error::argument(
                "image token",
                token,
                format!("a code below {}", vq.codes),
            )),
            None => Ok(()),
        }
    }

    /// Rows of `steps` steps that one portion may hold.
    fn portion(&self, steps: usize) -> usize {
        let text = &self.config.text;
        let cache = 2 * text.layers * text.kv_heads * text.head_dim;
        let bytes = if self.computing.large {
            // Keys and values are what grows; of the rest one layer is there at a time.
            let held = match self.computing.kernels {
                true => self.tracked.llama.embeddings.dtype(),
                false => llama::COMPUTE,
            };
            let now = 8 * text.hidden + 3 * text.intermediate;
            held.size_in_bytes() * cache + 4 * now
        } else {
            let activations = 4 * text.hidden + 2 * text.intermediate + text.heads * steps;
            4 * (cache + activations)
        };
        self.fitting(steps * bytes).min(PORTION_ROWS)
    }

    fn decode_portion(&self) -> usize {
        let vq = &self.config.vq;
        let layer = 4 * vq.image() * vq.image() * vq.base * vq.multipliers[0];
        if self.computing.has_large_kernels() {
            // A few steps' images at full resolution.
            return self.fitting(4 * layer).min(LARGE_IMAGES);
        }
        // The unfolded input of a 3×3 convolution at full resolution.
        self.fitting(9 * layer).min(PORTION_ROWS)
    }

    /// How many things of so many bytes fit into a portion, at least one.
    fn fitting(&self, bytes: usize) -> usize {
        let portion = if self.computing.large {
            LARGE_PORTION_BYTES
        } else {
            PORTION_BYTES
        };
        (portion / bytes.max(1)).max(1)
    }
}

impl UnifiedModel for JanusModel {
    fn device(&self) -> &Device {
        &self.device
    }

    fn image_tokens(&self) -> usize {
        self.config.vq.tokens()
    }

    fn image_size(&self) -> usize {
        self.config.vq.image()
    }

    fn images_at_a_time(&self) -> usize {
        if !self.computing.large {
            return 2 * PORTION_ROWS;
        }
        // A row with guidance and one without, and a prompt that is short beside the image.
        let steps = 2 * (self.config.vq.tokens() + 64);
        self.portion(steps).min(LARGE_IMAGES)
    }

    fn image_codes(&self) -> usize {
        self.config.vq.codes
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn draw(&self, requests: &[DrawRequest], sampling: &Sampling) -> Result<Vec<Drawing>> {
        self.draw_beginnings(requests, sampling, self.image_tokens())
    }

    fn decode(&self, tokens: &[Vec<u32>]) -> Result<Tensor> {
        for image in tokens {
            self.check_tokens(image)?;
        }
        if tokens.is_empty() {
            return self.no_pixels();
        }
        let portions = tokens
            .chunks(self.decode_portion())
            .map(|portion| Ok(self.decode_unclipped(portion)?.clamp(-1f32, 1f32)?))
            .collect::<Result<Vec<_>>>()?;
        let pixels = Tensor::cat(&portions, 0)?;
        // The authors' code judges files. A model whose verdict is the next word is one of this
        // program's own, which has learnt to judge what the decoder leaves.
        Ok(match self.text.yes_no {
            Some(_) => pixels,
            None => in_bytes(&pixels)?,
        })
    }

    fn judge(&self, pixels: &Tensor, prompts: &[String]) -> Result<Vec<Answer>> {
        let rows = prompts
            .iter()
            .map(|prompt| self.text.judge_ids(prompt))
            .collect::<Result<Vec<_>>>()?;
        let asks = self.text.asks_for_score(&self.text.templates.judge);
        self.answer_rows(pixels, &rows, asks)
    }

    fn ask(&self, pixels: &Tensor, questions: &[String]) -> Result<Vec<Answer>> {
        let rows = questions
            .iter()
            .map(|question| self.text.ask_ids(question))
            .collect::<Result<Vec<_>>>()?;
        let asks = questions.iter().all(|q| self.text.asks_for_score(q));
        self.answer_rows(pixels, &rows, asks)
    }

    fn unknown_words(&self, text: &str) -> Result<Vec<String>> {
        let words = self.text.unknown_words(text)?;
        Ok(words.into_iter().map(str::to_owned).collect())
    }

    fn verdict_log_probs(
        &self,
        pixels: &Tensor,
        prompts: &[String],
        yes: &[bool],
    ) -> Result<Tensor> {
        self.answer_log_probs(pixels, prompts, yes)
    }

    fn token_log_probs(
        &self,
        batch: &[(&str, &[u32])],
        caption_dropped: &[bool],
    ) -> Result<Tensor> {
        self.batch_log_probs(&self.tracked, batch, caption_dropped)
    }

    fn training_log_probs(
        &self,
        batch: &[(&str, &[u32])],
        caption_dropped: &[bool],
        seed: u64,
    ) -> Result<Tensor> {
        let drops = |adapter: &Adapter| adapter.settings().dropout > 0.0;
        if !self.parameters.adapter().is_some_and(drops) {
            return self.token_log_probs(batch, caption_dropped);
        }
        let mut network = Network::new(&UnderDropout(&self.parameters, seed), &self.config);
        network.llama.wide = self.computing.has_large_kernels();
        self.batch_log_probs(&network, batch, caption_dropped)
    }

    fn frozen_token_log_probs(&self, batch: &[(&str, &[u32])]) -> Result<Tensor> {
        let kept = vec![false; batch.len()];
        self.batch_log_probs(&self.frozen, batch, &kept)
    }
}
