//! Adapters as PEFT keeps them: `adapter_config.json` and `adapter_model.safetensors`
//! (huggingface/peft, `tuners/lora/config.py`, `utils/save_and_load.py`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use safetensors::tensor::serialize_to_file;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Adapter, LinearShape, LoraSettings, MOST_RANK, Pair, whole};
use crate::checkpoint::names::Naming;
use crate::checkpoint::source::{CheckpointSource, parse_json};
use crate::checkpoint::weights::Weights;
use crate::error::{Error, Result};

/// The file by which an adapter's folder is known.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// Files of an adapter's weights, in the order in which they are looked for.
const WEIGHT_FILES: [&str; 2] = [WEIGHTS, "adapter_model.bin"];
/// What PEFT puts before a module's name.
const WRAPPED: &str = "base_model.model.";

/// Initialisations that change the base's weights, which are then not those of its checkpoint.
const CHANGING_THE_BASE: [&str; 4] = ["pissa", "olora", "corda", "loftq"];

/// Whether a folder is an adapter's and no whole model's.
pub fn is_adapter(folder: &Path) -> bool {
    folder.join(ADAPTER_CONFIG).is_file() && !folder.join("config.json").is_file()
}

/// The part of `adapter_config.json` that matters.
#[derive(Deserialize)]
struct PeftJson {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    target_modules: Option<Targets>,
    #[serde(default)]
    alpha_pattern: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    rank_pattern: Option<BTreeMap<String, usize>>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Targets {
    Pattern(String),
    Names(Vec<String>),
}

impl Targets {
    /// As one expression of whole names; a name in a list is that of a module or of its end.
    fn pattern(&self) -> String {
        match self {
            Targets::Pattern(pattern) => pattern.clone(),
            Targets::Names(names) => {
                let names: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
                format!(r"(.*\.)?({})", names.join("|"))
            }
        }
    }
}

impl PeftJson {
    fn read(source: &CheckpointSource) -> Result<PeftJson> {
        let file = source.file_name(ADAPTER_CONFIG);
        let json: PeftJson = parse_json(&file, &source.require(ADAPTER_CONFIG)?)?;
        json.check(&file)?;
        Ok(json)
    }

    /// Refuses what an adapter may be that is more than s·B·A beside a weight.
    fn check(&self, file: &str) -> Result<()> {
        let refuse = |field: &str, value: String, expected: &str| {
            Err(Error::Config {
                file: file.to_owned(),
                field: field.to_owned(),
                value,
                expected: expected.to_owned(),
            })
        };
        if self.peft_type != "LORA" {
            return refuse("peft_type", format!("`{}`", self.peft_type), "`LORA`");
        }
        if !(1..=MOST_RANK).contains(&self.r) {
            let expected = format!("1 to {MOST_RANK}");
            return refuse("r", self.r.to_string(), &expected);
        }
        if !(self.lora_alpha.is_finite() && self.lora_alpha > 0.0) {
            let value = self.lora_alpha.to_string();
            return refuse("lora_alpha", value, "a finite number above 0");
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            let value = self.lora_dropout.to_string();
            return refuse("lora_dropout", value, "a number from 0 to below 1");
        }
        for field in [
            "use_dora",
            "use_qalora",
            "use_bdlora",
            "lora_bias",
            "fan_in_fan_out",
        ] {
            if let Some(value) = self.rest.get(field)
                && !matches!(value, Value::Null | Value::Bool(false))
            {
                return refuse(field, value.to_string(), "false");
            }
        }
        for field in [
            "modules_to_save",
            "layer_replication",
            "trainable_token_indices",
            "target_parameters",
            "alora_invocation_tokens",
        ] {
            let there = self.rest.get(field).is_some_and(|value| match value {
                Value::Null => false,
                Value::Array(list) => !list.is_empty(),
                Value::Object(map) => !map.is_empty(),
                _ => true,
            });
            if there {
                return refuse(field, self.rest[field].to_string(), "null");
            }
        }
        if let Some(bias) = self.rest.get("bias")
            && !(bias.is_null() || bias == "none")
        {
            return refuse("bias", bias.to_string(), "`none`");
        }
        for (pattern, alpha) in self.alpha_pattern.iter().flatten() {
            if !(alpha.is_finite() && *alpha > 0.0) {
                let expected = format!("a finite number above 0 for `{pattern}`");
                return refuse("alpha_pattern", alpha.to_string(), &expected);
            }
        }
        for (field, patterns) in [
            ("alpha_pattern", keys(&self.alpha_pattern)),
            ("rank_pattern", keys(&self.rank_pattern)),
        ] {
            if let Some(pattern) = patterns.iter().find(|pattern| by_end(pattern).is_err()) {
                return refuse(field, format!("`{pattern}`"), "regular expressions");
            }
        }
        if let Some(how) = self.rest.get("init_lora_weights").and_then(Value::as_str)
            && CHANGING_THE_BASE.iter().any(|name| how.starts_with(name))
        {
            return refuse(
                "init_lora_weights",
                format!("`{how}`, which changes the base's weights"),
                "one that leaves them (PEFT can convert such an adapter when it saves it)",
            );
        }
        Ok(())
    }

