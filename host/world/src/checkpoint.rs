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
