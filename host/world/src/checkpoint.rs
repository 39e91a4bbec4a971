//! The tiny model that was trained on this world, carried inside the program.

/// A file of the checkpoint, with the name that it has in its folder.
macro_rules! file {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../../models/tiny/", $name)) as &[u8],
        )
    };
}

const FILES: [(&str, &[u8]); 7] = [
    file!("config.json"),
    file!("generation_config.json"),
    file!("model.safetensors"),
    file!("tokenizer.json"),
    file!("templates.json"),
    file!("preprocessor_config.json"),
    file!("provenance.json"),
];

/// The files of the checkpoint, in the Hugging Face layout: name and content. Its
/// `provenance.json` says where it comes from.
pub fn tiny_model() -> &'static [(&'static str, &'static [u8])] {
    &FILES
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn file(name: &str) -> &'static [u8] {
        let found = tiny_model().iter().find(|(known, _)| *known == name);
        found.map_or(&[], |(_, content)| content)
    }

    fn json(content: &[u8]) -> Value {
        serde_json::from_slice(content).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_weights_are_as_many_as_their_provenance_says() {
        let weights = file("model.safetensors");
        // The layout of safetensors: the header's length in eight bytes, the header, the data.
        let mut length = [0; 8];
        length.copy_from_slice(&weights[..8]);
        let header = json(&weights[8..8 + u64::from_le_bytes(length) as usize]);
        let entries = header.as_object().into_iter().flatten();
        let parameters: u64 = entries
            .filter_map(|(_, tensor)| tensor["shape"].as_array())
            .map(|shape| shape.iter().filter_map(Value::as_u64).product::<u64>())
            .sum();
        let provenance = json(file("provenance.json"));
        assert_eq!(provenance["parameters"].as_u64(), Some(parameters));
    }

    #[test]
    fn every_json_file_is_whole_and_the_vocabulary_holds_the_world() {
        for (name, content) in tiny_model() {
            if name.ends_with(".json") {
                assert!(json(content).is_object(), "{name}");
            }
        }
        let vocabulary = &json(file("tokenizer.json"))["model"]["vocab"];
        for split in [
            sc_core::prompt::Split::Train,
            sc_core::prompt::Split::HeldOut,
        ] {
            for prompt in crate::prompts(split) {
                for word in prompt.text.split_whitespace() {
                    assert!(vocabulary[word].is_u64(), "`{word}`");
                }
            }
        }
    }
}
