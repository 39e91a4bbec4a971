//! Low-rank adapters (LoRA; Hu et al., 2021, arXiv 2106.09685): W + s·B·A in the place of a weight
//! W, with s = α / r, or α / √r (rsLoRA; Kalajdzievski, 2023, arXiv 2312.03732).

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result as TensorResult, Tensor, Var};
use rand::{Rng, RngCore};
use regex::Regex;
use sc_core::rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops;

mod peft;

pub use peft::is_adapter;
pub(crate) use peft::write_tensors;

/// The linear layers of the language model's blocks: what is adapted if nothing else is said.
pub const LANGUAGE_MODEL_LAYERS: &str =
    r".*language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)";
/// Largest rank.
pub const MOST_RANK: usize = 1024;

/// How an adapter is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraSettings {
    /// Rank r of each product B·A, 1 to 1024.
    pub rank: usize,
    /// α: the scale of the product before it is divided by r.
    pub alpha: f64,
    /// Divide α by √r in the place of r.
    pub rslora: bool,
    /// Probability, below 1, that a training step leaves out one of an adapter's inputs; those that
    /// stay are enlarged to make up for them.
    pub dropout: f64,
    /// Which linear layers are adapted: a regular expression that a module's whole name must
    /// match, such as `model.language_model.layers.0.mlp.up_proj`.
    pub targets: String,
}

impl Default for LoraSettings {
    fn default() -> Self {
        LoraSettings {
            rank: 16,
            alpha: 32.0,
            rslora: false,
            dropout: 0.0,
            targets: LANGUAGE_MODEL_LAYERS.into(),
        }
    }
}

impl LoraSettings {
    /// Checks every setting by itself.
    ///
    /// # Errors
    /// When one is out of its range, or the targets are no regular expression.
    pub fn check(&self) -> Result<()> {
        if !(1..=MOST_RANK).contains(&self.rank) {
            let expected = format!("1 to {MOST_RANK}");
            return Err(Error::argument("lora.rank", self.rank, expected));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            let expected = "a finite number above 0";
            return Err(Error::argument("lora.alpha", self.alpha, expected));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let expected = "a number from 0 to below 1";
            return Err(Error::argument("lora.dropout", self.dropout, expected));
        }
        self.pattern().map(|_| ())
    }

    /// The pattern of whole module names.
    fn pattern(&self) -> Result<Regex> {
        whole(&self.targets).map_err(|error| {
            Error::argument(
                "lora.targets",
                format!("{:?} ({error})", self.targets),
                "a regular expression of module names",
            )
        })
    }

    fn scale(&self, rank: usize) -> f64 {
        let rank = rank as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}

/// A regular expression that must match from end to end.
fn whole(pattern: &str) -> std::result::Result<Regex, regex::Error> {
    // By itself first: what closes a bracket that it has not opened would close ours.
    Regex::new(pattern)?;
    Regex::new(&format!("^(?:{pattern})$"))
}

/// A linear layer that can be adapted: what it takes and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Width of its inputs.
    pub inputs: usize,
    /// Width of its outputs.
    pub outputs: usize,
}

/// The two matrices on one linear layer.
pub(crate) struct Pair {
    /// [r, in]
    pub(crate) a: Var,
    /// [out, r]
    pub(crate) b: Var,
    pub(crate) scale: f64,
}

/// An adapter on a model's linear layers, by module.
pub struct Adapter {
    settings: LoraSettings,
    /// The name or path of the model that it is for.
    base: String,
    pairs: BTreeMap<String, Pair>,
}

