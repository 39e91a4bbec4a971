//! The authors' `config.json`, which leaves most sizes to their code: they are read from the
//! tensors, and from the keys of their own dataclasses where a checkpoint has them.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Config;
use super::json::{Check, ConfigJson, TextJson, VisionJson, VqJson};
use crate::checkpoint::names::Naming;
use crate::checkpoint::weights::Weights;
use crate::error::{Error, Result};

/// Linear layers of a perceptron where nothing is said (`MlpProjector`, janus/models/projector.py).
const AUTHORS_DEPTH: usize = 1;
/// Heads of the towers that the authors' code knows by name (`SigLIP_MODEL_CONFIG`,
/// janus/models/siglip_vit.py): the one size that no tensor tells.
const TOWER_HEADS: [(&str, usize); 3] = [
    ("siglip_large_patch16_384", 16),
    ("siglip_so400m_patch14_384", 16),
    ("siglip_so400m_patch14_224", 16),
];

/// `config.json` as the authors write it.
#[derive(Deserialize)]
struct OriginalJson {
    tie_word_embeddings: Option<bool>,
    language_config: TextJson,
    #[serde(default)]
    vision_config: PartJson,
    #[serde(default)]
    aligner_config: PartJson,
    #[serde(default)]
    gen_vision_config: PartJson,
    #[serde(default)]
    gen_aligner_config: PartJson,
    #[serde(default)]
    gen_head_config: PartJson,
}

/// A part of the model: its class, and what it is made with.
#[derive(Default, Deserialize)]
struct PartJson {
    cls: Option<String>,
    #[serde(default)]
    params: Map<String, Value>,
}

/// A part with its place in the file.
struct Part<'a> {
    check: &'a Check<'a>,
    name: &'static str,
    params: &'a Map<String, Value>,
}

impl<'a> Part<'a> {
    /// The part of `name`, which must be of the class `cls` if it says of which it is.
    fn new(
        check: &'a Check<'a>,
        name: &'static str,
        json: &'a PartJson,
        cls: &str,
    ) -> Result<Part<'a>> {
        if let Some(other) = &json.cls {
            check.is(&format!("{name}.cls"), other, cls)?;
        }
        Ok(Part {
            check,
            name,
            params: &json.params,
        })
    }

    fn given<T: for<'b> Deserialize<'b>>(&self, key: &str, expected: &str) -> Result<Option<T>> {
        let Some(value) = self.params.get(key) else {
            return Ok(None);
        };
        T::deserialize(value)
            .map(Some)
            .map_err(|_| self.check.error(&self.path(key), value, expected))
    }

    fn path(&self, key: &str) -> String {
        format!("{}.params.{key}", self.name)
    }

    fn size(&self, key: &str) -> Result<Option<usize>> {
        self.given(key, "a whole number from 0")
    }

    /// Refuses a part that is no perceptron with GELU.
    fn perceptron(&self, default_depth: usize) -> Result<usize> {
        if let Some(kind) = self.given::<String>("projector_type", "a word")? {
            self.check
                .is(&self.path("projector_type"), &kind, "mlp_gelu")?;
        }
        Ok(self.size("depth")?.unwrap_or(default_depth))
    }
}

/// What the tensors say of sizes.
struct Shapes<'a>(&'a Weights);

impl Shapes<'_> {
    /// A dimension of a tensor, counted from the last; none if there is no such tensor.
    fn dimension(&self, tensor: &str, from_last: usize) -> Option<usize> {
        let shape = &self.0.stored(tensor)?.shape;
        shape.iter().rev().nth(from_last).copied()
    }

    /// How many modules are called `beginning` and a number from 0.
    fn count(&self, beginning: &str) -> usize {
        (0..)
            .take_while(|number| {
                let module = format!("{beginning}{number}.");
                self.0.stored_names(&module).next().is_some()
            })
            .count()
    }
}

/// Parses and checks the authors' configuration of the model whose tensors `weights` are.
pub(super) fn parse(check: &Check, json: Value, weights: &Weights) -> Result<Config> {
    let json: OriginalJson = check.read(json)?;
    let vision = Part::new(
        check,
        "vision_config",
        &json.vision_config,
        "CLIPVisionTower",
    )?;
    let aligner = Part::new(
        check,
        "aligner_config",
        &json.aligner_config,
        "MlpProjector",
    )?;
    let vq = Part::new(check, "gen_vision_config", &json.gen_vision_config, "VQ-16")?;
    let gen_aligner = Part::new(
        check,
        "gen_aligner_config",
        &json.gen_aligner_config,
        "MlpProjector",
    )?;
    let gen_head = Part::new(
        check,
        "gen_head_config",
        &json.gen_head_config,
        "vision_head",
    )?;
    let shapes = Shapes(weights);
    let vision = vision_json(&vision, &aligner, &shapes)?;
    let vq = vq_json(&vq, &gen_aligner, &gen_head, vision.image_size, &shapes)?;
    let config = ConfigJson {
        image_token_id: None,
        tie_word_embeddings: json.tie_word_embeddings,
        text_config: json.language_config,
        vision_config: vision,
        vq_config: vq,
    };
    (config.resolve(check, Naming::Original)).map_err(in_the_authors_words)
}

