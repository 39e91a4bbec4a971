//! The language model: Llama (Touvron et al., 2023, arXiv 2302.13971) with grouped-query
//! attention, rotary embedding in halves, SwiGLU and no biases.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use crate::adapter::Weight;
use crate::config::TextConfig;
use crate::kernels::wide;
use crate::ops;
use crate::parameters::Scope;

/// One transformer layer.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) input_norm: Tensor,
    pub(crate) query: Weight,
    pub(crate) key: Weight,
    pub(crate) value: Weight,
    pub(crate) output: Weight,
    pub(crate) post_norm: Tensor,
    pub(crate) gate: Weight,
    pub(crate) up: Weight,
    pub(crate) down: Weight,
}

/// The language model without its head.
#[derive(Clone)]
pub(crate) struct Llama {
    pub(crate) config: TextConfig,
    pub(crate) embeddings: Tensor,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Tensor,
    /// Whether the CPU's kernels for large models run.
    pub(crate) wide: bool,
}

/// Where a sentence stands in its row: it begins at `start`, and what is before neither attends nor
/// is attended to. At each of `forks`, which ascend, a branch begins: it follows what is before
/// the first of them, as if no other branch stood between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) start: usize,
    pub(crate) forks: Vec<usize>,
}

impl Sentence {
    pub(crate) fn unbranched(start: usize) -> Sentence {
        Sentence {
            start,
            forks: Vec::new(),
        }
    }

    /// Where the stem ends and the branch of `step` begins, if it is on one.
    fn fork(&self, step: usize) -> Option<(usize, usize)> {
        let stem_end = *self.forks.first()?;
        let begun = self.forks.partition_point(|fork| *fork <= step);
        Some((stem_end, *self.forks.get(begun.checked_sub(1)?)?))
    }

    /// The steps that `step` sees, in order: of the stem, and of its own branch. Padding sees
    /// nothing.
    pub(crate) fn sees(&self, step: usize) -> [Range<usize>; 2] {
        match self.fork(step) {
            _ if step < self.start => [0..0, 0..0],
            None => [self.start..step + 1, 0..0],
            Some((stem_end, branch)) => [self.start..stem_end, branch..step + 1],
        }
    }

    /// The position of `step`, counted from the sentence's first.
    pub(crate) fn position(&self, step: usize) -> usize {
        match self.fork(step) {
            None => step.saturating_sub(self.start),
            Some((stem_end, branch)) => stem_end - self.start + (step - branch),
        }
    }
}

/// Where the sentences stand in a left-padded batch, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Padding {
    pub(crate) sentences: Vec<Sentence>,
}

impl Padding {
    /// Rotation angles' cosines and sines [B, 1, steps, D/2] of the steps from `first`.
    fn rotation(
        &self,
        config: &TextConfig,
        first: usize,
        steps: usize,
        device: &Device,
    ) -> Result<(Tensor, Tensor)> {
        let half = config.head_dim / 2;
        let frequencies = rope_frequencies(config);
        let mut cos = Vec::with_capacity(self.sentences.len() * steps * half);
        let mut sin = Vec::with_capacity(cos.capacity());
        for sentence in &self.sentences {
            for step in first..first + steps {
                let position = sentence.position(step) as f32;
                for frequency in &frequencies {
                    let (s, c) = (position * frequency).sin_cos();
                    cos.push(c);
                    sin.push(s);
                }
            }
        }
        let shape = (self.sentences.len(), 1, steps, half);
        Ok((
            Tensor::from_vec(cos, shape, device)?,
            Tensor::from_vec(sin, shape, device)?,
        ))
    }

    /// What to add to the scores [B, 1, steps, first + steps]: 0 where a step may look, −∞ where
    /// it may not. A padding step looks at itself alone, so that no row of the softmax is empty;
    /// nothing looks at it.
    fn bias(&self, first: usize, steps: usize, device: &Device) -> Result<Tensor> {
        let seen = first + steps;
        let mut bias = Vec::with_capacity(self.sentences.len() * steps * seen);
        for sentence in &self.sentences {
            for step in first..seen {
                let [stem, branch] = sentence.sees(step);
                bias.extend((0..seen).map(|other| {
                    if other == step || stem.contains(&other) || branch.contains(&other) {
                        0.0
                    } else {
                        f32::NEG_INFINITY
                    }
                }));
            }
        }
        Tensor::from_vec(bias, (self.sentences.len(), 1, steps, seen), device)
    }
}

/// Rotary frequencies θ^(−2i/D), i < D/2, rounded to f32 as the reference has them.
pub(crate) fn rope_frequencies(config: &TextConfig) -> Vec<f32> {
    (0..config.head_dim / 2)
        .map(|i| {
            let exponent = (2 * i) as f64 / config.head_dim as f64;
            config.rope_theta.powf(-exponent) as f32
        })
        .collect()
}

/// Keys and values of the steps so far.
#[derive(Default)]
pub(crate) struct Cache {
    /// A layer each: [B, kv heads, steps, D].
    layers: Vec<(Tensor, Tensor)>,
    steps: usize,
    /// The same in the place of these, where the CPU's kernels for large models run.
    wide: wide::Cache,
}