impl Adapter {
    /// An adapter for the model that is called `base` that changes nothing yet, on those of
    /// `modules` that the settings name: A uniform within ±1/√in, as PEFT has it, B zero. The numbers
    /// depend on the seed and the modules' order alone.
    ///
    /// # Errors
    /// When a setting is out of its range, no module is named, or the device fails.
    pub fn new(
        modules: &BTreeMap<String, LinearShape>,
        settings: &LoraSettings,
        (base, seed): (&str, u64),
        device: &Device,
    ) -> Result<Adapter> {
        settings.check()?;
        let pattern = settings.pattern()?;
        let named = modules.iter().filter(|(name, _)| pattern.is_match(name));
        let pairs: BTreeMap<String, Pair> = named
            .zip(0..)
            .map(|((name, shape), place)| {
                let LinearShape { inputs, outputs } = *shape;
                let bound = 1.0 / (inputs as f32).sqrt();
                let mut chance = rng::stream(seed, "lora", &[place]);
                let values: Vec<f32> = (0..settings.rank * inputs)
                    .map(|_| chance.random_range(-bound..bound))
                    .collect();
                let a = Tensor::from_vec(values, (settings.rank, inputs), device)?;
                let pair = Pair {
                    a: Var::from_tensor(&a)?,
                    b: Var::zeros((outputs, settings.rank), DType::F32, device)?,
                    scale: settings.scale(settings.rank),
                };
                Ok((name.clone(), pair))
            })
            .collect::<Result<_>>()?;
        if pairs.is_empty() {
            let example = modules.keys().next().map_or("", String::as_str);
            return Err(Error::argument(
                "lora.targets",
                format!("{:?}, which names no linear layer", settings.targets),
                format!("a regular expression of whole module names such as `{example}`"),
            ));
        }
        Ok(Adapter {
            settings: settings.clone(),
            base: base.to_owned(),
            pairs,
        })
    }

    /// How it was made.
    pub fn settings(&self) -> &LoraSettings {
        &self.settings
    }

    /// Whether it changes nothing yet.
    ///
    /// # Errors
    /// When the device fails.
    pub fn is_blank(&self) -> Result<bool> {
        for pair in self.pairs.values() {
            let largest = pair.b.abs()?.max_all()?.to_scalar::<f32>()?;
            if largest != 0.0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The adapted modules.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.pairs.keys().map(String::as_str)
    }

    /// All matrices by name, `MODULE.lora_A.weight` [r, in] and `MODULE.lora_B.weight` [out, r], by
    /// ascending module.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Var)> {
        self.pairs.iter().flat_map(|(module, pair)| {
            [
                (format!("{module}.lora_A.weight"), &pair.a),
                (format!("{module}.lora_B.weight"), &pair.b),
            ]
        })
    }

    /// One matrix by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&Var> {
        let (module, part) = name.rsplit_once(".lora_")?;
        let pair = self.pairs.get(module)?;
        match part {
            "A.weight" => Some(&pair.a),
            "B.weight" => Some(&pair.b),
            _ => None,
        }
    }

    /// What is added to a module's weight, to be computed with: the variables themselves, so that
    /// gradients reach them.
    pub(crate) fn tracked(&self, module: &str) -> Option<LowRank> {
        let pair = self.pairs.get(module)?;
        Some(LowRank {
            a: pair.a.as_tensor().clone(),
            b: pair.b.as_tensor().clone(),
            scale: pair.scale,
            dropout: None,
        })
    }

    /// The same under the settings' dropout, whose masks depend on the seed and the module's name
    /// alone.
    pub(crate) fn under_dropout(&self, module: &str, seed: u64) -> Option<LowRank> {
        let dropout = Dropout {
            rate: self.settings.dropout,
            seed,
            module: module.to_owned(),
        };
        Some(LowRank {
            dropout: Some(dropout),
            ..self.tracked(module)?
        })
    }

    /// The same without a graph.
    pub(crate) fn detached(&self, module: &str) -> Option<LowRank> {
        let pair = self.pairs.get(module)?;
        Some(LowRank {
            a: pair.a.as_detached_tensor(),
            b: pair.b.as_detached_tensor(),
            scale: pair.scale,
            dropout: None,
        })
    }
}

/// Which of a module's inputs a step leaves out.
#[derive(Clone)]
struct Dropout {
    rate: f64,
    seed: u64,
    module: String,
}

