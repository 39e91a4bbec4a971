//! A model's weights: named variables in groups, with snapshot, roll-back and saving.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};

use crate::adapter::{Adapter, LowRank, Weight, write_tensors};
use crate::checkpoint::folder::remove_if_there;
use crate::checkpoint::names::Naming;
use crate::checkpoint::source::CheckpointSource;
use crate::checkpoint::weights::Weights;
use crate::error::{Error, Result};

/// Files that a saved model takes over from its base unchanged, byte for byte.
pub(crate) const CARRIED_FILES: [&str; 10] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "templates.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.json",
    "chat_template.jinja",
];

/// Those of them that mean the same in both layouts.
pub(crate) const TOKENIZER_FILES: [&str; 4] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "templates.json",
];

/// A part of the model, by the name that its tensors start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The understanding eye.
    VisionModel,
    /// From the eye into the language model.
    Aligner,
    /// The language model with its word embeddings.
    LanguageModel,
    /// From the language model to words.
    LmHead,
    /// The embeddings of drawn image tokens.
    GenerationEmbeddings,
    /// From these into the language model.
    GenerationAligner,
    /// From the language model to image tokens.
    GenerationHead,
    /// The image tokenizer.
    VqModel,
}

impl Group {
    /// All groups, in the order of a checkpoint's documentation.
    pub const ALL: [Group; 8] = [
        Group::VisionModel,
        Group::Aligner,
        Group::LanguageModel,
        Group::LmHead,
        Group::GenerationEmbeddings,
        Group::GenerationAligner,
        Group::GenerationHead,
        Group::VqModel,
    ];

    /// The name in the checkpoint's tensor names.
    pub fn name(self) -> &'static str {
        match self {
            Group::VisionModel => "vision_model",
            Group::Aligner => "aligner",
            Group::LanguageModel => "language_model",
            Group::LmHead => "lm_head",
            Group::GenerationEmbeddings => "generation_embeddings",
            Group::GenerationAligner => "generation_aligner",
            Group::GenerationHead => "generation_head",
            Group::VqModel => "vqmodel",
        }
    }

    /// The group of a tensor by its Hugging Face name.
    fn of(name: &str) -> Option<Group> {
        let name = name.strip_prefix("model.").unwrap_or(name);
        let first = name.split('.').next().unwrap_or(name);
        Group::ALL.into_iter().find(|group| group.name() == first)
    }
}

/// Gives a module its tensors by name. The modules' constructors are the only place that knows
/// names and shapes: run over a recorder they say what a checkpoint must hold.
pub(crate) trait TensorSource {
    fn tensor(&self, name: &str, shape: &[usize]) -> Tensor;

    /// What an adapter adds to the weight of a linear layer.
    fn added(&self, module: &str) -> Option<LowRank>;

    /// Whether it adds anything anywhere, and how.
    fn adaptation(&self) -> Adaptation {
        Adaptation::None
    }
}

/// How an adapter stands to the weights of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adaptation {
    /// There is none, or it is in the weights.
    None,
    /// Beside them; it may be put into them.
    Beside,
    /// Beside them, and leaves out inputs at random.
    UnderDropout,
}

/// A path into a [`TensorSource`].
#[derive(Clone)]
pub(crate) struct Scope<'a> {
    source: &'a dyn TensorSource,
    path: String,
}

impl<'a> Scope<'a> {
    pub(crate) fn root(source: &'a dyn TensorSource) -> Scope<'a> {
        Scope {
            source,
            path: String::new(),
        }
    }

    pub(crate) fn at(&self, part: impl std::fmt::Display) -> Scope<'a> {
        let path = if self.path.is_empty() {
            part.to_string()
        } else {
            format!("{}.{part}", self.path)
        };
        Scope {
            source: self.source,
            path,
        }
    }

    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Tensor {
        self.source.tensor(&self.at(name).path, shape)
    }

