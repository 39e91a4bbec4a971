//! Made-up checkpoints: the names, shapes, shards and files of a real one, with random weights.
//!
//! They answer what a model needs (memory, disk, time) and let every command be tried where the
//! weights cannot be had. What such a model draws and says means nothing.
//!
//! Sizes are those of deepseek-ai/Janus-Pro-1B and -7B (arXiv 2501.17811). A weight depends on the
//! seed, the tensor's name and its place in the tensor alone: neither on the layout, nor on the
//! shards, nor on how many threads there are.

use std::path::Path;

use candle_core::DType;

use crate::checkpoint::folder::NewFolder;
use crate::checkpoint::names::Naming;
use crate::checkpoint::written::shards::{self, Shard};
use crate::checkpoint::written::tensors::stored_tensors;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::janus::JanusModel;

mod files;
mod pieces;
mod size;
mod tokenizer;
mod values;

pub use size::ModelSize;

/// What checkpoint is made up.
#[derive(Clone, Copy, Debug)]
pub struct Synthesis {
    /// Which model's sizes it has.
    pub size: ModelSize,
    /// The dtype of all weights: bf16, f16 or f32.
    pub dtype: DType,
    /// Seed of the weights.
    pub seed: u64,
    /// Whose layout it has. The authors' own checkpoints are pickles; here both are safetensors.
    pub layout: Naming,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synthesized {
    /// Weights of the model, without those that a layout stores and nothing reads.
    pub parameters: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// Names of the files, in ascending order.
    pub files: Vec<String>,
}

impl Synthesis {
    /// The configuration of the checkpoint.
    pub fn config(&self) -> Config {
        self.size.config(self.layout)
    }

    /// Weights of the model, without those that a layout stores and nothing reads.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn parameters(&self) -> Result<usize> {
        let shapes = JanusModel::tensor_shapes(&self.config())?;
        Ok(shapes
            .values()
            .map(|shape| shape.iter().product::<usize>())
            .sum())
    }

    /// Bytes of the files of weights.
    ///
    /// # Errors
    /// When the dtype is none of those that checkpoints have, or memory runs out.
    pub fn weight_bytes(&self) -> Result<u64> {
        Ok(self.shards()?.iter().map(Shard::bytes).sum())
    }

    /// Writes the checkpoint into the folder `out`, which must be absent or empty, and tells
    /// `progress` of the bytes of weights as they are written. The folder appears whole or not at
    /// all; until then its files are in `out` with `.partial` added, which is replaced if it is
    /// left from a call that was interrupted.
    ///
    /// # Errors
    /// When the folder is taken, the disk has too little room, a file cannot be written, or the
    /// dtype is none of those that checkpoints have. Then no part of the checkpoint stays.
    pub fn write(&self, out: &Path, mut progress: impl FnMut(u64)) -> Result<Synthesized> {
        let shards = self.shards()?;
        let mut small = files::all(self)?;
        if let Some(index) = shards::index(&shards)? {
            small.push((shards::INDEX, index));
        }
        let of_small = small.iter().map(|(_, content)| content.len() as u64);
        let bytes = shards.iter().map(Shard::bytes).chain(of_small).sum();
        let folder = NewFolder::begin(out, bytes)?;
        let mut files = Vec::new();
        folder.write_all(&small, &mut files)?;
        for shard in shards {
            let path = folder.path(&shard.name);
            pieces::write(&shard, &path, self.seed, &mut progress)
                .map_err(Error::io("write", path))?;
            files.push(shard.name);
        }
        folder.publish()?;
        files.sort();
        Ok(Synthesized {
            parameters: self.parameters()?,
            bytes,
            files,
        })
    }

    fn shards(&self) -> Result<Vec<Shard>> {
        let dtype = shards::stored_dtype(self.dtype)?;
        shards::split(stored_tensors(&self.config())?, dtype, shards::MOST_BYTES)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::checkpoint::source::CheckpointSource;
    use crate::checkpoint::weights::Weights;
    use std::fs::{self, File};
    use std::io::Write;

    /// All of a checkpoint but the values: a file that is not written takes no room on the disk.
    fn hollow(synthesis: &Synthesis) -> tempfile::TempDir {
        let place = tempfile::tempdir().expect("a folder");
        let shards = synthesis.shards().expect("are made");
        let index = shards::index(&shards).expect("is made");
        let index = index.map(|index| (shards::INDEX, index));
        for (name, content) in files::all(synthesis)
            .expect("are made")
            .into_iter()
            .chain(index)
        {
            fs::write(place.path().join(name), content).expect("is written");
        }
        for shard in shards {
            let mut file = File::create(place.path().join(&shard.name)).expect("is made");
            file.write_all(shard.header()).expect("is written");
            file.set_len(shard.bytes()).expect("has room");
        }
        place
    }

    #[test]
    fn published_sizes_are_read_back_in_both_layouts() {
        for (size, files) in [(ModelSize::JanusPro1B, 1), (ModelSize::JanusPro7B, 3)] {
            for layout in [Naming::HuggingFace, Naming::Original] {
                let synthesis = Synthesis {
                    size,
                    dtype: DType::BF16,
                    seed: 0,
                    layout,
                };
                let place = hollow(&synthesis);
                let source = CheckpointSource::Directory(place.path().to_owned());
                let config = Config::read(&source).expect("is read");
                assert_eq!(config, synthesis.config());
                assert_eq!(source.weight_files().expect("are there").len(), files);
                let shapes = JanusModel::tensor_shapes(&config).expect("has shapes");
                let weights = Weights::open(&source, layout).expect("are whole");
                assert_eq!(weights.problems(&shapes), Vec::<String>::new());
                let special = crate::text::Text::read(&source, &config)
                    .expect("is read")
                    .special;
                assert_eq!(special, size.special_tokens());
                let text = fs::read_to_string(place.path().join("config.json")).expect("is read");
                if layout == Naming::Original {
                    let hidden = format!("\"hidden_size\": {}", config.text.hidden);
                    // The 7B's is what a Llama has where nothing is said.
                    assert_eq!(text.contains(&hidden), size == ModelSize::JanusPro1B);
                }
            }
        }
    }
}
