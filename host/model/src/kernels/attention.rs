//! Softmax attention of a few sentences at a time, and its backward pass.

use std::ops::Range;

use super::math::{add_scaled, dot, exp, exponentials};
use super::vectorised;
use crate::config::TextConfig;
use crate::janus::llama::{Sentence, rope_frequencies};

/// Rotations by position.
pub(super) struct Rotation {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Rotation {
    pub(super) fn new(config: &TextConfig, positions: usize) -> Rotation {
        let frequencies = rope_frequencies(config);
        let angles = (0..positions)
            .flat_map(|position| frequencies.iter().map(move |f| position as f32 * f));
        let (sin, cos) = angles.map(f32::sin_cos).unzip();
        Rotation {
            cos,
            sin,
            half: frequencies.len(),
        }
    }

    /// Turns heads that stand side by side to `position`, or back if `direction` is −1.
    #[inline(always)]
    pub(super) fn turn(&self, heads: &mut [f32], position: usize, direction: f32) {
        let cos = &self.cos[position * self.half..][..self.half];
        let sin = &self.sin[position * self.half..][..self.half];
        for head in heads.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
                let sin = sin * direction;
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

/// Where the steps of a task stand in their sentences.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    pub(super) sentences: &'a [Sentence],
    /// Steps that came before, whose keys and values are known.
    pub(super) first: usize,
    /// Steps now.
    pub(super) steps: usize,
    /// Steps that a sentence's keys and values have room for.
    pub(super) capacity: usize,
    /// Whether a step sees the later ones too, as in the vision tower.
    pub(super) sees_all: bool,
}

impl<'a> Span<'a> {
    /// All of the sentences' `steps`, of which none sees a later one.
    pub(super) fn causal(sentences: &'a [Sentence], steps: usize) -> Span<'a> {
        Span {
            sentences,
            first: 0,
            steps,
            capacity: steps,
            sees_all: false,
        }
    }

    /// All of the sentences' `steps`, each of which sees all.
    pub(super) fn all(sentences: &'a [Sentence], steps: usize) -> Span<'a> {
        Span {
            sees_all: true,
            ..Span::causal(sentences, steps)
        }
    }

    /// What a step sees; see [`Sentence::sees`].
    fn sees(&self, sentence: &Sentence, step: usize) -> [Range<usize>; 2] {
        if self.sees_all {
            [sentence.start..self.first + self.steps, 0..0]
        } else {
            sentence.sees(step)
        }
    }
}

/// Heads of an attention.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) width: usize,
}

impl Heads {
    pub(super) fn of(config: &TextConfig) -> Heads {
        Heads {
            queries: config.heads,
            keys: config.kv_heads,
            width: config.head_dim,
        }
    }
}

vectorised! {
    /// Softmax attention of queries [sentence, step, head·width] over keys and values [sentence,
    /// capacity, keys and then values]; `log_sums` [sentence, step, head] receives the logarithm
    /// of each softmax's sum. Padding steps attend to nothing: zeros.
    pub(super) fn attend(
        span: Span,
        heads: Heads,
        queries: &[f32],
        keys_values: &[f32],
        attended: &mut [f32],
        log_sums: &mut [f32],
    ) {
        let (wide, narrow) = (heads.queries * heads.width, heads.keys * heads.width);
        let repeats = heads.queries / heads.keys;
        let scale = 1.0 / (heads.width as f32).sqrt();
        let mut scores = vec![0.0; span.first + span.steps];
        attended.fill(0.0);
        log_sums.fill(0.0);
        for (number, sentence) in span.sentences.iter().enumerate() {
            let pairs = &keys_values[number * span.capacity * 2 * narrow..];
            for step in 0..span.steps {
                let [stem, branch] = span.sees(sentence, span.first + step);
                if stem.is_empty() && branch.is_empty() {
                    continue;
                }
                let row = number * span.steps + step;
                let seen = [stem.len(), branch.len()];
                let stretches = [stem, branch]
                    .map(|steps| &pairs[steps.start * 2 * narrow..steps.end * 2 * narrow]);
                for head in 0..heads.queries {
                    let query = &queries[row * wide + head * heads.width..][..heads.width];
                    let shared = head / repeats * heads.width;
                    let scores = &mut scores[..seen[0] + seen[1]];
                    let (of_stem, of_branch) = scores.split_at_mut(seen[0]);
                    for (scores, pairs) in [of_stem, of_branch].into_iter().zip(stretches) {
                        for (score, pair) in scores.iter_mut().zip(pairs.chunks_exact(2 * narrow)) {
                            *score = dot(query, &pair[shared..shared + heads.width]) * scale;
                        }
                    }
                    let (sum, top) = exponentials(scores);
                    log_sums[row * heads.queries + head] = top + sum.ln();
                    let out = &mut attended[row * wide + head * heads.width..][..heads.width];
                    let (of_stem, of_branch) = scores.split_at(seen[0]);
                    for (weights, pairs) in [of_stem, of_branch].into_iter().zip(stretches) {
                        for (weight, pair) in weights.iter().zip(pairs.chunks_exact(2 * narrow)) {
                            add_scaled(out, *weight, &pair[narrow + shared..][..heads.width]);
                        }
                    }
                    let share = 1.0 / sum;
                    for value in out {
                        *value *= share;
                    }
                }
            }
        }
    }
}

/// What [`attend`] read and wrote.
#[derive(Clone, Copy)]
pub(super) struct Attended<'a> {
    pub(super) queries: &'a [f32],
    pub(super) keys_values: &'a [f32],
    pub(super) values: &'a [f32],
    pub(super) log_sums: &'a [f32],
}

vectorised! {
    /// Backward of [`attend`] for a span from its first step. `pull` holds the attended values'
    /// gradients; those of queries and of keys and values are added up.
    pub(super) fn attend_backward(
        span: Span,
        heads: Heads,
        attended: Attended,
        pull: &[f32],
        d_queries: &mut [f32],
        d_keys_values: &mut [f32],
    ) {
        let (wide, narrow) = (heads.queries * heads.width, heads.keys * heads.width);
        let repeats = heads.queries / heads.keys;
        let scale = 1.0 / (heads.width as f32).sqrt();
        for (number, sentence) in span.sentences.iter().enumerate() {
            let first_pair = number * span.capacity;
            for step in sentence.start..span.steps {
                let row = number * span.steps + step;
                let stretches = span.sees(sentence, step).map(|steps| {
                    (first_pair + steps.start) * 2 * narrow..(first_pair + steps.end) * 2 * narrow
                });
                for head in 0..heads.queries {
                    let place = row * wide + head * heads.width;
                    let place = place..place + heads.width;
                    let query = &attended.queries[place.clone()];
                    let pull = &pull[place.clone()];
                    let d_query = &mut d_queries[place.clone()];
                    let mean = dot(pull, &attended.values[place]);
                    let log_sum = attended.log_sums[row * heads.queries + head];
                    let key = head / repeats * heads.width;
                    let key = key..key + heads.width;
                    let value = narrow + key.start..narrow + key.end;
                    for pairs in stretches.clone() {
                        let known = attended.keys_values[pairs.clone()].chunks_exact(2 * narrow);
                        let gradients = d_keys_values[pairs].chunks_exact_mut(2 * narrow);
                        for (pair, d_pair) in known.zip(gradients) {
                            let weight = exp(dot(query, &pair[key.clone()]) * scale - log_sum);
                            let d_score = weight * (dot(pull, &pair[value.clone()]) - mean) * scale;
                            add_scaled(d_query, d_score, &pair[key.clone()]);
                            add_scaled(&mut d_pair[key.clone()], d_score, query);
                            add_scaled(&mut d_pair[value.clone()], weight, pull);
                        }
                    }
                }
            }
        }
    }
}

vectorised! {
    /// Splits rows of queries, keys and values and turns the first two to their positions.
    pub(super) fn place(
        span: Span,
        heads: Heads,
        rotation: &Rotation,
        joint: &[f32],
        queries: &mut [f32],
        keys_values: &mut [f32],
    ) {
        let (wide, narrow) = (heads.queries * heads.width, heads.keys * heads.width);
        for (row, joint) in joint.chunks_exact(wide + 2 * narrow).enumerate() {
            let (sentence, step) = (row / span.steps, row % span.steps);
            let here = span.first + step;
            let position = span.sentences[sentence].position(here);
            let query = &mut queries[row * wide..][..wide];
            query.copy_from_slice(&joint[..wide]);
            rotation.turn(query, position, 1.0);
            let pair = &mut keys_values[(sentence * span.capacity + here) * 2 * narrow..];
            let pair = &mut pair[..2 * narrow];
            pair.copy_from_slice(&joint[wide..]);
            rotation.turn(&mut pair[..narrow], position, 1.0);
        }
    }
}

vectorised! {
    /// Turns the gradients of queries and keys back from their positions.
    pub(super) fn turn_back(
        span: Span,
        heads: Heads,
        rotation: &Rotation,
        d_queries: &mut [f32],
        d_keys_values: &mut [f32],
    ) {
        let (wide, narrow) = (heads.queries * heads.width, heads.keys * heads.width);
        let rows = d_queries
            .chunks_exact_mut(wide)
            .zip(d_keys_values.chunks_exact_mut(2 * narrow));
        for (row, (query, pair)) in rows.enumerate() {
            let position = span.sentences[row / span.steps].position(row % span.steps);
            rotation.turn(query, position, -1.0);
            rotation.turn(&mut pair[..narrow], position, -1.0);
        }
    }
}