impl Cache {
    /// Steps that are known.
    pub(crate) fn steps(&self) -> usize {
        self.steps.max(self.wide.steps())
    }

    /// Forgets all but the first `steps`.
    pub(crate) fn rewind(&mut self, steps: usize) -> Result<()> {
        self.wide.rewind(steps);
        if self.steps > steps {
            for (keys, values) in &mut self.layers {
                *keys = keys.narrow(2, 0, steps)?;
                *values = values.narrow(2, 0, steps)?;
            }
            self.steps = steps;
        }
        Ok(())
    }
}

/// What every layer of one forward pass shares.
#[derive(Clone)]
pub(crate) struct Pass {
    cos: Tensor,
    sin: Tensor,
    bias: Tensor,
}

impl Pass {
    /// Of `steps` steps that follow `first` others.
    pub(crate) fn new(
        config: &TextConfig,
        padding: &Padding,
        first: usize,
        steps: usize,
        device: &Device,
    ) -> Result<Pass> {
        let (cos, sin) = padding.rotation(config, first, steps, device)?;
        let bias = padding.bias(first, steps, device)?;
        Ok(Pass { cos, sin, bias })
    }
}

impl Layer {
    /// All weights, none of them adapted, in the order of a forward pass.
    pub(crate) fn weights(&self) -> Result<[&Tensor; 9]> {
        Ok([
            &self.input_norm,
            self.query.plain()?,
            self.key.plain()?,
            self.value.plain()?,
            self.output.plain()?,
            &self.post_norm,
            self.gate.plain()?,
            self.up.plain()?,
            self.down.plain()?,
        ])
    }

    fn merged(&self) -> Result<Layer> {
        Ok(Layer {
            input_norm: self.input_norm.clone(),
            query: self.query.merged()?,
            key: self.key.merged()?,
            value: self.value.merged()?,
            output: self.output.merged()?,
            post_norm: self.post_norm.clone(),
            gate: self.gate.merged()?,
            up: self.up.merged()?,
            down: self.down.merged()?,
        })
    }

    fn new(scope: &Scope, config: &TextConfig) -> Layer {
        let attention = scope.at("self_attn");
        let mlp = scope.at("mlp");
        let (hidden, wide) = (config.hidden, config.intermediate);
        let queries = config.heads * config.head_dim;
        let keys = config.kv_heads * config.head_dim;
        let norm = |name: &str| scope.at(name).tensor("weight", &[hidden]);
        Layer {
            input_norm: norm("input_layernorm"),
            query: attention.at("q_proj").weight(queries, hidden),
            key: attention.at("k_proj").weight(keys, hidden),
            value: attention.at("v_proj").weight(keys, hidden),
            output: attention.at("o_proj").weight(hidden, queries),
            post_norm: norm("post_attention_layernorm"),
            gate: mlp.at("gate_proj").weight(wide, hidden),
            up: mlp.at("up_proj").weight(wide, hidden),
            down: mlp.at("down_proj").weight(hidden, wide),
        }
    }

    /// The tensors that a gradient goes to, in the order of a forward pass.
    pub(crate) fn tracked(&self) -> Vec<&Tensor> {
        let matrices = [
            &self.query,
            &self.key,
            &self.value,
            &self.output,
            &self.gate,
            &self.up,
            &self.down,
        ];
        (matrices.into_iter().flat_map(Weight::tensors))
            .chain([&self.input_norm, &self.post_norm])
            .filter(|tensor| tensor.track_op())
            .collect()
    }

    pub(crate) fn forward(
        &self,
        x: &Tensor,
        config: &TextConfig,
        pass: &Pass,
        past: Option<(Tensor, Tensor)>,
    ) -> Result<(Tensor, (Tensor, Tensor))> {
        let (batch, steps, _) = x.dims3()?;
        let heads = |x: Tensor, heads: usize| {
            x.reshape((batch, steps, heads, config.head_dim))?
                .transpose(1, 2)
        };
        let h = ops::rms_norm(x, &self.input_norm, config.rms_eps)?;
        let query = heads(self.query.apply(&h, None)?, config.heads)?;
        let key = heads(self.key.apply(&h, None)?, config.kv_heads)?;
        let value = heads(self.value.apply(&h, None)?, config.kv_heads)?;
        let query = ops::rotate(&query, &pass.cos, &pass.sin)?;
        let key = ops::rotate(&key, &pass.cos, &pass.sin)?;
        let (key, value) = match past {
            Some((past_key, past_value)) => (
                Tensor::cat(&[past_key, key], 2)?,
                Tensor::cat(&[past_value, value], 2)?,
            ),
            None => (key, value),
        };
        let attended = ops::attention(&query, &key, &value, Some(&pass.bias))?;
        let x = (x + self.output.apply(&attended, None)?)?;
        let h = ops::rms_norm(&x, &self.post_norm, config.rms_eps)?;
        let gate = ops::silu(&self.gate.apply(&h, None)?)?;
        let h = (gate * self.up.apply(&h, None)?)?;
        let x = (x + self.down.apply(&h, None)?)?;
        Ok((x, (key, value)))
    }
}

