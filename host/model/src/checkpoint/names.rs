//! The two ways in which the tensors of a Janus are called: transformers' and the authors'.
//!
//! Modules here bear transformers' names. The authors' code (deepseek-ai/Janus, `janus/models/`)
//! calls the same weights otherwise, keeps query, key and value of the tower in one tensor, and
//! stores some that no forward pass reads. [`RULES`] is the one place that knows both.

/// Who named a checkpoint's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// transformers (`model_type` is `janus`).
    HuggingFace,
    /// The authors (`model_type` is `multi_modality`).
    Original,
}

/// Where a tensor of transformers' name stands under another naming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The name there.
    pub(crate) name: String,
    /// Which third of that tensor's rows it is, where the authors join three.
    pub(crate) third: Option<usize>,
}

/// The beginnings of names, transformers' and the authors'; `#` stands for a number, the same in
/// both. The first that fits holds, and what follows it is the same in both.
const RULES: [(&str, &str); 19] = [
    ("lm_head", "language_model.lm_head"),
    ("model.language_model", "language_model.model"),
    (
        "model.vision_model.embeddings.position_embedding.weight",
        "vision_model.vision_tower.pos_embed",
    ),
    (
        "model.vision_model.embeddings.patch_embedding",
        "vision_model.vision_tower.patch_embed.proj",
    ),
    (
        "model.vision_model.encoder.layers.#.layer_norm1",
        "vision_model.vision_tower.blocks.#.norm1",
    ),
    (
        "model.vision_model.encoder.layers.#.layer_norm2",
        "vision_model.vision_tower.blocks.#.norm2",
    ),
    (
        "model.vision_model.encoder.layers.#.self_attn.projection_layer",
        "vision_model.vision_tower.blocks.#.attn.proj",
    ),
    (
        "model.vision_model.encoder.layers.#.mlp",
        "vision_model.vision_tower.blocks.#.mlp",
    ),
    (
        "model.vision_model.post_layernorm",
        "vision_model.vision_tower.norm",
    ),
    ("model.aligner.fc1", "aligner.layers.0"),
    ("model.generation_embeddings", "gen_embed"),
    ("model.generation_aligner.fc1", "gen_aligner.layers.0"),
    (
        "model.generation_head.proj_out",
        "gen_head.output_mlp_projector",
    ),
    ("model.generation_head.vision_head", "gen_head.vision_head"),
    (
        "model.vqmodel.encoder.down.#.block.#",
        "gen_vision_model.encoder.conv_blocks.#.res.#",
    ),
    (
        "model.vqmodel.encoder.down.#",
        "gen_vision_model.encoder.conv_blocks.#",
    ),
    (
        "model.vqmodel.decoder.up.#.block.#",
        "gen_vision_model.decoder.conv_blocks.#.res.#",
    ),
    (
        "model.vqmodel.decoder.up.#",
        "gen_vision_model.decoder.conv_blocks.#",
    ),
    ("model.vqmodel", "gen_vision_model"),
];

/// The parts of a middle block, in the order of the authors' numbers.
const MIDDLE: [&str; 3] = ["block_1", "attn_1", "block_2"];
/// The parts of the authors' joint projection, in the order of its rows.
const JOINT: [&str; 3] = ["q_proj", "k_proj", "v_proj"];

/// Tensors that checkpoints hold and no forward pass reads, by a part of their names.
const UNUSED: [&str; 4] = [
    // The tower's pooling head.
    "vision_tower.attn_pool.",
    // Which codes a batch of the image tokenizer's training met.
    "quantize.codebook_used",
    // Buffers of older transformers.
    "rotary_emb.inv_freq",
    "embeddings.position_ids",
];

impl Naming {
    /// Where the tensor that transformers calls `name` stands under this naming.
    pub(crate) fn place(self, name: &str) -> Place {
        match self {
            Naming::HuggingFace => Place {
                name: name.to_owned(),
                third: None,
            },
            Naming::Original => original(name),
        }
    }
}

/// Whether a tensor is known to be of no use, under either naming.
pub(crate) fn is_unused(name: &str) -> bool {
    UNUSED.iter().any(|part| name.contains(part))
}