impl Dropout {
    /// `x` without some of its values. A layer that is computed again leaves out the same ones.
    fn apply(&self, x: &Tensor) -> TensorResult<Tensor> {
        let mut chance = rng::stream(self.seed, &format!("lora-dropout {}", self.module), &[]);
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        let left_out = (self.rate * 2.0_f64.powi(32)) as u32;
        let mask: Vec<f32> = (0..x.elem_count())
            .map(|_| {
                if chance.next_u32() < left_out {
                    0.0
                } else {
                    kept
                }
            })
            .collect();
        x * Tensor::from_vec(mask, x.shape(), x.device())?
    }
}

/// s·B·A, as it is computed with.
#[derive(Clone)]
pub(crate) struct LowRank {
    a: Tensor,
    b: Tensor,
    scale: f64,
    dropout: Option<Dropout>,
}

impl LowRank {
    /// What is added to the outputs of inputs `x`.
    fn apply(&self, x: &Tensor) -> TensorResult<Tensor> {
        let narrow = match &self.dropout {
            Some(dropout) => ops::linear(&dropout.apply(x)?, &self.a, None)?,
            None => ops::linear(x, &self.a, None)?,
        };
        ops::linear(&narrow, &self.b, None)? * self.scale
    }

    /// The weight with it, in the weight's own dtype.
    pub(crate) fn onto(&self, base: &Tensor) -> TensorResult<Tensor> {
        if self.dropout.is_some() {
            candle_core::bail!("an adapter under dropout cannot be merged into its weight");
        }
        let sum = (base.to_dtype(DType::F32)? + self.product()?)?;
        sum.to_dtype(base.dtype())
    }

    /// What is added to the weight, [out, in].
    fn product(&self) -> TensorResult<Tensor> {
        self.b.matmul(&self.a)? * self.scale
    }
}

/// A linear layer's weight [out, in], and what an adapter adds to it.
#[derive(Clone)]
pub(crate) struct Weight {
    base: Tensor,
    added: Option<LowRank>,
}

impl Weight {
    pub(crate) fn new(base: Tensor, added: Option<LowRank>) -> Weight {
        Weight { base, added }
    }

    /// x·Wᵀ + b over the last dimension.
    pub(crate) fn apply(&self, x: &Tensor, bias: Option<&Tensor>) -> TensorResult<Tensor> {
        let y = ops::linear(x, &self.base, bias)?;
        match &self.added {
            Some(added) => y + added.apply(x)?,
            None => Ok(y),
        }
    }

    /// The weight with what is added to it, differentiable in both.
    pub(crate) fn merged(&self) -> TensorResult<Weight> {
        let base = match &self.added {
            Some(added) => added.onto(&self.base)?,
            None => self.base.clone(),
        };
        Ok(Weight { base, added: None })
    }

    /// All tensors of it.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let added = self.added.iter().flat_map(|added| [&added.a, &added.b]);
        std::iter::once(&self.base).chain(added)
    }

    /// The weight itself, which must not be adapted.
    pub(crate) fn plain(&self) -> TensorResult<&Tensor> {
        match self.added {
            Some(_) => candle_core::bail!("a kernel was given a weight whose adapter stands apart"),
            None => Ok(&self.base),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_leaves_out_its_share_and_enlarges_the_rest() -> TensorResult<()> {
        let ones = Tensor::ones((40, 500), DType::F32, &Device::Cpu)?;
        let of = |seed, module: &str| -> TensorResult<Vec<f32>> {
            let dropout = Dropout {
                rate: 0.2,
                seed,
                module: module.to_owned(),
            };
            dropout.apply(&ones)?.flatten_all()?.to_vec1()
        };
        let values = of(1, "a")?;
        assert!(values.iter().all(|value| *value == 0.0 || *value == 1.25));
        let left_out = values.iter().filter(|value| **value == 0.0).count();
        // Four standard deviations of 20,000 draws.
        assert!(
            (left_out as f64 / 20_000.0 - 0.2).abs() < 0.0114,
            "{left_out}"
        );
        assert_eq!(values, of(1, "a")?);
        assert_ne!(values, of(2, "a")?);
        assert_ne!(values, of(1, "b")?);
        Ok(())
    }
}