impl Llama {
    pub(crate) fn new(scope: &Scope, config: &TextConfig) -> Llama {
        let layers = scope.at("layers");
        Llama {
            config: config.clone(),
            embeddings: scope
                .at("embed_tokens")
                .tensor("weight", &[config.vocab, config.hidden]),
            layers: (0..config.layers)
                .map(|layer| Layer::new(&layers.at(layer), config))
                .collect(),
            norm: scope.at("norm").tensor("weight", &[config.hidden]),
            wide: false,
        }
    }

    /// Word embeddings of `ids`, rows of `width` → [rows, width, hidden].
    pub(crate) fn embed(&self, ids: &[u32], width: usize) -> Result<Tensor> {
        let index = Tensor::new(ids, self.embeddings.device())?;
        let rows = self.embeddings.index_select(&index, 0)?.to_dtype(COMPUTE)?;
        rows.reshape((ids.len() / width, width, self.config.hidden))
    }

    /// With what an adapter adds in the weights themselves.
    pub(crate) fn merged(&self) -> Result<Llama> {
        Ok(Llama {
            layers: (self.layers.iter())
                .map(Layer::merged)
                .collect::<Result<_>>()?,
            ..self.clone()
        })
    }

    /// Embedded steps [B, T, hidden] → hidden states after the final norm, the same shape.
    pub(crate) fn forward(&self, x: &Tensor, padding: &Padding) -> Result<Tensor> {
        self.run(x, padding, None)
    }

    /// The same for the steps that follow those in `cache`, which takes them up.
    pub(crate) fn continued(
        &self,
        x: &Tensor,
        padding: &Padding,
        cache: &mut Cache,
    ) -> Result<Tensor> {
        self.run(x, padding, Some(cache))
    }

    fn run(&self, x: &Tensor, padding: &Padding, cache: Option<&mut Cache>) -> Result<Tensor> {
        if self.wide {
            return match cache {
                Some(cache) => wide::forward(x, self, padding, &mut cache.wide),
                None if self.is_tracked(x) => wide::tracked_forward(x, self, padding),
                None => wide::forward(x, self, padding, &mut wide::Cache::exact()),
            };
        }
        let steps = x.dim(1)?;
        let first = cache.as_ref().map_or(0, |cache| cache.steps);
        let pass = Pass::new(&self.config, padding, first, steps, x.device())?;
        let mut past = Vec::new();
        if let Some(cache) = &cache {
            past.clone_from(&cache.layers);
        }
        let mut past = past.into_iter();
        let mut present = Vec::with_capacity(self.layers.len());
        let mut x = x.clone();
        for layer in &self.layers {
            let (y, kept) = layer.forward(&x, &self.config, &pass, past.next())?;
            present.push(kept);
            x = y;
        }
        if let Some(cache) = cache {
            cache.layers = present;
            cache.steps += steps;
        }
        self.final_norm(&x)
    }

    fn is_tracked(&self, x: &Tensor) -> bool {
        x.track_op() || self.layers.iter().any(|layer| !layer.tracked().is_empty())
    }

    /// The norm after the last layer.
    pub(crate) fn final_norm(&self, x: &Tensor) -> Result<Tensor> {
        ops::rms_norm(x, &self.norm, self.config.rms_eps)
    }
}

/// A batch of left-padded token rows.
pub(crate) struct Rows {
    /// Row by row, `width` a row.
    pub(crate) ids: Vec<u32>,
    pub(crate) width: usize,
    pub(crate) padding: Padding,
}

impl Rows {
    /// Pads `rows` on the left with `pad` to the longest.
    pub(crate) fn padded(rows: &[Vec<u32>], pad: u32) -> Rows {
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * width);
        let mut sentences = Vec::with_capacity(rows.len());
        for row in rows {
            let start = width - row.len();
            sentences.push(Sentence::unbranched(start));
            ids.resize(ids.len() + start, pad);
            ids.extend(row);
        }
        Rows {
            ids,
            width,
            padding: Padding { sentences },
        }
    }

    /// A row for each of `branches`: `stem`, which all share, and the branches side by side.
    pub(crate) fn branched(stem: &[u32], branches: &[Vec<&[u32]>], pad: u32) -> Rows {
        let joined: Vec<Vec<u32>> = (branches.iter())
            .map(|branches| [stem, &branches.concat()].concat())
            .collect();
        let mut rows = Rows::padded(&joined, pad);
        for (sentence, branches) in rows.padding.sentences.iter_mut().zip(branches) {
            let mut end = sentence.start + stem.len();
            for branch in branches {
                sentence.forks.push(end);
                end += branch.len();
            }
        }
        rows
    }
}

/// Dtype of all that lies between products, whatever the weights are held in.
pub(crate) const COMPUTE: DType = DType::F32;