    /// α of a module, which a pattern may set by the end of its name.
    fn alpha(&self, module: &str) -> f64 {
        set_by_pattern(&self.alpha_pattern, module).unwrap_or(self.lora_alpha)
    }

    /// r of a module, likewise.
    fn rank(&self, module: &str) -> usize {
        set_by_pattern(&self.rank_pattern, module).unwrap_or(self.r)
    }
}

/// What the first pattern says that the end of a module's name matches.
fn set_by_pattern<T: Copy>(patterns: &Option<BTreeMap<String, T>>, module: &str) -> Option<T> {
    (patterns.iter().flatten())
        .find(|(pattern, _)| by_end(pattern).is_ok_and(|pattern| pattern.is_match(module)))
        .map(|(_, value)| *value)
}

fn by_end(pattern: &str) -> std::result::Result<regex::Regex, regex::Error> {
    whole(&format!(r"(.*\.)?({pattern})"))
}

fn keys<T>(patterns: &Option<BTreeMap<String, T>>) -> Vec<&str> {
    patterns
        .iter()
        .flatten()
        .map(|(pattern, _)| pattern.as_str())
        .collect()
}

/// A module of the model under a name that an adapter may use: transformers' or the authors'.
struct Known<'a> {
    module: &'a str,
    shape: LinearShape,
    third: Option<usize>,
}

/// All modules under all their names.
fn known(modules: &BTreeMap<String, LinearShape>) -> HashMap<String, Vec<Known<'_>>> {
    let mut known: HashMap<String, Vec<Known>> = HashMap::new();
    for (module, shape) in modules {
        for naming in [Naming::HuggingFace, Naming::Original] {
            let (name, third) = naming.module(module);
            known.entry(name).or_default().push(Known {
                module,
                shape: *shape,
                third,
            });
        }
    }
    known
}

impl Naming {
    /// What a module of transformers' name is called, and which third of it it is.
    fn module(self, module: &str) -> (String, Option<usize>) {
        let place = self.place(&format!("{module}.weight"));
        let name = place.name.strip_suffix(".weight").map(str::to_owned);
        (name.unwrap_or(place.name), place.third)
    }
}

impl Adapter {
    /// The name or path of the model that an adapter in PEFT's layout says it is for.
    ///
    /// # Errors
    /// When its configuration is missing, does not parse or is of another kind.
    pub fn base_of(folder: &Path) -> Result<Option<String>> {
        let source = CheckpointSource::Directory(folder.to_owned());
        Ok(PeftJson::read(&source)?.base_model_name_or_path)
    }