fn original(name: &str) -> Place {
    if let Some(place) = joint(name) {
        return place;
    }
    // The deeper layers of the aligners count on, with an activation between any two.
    for (theirs, ours) in [
        ("model.aligner.hidden_layers.", "aligner.layers."),
        (
            "model.generation_aligner.hidden_layers.",
            "gen_aligner.layers.",
        ),
    ] {
        if let Some((number, rest)) = name.strip_prefix(theirs).and_then(numbered) {
            return whole(format!("{ours}{}{rest}", 2 * (number + 1)));
        }
    }
    let renamed = RULES
        .iter()
        .find_map(|(theirs, ours)| rename(name, theirs, ours))
        .unwrap_or_else(|| name.to_owned());
    match renamed.split_once(".mid.") {
        Some((before, after)) => whole(format!("{before}.mid.{}", middle(after))),
        None => whole(renamed),
    }
}

fn whole(name: String) -> Place {
    Place { name, third: None }
}

/// A third of the tower's joint projection.
fn joint(name: &str) -> Option<Place> {
    let rest = name.strip_prefix("model.vision_model.encoder.layers.")?;
    let (layer, rest) = numbered(rest)?;
    let rest = rest.strip_prefix(".self_attn.")?;
    let third = JOINT.iter().position(|part| rest.starts_with(part))?;
    let kind = rest.strip_prefix(JOINT[third])?;
    Some(Place {
        name: format!("vision_model.vision_tower.blocks.{layer}.attn.qkv{kind}"),
        third: Some(third),
    })
}

/// What follows `mid.`, with the part's number in the place of its name.
fn middle(after: &str) -> String {
    for (number, part) in MIDDLE.iter().enumerate() {
        if let Some(rest) = after.strip_prefix(part) {
            return format!("{number}{rest}");
        }
    }
    after.to_owned()
}

/// A number at the start of `text`, and what follows it.
fn numbered(text: &str) -> Option<(usize, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// `name`, which begins as `from` does, beginning as `to` does.
fn rename(name: &str, from: &str, to: &str) -> Option<String> {
    let mut rest = name;
    let mut numbers = Vec::new();
    let mut parts = from.split('#');
    rest = rest.strip_prefix(parts.next()?)?;
    for part in parts {
        let (number, after) = numbered(rest)?;
        numbers.push(number);
        rest = after.strip_prefix(part)?;
    }
    // A name ends or goes on with a dot where the beginning does.
    if !(rest.is_empty() || rest.starts_with('.')) {
        return None;
    }
    let mut renamed = String::new();
    let mut numbers = numbers.into_iter();
    for (position, part) in to.split('#').enumerate() {
        if position > 0 {
            renamed.push_str(&numbers.next()?.to_string());
        }
        renamed.push_str(part);
    }
    Some(renamed + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names() {
        for (theirs, ours) in [
            ("lm_head.weight", "language_model.lm_head.weight"),
            (
                "model.language_model.layers.23.mlp.up_proj.weight",
                "language_model.model.layers.23.mlp.up_proj.weight",
            ),
            (
                "model.vision_model.embeddings.position_embedding.weight",
                "vision_model.vision_tower.pos_embed",
            ),
            (
                "model.vision_model.encoder.layers.7.layer_norm2.bias",
                "vision_model.vision_tower.blocks.7.norm2.bias",
            ),
            (
                "model.aligner.hidden_layers.0.bias",
                "aligner.layers.2.bias",
            ),
            (
                "model.generation_aligner.hidden_layers.1.weight",
                "gen_aligner.layers.4.weight",
            ),
            (
                "model.vqmodel.encoder.down.4.block.1.norm1.weight",
                "gen_vision_model.encoder.conv_blocks.4.res.1.norm1.weight",
            ),
            (
                "model.vqmodel.encoder.down.4.attn.1.q.weight",
                "gen_vision_model.encoder.conv_blocks.4.attn.1.q.weight",
            ),
            (
                "model.vqmodel.decoder.mid.attn_1.k.bias",
                "gen_vision_model.decoder.mid.1.k.bias",
            ),
            (
                "model.vqmodel.decoder.up.0.upsample.conv.weight",
                "gen_vision_model.decoder.conv_blocks.0.upsample.conv.weight",
            ),
            (
                "model.vqmodel.quantize.embedding.weight",
                "gen_vision_model.quantize.embedding.weight",
            ),
        ] {
            assert_eq!(
                Naming::Original.place(theirs),
                whole(ours.to_owned()),
                "{theirs}"
            );
        }
        assert_eq!(
            Naming::Original.place("model.vision_model.encoder.layers.3.self_attn.v_proj.bias"),
            Place {
                name: "vision_model.vision_tower.blocks.3.attn.qkv.bias".into(),
                third: Some(2),
            }
        );
    }
}
