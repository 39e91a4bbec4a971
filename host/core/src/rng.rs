//! Random streams by purpose.
//!
//! Every use of chance has a stream of its own, keyed by the run's seed, a purpose and indices
//! such as round, prompt and image. What one part draws never shifts what another part draws,
//! and an image does not depend on what else is drawn in its batch.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The stream for `purpose` at `indices` under `seed`.
pub fn stream(seed: u64, purpose: &str, indices: &[u64]) -> ChaCha8Rng {
    let mut hasher = Sha256::new();
    hasher.update(b"sc-host stream v1\0");
    hasher.update(seed.to_le_bytes());
    // The length keeps ("ab", [1]) and ("a", …) apart whatever the indices are.
    hasher.update((purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    for index in indices {
        hasher.update(index.to_le_bytes());
    }
    ChaCha8Rng::from_seed(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn streams_differ_by_seed_purpose_and_index_and_repeat() {
        let first =
            |seed, purpose: &str, indices: &[u64]| stream(seed, purpose, indices).next_u64();
        let base = first(1, "draw", &[2, 3]);
        assert_eq!(base, first(1, "draw", &[2, 3]));
        for other in [
            first(2, "draw", &[2, 3]),
            first(1, "drawn", &[2, 3]),
            first(1, "draw", &[3, 2]),
            first(1, "draw", &[2]),
        ] {
            assert_ne!(base, other);
        }
    }
}