    /// Reads an adapter in PEFT's layout for a model with these linear layers.
    ///
    /// # Errors
    /// When a file is missing or damaged, the adapter is of another kind than LoRA, a value is not
    /// finite, or with all tensors that do not fit the model.
    pub fn read(
        folder: &Path,
        modules: &BTreeMap<String, LinearShape>,
        device: &Device,
    ) -> Result<Adapter> {
        let source = CheckpointSource::Directory(folder.to_owned());
        let config = PeftJson::read(&source)?;
        let weights = Weights::open_one_of(&source, &WEIGHT_FILES)?;
        let known = known(modules);
        let mut problems = Vec::new();
        let mut pairs = BTreeMap::new();
        let mut not_finite = Vec::new();
        let mut named = BTreeSet::new();
        for name in weights.stored_names("") {
            match split(name) {
                Some((module, _)) if known.contains_key(module) => {
                    named.insert(module.to_owned());
                }
                Some(_) => problems.push(format!("`{name}` is on no linear layer of the model")),
                None => problems.push(format!("`{name}` is no matrix of an adapter")),
            }
        }
        for name in &named {
            let stored = |part: &str| stored_name(&weights, name, part);
            let (Some(a_name), Some(b_name)) = (stored("A"), stored("B")) else {
                problems.push(format!("`{name}` has only one of `lora_A` and `lora_B`"));
                continue;
            };
            for place in &known[name] {
                let LinearShape { inputs, outputs } = place.shape;
                let joined = if place.third.is_some() { 3 } else { 1 };
                let rank = config.rank(place.module);
                let mut fits = true;
                for (name, expected) in [
                    (&a_name, [rank, inputs]),
                    (&b_name, [outputs * joined, rank]),
                ] {
                    if weights.shape(name) != expected || !(1..=MOST_RANK).contains(&rank) {
                        problems.push(format!(
                            "`{name}` has the shape {:?}, expected {}",
                            weights.shape(name),
                            if name == &a_name {
                                format!("[{rank}, {inputs}]")
                            } else {
                                format!("[{}, {rank}]", outputs * joined)
                            }
                        ));
                        fits = false;
                    }
                }
                if !fits {
                    continue;
                }
                let mut matrix = |name: &str, rows: usize, columns: usize, third: Option<usize>| {
                    let shape = [rows * if third.is_some() { 3 } else { 1 }, columns];
                    let (value, finite) = weights.load_stored(name, None, &shape, device)?;
                    if !finite {
                        not_finite.push(format!("`{name}`"));
                    }
                    let value = match third {
                        Some(third) => value.narrow(0, third * rows, rows)?.contiguous()?,
                        None => value,
                    };
                    Ok::<_, Error>(Var::from_tensor(&value.to_dtype(DType::F32)?)?)
                };
                let settings = LoraSettings {
                    alpha: config.alpha(place.module),
                    rslora: config.use_rslora,
                    ..LoraSettings::default()
                };
                let pair = Pair {
                    a: matrix(&a_name, rank, inputs, None)?,
                    b: matrix(&b_name, outputs, rank, place.third)?,
                    scale: settings.scale(rank),
                };
                pairs.insert(place.module.to_owned(), pair);
            }
        }
        if pairs.is_empty() && problems.is_empty() {
            problems.push("it holds no matrix".into());
        }
        if !problems.is_empty() {
            return Err(Error::AdapterMismatch {
                adapter: source.name(),
                problems,
            });
        }
        if !not_finite.is_empty() {
            return Err(Error::NonFiniteWeights {
                checkpoint: source.name(),
                tensors: not_finite,
            });
        }
        let targets = config.target_modules.as_ref().map(Targets::pattern);
        Ok(Adapter {
            settings: LoraSettings {
                rank: config.r,
                alpha: config.lora_alpha,
                rslora: config.use_rslora,
                dropout: config.lora_dropout,
                targets: targets.unwrap_or_else(|| LoraSettings::default().targets),
            },
            base: config.base_model_name_or_path.unwrap_or_default(),
            pairs,
        })
    }