/// An error of a field by transformers' name, by the authors'.
fn in_the_authors_words(error: Error) -> Error {
    match error {
        Error::Config {
            file,
            field,
            value,
            expected,
        } => {
            let named = [
                ("vision_config.depth", "aligner_config.params.depth"),
                (
                    "vq_config.num_hidden_layers",
                    "gen_aligner_config.params.depth",
                ),
                (
                    "vq_config.image_token_embed_dim",
                    "gen_head_config.params.image_token_embed",
                ),
                (
                    "vq_config.num_embeddings",
                    "gen_vision_config.params.image_token_size",
                ),
                ("vq_config.embed_dim", "gen_vision_config.params.n_embed"),
                (
                    "vq_config.latent_channels",
                    "gen_vision_config.params.z_channels",
                ),
                (
                    "vq_config.channel_multiplier",
                    "gen_vision_config.params.encoder_ch_mult",
                ),
                ("text_config.", "language_config."),
                ("vision_config.", "vision_config.params."),
                ("vq_config.", "gen_vision_config.params."),
            ]
            .iter()
            .find_map(|(theirs, ours)| Some(format!("{ours}{}", field.strip_prefix(theirs)?)));
            Error::Config {
                file,
                field: named.unwrap_or(field),
                value,
                expected,
            }
        }
        other => other,
    }
}

fn vision_json(part: &Part, aligner: &Part, shapes: &Shapes) -> Result<VisionJson> {
    let defaults = VisionJson::default();
    let tower = "vision_model.vision_tower";
    let tensor = |name: &str, from_last| shapes.dimension(&format!("{tower}.{name}"), from_last);
    let name: Option<String> = part.given("model_name", "a word")?;
    let known = TOWER_HEADS
        .iter()
        .find(|(known, _)| Some(*known) == name.as_deref());
    let heads = match (part.size("heads")?, known) {
        (Some(heads), _) => heads,
        (None, Some((_, heads))) => *heads,
        (None, None) => {
            let names = TOWER_HEADS.map(|(name, _)| name).join("`, `");
            return Err(part.check.error(
                &part.path("heads"),
                "missing",
                format!("the number of the tower's heads, or a `model_name` out of `{names}`"),
            ));
        }
    };
    let width = (part.size("width")?.or(tensor("pos_embed", 0))).unwrap_or(defaults.hidden_size);
    let mlp = tensor("blocks.0.mlp.fc1.weight", 1);
    let by_shape = mlp.map(|wide| wide as f64 / width as f64);
    let mlp_ratio = part
        .given("mlp_ratio", "a number")?
        .or(by_shape)
        .unwrap_or(defaults.mlp_ratio);
    Ok(VisionJson {
        hidden_size: width,
        num_hidden_layers: (part.size("layers")?)
            .unwrap_or(shapes.count(&format!("{tower}.blocks."))),
        num_attention_heads: heads,
        num_channels: tensor("patch_embed.proj.weight", 2).unwrap_or(defaults.num_channels),
        patch_size: (part
            .size("patch_size")?
            .or(tensor("patch_embed.proj.weight", 0)))
        .unwrap_or(defaults.patch_size),
        image_size: part.size("image_size")?.unwrap_or(defaults.image_size),
        mlp_ratio,
        projection_dim: shapes
            .dimension("aligner.layers.0.weight", 1)
            .unwrap_or(defaults.projection_dim),
        depth: aligner.perceptron(AUTHORS_DEPTH)?,
        ..defaults
    })
}

fn vq_json(
    part: &Part,
    aligner: &Part,
    head: &Part,
    image_size: usize,
    shapes: &Shapes,
) -> Result<VqJson> {
    let defaults = VqJson::default();
    let tensor =
        |name: &str, from_last| shapes.dimension(&format!("gen_vision_model.{name}"), from_last);
    let multipliers = |key: &str| -> Result<Vec<usize>> {
        let given = part.given(key, "a list of whole numbers")?;
        Ok(given.unwrap_or_else(|| defaults.channel_multiplier.clone()))
    };
    let encoder = multipliers("encoder_ch_mult")?;
    let decoder = multipliers("decoder_ch_mult")?;
    if encoder != decoder {
        return Err(part.check.error(
            &part.path("decoder_ch_mult"),
            format!("{decoder:?}"),
            format!("{encoder:?}, as `encoder_ch_mult` has it"),
        ));
    }
    let halvings = u32::try_from(encoder.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let down = 2_usize.checked_pow(halvings).unwrap_or(usize::MAX);
    let base = tensor("encoder.conv_in.weight", 3);
    let first = encoder.first().copied().unwrap_or(1).max(1);
    Ok(VqJson {
        embed_dim: part.size("n_embed")?.unwrap_or(defaults.embed_dim),
        num_embeddings: (part.size("image_token_size")?).unwrap_or(defaults.num_embeddings),
        latent_channels: (part
            .size("z_channels")?
            .or(tensor("post_quant_conv.weight", 3)))
        .unwrap_or(defaults.latent_channels),
        num_patches: Some(image_size / down),
        base_channels: base.map_or(defaults.base_channels, |channels| channels / first),
        num_res_blocks: shapes.count("gen_vision_model.encoder.conv_blocks.0.res."),
        channel_multiplier: encoder,
        projection_dim: shapes
            .dimension("gen_aligner.layers.0.weight", 1)
            .unwrap_or(defaults.projection_dim),
        image_token_embed_dim: head
            .size("image_token_embed")?
            .unwrap_or(defaults.image_token_embed_dim),
        num_hidden_layers: aligner.perceptron(AUTHORS_DEPTH)?,
        ..defaults
    })
}