    /// The weight [out, in] of the linear layer that this is the path of.
    pub(crate) fn weight(&self, outputs: usize, inputs: usize) -> Weight {
        let base = self.tensor("weight", &[outputs, inputs]);
        Weight::new(base, self.source.added(&self.path))
    }
}

struct Parameter {
    var: Var,
    group: Group,
    /// The dtype in the file, in which it is saved again.
    stored: DType,
}

impl Parameter {
    fn as_stored(&self) -> Result<Tensor> {
        Ok(self
            .var
            .as_detached_tensor()
            .to_device(&Device::Cpu)?
            .to_dtype(self.stored)?)
    }
}

/// The dtype that weights are held and multiplied in. The tower and the image tokenizer are always
/// held in f32, and so are all sums and what lies between products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// f32 for small models, which are trained whole; as stored for large ones.
    #[default]
    Auto,
    /// f32.
    F32,
    /// bf16.
    BF16,
    /// f16.
    F16,
}

/// Weights up to which [`Precision::Auto`] means f32.
const SMALL: usize = 64 << 20;

impl Precision {
    /// What a weight of `group` that is stored in a dtype is held in, in a model of `size` weights.
    fn held(self, group: Group, stored: DType, size: usize) -> DType {
        match self {
            _ if matches!(group, Group::VisionModel | Group::VqModel) => DType::F32,
            Precision::Auto if size <= SMALL || stored == DType::F64 => DType::F32,
            Precision::Auto => stored,
            Precision::F32 => DType::F32,
            Precision::BF16 => DType::BF16,
            Precision::F16 => DType::F16,
        }
    }
}

/// The named weights of a model, by ascending name, and what adapts them.
pub struct Parameters {
    by_name: BTreeMap<String, Parameter>,
    adapter: Option<Adapter>,
    source: CheckpointSource,
    precision: Precision,
}

impl Parameters {
    /// Loads the weights of `source`, which must be exactly the tensors `expected` names.
    ///
    /// # Errors
    /// When a file is missing, cut or corrupt, or with the list of all tensors that are missing,
    /// unknown or of another shape, or that hold values which are not finite.
    pub(crate) fn load(
        source: &CheckpointSource,
        naming: Naming,
        expected: &BTreeMap<String, Vec<usize>>,
        precision: Precision,
        device: &Device,
    ) -> Result<Parameters> {
        let weights = Weights::open(source, naming)?;
        let problems = weights.problems(expected);
        if !problems.is_empty() {
            return Err(Error::TensorMismatch {
                checkpoint: source.name(),
                problems,
            });
        }
        let size = expected
            .values()
            .map(|shape| shape.iter().product::<usize>());
        let size = size.sum();
        let mut by_name = BTreeMap::new();
        let mut not_finite = Vec::new();
        for (name, shape) in expected {
            let group = Group::of(name).ok_or_else(|| {
                Error::argument(
                    "tensor name",
                    format!("`{name}`"),
                    "a name of a known group",
                )
            })?;
            let (value, finite) = weights.load(name, shape, device)?;
            let stored = value.dtype();
            let value = value.to_dtype(precision.held(group, stored, size))?;
            if !finite {
                not_finite.push(format!("`{name}`"));
            } else if !still_finite(&value, stored)? {
                let held = value.dtype().as_str();
                not_finite.push(format!("`{name}`, whose values are too large for {held}"));
            }
            let var = Var::from_tensor(&value)?;
            by_name.insert(name.clone(), Parameter { var, group, stored });
        }
        if !not_finite.is_empty() {
            return Err(Error::NonFiniteWeights {
                checkpoint: source.name(),
                tensors: not_finite,
            });
        }
        Ok(Parameters {
            by_name,
            adapter: None,
            source: source.clone(),
            precision,
        })
    }

    /// The adapter, if there is one: it is then what is trained, and all other weights stay.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// Puts an adapter on the weights, in the place of one that was there.
    pub(crate) fn adapt(&mut self, adapter: Adapter) {
        self.adapter = Some(adapter);
    }

