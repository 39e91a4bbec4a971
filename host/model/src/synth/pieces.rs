//! Files of weights that are written as their values are made, piece by piece.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::values::{CHUNK, Values};
use crate::checkpoint::written::shards::{Shard, element_bytes};

/// Chunks that are written at a time: with the piece that is made meanwhile, some 64 MiB at most.
const PIECE_CHUNKS: usize = 512;

/// Values that are written at a time.
struct Piece {
    of: Values,
    /// The chunk that they begin with.
    first: usize,
    count: usize,
}

/// Writes a file with the values of `seed`; `progress` is told of each piece.
pub(super) fn write(
    shard: &Shard,
    path: &Path,
    seed: u64,
    progress: &mut impl FnMut(u64),
) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    // A piece is made while the one before it is written.
    let mut ready = shard.header().to_vec();
    let mut next = Vec::new();
    for piece in pieces(shard) {
        next.resize(piece.count * element_bytes(shard.dtype), 0);
        let make = || piece.of.fill(seed, piece.first, shard.dtype, &mut next);
        let (written, ()) = rayon::join(|| file.write_all(&ready), make);
        written?;
        progress(ready.len() as u64);
        std::mem::swap(&mut ready, &mut next);
    }
    file.write_all(&ready)?;
    progress(ready.len() as u64);
    // A rename must not overtake the bytes that it publishes.
    file.sync_all()
}

fn pieces(shard: &Shard) -> impl Iterator<Item = Piece> {
    shard.parts().map(Values::of).flat_map(|of| {
        let all = of.count.div_ceil(CHUNK);
        (0..all).step_by(PIECE_CHUNKS).map(move |first| Piece {
            count: (of.count - first * CHUNK).min(PIECE_CHUNKS * CHUNK),
            of: of.clone(),
            first,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::written::shards::split;
    use crate::checkpoint::written::tensors::StoredTensor;
    use proptest::prelude::*;
    use safetensors::{Dtype, SafeTensors};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// The format's own reader finds every tensor where and as it was meant.
        #[test]
        fn what_is_written_is_what_the_format_reads(
            shapes in prop::collection::vec(prop::collection::vec(1_usize..7, 0..4), 1..12),
            dtype in prop::sample::select(vec![Dtype::F32, Dtype::F16, Dtype::BF16]),
            seed in any::<u64>(),
        ) {
            let tensors: Vec<StoredTensor> = (shapes.into_iter().enumerate())
                .map(|(number, shape)| StoredTensor::single(&format!("t{number:02}\"é"), shape))
                .collect();
            let shards = split(tensors.clone(), dtype, usize::MAX).expect("splits");
            let place = tempfile::tempdir().expect("a folder");
            let path = place.path().join("x.safetensors");
            let mut told = 0;
            write(&shards[0], &path, seed, &mut |bytes| told += bytes).expect("is written");
            let bytes = std::fs::read(&path).expect("is read");
            prop_assert_eq!(bytes.len() as u64, shards[0].bytes());
            prop_assert_eq!(bytes.len() as u64, told);
            prop_assert_eq!(shards[0].header().len() % 8, 0);
            let read = SafeTensors::deserialize(&bytes).expect("is whole");
            prop_assert_eq!(read.len(), tensors.len());
            for tensor in &tensors {
                let view = read.tensor(&tensor.name).expect("is there");
                prop_assert_eq!(view.shape(), &tensor.shape[..]);
                prop_assert_eq!(view.dtype(), dtype);
                let mut values = vec![0; view.data().len()];
                Values::of(&tensor.parts[0]).fill(seed, 0, dtype, &mut values);
                prop_assert_eq!(view.data(), &values[..]);
            }
        }
    }
}