    /// Writes the adapter in PEFT's layout into the folder, which must be there, with modules called
    /// as `naming` does.
    ///
    /// # Errors
    /// When a file cannot be written, or the authors have no such module by itself.
    pub fn write(&self, folder: &Path, naming: Naming) -> Result<()> {
        let mut tensors = BTreeMap::new();
        for (module, pair) in &self.pairs {
            let (name, third) = naming.module(module);
            if third.is_some() {
                return Err(Error::argument(
                    "adapted module",
                    format!("`{module}`"),
                    "one that the authors' layout has by itself; transformers' layout has all",
                ));
            }
            for (part, var) in [("A", &pair.a), ("B", &pair.b)] {
                let value = var.as_detached_tensor().to_device(&Device::Cpu)?;
                tensors.insert(format!("{WRAPPED}{name}.lora_{part}.weight"), value);
            }
        }
        let path = folder.join(WEIGHTS);
        write_tensors(&tensors, &path)?;
        let LoraSettings {
            rank,
            alpha,
            rslora,
            dropout,
            ..
        } = &self.settings;
        // By the names themselves: what they were found by may be of another naming.
        let targets: Vec<String> = self.pairs.keys().map(|m| naming.module(m).0).collect();
        let alphas: Map<String, Value> = (self.pairs.iter())
            .filter_map(|(module, pair)| {
                let rank = pair.a.dims().first().copied().unwrap_or(*rank);
                let alpha = pair.scale / self.settings.scale(rank) * self.settings.alpha;
                let differs = (alpha - self.settings.alpha).abs() > 1e-9 * alpha;
                differs.then(|| (naming.module(module).0, alpha.into()))
            })
            .collect();
        let ranks: Map<String, Value> = (self.pairs.iter())
            .filter_map(|(module, pair)| {
                let of_module = pair.a.dims().first().copied().unwrap_or(*rank);
                (of_module != *rank).then(|| (naming.module(module).0, of_module.into()))
            })
            .collect();
        let config = json!({
            "peft_type": "LORA",
            "auto_mapping": {
                "base_model_class": "JanusForConditionalGeneration",
                "parent_library": "transformers.models.janus.modeling_janus",
            },
            "base_model_name_or_path": self.base,
            "r": rank,
            "lora_alpha": alpha,
            "use_rslora": rslora,
            "lora_dropout": dropout,
            "target_modules": targets,
            "rank_pattern": ranks,
            "alpha_pattern": alphas,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "use_dora": false,
            "modules_to_save": null,
            "task_type": null,
        });
        let path = folder.join(ADAPTER_CONFIG);
        let text = serde_json::to_string_pretty(&config).map_err(|error| Error::Json {
            file: path.display().to_string(),
            reason: error.to_string(),
        })?;
        fs::write(&path, text + "\n").map_err(Error::io("write", path))
    }
}

/// Writes tensors as a safetensors file that transformers and PEFT take.
pub(crate) fn write_tensors(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
    // They refuse a file that does not say which framework's layout it has.
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    serialize_to_file(tensors, Some(metadata), path).map_err(|error| Error::Io {
        action: "write",
        path: path.to_owned(),
        source: std::io::Error::other(error),
    })
}

/// The module of an adapter's tensor, and which of its two matrices it is.
fn split(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_prefix(WRAPPED)?.strip_suffix(".weight")?;
    // PEFT's own state has the adapter's name at the end; its files have not.
    let name = name.strip_suffix(".default").unwrap_or(name);
    let (module, part) = name.rsplit_once(".lora_")?;
    matches!(part, "A" | "B").then_some((module, part))
}

/// The name of a module's matrix as the file has it.
fn stored_name(weights: &Weights, module: &str, part: &str) -> Option<String> {
    ["", ".default"]
        .map(|end| format!("{WRAPPED}{module}.lora_{part}{end}.weight"))
        .into_iter()
        .find(|name| weights.stored(name).is_some())
}
