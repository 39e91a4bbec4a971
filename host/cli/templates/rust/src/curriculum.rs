//! Which prompts a round draws: some of them, each as likely as another.

pub struct Settings {
    /// The part of the prompts that the run asks for.
    pub share: f64,
}

/// How many prompts to draw: what the run asks for, within what there is and what may be drawn.
pub fn count(
    asked: u32,
    prompts: usize,
    images: u32,
    max_images: u32,
    settings: &Settings,
) -> usize {
    let wanted = (f64::from(asked) * settings.share).round().max(1.0) as usize;
    let affordable = (max_images / images.max(1)) as usize;
    wanted.min(affordable).min(prompts)
}

/// `count` of `pool`, each as likely as another. `random` gives 64 uniform bits.
pub fn choose(mut pool: Vec<u32>, count: usize, mut random: impl FnMut() -> u64) -> Vec<u32> {
    for position in 0..count {
        let left = (pool.len() - position) as u128;
        let other = position + ((u128::from(random()) * left) >> 64) as usize;
        pool.swap(position, other);
    }
    pool.truncate(count);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_drawn_as_there_is_room_for() {
        let all = Settings { share: 1.0 };
        let half = Settings { share: 0.5 };
        assert_eq!(count(10, 100, 4, 1000, &all), 10);
        assert_eq!(count(10, 100, 4, 1000, &half), 5);
        assert_eq!(count(10, 100, 4, 20, &all), 5, "20 images are 5 prompts");
        assert_eq!(count(10, 3, 4, 1000, &all), 3, "there are 3 prompts");
    }

    #[test]
    fn no_prompt_is_chosen_twice() {
        let mut bits = 0_u64;
        let random = || {
            bits = bits
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            bits
        };
        let mut chosen = choose((0..50).collect(), 20, random);
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), 20);
        assert!(chosen.iter().all(|&prompt| prompt < 50));
    }
}
