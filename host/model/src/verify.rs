//! Compares a model with what a reference implementation computed from the same weights.
//!
//! The reference is a safetensors file of inputs (`in.…`), expected outputs (`out.…`) and expected
//! gradients (`grad.…`). Everything it names is computed; a name that is not known fails.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Tensor};
use sc_core::plan::Sampling;
use serde::Serialize;

use crate::checkpoint::source::regular_file;
use crate::error::{Error, Result, printable};
use crate::janus::llama::{Padding, Rows, Sentence};
use crate::janus::{CodeSearch, JanusModel};

/// Largest error of a forward value, relative to the tensor's largest magnitude.
const FORWARD_LIMIT: f64 = 1e-5;
/// Largest error of a gradient, relative to the tensor's largest magnitude.
const GRADIENT_LIMIT: f64 = 1e-4;
/// Guidance of the reference's greedy drawings.
const REFERENCE_GUIDANCE: f64 = 5.0;
/// β of the loss that the reference's gradients are of.
const GRADIENT_BETA: f64 = 0.1;

const INPUTS: [&str; 9] = [
    "in.pixel_values",
    "in.input_ids",
    "in.attention_mask",
    "in.gen_ids",
    "in.gen_mask",
    "in.gen_image_tokens",
    "in.rand_image_tokens",
    "in.ref_chosen_logps",
    "in.ref_rejected_logps",
];

/// How far one tensor is from the reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorReport {
    /// The reference's name for it.
    pub name: String,
    /// Largest absolute error; for token ids 0 when all are equal, else 1.
    pub max_abs: f64,
    /// The same relative to the expected tensor's largest magnitude; for token ids as `max_abs`.
    pub max_rel: f64,
    /// What `max_rel` may be at most.
    pub limit: f64,
    /// Whether it is.
    pub passed: bool,
    /// Why nothing could be compared, where that is so; the errors are then 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether every tensor passed.
    pub passed: bool,
    /// All that the reference names beside its inputs, by name.
    pub tensors: Vec<TensorReport>,
}

/// Computes everything that the file `expected` names and compares. Inputs that it lacks are taken
/// from the file `inputs`: what is expected of an adapter is of its base's inputs.
///
/// # Errors
/// When a file cannot be read or the first names nothing to compare. Values that differ, unknown
/// names and inputs that are missing or do not fit are no errors but failures in the report.
pub fn verify(model: &JanusModel, expected_file: &Path, inputs: Option<&Path>) -> Result<Report> {
    let mut tensors = read(expected_file)?;
    if let Some(inputs) = inputs {
        for (name, tensor) in read(inputs)? {
            if INPUTS.contains(&&*name) {
                tensors.entry(name).or_insert(tensor);
            }
        }
    }
    let mut reference = Reference {
        model,
        tensors: &tensors,
        log_probs: BTreeMap::new(),
        gradients: None,
    };
    let mut reports = Vec::new();
    for (name, expected) in &tensors {
        if INPUTS.contains(&name.as_str()) {
            continue;
        }
        let limit = if name.starts_with("grad.") {
            GRADIENT_LIMIT
        } else if expected.dtype().is_int() {
            0.0
        } else {
            FORWARD_LIMIT
        };
        let compared = reference
            .compute(name)
            .and_then(|actual| reference.errors(name, &actual, expected));
        reports.push(match compared {
            Ok((max_abs, max_rel)) => TensorReport {
                name: printable(name),
                max_abs,
                max_rel,
                limit,
                passed: max_rel <= limit,
                reason: None,
            },
            Err(error) => TensorReport {
                name: printable(name),
                max_abs: 1.0,
                max_rel: 1.0,
                limit,
                passed: false,
                reason: Some(error.to_string()),
            },
        });
    }
    if reports.is_empty() {
        return Err(Error::NothingExpected {
            path: expected_file.to_path_buf(),
        });
    }
    Ok(Report {
        passed: reports.iter().all(|report| report.passed),
        tensors: reports,
    })
}

/// The tensors of a reference file.
fn read(file: &Path) -> Result<BTreeMap<String, Tensor>> {
    if regular_file(file)?.is_none() {
        return Err(Error::io("read", file)(ErrorKind::NotFound.into()));
    }
    let tensors = candle_core::safetensors::load(file, &Device::Cpu);
    let tensors = tensors.map_err(|error| Error::Weights {
        file: file.display().to_string(),
        reason: error.to_string(),
    })?;
    Ok(tensors.into_iter().collect())
}

/// The file's tensors, and what was computed from them that several outputs share.
struct Reference<'a> {
    model: &'a JanusModel,
    tensors: &'a BTreeMap<String, Tensor>,
    /// Token log-probabilities by the name of the image tokens, with their graph.
    log_probs: BTreeMap<&'static str, Tensor>,
    gradients: Option<GradStore>,
}