    /// The checkpoint that the weights were loaded from.
    pub fn source(&self) -> &CheckpointSource {
        &self.source
    }

    /// All weights but an adapter's, by ascending name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Group, &Var)> {
        self.by_name
            .iter()
            .map(|(name, parameter)| (name.as_str(), parameter.group, &parameter.var))
    }

    /// The weights of some groups, by ascending name.
    pub fn of_groups<'a>(
        &'a self,
        groups: &'a [Group],
    ) -> impl Iterator<Item = (&'a str, &'a Var)> {
        self.iter()
            .filter(|(_, group, _)| groups.contains(group))
            .map(|(name, _, var)| (name, var))
    }

    /// One weight by its Hugging Face name, or a matrix of the adapter by its name there.
    pub fn get(&self, name: &str) -> Option<&Var> {
        match self.by_name.get(name) {
            Some(parameter) => Some(&parameter.var),
            None => self.adapter.as_ref()?.get(name),
        }
    }

    /// The dtype that the checkpoint stores its weights in, where they share one.
    pub fn stored_dtype(&self) -> Option<DType> {
        shared(self.by_name.values().map(|parameter| parameter.stored))
    }

    /// The dtype that the weights are held in, where they share one.
    pub(crate) fn held_dtype(&self) -> Option<DType> {
        shared(self.by_name.values().map(|parameter| parameter.var.dtype()))
    }

    /// The dtype to write the whole model in: the one that was asked for when it was loaded, else
    /// the one that it came in, or f32 where it came in several.
    pub(crate) fn export_dtype(&self) -> DType {
        match self.precision {
            Precision::Auto => self.stored_dtype().unwrap_or(DType::F32),
            Precision::F32 => DType::F32,
            Precision::BF16 => DType::BF16,
            Precision::F16 => DType::F16,
        }
    }

    /// Number of weights (scalars) in a group.
    pub fn count(&self, group: Group) -> usize {
        self.of_groups(&[group])
            .map(|(_, var)| var.elem_count())
            .sum()
    }

    /// A copy of the present values of some groups, to go back to.
    ///
    /// # Errors
    /// When the device runs out of memory.
    pub fn snapshot(&self, groups: &[Group]) -> Result<BTreeMap<String, Tensor>> {
        self.of_groups(groups)
            .map(|(name, var)| Ok((name.to_string(), var.as_detached_tensor().copy()?)))
            .collect()
    }

    /// Puts `values` in the place of the weights of these names.
    ///
    /// # Errors
    /// When a name is unknown or a shape differs; then nothing has changed.
    pub fn replace(&self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, value) in values {
            let var = self.get(name).ok_or_else(|| {
                Error::argument("tensor name", format!("`{name}`"), "a weight of the model")
            })?;
            if var.dims() != value.dims() {
                return Err(Error::argument(
                    format!("shape of `{name}`"),
                    format!("{:?}", value.dims()),
                    format!("{:?}", var.dims()),
                ));
            }
        }
        for (name, value) in values {
            if let Some(var) = self.get(name) {
                var.set(&value.to_dtype(var.dtype())?)?;
            }
        }
        Ok(())
    }

    /// Saves the model to the folder `to`: in transformers' layout, with the weights as one
    /// safetensors file and the configuration and tokenizer files as the base has them; or, where
    /// an adapter is what is trained, the adapter in PEFT's. The folder appears whole or not at
    /// all; one of that name is replaced.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn save(&self, to: &Path) -> Result<()> {
        let beside = |suffix: &str| {
            let mut name = to.as_os_str().to_os_string();
            name.push(suffix);
            std::path::PathBuf::from(name)
        };
        let partial = beside(".partial");
        let replaced = beside(".replaced");
        remove_if_there(&partial)?;
        let written = self
            .write_files(&partial)
            .and_then(|()| publish(&partial, to, &replaced));
        if written.is_err() && remove_if_there(&partial).is_err() {
            tracing::warn!(folder = %partial.display(), "an unfinished model stays behind");
        }
        written
    }

    fn write_files(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).map_err(Error::io("write", folder))?;
        if let Some(adapter) = &self.adapter {
            return adapter.write(folder, Naming::HuggingFace);
        }
        for file in CARRIED_FILES {
            if let Some(bytes) = self.source.read(file)? {
                let path = folder.join(file);
                fs::write(&path, bytes).map_err(Error::io("write", path))?;
            }
        }
        let path = folder.join("model.safetensors");
        let tensors = self
            .by_name
            .iter()
            .map(|(name, parameter)| Ok((name.clone(), parameter.as_stored()?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        write_tensors(&tensors, &path)?;
        // A rename must not overtake the bytes that it publishes.
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(Error::io("write", path))
    }
}

/// Puts the folder `partial` in the place of `to`, which makes way under the name `replaced` and
/// comes back if that fails.
fn publish(partial: &Path, to: &Path, replaced: &Path) -> Result<()> {
    let there = to.exists();
    if there {
        remove_if_there(replaced)?;
        fs::rename(to, replaced).map_err(Error::io("write", to))?;
    }
    if let Err(error) = fs::rename(partial, to) {
        if there {
            fs::rename(replaced, to).map_err(Error::io("write", to))?;
        }
        return Err(Error::io("write", to)(error));
    }
    remove_if_there(replaced)
}

/// What all of some dtypes are.
fn shared(mut dtypes: impl Iterator<Item = DType>) -> Option<DType> {
    let first = dtypes.next()?;
    dtypes.all(|dtype| dtype == first).then_some(first)
}

/// Whether values that were finite still are: a narrower dtype may have no room for them.
fn still_finite(value: &Tensor, stored: DType) -> Result<bool> {
    if value.dtype() == stored || value.dtype() == DType::F32 {
        return Ok(true);
    }
    let largest = value.abs()?.to_dtype(DType::F32)?.max_all()?;
    Ok(largest.to_scalar::<f32>()?.is_finite())
}

impl TensorSource for Parameters {
    /// The variable itself: gradients reach it, unless an adapter is what is trained.
    fn tensor(&self, name: &str, _shape: &[usize]) -> Tensor {
        let var = &self.by_name[name].var;
        match self.adapter {
            Some(_) => var.as_detached_tensor(),
            None => var.as_tensor().clone(),
        }
    }

    fn added(&self, module: &str) -> Option<LowRank> {
        self.adapter.as_ref()?.tracked(module)
    }

    fn adaptation(&self) -> Adaptation {
        match self.adapter {
            Some(_) => Adaptation::Beside,
            None => Adaptation::None,
        }
    }
}

/// The same for one training step: the adapter is under its dropout, by this seed.
pub(crate) struct UnderDropout<'a>(pub(crate) &'a Parameters, pub(crate) u64);

impl TensorSource for UnderDropout<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Tensor {
        self.0.tensor(name, shape)
    }

    fn added(&self, module: &str) -> Option<LowRank> {
        self.0.adapter.as_ref()?.under_dropout(module, self.1)
    }

    fn adaptation(&self) -> Adaptation {
        Adaptation::UnderDropout
    }
}

/// The same weights without a graph, for inference: the storage is shared, so changes are seen.
pub(crate) struct Detached<'a>(pub(crate) &'a Parameters);

impl TensorSource for Detached<'_> {
    fn tensor(&self, name: &str, _shape: &[usize]) -> Tensor {
        self.0.by_name[name].var.as_detached_tensor()
    }

    fn added(&self, module: &str) -> Option<LowRank> {
        self.0.adapter.as_ref()?.detached(module)
    }

    fn adaptation(&self) -> Adaptation {
        self.0.adaptation()
    }
}
