//! Candidates: images that the model drew for a prompt, with its own verdict on each.

use serde::{Deserialize, Serialize};

use crate::history::PromptHistory;
use crate::prompt::Prompt;

/// What the model said of an image that it drew itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The image shows what the prompt asks for.
    Accepted,
    /// It does not.
    Rejected,
    /// The answer could not be read. Counted and reported, never a silent rejection.
    Unparsed,
}

/// One image drawn for a prompt, and what the model thinks of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Position among the images drawn for the prompt in this round, from 0. Survives filtering.
    pub index: u32,
    /// Probability of "yes" against "no", in 0–1; for an unparsed answer 0.5.
    pub p_yes: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// The answer's text; empty where the model answers by the logits of two words.
    pub answer: String,
    /// Mean log-probability a token of the image under the model that drew it (conditional, at
    /// temperature 1, without guidance).
    pub log_prob: f64,
    /// First eight bytes, big-endian, of the SHA-256 of the image's tokens: equal images have
    /// equal hashes.
    pub image_hash: u64,
}

/// The candidates of one prompt in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The prompt that they were drawn for.
    pub prompt: Prompt,
    /// The prompt's past, before this round.
    pub history: PromptHistory,
    /// The candidates, by ascending `index`; after filtering there are gaps.
    pub candidates: Vec<Candidate>,
}