impl Reference<'_> {
    fn compute(&mut self, name: &str) -> Result<Tensor> {
        let network = &self.model.frozen;
        if let Some(weight) = name.strip_prefix("grad.") {
            return self.gradient(weight);
        }
        if let Some(kind) = name.strip_prefix("out.dpo_")
            && let Some((kind, beta)) = kind.split_once("_b")
            && let Ok(beta) = beta.parse::<f64>()
        {
            return self.dpo(kind, beta);
        }
        Ok(match name {
            "out.vision_hidden" => network.tower.forward(&self.pixels()?)?,
            "out.image_features" => network.image_features(&self.pixels()?)?,
            "out.text_logits" => {
                let rows = self.rows("in.input_ids", "in.attention_mask")?;
                self.model.text_logits(network, &self.pixels()?, &rows)?
            }
            "out.gen_tokens" => {
                let tokens = self.draw()?;
                let shape = (tokens.len(), self.model.config().vq.tokens());
                Tensor::from_vec(tokens.concat(), shape, &Device::Cpu)?
            }
            "out.gen_pixels_nhwc" => {
                let tokens = self.tokens("out.gen_tokens")?;
                self.model
                    .decode_unclipped(&tokens)?
                    .permute((0, 2, 3, 1))?
            }
            "out.gen_token_logps" => self.log_probs("in.gen_image_tokens")?.detach(),
            "out.rand_token_logps" => self.log_probs("in.rand_image_tokens")?.detach(),
            "out.vq_latents" => network.vq.encode(&self.pixels()?)?,
            "out.vq_tokens_l2" => self.codes(CodeSearch::Normalised)?,
            "out.vq_tokens_hf" => self.codes(CodeSearch::Plain)?,
            _ => {
                return Err(Error::argument(
                    "name",
                    format!("`{name}`"),
                    "a name that this program knows",
                ));
            }
        })
    }

    /// Largest absolute and relative error.
    fn errors(&self, name: &str, actual: &Tensor, expected: &Tensor) -> Result<(f64, f64)> {
        if actual.dims() != expected.dims() {
            return Err(Error::argument(
                "shape",
                format!("{:?}", actual.dims()),
                format!("{:?}", expected.dims()),
            ));
        }
        let flat = |tensor: &Tensor| -> Result<Vec<f64>> {
            let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
            Ok(tensor.flatten_all()?.to_vec1()?)
        };
        let (mut actual, mut wanted) = (flat(actual)?, flat(expected)?);
        if expected.dtype().is_int() {
            let error = f64::from(u8::from(actual != wanted));
            return Ok((error, error));
        }
        if name == "out.text_logits" {
            // What padding rows hold has no meaning.
            let mask = flat(self.tensor("in.attention_mask")?)?;
            let width = expected.dim(D::Minus1)?;
            let real = |values: Vec<f64>| -> Vec<f64> {
                let rows = values.chunks(width).zip(&mask);
                rows.filter(|(_, mask)| **mask != 0.0)
                    .flat_map(|(row, _)| row.to_vec())
                    .collect()
            };
            actual = real(actual);
            wanted = real(wanted);
        }
        // Unlike `f64::max` this keeps what is not a number.
        let larger = |a: f64, b: f64| if a.is_nan() || b <= a { a } else { b };
        let max_abs = actual
            .iter()
            .zip(&wanted)
            .map(|(a, w)| (a - w).abs())
            .fold(0.0, larger);
        let magnitude = wanted.iter().map(|w| w.abs()).fold(0.0, larger);
        let max_rel = if magnitude > 0.0 {
            max_abs / magnitude
        } else {
            max_abs
        };
        Ok((max_abs, max_rel))
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| {
            Error::argument(format!("`{name}`"), "missing", "an input in the same file")
        })
    }

    /// An input that must hold something.
    fn filled(&self, name: &str) -> Result<&Tensor> {
        let tensor = self.tensor(name)?;
        if tensor.elem_count() == 0 {
            return Err(Error::argument(
                format!("shape of `{name}`"),
                format!("{:?}", tensor.dims()),
                "at least one row and one column",
            ));
        }
        Ok(tensor)
    }

    fn pixels(&self) -> Result<Tensor> {
        let pixels = self.filled("in.pixel_values")?;
        self.model.check_pixels(pixels)?;
        let device = &self.model.device;
        Ok(pixels.to_dtype(DType::F32)?.to_device(device)?)
    }

    /// Ids and their left padding as the file has them.
    fn rows(&self, ids: &str, mask: &str) -> Result<Rows> {
        let lists = self.ids(ids, self.model.config().text.vocab)?;
        let mask: Vec<Vec<f64>> = self.filled(mask)?.to_dtype(DType::F64)?.to_vec2()?;
        if lists.len() != mask.len() || lists.iter().zip(&mask).any(|(a, b)| a.len() != b.len()) {
            return Err(Error::argument(
                format!("`{ids}`"),
                format!("{:?}", self.tensor(ids)?.dims()),
                "the mask's shape",
            ));
        }
        let sentences = mask
            .iter()
            .map(|row| {
                let start = row.iter().take_while(|mask| **mask == 0.0).count();
                if start < row.len() && row[start..].iter().all(|mask| *mask == 1.0) {
                    Ok(Sentence::unbranched(start))
                } else {
                    Err(Error::argument(
                        "mask",
                        format!("{row:?}"),
                        "zeros and then at least a one",
                    ))
                }
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Rows {
            width: lists.first().map_or(0, Vec::len),
            ids: lists.concat(),
            padding: Padding { sentences },
        })
    }

    /// A tensor of ids below `bound`.
    fn ids(&self, name: &str, bound: usize) -> Result<Vec<Vec<u32>>> {
        let lists: Vec<Vec<i64>> = self.filled(name)?.to_dtype(DType::I64)?.to_vec2()?;
        lists
            .into_iter()
            .map(|list| {
                list.into_iter()
                    .map(|id| match u32::try_from(id) {
                        Ok(small) if (small as usize) < bound => Ok(small),
                        _ => Err(Error::argument(
                            format!("id in `{name}`"),
                            id,
                            format!("below {bound}"),
                        )),
                    })
                    .collect()
            })
            .collect()
    }

    fn tokens(&self, name: &str) -> Result<Vec<Vec<u32>>> {
        let tokens = self.ids(name, self.model.config().vq.codes)?;
        for image in &tokens {
            self.model.check_tokens(image)?;
        }
        Ok(tokens)
    }

    /// The prompts to draw, without their padding.
    fn prompts(&self) -> Result<Vec<Vec<u32>>> {
        let rows = self.rows("in.gen_ids", "in.gen_mask")?;
        Ok(rows
            .ids
            .chunks(rows.width)
            .zip(&rows.padding.sentences)
            .map(|(ids, sentence)| ids[sentence.start..].to_vec())
            .collect())
    }

    fn draw(&self) -> Result<Vec<Vec<u32>>> {
        let prompts = self.prompts()?;
        let greedy = Sampling {
            temperature: 0.0,
            guidance: REFERENCE_GUIDANCE,
        };
        let mut unused = vec![sc_core::rng::stream(0, "verify", &[]); prompts.len()];
        let drawings = self.model.draw_rows(
            &prompts,
            &mut unused,
            &greedy,
            self.model.config().vq.tokens(),
        )?;
        Ok(drawings.into_iter().map(|drawing| drawing.tokens).collect())
    }

    fn codes(&self, search: CodeSearch) -> Result<Tensor> {
        let vq = &self.model.frozen.vq;
        Ok(vq.nearest_codes(&vq.encode(&self.pixels()?)?, search)?)
    }

    fn log_probs(&mut self, images: &'static str) -> Result<Tensor> {
        if let Some(known) = self.log_probs.get(images) {
            return Ok(known.clone());
        }
        let prompts = self.prompts()?;
        let tokens = self.tokens(images)?;
        if tokens.len() != prompts.len() {
            return Err(Error::argument(
                format!("rows of `{images}`"),
                tokens.len(),
                format!("{}, as many as prompts", prompts.len()),
            ));
        }
        let slices: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let network = &self.model.tracked;
        let computed = self.model.row_log_probs(network, &prompts, &slices)?;
        self.log_probs.insert(images, computed.clone());
        Ok(computed)
    }

    /// Preference losses a pair (Rafailov et al., 2023; Azar et al., 2023; Zhao et al., 2023).
    fn dpo(&mut self, kind: &str, beta: f64) -> Result<Tensor> {
        let chosen = self.log_probs("in.gen_image_tokens")?;
        let rejected = self.log_probs("in.rand_image_tokens")?;
        let tokens = chosen.dim(1)? as f64;
        let device = chosen.device();
        let reference = |name: &str| -> Result<Tensor> {
            Ok(self.tensor(name)?.to_dtype(DType::F32)?.to_device(device)?)
        };
        let gain = (chosen.sum(1)? - reference("in.ref_chosen_logps")?)?;
        let loss = (rejected.sum(1)? - reference("in.ref_rejected_logps")?)?;
        let advantage = (gain - loss)?;
        Ok(match kind {
            // −log σ(x) = max(−x, 0) + log(1 + exp(−|x|)), which no x overflows.
            "sigmoid" => {
                let x = (advantage * beta)?;
                (x.neg()?.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?
            }
            "hinge" => (1.0 - (advantage * beta)?)?.relu()?,
            "ipo" => ((advantage / tokens)? - 0.5 / beta)?.sqr()?,
            _ => {
                return Err(Error::argument(
                    "loss",
                    format!("`{kind}`"),
                    "`sigmoid`, `hinge` or `ipo`",
                ));
            }
        })
    }

    fn gradient(&mut self, weight: &str) -> Result<Tensor> {
        if self.gradients.is_none() {
            let loss = self.dpo("sigmoid", GRADIENT_BETA)?.mean_all()?;
            self.gradients = Some(loss.backward()?);
        }
        let var = self.model.parameters.get(weight).ok_or_else(|| {
            Error::argument("name", format!("`grad.{weight}`"), "a weight of the model")
        })?;
        self.gradients
            .as_ref()
            .and_then(|gradients| gradients.get(var))
            .cloned()
            .ok_or_else(|| {
                Error::argument(
                    format!("gradient of `{weight}`"),
                    "missing",
                    "a weight on the generation path",
                )
            })
    }
}
